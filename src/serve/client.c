/*
 * client.c: a backend's side of the models.
 */
#include "postgres.h"

#include <sched.h>

#include "lib/ilist.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "portability/instr_time.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "utils/memutils.h"
#include "utils/resowner.h"
#include "utils/timestamp.h"

#include "rag.h"
#include "serve/channel.h"
#include "serve/client.h"
#include "serve/frame.h"
#include "serve/report.h"

/* A worker that has ended is started again after a second. */
#define WORKER_PATIENCE_MS 10000

/* How long to look for an answer before sleeping. */
#define LOOK_US 50

struct ClientSession
{
	dlist_node	node;			/* in open_sessions */
	ResourceOwner owner;
	MemoryContext context;		/* of the session and all it holds */
	Channel    *channel;
	protocol_type type;
	char		model[NAMEDATALEN];
	uint32		last_number;
	uint32		open_count;
	bool		in_frame;		/* a frame was written or read in part */
	bool		looked;			/* for an answer that comes at once */
	bool		tries;			/* of ClientTryOpen */
	bool		lost;			/* and nothing more will come */
	protocol_writer writer;
	char	   *frame;			/* the payload read last */
	Size		frame_size;
};

/* This backend's sessions, for the end of what they were opened in. */
static dlist_head open_sessions = DLIST_STATIC_INIT(open_sessions);
static bool callbacks_registered = false;

void
ClientCheckPreloaded(void)
{
	if (channels == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("models can be used only if rag is loaded at server start"),
				 errhint("Add rag to shared_preload_libraries in postgresql.conf and restart the server.")));
}

uint32
ClientModelsGeneration(void)
{
	return channels ? pg_atomic_read_u32(&channels->models_generation) : 0;
}

void
ClientRestartEngine(void)
{
	ClientCheckPreloaded();
	pg_atomic_write_u32(&channels->restart_engine, 1);
	ChannelWakeWorker();
}

/* ---------------------------------------------------------------------------
 * Opening and closing
 * ---------------------------------------------------------------------------
 */

void
ClientClose(ClientSession *session)
{
	dlist_delete(&session->node);
	ChannelRelease(session->channel, session->open_count == 0 && !session->in_frame);
	MemoryContextDelete(session->context);
}

static void
ClientOwnerReleased(ResourceReleasePhase phase, bool is_commit, bool is_top, void *argument)
{
	dlist_mutable_iter iter;

	if (phase != RESOURCE_RELEASE_BEFORE_LOCKS)
		return;
	dlist_foreach_modify(iter, &open_sessions)
	{
		ClientSession *session = dlist_container(ClientSession, node, iter.cur);

		if (session->owner == CurrentResourceOwner)
			ClientClose(session);
	}
}

static void
ClientProcessEnds(int code, Datum argument)
{
	/* the process may have been terminated while it worked in a session's context */
	MemoryContextSwitchTo(TopMemoryContext);
	while (!dlist_is_empty(&open_sessions))
		ClientClose(dlist_head_element(ClientSession, node, &open_sessions));
}

static ClientSession *
ClientOpenSession(protocol_type type, const char *model, bool tries)
{
	MemoryContext context;
	ClientSession *session;

	if (!callbacks_registered)
	{
		RegisterResourceReleaseCallback(ClientOwnerReleased, NULL);
		before_shmem_exit(ClientProcessEnds, (Datum) 0);
		callbacks_registered = true;
	}
	context = AllocSetContextCreate(CurrentMemoryContext, "rag session", ALLOCSET_SMALL_SIZES);
	session = MemoryContextAllocZero(context, sizeof(ClientSession));
	session->context = context;
	session->owner = CurrentResourceOwner;
	session->writer.resize = FrameResize;
	session->type = type;
	strlcpy(session->model, model, NAMEDATALEN);
	session->tries = tries;
	session->channel = tries ? ChannelTryClaim(type, model) : ChannelClaim(type, model);
	if (session->channel == NULL)
	{
		MemoryContextDelete(context);
		return NULL;
	}
	/* from here on it must outlive the caller's context, which an abort resets too early */
	MemoryContextSetParent(context, TopMemoryContext);
	dlist_push_head(&open_sessions, &session->node);
	return session;
}

ClientSession *
ClientOpen(protocol_type type, const char *model)
{
	ClientCheckPreloaded();
	return ClientOpenSession(type, model, false);
}

ClientSession *
ClientTryOpen(protocol_type type, const char *model)
{
	return channels != NULL ? ClientOpenSession(type, model, true) : NULL;
}

uint32
ClientOpenCount(const ClientSession *session)
{
	return session->open_count;
}

/* ---------------------------------------------------------------------------
 * Waiting
 * ---------------------------------------------------------------------------
 */

/* Raises an error when nothing more will come; false: the same of a session that tries. */
static bool
ClientCheckWorker(ClientSession *session)
{
	bool		orphaned = ChannelOrphaned(session->channel);
	bool		running;
	TimestampTz gone;

	if (orphaned && !session->tries)
		ereport(ERROR,
				(errcode(ERRCODE_SYSTEM_ERROR),
				 errmsg("the model worker ended while the request was running"),
				 errhint("Try again: a new worker is started within seconds. The server's log says how the old one ended.")));
	SpinLockAcquire(&channels->mutex);
	running = channels->worker != NULL;
	gone = channels->worker_gone;
	SpinLockRelease(&channels->mutex);
	running = running || !TimestampDifferenceExceeds(gone, GetCurrentTimestamp(), WORKER_PATIENCE_MS);
	if (!running && !session->tries)
		ereport(ERROR,
				(errcode(ERRCODE_SYSTEM_ERROR),
				 errmsg("the model worker is not running"),
				 errhint("The server's log says why it ended.")));
	session->lost = orphaned || !running;
	return !session->lost;
}

