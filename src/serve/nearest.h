/*
 * nearest.h: the nearest of many vectors, found by the GPU of the model engine.
 *
 *     NearestSession *session = NearestOpen(&shape, &reason);
 *     NearestSend(session, rows, count);			vectors, numbered from 0 on
 *     NearestReceive(session, numbers)				of each, those before it, the nearest first
 *     NearestClose(session);
 *
 * Nothing here raises an error but interrupts: what cannot be had or fails is told, and the caller goes on
 * without. A session that is not closed is closed with the transaction, as all of client.h.
 */
#ifndef RAG_SERVE_NEAREST_H
#define RAG_SERVE_NEAREST_H

typedef enum NearestDistance
{
	NEAREST_L2, NEAREST_INNER_PRODUCT, NEAREST_COSINE
} NearestDistance;

typedef struct NearestShape
{
	NearestDistance distance;
	int			dimensions;
	int			k;				/* neighbours of each, at most NEAREST_MAX_K */
} NearestShape;

typedef struct NearestSession NearestSession;

#define NEAREST_MAX_K 1024
#define NEAREST_NONE PG_UINT32_MAX	/* instead of a number: there are fewer */

/* rag.gpu_index_build */
extern bool NearestWanted(void);

/* NULL and the reason: no GPU, no engine, no channel. */
extern NearestSession *NearestOpen(const NearestShape *shape, const char **reason);

/* At most two may be sent and not received. */
extern void NearestSend(NearestSession *session, const float *rows, int count);

/* Of the oldest rows sent: [count][k]. NULL, or the reason why nothing more will come. */
extern const char *NearestReceive(NearestSession *session, uint32 *numbers);

extern void NearestClose(NearestSession *session);

#endif							/* RAG_SERVE_NEAREST_H */
