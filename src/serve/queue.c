/*
 * queue.c: bytes on their way, in the worker's memory.
 */
#include "postgres.h"

#include "utils/memutils.h"

#include "serve/queue.h"

/* A queue that has become empty keeps this much. */
#define QUEUE_KEEP ((Size) 256 * 1024)

char *
QueueReserve(ByteQueue *queue, Size length)
{
	Size		held = QueueLength(queue);
	Size		capacity = Max(queue->capacity, 8192);
	char	   *data;

	if (queue->data && length <= queue->capacity - queue->end)
		return queue->data + queue->end;
	if (length > MaxAllocHugeSize / 4 - held)
		return NULL;
	/* half of it is free afterwards, so that moving bytes stays linear over time */
	while (capacity / 2 < held + length)
		capacity *= 2;
	if (capacity == queue->capacity)
		memmove(queue->data, QueueFront(queue), held);
	else
	{
		data = MemoryContextAllocExtended(TopMemoryContext, capacity,
										  MCXT_ALLOC_HUGE | MCXT_ALLOC_NO_OOM);
		if (data == NULL)
			return NULL;
		if (queue->data)
		{
			memcpy(data, QueueFront(queue), held);
			pfree(queue->data);
		}
		queue->data = data;
		queue->capacity = capacity;
	}
	queue->start = 0;
	queue->end = held;
	return queue->data + queue->end;
}

bool
QueueAppend(ByteQueue *queue, const void *data, Size length)
{
	char	   *place = QueueReserve(queue, length);

	if (place == NULL)
		return false;
	memcpy(place, data, length);
	QueueGrow(queue, length);
	return true;
}

void
QueueTake(ByteQueue *queue, Size length)
{
	queue->start += length;
	if (queue->start == queue->end)
		QueueClear(queue);
}

void
QueueClear(ByteQueue *queue)
{
	queue->start = queue->end = 0;
	if (queue->capacity > QUEUE_KEEP)
	{
		pfree(queue->data);
		queue->data = NULL;
		queue->capacity = 0;
	}
}
