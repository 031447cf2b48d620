/*
 * relay.c: frames between channels and the engine.
 */
#include "postgres.h"

#include "port/pg_bitutils.h"
#include "utils/memutils.h"

#include "serve/relay.h"

/* Requests that are being taken from channels hold this much together, at most (or one of them all). */
#define REQUEST_BYTES_LIMIT ((Size) PROTOCOL_MAX_PAYLOAD * 2)

/* No request is taken while this much waits for the engine to read it. */
#define ENGINE_BYTES_LIMIT ((Size) 1024 * 1024)

/* A backend that lets this much of its answers pile up is not going to read them. */
#define ANSWER_BYTES_LIMIT ((Size) PROTOCOL_MAX_PAYLOAD)

/* A backend has at most this many requests open; client.c keeps below. */
#define OPEN_LIMIT 4096

/* An engine that cannot be started for longer than this fails requests instead of holding them. */
#define HOLD_MS 2000

typedef struct OpenRequest
{
	uint32		number;			/* the backend's */
	uint32		type;
	bool		begun;			/* as far as the engine has said */
	protocol_usage usage;		/* so far, if it has */
} OpenRequest;

typedef struct RelayChannel
{
	Size		expected;		/* bytes of the request frame being taken, 0 between frames */
	ByteQueue	request;		/* those that are here */
	ByteQueue	answer;			/* what the ring had no room for */
	OpenRequest *open;
	int			open_count;
	int			open_capacity;
} RelayChannel;

struct Relay
{
	Size		taking;			/* sum of expected */
	uint32		look[CHANNEL_WORDS];	/* channels to look at (again) */
	RelayChannel channel[FLEXIBLE_ARRAY_MEMBER];
};

Relay *
RelayCreate(void)
{
	return MemoryContextAllocZero(TopMemoryContext, offsetof(Relay, channel) +
								  sizeof(RelayChannel) * channels->count);
}

static uint64
RelayNumber(int number, uint32 local)
{
	uint32		generation = channels->channel[number].generation & 0xFFFF;

	return ((uint64) number << 48) | ((uint64) generation << 32) | local;
}

static void
RelayLookAgain(Relay *relay, int number)
{
	relay->look[number / 32] |= UINT32_C(1) << (number % 32);
}

/* ---------------------------------------------------------------------------
 * Answers: towards the backend
 * ---------------------------------------------------------------------------
 */

/* Moves waiting answers into the ring; asks to be woken when they do not all fit. */
static void
RelayFlushAnswers(Relay *relay, int number)
{
	RelayChannel *state = &relay->channel[number];
	Channel    *channel = &channels->channel[number];
	bool		moved = false;

	while (QueueLength(&state->answer) > 0)
	{
		Size		written = RingWrite(&channel->response, QueueFront(&state->answer),
										QueueLength(&state->answer));

		moved |= written > 0;
		if (written > 0)
			QueueTake(&state->answer, written);
		else if (!RingAwaitRoom(&channel->response))
			break;
	}
	if (moved)
		ChannelWakeOwner(channel);
}

/*
 * A frame for the backend. When it cannot be stored, the stream of this channel has a
 * hole: its claim is made an orphan, which its backend notices.
 */
static void
RelayAnswer(Relay *relay, int number, const protocol_header *header, const char *payload)
{
	ByteQueue  *answer = &relay->channel[number].answer;

	if (QueueLength(answer) + header->length <= ANSWER_BYTES_LIMIT &&
		QueueAppend(answer, header, sizeof(protocol_header)) &&
		(header->length == 0 || QueueAppend(answer, payload, header->length)))
		RelayFlushAnswers(relay, number);
	else
	{
		QueueClear(answer);
		ChannelGiveUp(&channels->channel[number]);
	}
}