/*
 * Looks for a moment, once for each session: what needs no model is answered within the time that it
 * takes to be woken from sleep.
 */
static void
ClientLook(ClientSession *session)
{
	const volatile sig_atomic_t *is_set = &MyLatch->is_set;
	instr_time	begun;
	instr_time	now;

	session->looked = true;
	INSTR_TIME_SET_CURRENT(begun);
	do
	{
		/* worker and engine may need this very processor */
		sched_yield();
		INSTR_TIME_SET_CURRENT(now);
		INSTR_TIME_SUBTRACT(now, begun);
	} while (!*is_set && INSTR_TIME_GET_MICROSEC(now) < LOOK_US);
}

/* Sleeps until the worker, an interrupt or the end of patience. */
static void
ClientWait(ClientSession *session)
{
	static uint32 wait_event = 0;
	bool		running;

	if (wait_event == 0)
		wait_event = RagWaitEvent("RagModelAnswer");
	SpinLockAcquire(&channels->mutex);
	running = channels->worker != NULL;
	SpinLockRelease(&channels->mutex);
	if (!session->looked)
		ClientLook(session);
	(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_EXIT_ON_PM_DEATH | (running ? 0 : WL_TIMEOUT),
					 running ? -1L : 1000L, wait_event);
	ResetLatch(MyLatch);
	CHECK_FOR_INTERRUPTS();
}

/* ---------------------------------------------------------------------------
 * Sending
 * ---------------------------------------------------------------------------
 */

static void
ClientWrite(ClientSession *session, const char *data, Size length)
{
	Ring	   *ring = &session->channel->request;

	session->in_frame = true;
	while (length > 0)
	{
		Size		written = RingWrite(ring, data, length);

		data += written;
		length -= written;
		if (written > 0)
			ChannelRing(session->channel);
		if (length > 0 && !RingAwaitRoom(ring))
		{
			if (!ClientCheckWorker(session))
				return;
			ClientWait(session);
		}
	}
	session->in_frame = false;
}

uint32
ClientSend(ClientSession *session, const ClientRequest *request)
{
	MemoryContext before = MemoryContextSwitchTo(session->context);
	uint32		number = ++session->last_number;
	Channel    *channel = session->channel;
	TimestampTz now = GetCurrentTimestamp();

	if (session->open_count >= CLIENT_MAX_OPEN)
		elog(ERROR, "too many requests in a session");
	session->writer.length = 0;
	FrameWrite(&session->writer, request, number);
	SpinLockAcquire(&channel->mutex);
	channel->activity.sent++;
	channel->activity.last_sent = now;
	SpinLockRelease(&channel->mutex);
	session->open_count++;
	if (!session->lost)
		ClientWrite(session, session->writer.data, session->writer.length);
	MemoryContextSwitchTo(before);
	return number;
}

/* ---------------------------------------------------------------------------
 * Receiving
 * ---------------------------------------------------------------------------
 */

static bool
ClientRead(ClientSession *session, char *data, Size length)
{
	Ring	   *ring = &session->channel->response;

	while (length > 0)
	{
		Size		count = RingRead(ring, data, length);

		data += count;
		length -= count;
		if (count > 0)
		{
			session->in_frame = true;
			if (RingTakeWaiter(ring))
				ChannelRing(session->channel);
		}
		else
		{
			/* what was written before the worker ended is read first */
			if (!ClientCheckWorker(session))
				return false;
			if (RingUsed(ring) == 0)
				ClientWait(session);
		}
	}
	return true;
}

/* The next frame, complete, in session->frame. */
static bool
ClientReadFrame(ClientSession *session, protocol_header *header)
{
	if (!ClientRead(session, (char *) header, sizeof(protocol_header)))
		return false;
	if (header->length > session->frame_size)
	{
		Size		size = Max(header->length, 1024);

		if (session->frame)
			pfree(session->frame);
		session->frame = NULL;
		session->frame_size = 0;
		session->frame = MemoryContextAllocHuge(session->context, size);
		session->frame_size = size;
	}
	if (!ClientRead(session, session->frame, header->length))
		return false;
	session->in_frame = false;
	return true;
}

static void
ClientCountUsage(Channel *channel, const ClientReply *reply)
{
	SpinLockAcquire(&channel->mutex);
	channel->activity.finished++;
	if (reply->type == PROTOCOL_DONE)
		ActivityAdd(&channel->activity.finished_usage, &reply->usage);
	SpinLockRelease(&channel->mutex);
}

bool
ClientReceive(ClientSession *session, ClientReply *reply)
{
	MemoryContext before;
	protocol_header header;

	if (session->open_count == 0)
		return false;
	before = MemoryContextSwitchTo(session->context);
	if (session->lost || !ClientReadFrame(session, &header))
	{
		*reply = (ClientReply) {.type = PROTOCOL_ERROR,.text = {"the model worker has ended", 26}};
		MemoryContextSwitchTo(before);
		return true;
	}
	if (header.type == PROTOCOL_ERROR && !session->tries)
		session->open_count--;
	FrameRead(&header, session->frame, session->tries ? NULL : session->model, reply);
	if (reply->type != PROTOCOL_VECTOR && reply->type != PROTOCOL_PIECE && reply->type != PROTOCOL_NEIGHBOURS)
	{
		session->open_count--;
		ClientCountUsage(session->channel, reply);
		if (reply->type == PROTOCOL_DONE && !session->tries)
			ReportSlowRequest(session->type, session->model, &reply->usage);
	}
	MemoryContextSwitchTo(before);
	return true;
}
