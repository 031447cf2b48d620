/*
 * queue.h: nodes and candidates, heaps of them and sets (queue.c).
 */
#ifndef RAG_HNSW_QUEUE_H
#define RAG_HNSW_QUEUE_H

#include "utils/palloc.h"

/* Names a node within its store. */
typedef uint64 HnswNode;
#define HNSW_NO_NODE PG_UINT64_MAX

typedef enum HnswState
{
	HNSW_LIVE,					/* has rows */
	HNSW_DEAD,					/* has none: leads on, but is no result and no neighbour */
	HNSW_GONE					/* the name leads nowhere */
} HnswState;

/* A firm link is never dropped for a nearer one. */
typedef enum HnswFirmness
{
	HNSW_LOOSE,
	HNSW_FIRM,
	HNSW_FIRM_BEYOND			/* even if there are as many as may be; is then a firm one */
} HnswFirmness;

typedef struct HnswCandidate
{
	HnswNode	node;
	float		distance;
	uint8		state;			/* HnswState */
	bool		opened;			/* its links have been followed, in a search */
	bool		rough;			/* the distance is only known to be beyond a limit */
	uint8		firm;			/* HnswFirmness, of a link that was read just now or is to be put */
} HnswCandidate;

/* Equal distances are told apart by the nodes' names, so that results never depend on
 * the order in which candidates came. */
static inline bool
HnswIsNearer(const HnswCandidate *a, const HnswCandidate *b)
{
	if (a->distance != b->distance)
		return a->distance < b->distance;
	return a->node < b->node;
}

/* A binary heap, the nearest on top; or a plain list. */
typedef struct HnswQueue
{
	HnswCandidate *items;
	int			count;
	int			room;
	MemoryContext context;
} HnswQueue;

extern void HnswQueueInit(HnswQueue *queue, MemoryContext context);
extern void HnswQueuePush(HnswQueue *queue, HnswCandidate candidate);
extern HnswCandidate HnswQueuePop(HnswQueue *queue);
/* Makes room for so many more. */
extern void HnswQueueReserve(HnswQueue *queue, int n);
/* Adds without order: to a list, or until HnswQueueOrder. */
extern void HnswQueueAppend(HnswQueue *queue, HnswCandidate candidate);
extern void HnswQueueOrder(HnswQueue *queue);
/* Sorts nearest first; the queue is a list from then on. */
extern void HnswQueueSort(HnswQueue *queue);

/*
 * A set of nodes: open addressing, HNSW_NO_NODE is an empty slot. Or a dense one of nodes
 * that are small numbers: those whose mark is the present one; it is only added to and
 * cleared.
 */
typedef struct HnswNodeSet
{
	HnswNode   *slots;
	uint8	   *marks;			/* NULL: not dense */
	uint8		mark;
	uint64		size;			/* a power of two */
	uint64		count;
	MemoryContext context;
} HnswNodeSet;

extern void HnswNodeSetInit(HnswNodeSet *set, MemoryContext context);
extern void HnswNodeSetInitDense(HnswNodeSet *set, MemoryContext context);
extern void HnswNodeSetClear(HnswNodeSet *set);
/* false when it was there already */
extern bool HnswNodeSetAdd(HnswNodeSet *set, HnswNode node);
/* Adds the nodes of a list, in which only those stay that were not there; their number. All
 * else of a candidate is left as it is. */
extern int	HnswNodeSetAddNew(HnswNodeSet *set, HnswCandidate *list, int n);
/* Makes room for so many, so that the set need not grow; before any is added. */
extern void HnswNodeSetExpect(HnswNodeSet *set, uint64 count);
extern bool HnswNodeSetHas(const HnswNodeSet *set, HnswNode node);
extern Size HnswNodeSetMemory(const HnswNodeSet *set);

#endif