static void
RelayAnswerError(Relay *relay, int number, uint32 local, engine_code code, const char *message)
{
	char		frame[sizeof(protocol_header) + 8 + ENGINE_MESSAGE_SIZE];
	uint32		code_word = code;
	uint32		length = (uint32) Min(strlen(message), ENGINE_MESSAGE_SIZE);
	protocol_header header = {.length = 8 + length,.type = PROTOCOL_ERROR,.request = local};

	memcpy(frame, &code_word, 4);
	memcpy(frame + 4, &length, 4);
	memcpy(frame + 8, message, length);
	RelayAnswer(relay, number, &header, frame);
}

/* What the requests of a channel that have begun have cost so far. */
static void
RelayShowActivity(Relay *relay, int number)
{
	RelayChannel *state = &relay->channel[number];
	Channel    *channel = &channels->channel[number];
	ActivityUsage sum = {0};
	int			running = 0;

	for (int i = 0; i < state->open_count; i++)
	{
		if (!state->open[i].begun)
			continue;
		ActivityAdd(&sum, &state->open[i].usage);
		running++;
	}
	SpinLockAcquire(&channel->mutex);
	channel->activity.running = running;
	channel->activity.running_usage = sum;
	SpinLockRelease(&channel->mutex);
}

/* The open request that the engine knows by this number, or NULL if it is over. */
static OpenRequest *
RelayFind(Relay *relay, uint64 request)
{
	int			number = (int) (request >> 48);
	RelayChannel *state;

	if (number >= channels->count || request != RelayNumber(number, (uint32) request))
		return NULL;
	state = &relay->channel[number];
	for (int i = 0; i < state->open_count; i++)
	{
		if (state->open[i].number == (uint32) request)
			return &state->open[i];
	}
	return NULL;
}

bool
RelayProgress(Relay *relay, const EngineFrame *frame)
{
	protocol_reader r = {.data = frame->payload,.length = frame->header.length};
	uint32		count = protocol_get_count(&r, sizeof(uint64));
	uint32		changed[CHANNEL_WORDS] = {0};

	for (uint32 i = 0; i < count; i++)
	{
		uint64		request = protocol_get_u64(&r);
		OpenRequest *open = RelayFind(relay, request);
		int			number = (int) (request >> 48);
		protocol_usage usage;

		protocol_get_usage(&r, &usage);
		if (open == NULL)
			continue;
		open->begun = true;
		open->usage = usage;
		changed[number / 32] |= UINT32_C(1) << (number % 32);
	}
	for (int number = 0; number < channels->count; number++)
	{
		if (changed[number / 32] & (UINT32_C(1) << (number % 32)))
			RelayShowActivity(relay, number);
	}
	return protocol_finish_read(&r) && frame->header.request == 0;
}

bool
RelayIsBusy(const Relay *relay)
{
	for (int number = 0; number < channels->count; number++)
	{
		if (relay->channel[number].open_count > 0)
			return true;
	}
	return false;
}

static bool
RelayIsLast(uint32 type)
{
	return type == PROTOCOL_DONE || type == PROTOCOL_ERROR || type == PROTOCOL_COUNTED ||
		type == PROTOCOL_LOADED || type == PROTOCOL_STATISTICS;
}

bool
RelayDeliver(Relay *relay, const EngineFrame *frame)
{
	int			number = (int) (frame->header.request >> 48);
	uint32		local = (uint32) frame->header.request;
	protocol_header header = frame->header;
	RelayChannel *state;
	OpenRequest *request;

	if (((header.type < PROTOCOL_LOADED || header.type > PROTOCOL_ERROR) &&
		 header.type != PROTOCOL_NEIGHBOURS) || number >= channels->count)
		return false;
	state = &relay->channel[number];
	request = RelayFind(relay, header.request);
	if (request == NULL)
		return true;			/* of a claim, or a request, that is over */
	if (RelayIsLast(header.type))
	{
		bool		begun = request->begun;

		if (request->type == PROTOCOL_UNLOAD)
			pg_atomic_fetch_add_u32(&channels->models_generation, 1);
		*request = state->open[--state->open_count];
		if (pg_atomic_read_u32(&channels->channel[number].state) == CHANNEL_LEFT)
			RelayLookAgain(relay, number);
		if (begun)
			RelayShowActivity(relay, number);
	}
	header.request = local;
	RelayAnswer(relay, number, &header, frame->payload);
	return true;
}

