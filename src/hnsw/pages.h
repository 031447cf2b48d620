/*
 * pages.h: how an index lies on its pages, for the files that read or write them.
 *
 * README.md has the picture, the locks and the WAL records.
 */
#ifndef RAG_HNSW_PAGES_H
#define RAG_HNSW_PAGES_H

#include "access/generic_xlog.h"
#include "access/transam.h"
#include "storage/bufmgr.h"
#include "storage/bufpage.h"
#include "storage/itemptr.h"

#include "hnsw/hnsw.h"

/* ---- pages.c: what lies on a page ---- */

#define HNSW_META_BLOCK 0
#define HNSW_MAGIC 0x52484e57
#define PGVECTOR_HNSW_MAGIC 0xA953A953
#define PGVECTOR_IVFFLAT_MAGIC 0x14FF1A7
#define HNSW_VERSION 6
#define HNSW_PAGE_ID 0xFFB7		/* tells our pages to pg_filedump and the like */

typedef enum HnswPageKind
{
	HNSW_PAGE_FREE = 1,
	HNSW_PAGE_META,
	HNSW_PAGE_NODES,
	HNSW_PAGE_VALUE,			/* a part of one node's value */
	HNSW_PAGE_ROWS,				/* heap TIDs that have no room in their node */
	HNSW_PAGE_LINKS,			/* the links of nodes */
	HNSW_PAGE_FINE				/* what of codes only refining needs */
} HnswPageKind;
#define HNSW_PAGE_KINDS (HNSW_PAGE_FINE + 1)

typedef struct HnswPageTail
{
	uint16		kind;
	uint16		unused[2];
	uint16		page_id;
} HnswPageTail;

/* On pages a node is named by block, offset and version, which is one more for each node
 * that takes the place: a name outlives its node without ever meaning another one. */
#define HnswRefMake(block, offset, version) \
	(((uint64) (block) << 32) | ((uint64) (offset) << 16) | (uint64) (version))
#define HnswRefBlock(ref) ((BlockNumber) ((ref) >> 32))
#define HnswRefOffset(ref) ((OffsetNumber) (((ref) >> 16) & 0xFFFF))
#define HnswRefVersion(ref) ((uint16) ((ref) & 0xFFFF))

/* A slot for a link holds the name it leads to, or is empty: no name is 0, whose block is that
 * of the metapage. That the link is firm is told by the highest bit of the offset, which no
 * offset needs. */
#define HNSW_EMPTY_SLOT 0
#define HNSW_SLOT_FIRM (UINT64CONST(1) << 31)
#define HnswSlotMake(node, firm) ((node) | ((firm) != HNSW_LOOSE ? HNSW_SLOT_FIRM : 0))
#define HnswSlotIsFirm(slot) (((slot) & HNSW_SLOT_FIRM) != 0)
#define HnswSlotNode(slot) ((slot) == HNSW_EMPTY_SLOT ? HNSW_NO_NODE : (slot) & ~HNSW_SLOT_FIRM)

typedef struct HnswMeta
{
	uint32		magic;
	uint32		layout;
	uint32		dimensions;
	uint16		m;
	uint16		ef_construction;
	HnswNode	entry;
	uint64		salt;			/* of the stamps of this index's nodes, drawn at random */
	int32		entry_level;
	BlockNumber last[HNSW_PAGE_KINDS];	/* where to put the next item of a kind; hints */
} HnswMeta;

#define HNSW_INLINE_ROWS 4
#define HNSW_MAX_VALUE_PAGES 2	/* with node and links the limit of a generic WAL record */

/* The value follows: all of it, or that of a code which is not for refining, or what is left
 * over from pages of its own. What a walk needs of the node comes last, just before it. */
typedef struct HnswNodeTuple
{
	union
	{
		ItemPointerData rows[HNSW_INLINE_ROWS];
		FullTransactionId deleted_at;	/* set with deleted: no scan older than this may remain */
	}			u;
	BlockNumber value_block[HNSW_MAX_VALUE_PAGES];
	ItemPointerData fine;		/* an HnswFineTuple, of a code */
	uint16		inline_size;	/* bytes of the value that are here */
	uint32		stamp;			/* HnswStamp of the node's name */
	uint16		version;
	uint16		value_size;		/* all of it */
	uint8		deleted;		/* no link leads here any more */
	uint8		level;
	uint8		room_level;		/* the place has room for links of so many levels */
	uint8		row_count;		/* of rows[] */
	ItemPointerData links;		/* an HnswLinksTuple */
	ItemPointerData more_rows;	/* first tuple of further rows */
} HnswNodeTuple;

