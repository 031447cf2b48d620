/*
 * ring.h: a stream of bytes between two processes, in shared memory.
 *
 *     RingWrite(&channel->request, data, length);		one writer
 *     RingRead(&channel->response, buffer, size);		one reader
 *
 * One writer, one reader, no lock. head counts the bytes ever written, tail the bytes
 * ever read (both wrap at 2^32; the size is a power of two, so a difference is right).
 * Memory order: the writer stores data before head and reads head's bytes only after
 * it saw tail; the reader reads data after it saw head and advances tail after it has
 * copied. A side that finds no bytes (no room) raises its flag, looks once more after
 * a full barrier, and only then sleeps on its latch; the other side advances its
 * counter, passes a full barrier and looks at the flag. So one of the two always sees
 * the other, and no wake-up is lost.
 */
#ifndef RAG_SERVE_RING_H
#define RAG_SERVE_RING_H

#include "port/atomics.h"

#define RING_SIZE 32768

typedef struct Ring
{
	pg_atomic_uint32 head;		/* changed by the writer only */
	pg_atomic_uint32 tail;		/* changed by the reader only */
	pg_atomic_uint32 writer_waits;	/* the writer sleeps until there is room */
	char		data[RING_SIZE];
} Ring;

extern void RingInit(Ring *ring);

/* Empties it: both sides must have let go of it. */
extern void RingReset(Ring *ring);

/* Bytes that can be read now. */
extern Size RingUsed(Ring *ring);

/* Both move as many bytes as they can at once and return how many. */
extern Size RingWrite(Ring *ring, const void *data, Size length);
extern Size RingRead(Ring *ring, void *data, Size length);

/* Copies length bytes without taking them; false if there are fewer. */
extern bool RingPeek(Ring *ring, void *data, Size length);

/* The writer announces that it waits; true if there is room after all. */
extern bool RingAwaitRoom(Ring *ring);

/* The reader, after reading: true, once, if the writer waits and must be woken. */
extern bool RingTakeWaiter(Ring *ring);

#endif							/* RAG_SERVE_RING_H */
