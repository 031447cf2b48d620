/*
 * channel.h: the shared memory between backends and the model worker.
 *
 *     Channel *channel = ChannelClaim(&activity);		(backend)
 *     RingWrite(&channel->request, frame, length);
 *     ChannelRing(channel);							wakes the worker
 *     ... RingRead(&channel->response, ...) ...
 *     ChannelRelease(channel, clean);
 *
 * A fixed number of channels, each a pair of rings that carry protocol frames of any
 * size. A backend claims one for a call and gives it back; nothing else is shared.
 * README.md states who may touch what in which state.
 */
#ifndef RAG_SERVE_CHANNEL_H
#define RAG_SERVE_CHANNEL_H

#include "datatype/timestamp.h"
#include "storage/condition_variable.h"
#include "storage/latch.h"
#include "storage/s_lock.h"
#include "storage/spin.h"

#include "engine/protocol.h"
#include "serve/activity.h"
#include "serve/ring.h"

/* A channel's number has 16 bits in the request numbers that the engine sees. */
#define CHANNEL_LIMIT 1024
#define CHANNEL_WORDS (CHANNEL_LIMIT / 32)

typedef enum ChannelState
{
	CHANNEL_FREE,
	CHANNEL_OPEN,				/* a backend owns it */
	CHANNEL_CLOSING,			/* given up with requests still running: the worker's to clean */
	CHANNEL_LEFT				/* nobody waits for the answers: the worker's, once they are there */
} ChannelState;

typedef struct Channel
{
	pg_atomic_uint32 state;
	uint32		generation;		/* of its claims; changes when it is freed */
	pg_atomic_uint32 epoch;		/* of the worker that it was claimed under; 0: the worker gave it up */
	Latch	   *owner;			/* the backend's */
	slock_t		mutex;			/* for activity */
	Activity	activity;
	Ring		request;		/* backend to worker */
	Ring		response;		/* worker to backend */
} Channel;

typedef struct ChannelShared
{
	slock_t		mutex;			/* for free, freed_first .. worker_pid */
	int			free_count;
	uint16		free[CHANNEL_LIMIT];	/* a stack of numbers of free channels */
	Latch	   *worker;			/* NULL while there is none */
	int			worker_pid;
	int			engine_pid;
	TimestampTz worker_gone;	/* when the last one ended, or the server's start */

	ConditionVariable freed;	/* a channel was freed */
	pg_atomic_uint32 epoch;		/* counts the ends of workers */
	pg_atomic_uint32 models_generation; /* counts what may change a model's answers */
	pg_atomic_uint32 restart_engine;	/* asked for by rag.restart_engine() */
	pg_atomic_uint32 rung[CHANNEL_WORDS];	/* a bit for each channel that the worker must look at */
	int			count;
	Channel		channel[FLEXIBLE_ARRAY_MEMBER];
} ChannelShared;

/* NULL when the module was not preloaded. */
extern ChannelShared *channels;

/* At preload: asks for the shared memory and sets it up when it is there. */
extern void ChannelRequestShmem(void);

static inline int
ChannelNumber(const Channel *channel)
{
	return (int) (channel - channels->channel);
}

/*
 * Backend. Claim waits rag.channel_timeout for a free channel, then raises an error;
 * the wait is interruptible. clean: every request was answered and its answer read;
 * else the worker cancels what is running and frees the channel. Release never fails.
 * TryClaim neither waits nor fails: NULL when none is free. Leave: the requests in the ring are
 * carried out, for nobody.
 */
extern Channel *ChannelClaim(uint32 request, const char *model);
extern Channel *ChannelTryClaim(uint32 request, const char *model);
extern void ChannelRelease(Channel *channel, bool clean);
extern void ChannelLeave(Channel *channel);

/* Tells the worker to look at the channel. */
extern void ChannelRing(Channel *channel);

/* Wakes the worker for any other reason. */
extern void ChannelWakeWorker(void);

/* True if the worker has ended, or given the claim up: nothing more will come. */
extern bool ChannelOrphaned(Channel *channel);

/* Worker. Frees a closing channel; gives one up whose stream cannot go on; wakes a backend. */
extern void ChannelFree(Channel *channel);
extern void ChannelGiveUp(Channel *channel);
extern void ChannelWakeOwner(Channel *channel);

/* The worker announces itself, and its end. */
extern void ChannelWorkerStart(void);
extern void ChannelWorkerEnd(void);

#endif							/* RAG_SERVE_CHANNEL_H */
