/*
 * memory.h: the graph of a build in memory (store_memory.c), which processes can share.
 */
#ifndef RAG_HNSW_MEMORY_H
#define RAG_HNSW_MEMORY_H

#include "storage/condition_variable.h"
#include "storage/spin.h"

#include "hnsw/pages.h"

#define HNSW_MEMORY_LOCKS 256

/* A spinlock on a cache line of its own. */
typedef union HnswMemoryLock
{
	slock_t		mutex;
	char		pad[PG_CACHE_LINE_SIZE];
} HnswMemoryLock;

/*
 * The head of the memory; the area of nodes follows. There are no pointers in it, so that
 * every process can have it at its own address.
 */
typedef struct HnswMemoryGraph
{
	Size		size;			/* of the area */
	Size		node_size;		/* set before the first node, and value_size too */
	Size		value_size;		/* of a value that lies in its node */

	slock_t		mutex;			/* guards the rest */
	uint32		count;			/* nodes, at the start of the area */
	Size		extra;			/* taken from its end */
	Size		reserved;		/* promised to insertions under way */
	HnswNode	entry;
	int			entry_level;
	bool		entry_taken;	/* an insertion will be the entry point */
	ConditionVariable entry_changed;

	HnswMemoryLock locks[HNSW_MEMORY_LOCKS];
} HnswMemoryGraph;

/* Bytes that a graph of so many values of this size will hardly exceed. */
extern double HnswMemoryNeed(int m, Size value_size, double rows);
/* Makes an empty graph in memory of this many bytes. */
extern void HnswMemoryInit(HnswMemoryGraph *graph, Size size);

/* The store of one process, for one insertion at a time. */
extern HnswStore *HnswMemoryStore(HnswMemoryGraph *graph, const HnswSupport *support, int m,
								  int ef_construction, MemoryContext context);

/* Adds a value; false, and nothing is done, when there is no room for it. */
extern bool HnswMemoryInsert(HnswStore *store, HnswInsertion *insertion);

/* Writes all nodes to an index that has its metapage only, without WAL. Nobody else is at
 * the graph. */
extern void HnswMemoryFlush(HnswStore *store, Relation index);

#endif							/* RAG_HNSW_MEMORY_H */
