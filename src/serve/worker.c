/*
 * worker.c: the model worker, one background worker per server.
 */
#include "postgres.h"

#include <signal.h>

#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/bgworker.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "tcop/tcopprot.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "rag.h"
#include "serve/channel.h"
#include "serve/preload.h"
#include "serve/relay.h"
#include "serve/supervisor.h"
#include "serve/worker.h"

#define WORKER_NAME "rag model worker"

typedef struct Worker
{
	Engine	   *engine;
	Relay	   *relay;
	WaitEventSet *events;		/* latch, postmaster, and the engine's descriptors */
	int			events_pid;		/* the engine that events was made for */
	bool		events_log;		/* with its standard error */
	int			socket_position;
	uint32		socket_events;
	MemoryContext scratch;		/* of one round of the loop */
	bool		preload;		/* rag.preload_models are to be sent */
} Worker;

PGDLLEXPORT void RagModelWorkerMain(Datum argument);

static volatile sig_atomic_t child_ended = false;

void
WorkerRegister(void)
{
	BackgroundWorker worker = {
		.bgw_name = WORKER_NAME,
		.bgw_type = WORKER_NAME,
		.bgw_flags = BGWORKER_SHMEM_ACCESS | BGWORKER_BACKEND_DATABASE_CONNECTION,
		/* on a standby as well, as soon as it takes queries */
		.bgw_start_time = BgWorkerStart_ConsistentState,
		.bgw_restart_time = 1,
		.bgw_library_name = "rag",
		.bgw_function_name = "RagModelWorkerMain",
	};

	RegisterBackgroundWorker(&worker);
}

static void
WorkerChildEnded(SIGNAL_ARGS)
{
	int			saved = errno;

	child_ended = true;
	SetLatch(MyLatch);
	errno = saved;
}

/* However the worker ends: nobody may go on waiting for it. The engine dies with it. */
static void
WorkerEnd(int code, Datum argument)
{
	Worker	   *worker = (Worker *) DatumGetPointer(argument);

	ChannelWorkerEnd();
	if (worker->engine->pid != 0)
		kill(worker->engine->pid, SIGKILL);
}

/* The latch, the postmaster's end and the engine's descriptors, as they are now. */
static void
WorkerMakeEvents(Worker *worker)
{
	Engine	   *engine = worker->engine;
	bool		with_log = engine->state != ENGINE_DOWN && !engine->log_ended;

	if (worker->events && worker->events_pid == engine->pid && worker->events_log == with_log)
		return;
	if (worker->events)
		FreeWaitEventSet(worker->events);
	worker->events = RagCreateWaitEventSet(4);
	AddWaitEventToSet(worker->events, WL_LATCH_SET, PGINVALID_SOCKET, MyLatch, NULL);
	AddWaitEventToSet(worker->events, WL_EXIT_ON_PM_DEATH, PGINVALID_SOCKET, NULL, NULL);
	if (engine->state != ENGINE_DOWN)
	{
		worker->socket_events = WL_SOCKET_READABLE;
		worker->socket_position = AddWaitEventToSet(worker->events, WL_SOCKET_READABLE,
													engine->socket, NULL, NULL);
		if (with_log)
			AddWaitEventToSet(worker->events, WL_SOCKET_READABLE, engine->log, NULL, NULL);
	}
	worker->events_pid = engine->pid;
	worker->events_log = with_log;
}

/* How long to wait at most: -1 for ever. */
static long
WorkerPatience(const Worker *worker)
{
	const Engine *engine = worker->engine;

	if (engine->state == ENGINE_DOWN && engine->start_failed)
		return -1;
	if (engine->state == ENGINE_READY && RelayIsBusy(worker->relay))
		return EngineWatchInterval();
	return EngineTimeout(engine);
}

/* Waits for whatever comes first; true if the engine has something to say. */
static bool
WorkerWait(Worker *worker)
{
	static uint32 wait_event = 0;
	Engine	   *engine = worker->engine;
	WaitEvent	occurred[4];
	bool		readable = false;
	int			count;

	if (wait_event == 0)
		wait_event = RagWaitEvent("RagModelWorker");
	WorkerMakeEvents(worker);
	if (engine->state != ENGINE_DOWN)
	{
		uint32		wanted = WL_SOCKET_READABLE;

		if (engine->state == ENGINE_READY && QueueLength(&engine->out) > 0)
			wanted |= WL_SOCKET_WRITEABLE;
		if (wanted != worker->socket_events)
			ModifyWaitEvent(worker->events, worker->socket_position, wanted, NULL);
		worker->socket_events = wanted;
	}
	count = WaitEventSetWait(worker->events,
							 WorkerPatience(worker),
							 occurred, lengthof(occurred), wait_event);
	for (int i = 0; i < count; i++)
	{
		if (occurred[i].events & WL_LATCH_SET)
			ResetLatch(MyLatch);
		else if (occurred[i].fd == engine->socket)
			readable |= (occurred[i].events & WL_SOCKET_READABLE) != 0;
		else if (engine->state != ENGINE_DOWN)
			EngineLog(engine);
	}
	return readable;
}