void
RelayFailRunning(Relay *relay, engine_code code, const char *message)
{
	for (int number = 0; number < channels->count; number++)
	{
		RelayChannel *state = &relay->channel[number];

		if (state->open_count > 0)
			RelayLookAgain(relay, number);
		while (state->open_count > 0)
			RelayAnswerError(relay, number, state->open[--state->open_count].number, code, message);
		RelayShowActivity(relay, number);
	}
}

/* ---------------------------------------------------------------------------
 * Requests: towards the engine
 * ---------------------------------------------------------------------------
 */

static bool
RelayOpen(RelayChannel *state, uint32 local, uint32 type)
{
	if (state->open_count == state->open_capacity)
	{
		int			capacity = Max(state->open_capacity * 2, 16);
		OpenRequest *open;

		if (capacity > OPEN_LIMIT)
			return false;
		open = MemoryContextAllocExtended(TopMemoryContext, sizeof(OpenRequest) * capacity,
										  MCXT_ALLOC_NO_OOM);
		if (open == NULL)
			return false;
		if (state->open)
		{
			memcpy(open, state->open, sizeof(OpenRequest) * state->open_count);
			pfree(state->open);
		}
		state->open = open;
		state->open_capacity = capacity;
	}
	state->open[state->open_count++] = (OpenRequest) {.number = local,.type = type};
	return true;
}

/* No engine, and none soon. */
static void
RelayRefuse(Relay *relay, int number, uint32 local, const Engine *engine)
{
	engine_error error;

	engine_fail(&error, engine->reason.code, "the model engine is not running: %s",
				engine->reason.message);
	RelayAnswerError(relay, number, local, error.code, error.message);
}

/* A complete frame of a backend is in state->request: passes it on, or answers with the reason not to. */
static void
RelayPassOn(Relay *relay, int number, Engine *engine)
{
	RelayChannel *state = &relay->channel[number];
	protocol_header header;
	uint32		local;

	memcpy(&header, QueueFront(&state->request), sizeof(header));
	local = (uint32) header.request;
	header.request = RelayNumber(number, local);
	if (engine->state == ENGINE_DOWN)
		RelayRefuse(relay, number, local, engine);
	else if (!RelayOpen(state, local, header.type))
		RelayAnswerError(relay, number, local, ENGINE_FULL, "too many requests of one session are running");
	else if (!EngineSend(engine, &header, QueueFront(&state->request) + sizeof(header)))
	{
		state->open_count--;
		RelayAnswerError(relay, number, local, ENGINE_NO_MEMORY, "the model worker is out of memory");
	}
	relay->taking -= state->expected;
	state->expected = 0;
	QueueClear(&state->request);
}

/* Begins to take the next frame; false if there is none or no room for it now. */
static bool
RelayBeginRequest(Relay *relay, int number)
{
	RelayChannel *state = &relay->channel[number];
	protocol_header header;
	Size		bytes;

	if (!RingPeek(&channels->channel[number].request, &header, sizeof(header)))
		return false;
	bytes = sizeof(header) + header.length;
	if (relay->taking > 0 && relay->taking + bytes > REQUEST_BYTES_LIMIT)
	{
		RelayLookAgain(relay, number);
		return false;
	}
	state->expected = bytes;
	relay->taking += bytes;
	return true;
}