#define HNSW_NODE_HEAD MAXALIGN(sizeof(HnswNodeTuple))

static inline bool
HnswNodeHasRows(const HnswNodeTuple *node)
{
	return !node->deleted && (node->row_count > 0 || ItemPointerIsValid(&node->more_rows));
}

#define HNSW_ROWS_PER_TUPLE 60

typedef struct HnswRowsTuple
{
	ItemPointerData next;
	uint16		count;
	ItemPointerData rows[HNSW_ROWS_PER_TUPLE];
} HnswRowsTuple;

/* Both know whose they are, so that they cannot be taken for those of another node that
 * has had their place, or will have it. */
typedef struct HnswLinksTuple
{
	HnswNode	owner;
	uint8		level;
	uint8		unused[7];
	uint64		links[FLEXIBLE_ARRAY_MEMBER];	/* slots, level 0 first; of each valid ones first */
} HnswLinksTuple;

typedef struct HnswFineTuple
{
	HnswNode	owner;
	uint8		bytes[FLEXIBLE_ARRAY_MEMBER];
} HnswFineTuple;

typedef struct HnswValuePage
{
	HnswNode	owner;
	char		bytes[FLEXIBLE_ARRAY_MEMBER];
} HnswValuePage;

#define HnswPageGetTail(page) ((HnswPageTail *) PageGetSpecialPointer(page))
#define HnswPageGetMeta(page) ((HnswMeta *) PageGetContents(page))
#define HnswPageGetValue(page) ((HnswValuePage *) PageGetContents(page))
#define HNSW_PAGE_ROOM \
	MAXALIGN_DOWN(BLCKSZ - SizeOfPageHeaderData - sizeof(ItemIdData) - MAXALIGN(sizeof(HnswPageTail)))
#define HNSW_VALUE_PAGE_ROOM \
	(BLCKSZ - MAXALIGN(SizeOfPageHeaderData) - MAXALIGN(sizeof(HnswPageTail)) - \
	 offsetof(HnswValuePage, bytes))
#define HNSW_INLINE_ROOM (HNSW_PAGE_ROOM - HNSW_NODE_HEAD)
#define HNSW_MAX_VALUE_SIZE \
	Min(HNSW_MAX_VALUE_PAGES * HNSW_VALUE_PAGE_ROOM + HNSW_INLINE_ROOM, PG_UINT16_MAX)

/* How a node of this level and size of value is laid out. */
typedef struct HnswShape
{
	int			links;			/* slots */
	int			value_pages;
	Size		inline_size;
	Size		fine_size;		/* of the value */
	Size		node_size;		/* of the tuples; 0 where there is none */
	Size		links_size;
	Size		fine_tuple_size;
} HnswShape;

extern HnswShape HnswNodeShape(const HnswSupport *support, int m, int level, Size value_size);
extern int	HnswMaxLevel(int m);
static inline int
HnswLinkStart(int m, int level)
{
	return level == 0 ? 0 : (level + 1) * m;
}
static inline char *
HnswNodeValue(const HnswNodeTuple *node)
{
	return (char *) node + HNSW_NODE_HEAD;
}

static inline int
HnswNodeValuePages(const HnswNodeTuple *node)
{
	Size		outside = node->value_size - Min(node->inline_size, node->value_size);

	return (outside + HNSW_VALUE_PAGE_ROOM - 1) / HNSW_VALUE_PAGE_ROOM;
}

/* What a node's bytes prove themselves by to who reads them without a lock: bytes of another
 * node, place or index have another one, save one in four thousand million. */
static inline uint32
HnswStamp(uint64 salt, HnswNode name)
{
	return (uint32) (((name ^ salt) * UINT64CONST(0x9E3779B97F4A7C15)) >> 32);
}

/* Fills a tuple of shape.node_size zeroed bytes; its rows, value_block and the places of
 * its other tuples are the caller's. */
extern void HnswFormNode(HnswNodeTuple *tuple, const HnswShape *shape, int level, const void *value,
						 Size value_size);
