/*
 * supervisor.c: the life of the engine process, seen from the worker.
 */
#include "postgres.h"

#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "serve/settings.h"
#include "serve/spawn.h"
#include "serve/supervisor.h"

/* A device may take its time; a program that is no engine must not hold requests for ever. */
#define START_TIMEOUT_MS 60000

/* Waits before the next start: none after an engine that had worked, then doubling. */
#define BACKOFF_FIRST_MS 100
#define BACKOFF_LONGEST_MS 30000

/* An engine that has been up this long has not failed at its start. */
#define STABLE_MS 5000

/* How often it says how far running requests are, for rag.stat_activity. */
#define PROGRESS_MS "100"

#define READ_SIZE 65536
#define LOG_LINE_SIZE 1024

Engine *
EngineCreate(void)
{
	Engine	   *engine = MemoryContextAllocZero(TopMemoryContext, sizeof(Engine));

	engine->socket = engine->log = -1;
	return engine;
}

static long
EngineAge(const Engine *engine)
{
	return TimestampDifferenceMilliseconds(engine->started, GetCurrentTimestamp());
}

void
EngineStart(Engine *engine)
{
	SpawnedProcess process;
	char	   *program = SettingsEnginePath();
	char		threads[16];
	char		tokens[16];
	char		queue[16];
	char		slowdown[32];
	char		cuda_device[16];
	char		utilization[32];
	char	   *argv[] = {
		"rag-engine", "--threads", threads, "--device", unconstify(char *, SettingsDeviceName(rag_settings.device)),
		"--max-batched-tokens", tokens, "--max-queue", queue, "--max-slowdown", slowdown,
		"--progress", PROGRESS_MS,
		"--cuda-device", cuda_device, "--gpu-memory-utilization", utilization, NULL
	};

	snprintf(threads, sizeof(threads), "%d", rag_settings.threads);
	snprintf(tokens, sizeof(tokens), "%d", rag_settings.max_batched_tokens);
	snprintf(slowdown, sizeof(slowdown), "%g", rag_settings.max_slowdown);
	snprintf(queue, sizeof(queue), "%d", rag_settings.max_queue);
	snprintf(cuda_device, sizeof(cuda_device), "%d", rag_settings.cuda_device);
	snprintf(utilization, sizeof(utilization), "%.4f", rag_settings.gpu_memory_utilization);
	engine->started = GetCurrentTimestamp();
	engine->ended = engine->log_ended = false;
	if (!SpawnProgram(program, argv, &process, &engine->reason))
	{
		char		reason[ENGINE_MESSAGE_SIZE];

		strlcpy(reason, engine->reason.message, sizeof(reason));
		EngineStop(engine, ENGINE_IO, reason);
	}
	else
	{
		engine->pid = process.pid;
		engine->socket = process.socket;
		engine->log = process.log;
		engine->state = ENGINE_STARTING;
	}
	pfree(program);
}

/* When to try again, after an engine that has ended for whatever reason. */
static void
EngineSchedule(Engine *engine)
{
	long		delay;

	if (engine->state == ENGINE_READY && EngineAge(engine) >= STABLE_MS)
		engine->failures = 0;
	engine->failures++;
	if (engine->failures == 1 && !engine->start_failed)
		delay = 0;
	else
		delay = Min((long) BACKOFF_FIRST_MS << Min(engine->failures - 1, 16), BACKOFF_LONGEST_MS);
	engine->next_start = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), delay);
}

void
EngineStop(Engine *engine, engine_code code, const char *reason)
{
	engine->start_failed = engine->state != ENGINE_READY;
	engine_fail(&engine->reason, code, "%s", reason);
	EngineSchedule(engine);
	if (engine->pid != 0)
	{
		kill(engine->pid, SIGKILL);
		EngineLog(engine);
		SpawnClose(engine->socket, engine->log);
	}
	ereport(LOG,
			(errmsg("model engine %s: %s", engine->start_failed ? "could not be started" : "stopped",
					engine->reason.message)));
	engine->state = ENGINE_DOWN;
	engine->pid = 0;
	engine->socket = engine->log = -1;
	engine->ended = false;
	QueueClear(&engine->out);
	QueueClear(&engine->in);
	QueueClear(&engine->line);
}

