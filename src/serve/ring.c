/*
 * ring.c: a stream of bytes between two processes, in shared memory.
 */
#include "postgres.h"

#include "serve/ring.h"

void
RingInit(Ring *ring)
{
	pg_atomic_init_u32(&ring->head, 0);
	pg_atomic_init_u32(&ring->tail, 0);
	pg_atomic_init_u32(&ring->writer_waits, 0);
}

void
RingReset(Ring *ring)
{
	pg_atomic_write_u32(&ring->head, 0);
	pg_atomic_write_u32(&ring->tail, 0);
	pg_atomic_write_u32(&ring->writer_waits, 0);
}

Size
RingUsed(Ring *ring)
{
	return pg_atomic_read_u32(&ring->head) - pg_atomic_read_u32(&ring->tail);
}

Size
RingWrite(Ring *ring, const void *data, Size length)
{
	uint32		head = pg_atomic_read_u32(&ring->head);
	Size		room = RING_SIZE - (head - pg_atomic_read_u32(&ring->tail));
	Size		count = Min(length, room);
	Size		offset = head % RING_SIZE;
	Size		first = Min(count, RING_SIZE - offset);

	if (count == 0)
		return 0;
	/* the reader has copied what we now overwrite: its tail was seen first */
	pg_memory_barrier();
	memcpy(ring->data + offset, data, first);
	memcpy(ring->data, (const char *) data + first, count - first);
	pg_write_barrier();
	pg_atomic_write_u32(&ring->head, head + (uint32) count);
	return count;
}

/* Copies length bytes, which are there, from the tail. */
static void
RingCopy(Ring *ring, void *data, Size length)
{
	Size		offset = pg_atomic_read_u32(&ring->tail) % RING_SIZE;
	Size		first = Min(length, RING_SIZE - offset);

	pg_read_barrier();
	memcpy(data, ring->data + offset, first);
	memcpy((char *) data + first, ring->data, length - first);
}

Size
RingRead(Ring *ring, void *data, Size length)
{
	/* looked at once: the writer goes on meanwhile, and Min() evaluates twice */
	Size		used = RingUsed(ring);
	Size		count = Min(length, used);

	if (count == 0)
		return 0;
	RingCopy(ring, data, count);
	/* the writer may overwrite these bytes only after they were copied */
	pg_memory_barrier();
	pg_atomic_write_u32(&ring->tail, pg_atomic_read_u32(&ring->tail) + (uint32) count);
	return count;
}

bool
RingPeek(Ring *ring, void *data, Size length)
{
	if (RingUsed(ring) < length)
		return false;
	RingCopy(ring, data, length);
	return true;
}

bool
RingAwaitRoom(Ring *ring)
{
	pg_atomic_write_u32(&ring->writer_waits, 1);
	pg_memory_barrier();
	return RingUsed(ring) < RING_SIZE;
}

bool
RingTakeWaiter(Ring *ring)
{
	pg_memory_barrier();
	if (pg_atomic_read_u32(&ring->writer_waits) == 0)
		return false;
	pg_atomic_write_u32(&ring->writer_waits, 0);
	return true;
}
