/*
 * queue.h: bytes on their way, in the worker's memory.
 *
 * Grows at the end, is taken from the front. No call raises an error: the worker has
 * nobody to raise it to.
 */
#ifndef RAG_SERVE_QUEUE_H
#define RAG_SERVE_QUEUE_H

typedef struct ByteQueue
{
	char	   *data;
	Size		start;			/* first byte that is there */
	Size		end;			/* one past the last */
	Size		capacity;
} ByteQueue;

static inline Size
QueueLength(const ByteQueue *queue)
{
	return queue->end - queue->start;
}

static inline char *
QueueFront(const ByteQueue *queue)
{
	return queue->data + queue->start;
}

/* Room for length more bytes at the end, for QueueGrow; NULL without memory. */
extern char *QueueReserve(ByteQueue *queue, Size length);

static inline void
QueueGrow(ByteQueue *queue, Size length)
{
	queue->end += length;
}

/* False without memory: nothing was added. */
extern bool QueueAppend(ByteQueue *queue, const void *data, Size length);

/* Takes length bytes, which are there, from the front; gives large memory back when empty. */
extern void QueueTake(ByteQueue *queue, Size length);

extern void QueueClear(ByteQueue *queue);

#endif							/* RAG_SERVE_QUEUE_H */
