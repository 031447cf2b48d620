/*
 * channel.c: the shared memory between backends and the model worker.
 */
#include "postgres.h"

#include "miscadmin.h"
#include "storage/ipc.h"
#include "storage/lwlock.h"
#include "storage/shmem.h"
#include "utils/timestamp.h"

#include "rag.h"
#include "serve/channel.h"
#include "serve/settings.h"

ChannelShared *channels = NULL;

static shmem_startup_hook_type previous_startup_hook = NULL;

#ifdef RAG_SHMEM_REQUEST_HOOK
static shmem_request_hook_type previous_request_hook = NULL;
#endif

static Size
ChannelShmemSize(void)
{
	return add_size(offsetof(ChannelShared, channel),
					mul_size(sizeof(Channel), rag_settings.max_channels));
}

static void
ChannelInit(Channel *channel)
{
	memset(channel, 0, sizeof(Channel));
	pg_atomic_init_u32(&channel->state, CHANNEL_FREE);
	pg_atomic_init_u32(&channel->epoch, 0);
	SpinLockInit(&channel->mutex);
	RingInit(&channel->request);
	RingInit(&channel->response);
}

static void
ChannelStartup(void)
{
	bool		found;

	if (previous_startup_hook)
		previous_startup_hook();
	LWLockAcquire(AddinShmemInitLock, LW_EXCLUSIVE);
	channels = ShmemInitStruct("rag channels", ChannelShmemSize(), &found);
	if (!found)
	{
		memset(channels, 0, offsetof(ChannelShared, channel));
		SpinLockInit(&channels->mutex);
		ConditionVariableInit(&channels->freed);
		pg_atomic_init_u32(&channels->epoch, 1);
		pg_atomic_init_u32(&channels->models_generation, 1);
		pg_atomic_init_u32(&channels->restart_engine, 0);
		for (int i = 0; i < CHANNEL_WORDS; i++)
			pg_atomic_init_u32(&channels->rung[i], 0);
		channels->worker_gone = GetCurrentTimestamp();
		channels->count = rag_settings.max_channels;
		for (int i = 0; i < channels->count; i++)
		{
			ChannelInit(&channels->channel[i]);
			channels->free[i] = (uint16) (channels->count - 1 - i);
		}
		channels->free_count = channels->count;
	}
	LWLockRelease(AddinShmemInitLock);
}

static void
ChannelRequest(void)
{
#ifdef RAG_SHMEM_REQUEST_HOOK
	if (previous_request_hook)
		previous_request_hook();
#endif
	RequestAddinShmemSpace(ChannelShmemSize());
}

void
ChannelRequestShmem(void)
{
#ifdef RAG_SHMEM_REQUEST_HOOK
	previous_request_hook = shmem_request_hook;
	shmem_request_hook = ChannelRequest;
#else
	ChannelRequest();
#endif
	previous_startup_hook = shmem_startup_hook;
	shmem_startup_hook = ChannelStartup;
}

/* A free channel's number, or -1. */
static int
ChannelPop(void)
{
	int			number = -1;

	SpinLockAcquire(&channels->mutex);
	if (channels->free_count > 0)
		number = channels->free[--channels->free_count];
	SpinLockRelease(&channels->mutex);
	return number;
}

static void
ChannelPush(Channel *channel)
{
	channel->generation++;
	channel->owner = NULL;
	pg_atomic_write_u32(&channel->state, CHANNEL_FREE);
	SpinLockAcquire(&channels->mutex);
	channels->free[channels->free_count++] = (uint16) ChannelNumber(channel);
	SpinLockRelease(&channels->mutex);
	ConditionVariableSignal(&channels->freed);
}

/* Waits until one is free. */
static int
ChannelPopWait(void)
{
	static uint32 wait_event = 0;
	int			number = ChannelPop();
	TimestampTz started;

	if (number >= 0)
		return number;
	if (wait_event == 0)
		wait_event = RagWaitEvent("RagChannelFree");
	started = GetCurrentTimestamp();
	ConditionVariablePrepareToSleep(&channels->freed);
	while ((number = ChannelPop()) < 0)
	{
		long		left = rag_settings.channel_timeout -
			TimestampDifferenceMilliseconds(started, GetCurrentTimestamp());

		if (left <= 0)
			break;
		/* a second at most: a signal is lost with a waiter that is canceled as it gets it */
		ConditionVariableTimedSleep(&channels->freed, Min(left, 1000), wait_event);
	}
	ConditionVariableCancelSleep();
	return number;
}

