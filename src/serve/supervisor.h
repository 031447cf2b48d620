/*
 * supervisor.h: the life of the engine process, seen from the worker.
 *
 *     Engine *engine = EngineCreate();
 *     EngineStart(engine);						fork and exec; frames may be queued at once
 *     EngineReceive(engine); ... EngineNextFrame(engine, &frame) ...
 *     EngineSend(engine, header, payload); EngineFlush(engine);
 *     EngineStop(engine, "why");
 *
 * Knows processes, descriptors and frame borders; knows nothing of channels. Raises no
 * error: what goes wrong ends the engine, with a reason for those who wait for it.
 */
#ifndef RAG_SERVE_SUPERVISOR_H
#define RAG_SERVE_SUPERVISOR_H

#include "datatype/timestamp.h"

#include "engine/protocol.h"
#include "serve/queue.h"

typedef enum EngineState
{
	ENGINE_DOWN,
	ENGINE_STARTING,			/* runs, but has not said HELLO */
	ENGINE_READY
} EngineState;

typedef struct Engine
{
	EngineState state;
	int			pid;			/* 0 when down */
	int			socket;			/* ours of the pair, or -1 */
	int			log;			/* reading end of its standard error, or -1 */
	ByteQueue	out;			/* frames for it */
	ByteQueue	in;				/* bytes of it */
	ByteQueue	line;			/* of its standard error */
	bool		ended;			/* the socket is at its end */
	bool		log_ended;		/* so is its standard error */
	TimestampTz started;
	/* of the watch over one that is busy */
	TimestampTz watched;		/* when it was looked at last; 0: it was idle */
	int64		silence;		/* microseconds */
	bool		asked;			/* whether it is still there */
	/* after a failure */
	int			failures;		/* in a row */
	bool		start_failed;	/* the last one never became ready */
	TimestampTz next_start;		/* not before */
	engine_error reason;
} Engine;

typedef struct EngineFrame
{
	protocol_header header;
	const char *payload;		/* valid until the next call on the engine */
} EngineFrame;

extern Engine *EngineCreate(void);

/* Starts a process; on failure the engine stays down, with a reason and a time to try again. */
extern void EngineStart(Engine *engine);

/* Ends the process at once. The reason is for the log and for those whom it fails. */
extern void EngineStop(Engine *engine, engine_code code, const char *reason);

/* Takes HELLO: ready, or stopped. */
extern void EngineGreet(Engine *engine, const EngineFrame *frame);

/* Collects the children that have ended (after SIGCHLD) and says in the log how. */
extern void EngineReap(Engine *engine);

/* Queues a frame; false without memory. */
extern bool EngineSend(Engine *engine, const protocol_header *header, const char *payload);

/* Writes what the socket takes. */
extern void EngineFlush(Engine *engine);

/* Reads what is there; sets ended at its end. */
extern void EngineReceive(Engine *engine);

/* The next complete frame; false if there is none (or the engine broke the protocol and was stopped). */
extern bool EngineNextFrame(Engine *engine, EngineFrame *frame);

/* Passes complete lines of its standard error on to the server's log; sets log_ended at its end. */
extern void EngineLog(Engine *engine);

/* Milliseconds until a start must be over, or may be tried again (0: now); -1 when ready. */
extern long EngineTimeout(const Engine *engine);

/* Stops an engine that has not become ready in time. */
extern void EngineCheckStart(Engine *engine);

/*
 * Stops an engine that is busy and has said nothing for rag.engine_timeout; half way there it is
 * asked for a sign of life. To be called at least every EngineWatchInterval() (-1: no need): time in
 * which the worker itself did not run, as when the machine sleeps, is not the engine's silence.
 */
extern long EngineWatchInterval(void);
extern void EngineWatch(Engine *engine, bool busy, uint64 ping);

#endif							/* RAG_SERVE_SUPERVISOR_H */
