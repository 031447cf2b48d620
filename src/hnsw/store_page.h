/*
 * store_page.h: the store of an index, for store_page.c, page_walk.c and
 * page_change.c alone.
 */
#ifndef RAG_HNSW_STORE_PAGE_H
#define RAG_HNSW_STORE_PAGE_H

#include "hnsw/pages.h"
#include "hnsw/peek.h"

struct value_map_hash;

typedef struct PageStore
{
	HnswStore	base;
	Relation	index;
	HnswPeek	peek;
	uint64		salt;			/* of the stamps */
	Size		node_size;		/* of the tuple of each node; 0: they may differ */
	bool		sampled;		/* not every stamp is read with a look at its page */
	bool		outgrown;		/* a page was not in shared buffers */
	BlockNumber blocks;			/* the index has at least as many */
	bool		prefetch;		/* does it pay to ask the kernel for pages ahead? */
	MemoryContext context;
	MemoryContext values;		/* copies of values, until the store is reset; made when needed */
	struct value_map_hash *value_map;
	char	   *room;			/* for a value; the same */
} PageStore;

/* Names come from pages, which may be damaged. */
extern bool HnswBlockExists(PageStore *store, BlockNumber block);

/* Pins a page, by the memo if that knows where it is. */
extern Buffer HnswReadBuffer(PageStore *store, BlockNumber block);

/* Room for the largest value, until this is called again. */
extern void *HnswValueRoom(PageStore *store);

/* store_page.c: the value of a node whose page is locked, for as long as that is; NULL
 * when it is not sound. */
extern const void *HnswLockedValue(PageStore *store, HnswNode node, HnswNodeTuple *tuple);

/* The node, whose page is pinned and locked; NULL, and no lock, when it is gone. */
extern HnswNodeTuple *HnswLockNode(PageStore *store, HnswNode node, int mode, Buffer *buffer);
/* A copy of the fine part of a node whose page is locked, in HnswValueRoom; or NULL. */
extern const void *HnswCopyFine(PageStore *store, HnswNode node, const HnswNodeTuple *tuple);

/* page_change.c: the methods that change links, and add nodes */
extern HnswNode HnswPageAddNode(HnswStore *base, const HnswInsertion *insertion);
extern bool HnswPageAddLink(HnswStore *base, HnswNode from, int level, HnswCandidate to);
extern bool HnswPageReplaceLink(HnswStore *base, HnswNode from, int level, HnswNode old,
								HnswCandidate to);
extern void HnswPageChangeLinks(HnswStore *base, HnswLinkChange *changes, int n);
extern void HnswPageRepairLinks(HnswStore *base, HnswNode from, int level, const HnswNodeSet *deleted,
								const HnswQueue *added);

/* page_walk.c: what a walk reads */
extern void HnswPageDistances(HnswStore *base, const HnswForm *query, HnswCandidate *candidates, int n,
							  float limit);
/* Copies a value that a look tells whole into HnswValueRoom; its size, or 0. */
extern Size HnswGlimpseValue(PageStore *store, HnswNode node);
/* Where the links of a node are; false when it is gone. */
extern bool HnswLinksPlace(PageStore *store, HnswNode node, ItemPointerData *at);
extern int	HnswPageLinks(HnswStore *base, HnswNode node, int level, HnswCandidate *links);
extern void HnswPageExpect(HnswStore *base, const HnswNode *nodes, int n);

#endif							/* RAG_HNSW_STORE_PAGE_H */