/* A channel that was taken from the free list begins its claim. */
static Channel *
ChannelOpen(int number, uint32 request, const char *model)
{
	Channel    *channel = &channels->channel[number];

	pg_atomic_write_u32(&channel->epoch, pg_atomic_read_u32(&channels->epoch));
	channel->owner = MyLatch;
	SpinLockAcquire(&channel->mutex);
	memset(&channel->activity, 0, sizeof(Activity));
	channel->activity.pid = MyProcPid;
	channel->activity.database = MyDatabaseId;
	channel->activity.role = GetUserId();
	channel->activity.request = request;
	strlcpy(channel->activity.model, model, NAMEDATALEN);
	channel->activity.started = GetCurrentTimestamp();
	SpinLockRelease(&channel->mutex);
	pg_memory_barrier();
	pg_atomic_write_u32(&channel->state, CHANNEL_OPEN);
	return channel;
}

Channel *
ChannelClaim(uint32 request, const char *model)
{
	int			number = ChannelPopWait();

	if (number < 0)
		ereport(ERROR,
				(errcode(ERRCODE_CONFIGURATION_LIMIT_EXCEEDED),
				 errmsg("all %d channels to the model worker are in use", channels->count),
				 errdetail("None became free within rag.channel_timeout (%d ms).",
						   rag_settings.channel_timeout),
				 errhint("Increase rag.max_channels, or close cursors on generate_stream() that are not being read.")));
	return ChannelOpen(number, request, model);
}

Channel *
ChannelTryClaim(uint32 request, const char *model)
{
	int			number = ChannelPop();

	return number < 0 ? NULL : ChannelOpen(number, request, model);
}

/* It is the worker's from now on. */
static void
ChannelHandOver(Channel *channel, ChannelState state)
{
	pg_memory_barrier();
	pg_atomic_write_u32(&channel->state, state);
	ChannelRing(channel);
}

void
ChannelLeave(Channel *channel)
{
	ChannelHandOver(channel, CHANNEL_LEFT);
}

void
ChannelRelease(Channel *channel, bool clean)
{
	if (clean)
	{
		/* the worker holds nothing of it: both rings are empty, no request is open */
		ChannelPush(channel);
		return;
	}
	ChannelHandOver(channel, CHANNEL_CLOSING);
}

void
ChannelFree(Channel *channel)
{
	RingReset(&channel->request);
	RingReset(&channel->response);
	ChannelPush(channel);
}

void
ChannelWakeOwner(Channel *channel)
{
	/* read once: the owner may let go at any time; its latch stays what it is */
	Latch	   *owner = *(Latch *volatile *) &channel->owner;

	if (owner != NULL)
		SetLatch(owner);
}

void
ChannelGiveUp(Channel *channel)
{
	pg_atomic_write_u32(&channel->epoch, 0);
	ChannelWakeOwner(channel);
}

void
ChannelRing(Channel *channel)
{
	int			number = ChannelNumber(channel);

	/* a full barrier: the worker that sees the bit sees what was written before */
	pg_atomic_fetch_or_u32(&channels->rung[number / 32], UINT32_C(1) << (number % 32));
	ChannelWakeWorker();
}

void
ChannelWakeWorker(void)
{
	Latch	   *worker;

	SpinLockAcquire(&channels->mutex);
	worker = channels->worker;
	SpinLockRelease(&channels->mutex);
	/* latches live in shared memory for good: one that is no longer the worker's is harmless */
	if (worker)
		SetLatch(worker);
}

bool
ChannelOrphaned(Channel *channel)
{
	return pg_atomic_read_u32(&channel->epoch) != pg_atomic_read_u32(&channels->epoch);
}

void
ChannelWorkerStart(void)
{
	SpinLockAcquire(&channels->mutex);
	channels->worker = MyLatch;
	channels->worker_pid = MyProcPid;
	channels->engine_pid = 0;
	SpinLockRelease(&channels->mutex);
	/* whatever came while there was no worker */
	for (int i = 0; i < CHANNEL_WORDS; i++)
		pg_atomic_write_u32(&channels->rung[i], PG_UINT32_MAX);
}

void
ChannelWorkerEnd(void)
{
	SpinLockAcquire(&channels->mutex);
	channels->worker = NULL;
	channels->worker_pid = 0;
	channels->engine_pid = 0;
	channels->worker_gone = GetCurrentTimestamp();
	SpinLockRelease(&channels->mutex);
	/* from here on, nobody waits for an answer of this worker */
	pg_atomic_fetch_add_u32(&channels->epoch, 1);
	for (int i = 0; i < channels->count; i++)
	{
		if (pg_atomic_read_u32(&channels->channel[i].state) == CHANNEL_OPEN)
			ChannelWakeOwner(&channels->channel[i]);
	}
}