/* A new tuple of shape.fine_tuple_size. */
extern HnswFineTuple *HnswFormFine(const HnswShape *shape, HnswNode owner, const void *value,
								   Size value_size);
/* Is there a part of this node, with so many bytes? */
extern bool HnswPageOwnerIs(Page page, HnswPageKind kind, OffsetNumber offset, HnswNode owner,
							Size size);
/* Both in a locked page; NULL when what is there is not the node's. */
extern HnswLinksTuple *HnswPageGetLinks(Page page, OffsetNumber offset, HnswNode owner, int m);
extern HnswFineTuple *HnswPageGetFine(Page page, OffsetNumber offset, HnswNode owner, Size size);

extern void HnswPageInit(Page page, HnswPageKind kind);
extern bool HnswPageIs(Page page, HnswPageKind kind);
extern bool HnswPageHasItems(Page page);
/* The node, or NULL when it is not there (any more). */
extern HnswNodeTuple *HnswPageGetNode(Page page, HnswNode node);
extern HnswNodeTuple *HnswPageNodeAt(Page page, OffsetNumber offset);
/* A page of a node's value: part number i of all. */
extern void HnswValuePageFill(Page page, HnswNode owner, const HnswShape *shape, const void *value,
							  Size size, int i);

/* An exclusively locked buffer of a free page (its kind is not yet set). */
extern Buffer HnswFreeBuffer(Relation index, ForkNumber fork);
extern void HnswInitMeta(Relation index, ForkNumber fork, const HnswMeta *meta);
extern void HnswReadMeta(Relation index, HnswMeta *meta);
extern void HnswWriteEntry(Relation index, HnswNode entry, int level, bool building);
/* The page where the last item of a kind went. */
extern void HnswWriteLast(Relation index, HnswPageKind kind, BlockNumber block, bool building);

/* ---- edit.c: changes of pages ---- */

/* What has changed on one page, as its WAL record has it. */
typedef struct HnswEditedPage
{
	Buffer		buffer;
	Page		page;
	bool		whole;			/* log all of it; or nothing, where nothing is logged */
	Size		size;			/* of fragments */
	char		fragments[BLCKSZ];
} HnswEditedPage;

/* A change of pages: one WAL record, or none while the index is built. */
typedef struct HnswEdit
{
	bool		logged;
	Buffer		keep;			/* this one stays locked at the end */
	int			count;
	HnswEditedPage pages[MAX_GENERIC_XLOG_PAGES];
} HnswEdit;

/* A critical section: the pages are pinned and exclusively locked before, what may fail has
 * been done, and no memory is allocated until the end. */
extern void HnswEditBegin(HnswEdit *edit, Relation index, bool building);
extern HnswEditedPage *HnswEditPage(HnswEdit *edit, Buffer buffer);
/* Writes bytes over what is in use on the page. */
extern void HnswEditBytes(HnswEditedPage *page, void *at, const void *bytes, Size length);
/* The page has room for it. */
extern OffsetNumber HnswEditAddItem(HnswEditedPage *page, const void *item, Size size);
/* After these the page, which is logged whole, may be changed in any way. */
extern void HnswEditInit(HnswEditedPage *page, HnswPageKind kind);
extern void HnswEditDeleteItem(HnswEditedPage *page, OffsetNumber offset);
/* Writes the record; releases locks and pins. */
extern void HnswEditEnd(HnswEdit *edit);

/* ---- space.c: room for nodes and their parts ---- */

/* Where a node goes: on a locked page, in a new item or the place of a deleted one. */
typedef struct HnswPlace
{
	Buffer		buffer;
	OffsetNumber taken;			/* InvalidOffsetNumber: a new item */
} HnswPlace;

extern HnswPlace HnswFindPlace(Relation index, const HnswShape *shape, int level);
/* A locked page of this kind with room for an item of this size, or a free page. The caller
 * may hold another page of the kind. */
extern Buffer HnswBufferForItem(Relation index, HnswPageKind kind, Size size, Buffer held);
/* Adds an item to it, which is then of this kind. A fresh one is to be told to
 * HnswWriteLast after the edit. */
extern ItemPointerData HnswPutItem(HnswEdit *edit, Buffer buffer, HnswPageKind kind, const void *item,
								   Size size, bool *fresh);