void
EngineGreet(Engine *engine, const EngineFrame *frame)
{
	protocol_reader r = {.data = frame->payload, .length = frame->header.length};
	const char *string;
	char	   *copy;
	uint32		number = protocol_get_u32(&r);
	uint32		length;

	string = protocol_get_string(&r, &length);
	if (!protocol_finish_read(&r) || frame->header.request != 0 ||
		(frame->header.type != PROTOCOL_HELLO && frame->header.type != PROTOCOL_ERROR))
	{
		EngineStop(engine, ENGINE_PROTOCOL, "the program is no model engine");
		return;
	}
	copy = pnstrdup(string, length);
	if (frame->header.type == PROTOCOL_ERROR)
		EngineStop(engine, number, copy);
	else if (number != PROTOCOL_VERSION)
		EngineStop(engine, ENGINE_PROTOCOL, "the model engine is of another version than the extension");
	else
	{
		engine->state = ENGINE_READY;
		ereport(LOG, (errmsg("model engine (PID %d) is ready: %s", engine->pid, copy)));
	}
	pfree(copy);
}

void
EngineReap(Engine *engine)
{
	int			status;
	pid_t		pid;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
	{
		if (WIFSIGNALED(status))
			ereport(LOG, (errmsg("model engine (PID %d) was terminated by signal %d: %s", (int) pid,
								 WTERMSIG(status), pg_strsignal(WTERMSIG(status)))));
		else
			ereport(LOG, (errmsg("model engine (PID %d) exited with exit code %d", (int) pid,
								 WEXITSTATUS(status))));
		if (pid == engine->pid)
			engine->ended = true;
	}
}

bool
EngineSend(Engine *engine, const protocol_header *header, const char *payload)
{
	char	   *place = QueueReserve(&engine->out, sizeof(protocol_header) + header->length);

	if (place == NULL)
		return false;
	memcpy(place, header, sizeof(protocol_header));
	if (header->length > 0)
		memcpy(place + sizeof(protocol_header), payload, header->length);
	QueueGrow(&engine->out, sizeof(protocol_header) + header->length);
	return true;
}

void
EngineFlush(Engine *engine)
{
	while (engine->state == ENGINE_READY && QueueLength(&engine->out) > 0)
	{
		ssize_t		sent = send(engine->socket, QueueFront(&engine->out), QueueLength(&engine->out),
								MSG_NOSIGNAL);

		if (sent >= 0)
			QueueTake(&engine->out, sent);
		else if (errno == EINTR)
			continue;
		else
		{
			/* full, or gone: then reading finds the end */
			if (errno != EAGAIN && errno != EWOULDBLOCK)
				engine->ended = true;
			return;
		}
	}
}

void
EngineReceive(Engine *engine)
{
	char	   *place;
	ssize_t		received;

	if (QueueLength(&engine->in) == 0)
		QueueClear(&engine->in);
	place = QueueReserve(&engine->in, READ_SIZE);
	if (place == NULL)
	{
		EngineStop(engine, ENGINE_NO_MEMORY, "the model worker is out of memory");
		return;
	}
	do
		received = recv(engine->socket, place, READ_SIZE, 0);
	while (received < 0 && errno == EINTR);
	if (received > 0)
	{
		QueueGrow(&engine->in, received);
		engine->silence = 0;
		engine->asked = false;
	}
	else if (received == 0 || (errno != EAGAIN && errno != EWOULDBLOCK))
		engine->ended = true;
}