/* The engine has stopped: those who wait for it learn it. */
static void
WorkerEngineStopped(Worker *worker)
{
	Engine	   *engine = worker->engine;
	engine_error error;

	if (engine->start_failed)
		engine_fail(&error, engine->reason.code, "the model engine could not be started: %s",
					engine->reason.message);
	else
		engine_fail(&error, ENGINE_DIED, "the model engine ended while the request was running");
	RelayFailRunning(worker->relay, error.code, error.message);
}

static void
WorkerDeliver(Worker *worker, const EngineFrame *frame)
{
	Engine	   *engine = worker->engine;

	if (engine->state == ENGINE_STARTING)
	{
		EngineGreet(engine, frame);
		if (engine->state == ENGINE_READY)
		{
			SpinLockAcquire(&channels->mutex);
			channels->engine_pid = engine->pid;
			SpinLockRelease(&channels->mutex);
			pg_atomic_fetch_add_u32(&channels->models_generation, 1);
			worker->preload = true;
		}
	}
	else if (RelayIsOwn(frame->header.request))
		PreloadAnswer(frame);
	else if (frame->header.type == PROTOCOL_PROGRESS)
	{
		if (!RelayProgress(worker->relay, frame))
			EngineStop(engine, ENGINE_PROTOCOL, "it sent a frame that breaks the protocol");
	}
	else if (!RelayDeliver(worker->relay, frame))
		EngineStop(engine, ENGINE_PROTOCOL, "it sent a frame that breaks the protocol");
}

/* Everything that the engine has said, and its end. */
static void
WorkerListen(Worker *worker)
{
	Engine	   *engine = worker->engine;
	EngineFrame frame;

	EngineReceive(engine);
	while (EngineNextFrame(engine, &frame))
		WorkerDeliver(worker, &frame);
	if (engine->state != ENGINE_DOWN && engine->ended)
		EngineStop(engine, engine->state == ENGINE_READY ? ENGINE_DIED : ENGINE_IO, "it has ended");
}

/* What is due without anybody asking. */
static void
WorkerTend(Worker *worker)
{
	Engine	   *engine = worker->engine;

	if (child_ended)
	{
		child_ended = false;
		EngineReap(engine);
		if (engine->state != ENGINE_DOWN && engine->ended)
			WorkerListen(worker);
	}
	if (ConfigReloadPending)
	{
		ConfigReloadPending = false;
		ProcessConfigFile(PGC_SIGHUP);
		worker->preload = engine->state == ENGINE_READY;
	}
	if (pg_atomic_exchange_u32(&channels->restart_engine, 0) != 0)
	{
		if (engine->state != ENGINE_DOWN)
			EngineStop(engine, ENGINE_DIED, "a restart was asked for");
		engine->failures = 0;
		engine->next_start = 0;
	}
	EngineCheckStart(engine);
}

static void
WorkerRound(Worker *worker)
{
	Engine	   *engine = worker->engine;
	bool		readable = WorkerWait(worker);
	bool		was_up = engine->state != ENGINE_DOWN;

	CHECK_FOR_INTERRUPTS();
	WorkerTend(worker);
	if (readable && engine->state != ENGINE_DOWN)
		WorkerListen(worker);
	EngineWatch(engine, RelayIsBusy(worker->relay), RelayOwnRequest(0));
	if (was_up && engine->state == ENGINE_DOWN)
	{
		SpinLockAcquire(&channels->mutex);
		channels->engine_pid = 0;
		SpinLockRelease(&channels->mutex);
		WorkerEngineStopped(worker);
	}
	/* after a failed start nothing wakes the worker but a request (WorkerWait), which is tried here */
	if (engine->state == ENGINE_DOWN && EngineTimeout(engine) == 0)
		EngineStart(engine);
	if (worker->preload)
	{
		worker->preload = false;
		PreloadSend(engine);
	}
	RelayLook(worker->relay, engine);
	EngineFlush(engine);
}

void
RagModelWorkerMain(Datum argument)
{
	Worker	   *worker = MemoryContextAllocZero(TopMemoryContext, sizeof(Worker));

	pqsignal(SIGTERM, die);
	pqsignal(SIGINT, SIG_IGN);	/* there is no statement of the worker's to cancel */
	pqsignal(SIGHUP, SignalHandlerForConfigReload);
	pqsignal(SIGCHLD, WorkerChildEnded);
	BackgroundWorkerUnblockSignals();

	/* no database: DROP DATABASE need not wait; yet visible, and it answers barriers */
	BackgroundWorkerInitializeConnectionByOid(InvalidOid, InvalidOid, 0);
	pgstat_report_appname(WORKER_NAME);

	worker->scratch = AllocSetContextCreate(TopMemoryContext, "rag model worker",
											ALLOCSET_DEFAULT_SIZES);
	worker->engine = EngineCreate();
	worker->relay = RelayCreate();
	before_shmem_exit(WorkerEnd, PointerGetDatum(worker));
	ChannelWorkerStart();
	for (;;)
	{
		MemoryContextSwitchTo(worker->scratch);
		MemoryContextReset(worker->scratch);
		WorkerRound(worker);
	}
}