/* Tells the free space map that nodes of this locked page are deleted, or none. */
extern void HnswRecordRoom(Relation index, Buffer buffer);

/* ---- rows.c: the heap TIDs of a node ---- */

typedef struct HnswRows
{
	ItemPointerData *rows;
	int			count;
	int			room;
	MemoryContext context;
} HnswRows;

typedef struct HnswRowFilter
{
	IndexBulkDeleteCallback callback;
	void	   *state;
	double	   *removed;
	double	   *left;
} HnswRowFilter;

extern void HnswRowsAdd(HnswRows *rows, const ItemPointerData *from, int count);
/* All rows of a node whose page is locked. */
extern void HnswReadRows(Relation index, const HnswNodeTuple *node, HnswRows *rows);
/* Steps to the next tuple of a chain; false when there is none at this place. */
extern bool HnswNextRows(Relation index, ItemPointer at);
/* Adds a row to a node; false when it is dead or gone. */
extern bool HnswAddRow(Relation index, HnswNode node, const ItemPointerData *row, bool building);
/* Writes a chain of rows while the index is built; where it begins. */
extern ItemPointerData HnswWriteRows(Relation index, const ItemPointerData *rows, int count);
/* Removes the rows that the callback names from the node at offset, whose page is
 * exclusively locked, and adds to the counts; true when any are left. */
extern bool HnswFilterRows(Relation index, Buffer buffer, OffsetNumber offset,
						   const HnswRowFilter *filter);

/* ---- bulk.c: writing a finished graph to an index that has its metapage only ---- */

typedef struct HnswBulk HnswBulk;

typedef struct HnswBulkNode
{
	const void *value;
	Size		value_size;
	int			level;
	const uint64 *links;		/* (level + 2) * m slots, as HnswLinkStart says; empty ones
								 * are the last of a level */
	const ItemPointerData *rows;	/* at least one; those that fit the node are written */
	int			row_count;
} HnswBulkNode;

/*
 * First every node is placed, then the same nodes are written in the same order, then
 * all rows of those that have more than fit. Nothing is logged, and nobody else may see
 * the index yet.
 */
extern HnswBulk *HnswBulkBegin(Relation index, int m);
extern HnswNode HnswBulkPlace(HnswBulk *bulk, int level, Size value_size);
extern void HnswBulkWrite(HnswBulk *bulk, const HnswBulkNode *node);
extern void HnswBulkAddRows(HnswBulk *bulk, HnswNode node, const ItemPointerData *rows, int count);
extern void HnswBulkEnd(HnswBulk *bulk, HnswNode entry, int entry_level);

/* ---- store_page.c; memory.h has store_memory.c ---- */

/* Keeps no locks and pins between calls. The entry point is read by HnswPageStoreReset. */
/* What a process has the store of an index for. */
typedef enum HnswUse
{
	HNSW_TO_READ,
	HNSW_TO_CHANGE,
	HNSW_TO_BUILD				/* and nobody else knows of the index yet: changes are not logged */
} HnswUse;

extern HnswStore *HnswPageStore(Relation index, const HnswSupport *support, HnswUse use,
								MemoryContext context);
/* Forgets the values that were read, and reads the entry point. */
extern void HnswPageStoreReset(HnswStore *store);
/* Adds the rows of a node, if it is still there. */
extern void HnswPageStoreRows(HnswStore *store, HnswNode node, HnswRows *rows);
/* The same, with where its value is from the query; false when it is not there. */
extern bool HnswPageStoreRefine(HnswStore *store, HnswNode node, const HnswForm *query, HnswRows *rows,
								HnswInterval *interval, double *distance);
/* These nodes are going to be refined: asks for the memory of so many. */
#define HNSW_REFINE_AHEAD 12
extern void HnswPageStoreExpectRefine(HnswStore *store, const HnswCandidate *found, int n);
/* The row that the scan returned last has been fetched: remembers where its page of the table is. */
extern void HnswPageStoreSawRow(IndexScanDesc scan);
/* These rows are going to be returned: asks for the memory of what is remembered, and for pages of
 * the table from a disk, if those of the index came from there. */
extern void HnswPageStoreExpectRows(HnswStore *store, Relation heap, ItemPointer rows, int n);

#endif							/* RAG_HNSW_PAGES_H */
