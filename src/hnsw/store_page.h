/*
 * store_page.h: the store of an index, for store_page.c, page_walk.c, page_ahead.c,
 * page_add.c and page_change.c alone.
 */
#ifndef RAG_HNSW_STORE_PAGE_H
#define RAG_HNSW_STORE_PAGE_H

#include "hnsw/pages.h"
#include "hnsw/peek.h"

struct value_map_hash;

#define HNSW_ASKED 64

typedef struct PageStore
{
	HnswStore	base;
	Relation	index;
	HnswPeek	peek;
	uint64		salt;			/* of the stamps */
	Size		node_size;		/* of the tuple of each node; 0: they may differ */
	bool		sampled;		/* not every stamp is read with a look at its page */
	BlockNumber blocks;			/* the index has at least as many */
	bool		prefetch;		/* does it pay to ask the kernel for pages ahead? */
	bool		outgrown;		/* a page was not in shared buffers */
	int			ahead;			/* so many more that are not there are asked for before they are read */
	BlockNumber asked[HNSW_ASKED];	/* ranges of pages that were, by their first block plus one */
	HnswNodeSet visited;		/* of who changes the index */
	MemoryContext context;
	MemoryContext values;		/* copies of values, until the store is reset; made when needed */
	struct value_map_hash *value_map;
	char	   *room;			/* for a value; the same */
} PageStore;

/* Names come from pages, which may be damaged. */
extern bool HnswBlockExists(PageStore *store, BlockNumber block);

/* page_ahead.c: pins a page, by the memo if that knows where it is */
extern Buffer HnswReadBuffer(PageStore *store, BlockNumber block);
/* Asks the kernel for a page that is not in shared buffers, and what lies around it, if pages come
 * from a disk at present. */
extern void HnswAskFor(PageStore *store, BlockNumber block);
extern void HnswPageExpect(HnswStore *base, const HnswNode *nodes, int n);

/* Room for the largest value, until this is called again. */
extern void *HnswValueRoom(PageStore *store);

/* store_page.c: the value of a node whose page is locked, for as long as that is; NULL
 * when it is not sound. */
extern const void *HnswLockedValue(PageStore *store, HnswNode node, HnswNodeTuple *tuple);

/* The node, whose page is pinned and locked; NULL, and no lock, when it is gone. */
extern HnswNodeTuple *HnswLockNode(PageStore *store, HnswNode node, int mode, Buffer *buffer);
/* A copy of the fine part of a node whose page is locked, in HnswValueRoom; or NULL. */
extern const void *HnswCopyFine(PageStore *store, HnswNode node, const HnswNodeTuple *tuple);

/* page_add.c */
extern HnswNode HnswPageAddNode(HnswStore *base, const HnswInsertion *insertion);

/* page_change.c: the methods that change links */
extern bool HnswPageAddLink(HnswStore *base, HnswNode from, int level, HnswCandidate to);
extern bool HnswPageReplaceLink(HnswStore *base, HnswNode from, int level, HnswNode old,
								HnswCandidate to);
extern void HnswPageChangeLinks(HnswStore *base, HnswLinkChange *changes, int n);
extern void HnswPageRepairLinks(HnswStore *base, HnswNode from, int level, const HnswNodeSet *deleted,
								const HnswQueue *added);

/* page_walk.c: what a walk reads */
extern void HnswPageDistances(HnswStore *base, const HnswForm *query, HnswCandidate *candidates, int n,
							  float limit);
/* The distance of the codes of two nodes; false where stamps do not tell. */
extern bool HnswStampedDistance(const PageStore *store, HnswNode a, HnswNode b, float *distance);
/* Copies a value that a look tells whole into HnswValueRoom; its size, or 0. */
extern Size HnswGlimpseValue(PageStore *store, HnswNode node);
/* Where the links of a node are; false when it is gone. */
extern bool HnswLinksPlace(PageStore *store, HnswNode node, ItemPointerData *at);
extern int	HnswPageLinks(HnswStore *base, HnswNode node, int level, HnswCandidate *links);
/* A node as far as it is in memory, to be told what to ask for; or NULL. */
extern const HnswNodeTuple *HnswGlimpseNode(const PageStore *store, HnswNode node);
/* Where an item of a page that is looked at lies, if that is within the page; any bytes may be there. */
extern const void *HnswLookItem(const HnswLook *look, HnswPageKind kind, OffsetNumber offset, Size *length);

#endif							/* RAG_HNSW_STORE_PAGE_H */
