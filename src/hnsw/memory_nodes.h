/*
 * memory_nodes.h: how the graph of a build lies in memory, for store_memory.c and
 * memory_flush.c.
 */
#ifndef RAG_HNSW_MEMORY_NODES_H
#define RAG_HNSW_MEMORY_NODES_H

#include "port/atomics.h"

#include "hnsw/memory.h"

/* The links of one level, valid ones first: firm or not, node and distance in one. */
typedef struct MemoryLinks
{
	pg_atomic_uint32 count;
	pg_atomic_uint64 links[FLEXIBLE_ARRAY_MEMBER];
} MemoryLinks;

typedef struct MemoryNode
{
	HnswNode	name;			/* on pages, from the flush on */
	Size		value;
	Size		upper;			/* links of the levels above 0 */
	Size		rows;			/* MemoryRows, the newest; 0: the first row is the only one */
	uint32		value_size;
	uint8		level;
	ItemPointerData row;
} MemoryNode;

/* Further rows of equal value. */
typedef struct MemoryRows
{
	Size		next;			/* 0: none */
	uint32		count;
	uint32		room;
	ItemPointerData rows[FLEXIBLE_ARRAY_MEMBER];
} MemoryRows;

#define NODE_ALIGNMENT 64

typedef struct MemoryStore
{
	HnswStore	base;
	HnswMemoryGraph *graph;
	char	   *area;
	HnswNodeSet visited;
	Size		value_start;	/* of a value that lies in its node */
	Size		reserved;		/* of the insertion under way */
} MemoryStore;

/* ---- places ---- */

static inline char *
AreaOf(HnswMemoryGraph *graph)
{
	return (char *) TYPEALIGN(NODE_ALIGNMENT, (uintptr_t) (graph + 1));
}

static inline MemoryNode *
NodeOf(const MemoryStore *store, HnswNode node)
{
	return (MemoryNode *) (store->area + node * store->graph->node_size);
}

/* Codes are of one size, so all of them are in their nodes, whose heads need not be read. */
static inline const void *
ValueOf(const MemoryStore *store, HnswNode node)
{
	MemoryNode *at = NodeOf(store, node);

	return store->base.support->codes != NULL
		? (char *) at + store->value_start
		: store->area + at->value;
}

static inline Size
LinksSize(int m, int level)
{
	return offsetof(MemoryLinks, links) + HnswLevelLinks(m, level) * sizeof(pg_atomic_uint64);
}

/* NULL when the node is not on this level. */
static inline MemoryLinks *
LinksOf(const MemoryStore *store, HnswNode name, int level)
{
	MemoryNode *node = NodeOf(store, name);

	if (level == 0)
		return (MemoryLinks *) (node + 1);
	if (level > node->level)
		return NULL;
	return (MemoryLinks *) (store->area + node->upper + (level - 1) * LinksSize(store->base.m, 1));
}

/* Nodes have smaller numbers. */
#define MEMORY_FIRM ((uint64) 1 << 63)
#define MEMORY_MAX_NODES PG_INT32_MAX

static inline uint64
PackLink(HnswNode node, float distance, uint8 firm)
{
	uint32		bits;

	memcpy(&bits, &distance, sizeof(bits));
	return (firm != HNSW_LOOSE ? MEMORY_FIRM : 0) | (node << 32) | bits;
}

static inline HnswCandidate
UnpackLink(uint64 packed)
{
	HnswCandidate link = {.node = (packed & ~MEMORY_FIRM) >> 32, .firm = (packed & MEMORY_FIRM) != 0 ? HNSW_FIRM : HNSW_LOOSE};
	uint32		bits = (uint32) packed;

	memcpy(&link.distance, &bits, sizeof(bits));
	return link;
}

static inline slock_t *
LockOf(const MemoryStore *store, HnswNode node)
{
	return &store->graph->locks[node % HNSW_MEMORY_LOCKS].mutex;
}

#endif							/* RAG_HNSW_MEMORY_NODES_H */