/* Takes bytes of the frame begun; false when there are no more (or no memory: then the claim is lost). */
static bool
RelayTakeBytes(Relay *relay, int number)
{
	RelayChannel *state = &relay->channel[number];
	Channel    *channel = &channels->channel[number];
	Size		wanted = Min(state->expected - QueueLength(&state->request), RING_SIZE);
	char	   *place = QueueReserve(&state->request, wanted);
	Size		taken;

	if (place == NULL)
	{
		ChannelGiveUp(channel);
		return false;
	}
	taken = RingRead(&channel->request, place, wanted);
	QueueGrow(&state->request, taken);
	if (taken > 0 && RingTakeWaiter(&channel->request))
		ChannelWakeOwner(channel);
	return taken > 0;
}

/* Whether requests are taken now: by an engine, or to be failed because there is none. */
static bool
RelayTakes(const Engine *engine)
{
	if (engine->state == ENGINE_DOWN)
		return engine->start_failed || EngineTimeout(engine) > HOLD_MS;
	return engine->state == ENGINE_READY && QueueLength(&engine->out) < ENGINE_BYTES_LIMIT;
}

/* Takes what is there; what has to wait is looked at again. */
static void
RelayTakeRequests(Relay *relay, int number, Engine *engine)
{
	RelayChannel *state = &relay->channel[number];

	while (RelayTakes(engine))
	{
		if (state->expected == 0 && !RelayBeginRequest(relay, number))
			return;
		if (!RelayTakeBytes(relay, number))
			return;
		if (QueueLength(&state->request) == state->expected)
			RelayPassOn(relay, number, engine);
	}
	if (RingUsed(&channels->channel[number].request) > 0)
		RelayLookAgain(relay, number);
}

/* The backend has let go: cancels what it left running and frees the channel. */
static void
RelayClose(Relay *relay, int number, Engine *engine)
{
	RelayChannel *state = &relay->channel[number];

	for (int i = 0; i < state->open_count && engine->state != ENGINE_DOWN; i++)
	{
		protocol_header header = {.type = PROTOCOL_CANCEL,.request = RelayNumber(number, state->open[i].number)};

		/* without memory it runs to its end, for nobody */
		EngineSend(engine, &header, NULL);
	}
	relay->taking -= state->expected;
	state->expected = 0;
	state->open_count = 0;
	QueueClear(&state->request);
	QueueClear(&state->answer);
	ChannelFree(&channels->channel[number]);
}

/* The backend has gone, and wants its requests carried out, if there is an engine. */
static void
RelayFinish(Relay *relay, int number, Engine *engine)
{
	RelayChannel *state = &relay->channel[number];
	Channel    *channel = &channels->channel[number];

	if (engine->state == ENGINE_READY && !ChannelOrphaned(channel))
		RelayTakeRequests(relay, number, engine);
	if (engine->state != ENGINE_READY || ChannelOrphaned(channel) ||
		(state->open_count == 0 && RingUsed(&channel->request) == 0))
		RelayClose(relay, number, engine);
}

static void
RelayLookAt(Relay *relay, int number, Engine *engine)
{
	Channel    *channel = &channels->channel[number];

	switch (pg_atomic_read_u32(&channel->state))
	{
		case CHANNEL_CLOSING:
			RelayClose(relay, number, engine);
			break;
		case CHANNEL_LEFT:
			RelayFinish(relay, number, engine);
			break;
		case CHANNEL_OPEN:
			if (ChannelOrphaned(channel))
				break;			/* its backend will close it */
			RelayFlushAnswers(relay, number);
			RelayTakeRequests(relay, number, engine);
			break;
		default:
			break;
	}
}

void
RelayLook(Relay *relay, Engine *engine)
{
	for (int word = 0; word < (channels->count + 31) / 32; word++)
	{
		uint32		bits = relay->look[word];

		relay->look[word] = 0;
		/* a full barrier: what was written before a bit was set is seen */
		if (pg_atomic_read_u32(&channels->rung[word]) != 0)
			bits |= pg_atomic_exchange_u32(&channels->rung[word], 0);
		for (; bits != 0; bits &= bits - 1)
		{
			int			number = word * 32 + pg_rightmost_one_pos32(bits);

			if (number < channels->count)
				RelayLookAt(relay, number, engine);
		}
	}
}