bool
EngineNextFrame(Engine *engine, EngineFrame *frame)
{
	if (engine->state == ENGINE_DOWN || QueueLength(&engine->in) < sizeof(protocol_header))
		return false;
	memcpy(&frame->header, QueueFront(&engine->in), sizeof(protocol_header));
	if (frame->header.length > PROTOCOL_MAX_PAYLOAD)
	{
		EngineStop(engine, ENGINE_PROTOCOL, "it sent a frame that breaks the protocol");
		return false;
	}
	if (QueueLength(&engine->in) < sizeof(protocol_header) + frame->header.length)
		return false;
	frame->payload = QueueFront(&engine->in) + sizeof(protocol_header);
	/* the bytes stay where they are until the next call that reads */
	engine->in.start += sizeof(protocol_header) + frame->header.length;
	return true;
}

static void
EngineLogLine(const char *line, Size length)
{
	char		clean[LOG_LINE_SIZE];
	Size		count = Min(length, sizeof(clean) - 1);

	for (Size i = 0; i < count; i++)
		clean[i] = (line[i] >= ' ' && line[i] < 0x7f) ? line[i] : '?';
	clean[count] = '\0';
	if (count > 0)
		ereport(LOG, (errmsg("rag-engine: %s", clean)));
}

void
EngineLog(Engine *engine)
{
	char		buffer[LOG_LINE_SIZE];
	ssize_t		count;
	ByteQueue  *line = &engine->line;

	/* bounded, so that a program that floods its log starves nobody */
	for (int round = 0; round < 16; round++)
	{
		do
			count = read(engine->log, buffer, sizeof(buffer));
		while (count < 0 && errno == EINTR);
		if (count == 0)
			engine->log_ended = true;
		if (count <= 0 || !QueueAppend(line, buffer, count))
			break;
		while (QueueLength(line) > 0)
		{
			char	   *end = memchr(QueueFront(line), '\n', QueueLength(line));

			if (end == NULL && QueueLength(line) < LOG_LINE_SIZE)
				break;
			if (end == NULL)
				end = QueueFront(line) + QueueLength(line) - 1;
			EngineLogLine(QueueFront(line), end - QueueFront(line));
			QueueTake(line, end - QueueFront(line) + 1);
		}
	}
}

long
EngineTimeout(const Engine *engine)
{
	switch (engine->state)
	{
		case ENGINE_STARTING:
			return Max(START_TIMEOUT_MS - EngineAge(engine), 0);
		case ENGINE_DOWN:
			return TimestampDifferenceMilliseconds(GetCurrentTimestamp(), engine->next_start);
		default:
			return -1;
	}
}

void
EngineCheckStart(Engine *engine)
{
	if (engine->state == ENGINE_STARTING && EngineAge(engine) >= START_TIMEOUT_MS)
		EngineStop(engine, ENGINE_IO, "it did not become ready in time");
}

/* The watch looks so many times before patience is over. */
#define WATCH_LOOKS 8

long
EngineWatchInterval(void)
{
	return rag_settings.engine_timeout > 0 ? Max(rag_settings.engine_timeout / WATCH_LOOKS, 10) : -1;
}

void
EngineWatch(Engine *engine, bool busy, uint64 ping)
{
	long		interval = EngineWatchInterval();
	TimestampTz now = GetCurrentTimestamp();
	protocol_header header = {.type = PROTOCOL_PING,.request = ping};
	char		reason[ENGINE_MESSAGE_SIZE];

	if (interval < 0 || !busy || engine->state != ENGINE_READY)
	{
		engine->watched = 0;
		return;
	}
	if (engine->watched == 0)
	{
		engine->silence = 0;
		engine->asked = false;
	}
	else
		engine->silence += Min(Max(now - engine->watched, 0), INT64CONST(2000) * interval);
	engine->watched = now;
	if (engine->silence >= INT64CONST(1000) * rag_settings.engine_timeout)
	{
		snprintf(reason, sizeof(reason), "it has said nothing for rag.engine_timeout (%d ms)",
				 rag_settings.engine_timeout);
		EngineStop(engine, ENGINE_DIED, reason);
	}
	else if (!engine->asked && engine->silence >= INT64CONST(500) * rag_settings.engine_timeout)
		engine->asked = EngineSend(engine, &header, NULL);
}
