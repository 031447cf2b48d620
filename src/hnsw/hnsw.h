/*
 * hnsw.h: the hnsw access method, shared by the files of this room only.
 *
 * One graph algorithm (graph.c) runs over a small store interface. store_memory.c
 * holds a graph that is being built, store_page.c the pages of an index. Neither the
 * graph nor the pages know what a value is: its bytes are opaque, and what depends on
 * the type comes from the support functions of the operator class (types.c).
 *
 * README.md has the page layout, the locks and the WAL records.
 */
#ifndef RAG_HNSW_H
#define RAG_HNSW_H

#include "access/amapi.h"
#include "access/genam.h"
#include "access/generic_xlog.h"
#include "access/reloptions.h"
#include "access/transam.h"
#include "fmgr.h"
#include "nodes/execnodes.h"
#include "nodes/pathnodes.h"
#include "storage/bufmgr.h"
#include "storage/bufpage.h"
#include "storage/itemptr.h"
#include "utils/rel.h"

#include "hnsw/queue.h"
#include "rag.h"
#include "simd/code.h"

/* ---- options (hnsw.c) and settings (settings.c) ---- */

#define HNSW_DEFAULT_M 16
#define HNSW_MIN_M 2
#define HNSW_MAX_M 100
#define HNSW_DEFAULT_EF_CONSTRUCTION 64
#define HNSW_MIN_EF_CONSTRUCTION 4
#define HNSW_MAX_EF_CONSTRUCTION 1000
#define HNSW_MAX_EF_SEARCH 1000

typedef struct HnswOptions
{
	int32		vl_len_;		/* varlena header, do not touch directly */
	int			m;
	int			ef_construction;
} HnswOptions;

typedef enum HnswIterativeScan
{
	HNSW_ITERATIVE_OFF,
	HNSW_ITERATIVE_RELAXED,
	HNSW_ITERATIVE_STRICT
} HnswIterativeScan;

typedef struct HnswSettings
{
	int			ef_search;
	int			iterative_scan; /* HnswIterativeScan */
	int			max_scan_tuples;
	double		scan_mem_multiplier;
} HnswSettings;

extern int	HnswOptionM(Relation index);
extern int	HnswOptionEfConstruction(Relation index);
/* Adds m and ef_construction to a kind of options. */
extern void HnswAddOptions(relopt_kind kind);

/* Makes the hnsw.* settings real ones; does nothing when called again. */
extern void HnswDefineSettings(void);
extern void HnswReadSettings(HnswSettings *settings);

/* ---- the type of the values (types.c) ---- */

/* Numbers of the support functions of an operator class. The last one of the access method
 * tells of the type: (internal) -> internal, an HnswTypeInfo; left out by type vector. */
#define HNSW_DISTANCE_PROC 1	/* (type, type) -> float8 */
#define HNSW_NORM_PROC 2		/* (type) -> float8; given: values are scaled to norm 1 */
#define HNSW_PROCS 3
#define IVFFLAT_CENTER_PROC 3	/* a distance and a norm by which pgvector's ivfflat finds its */
#define IVFFLAT_CENTER_NORM_PROC 4	/* centers; of no use to a graph */
#define IVFFLAT_PROCS 5

/* The distance of two stored values. Both have passed HnswTypeInfo.matches. */
typedef float (*HnswKernel) (const void *a, const void *b);

typedef struct HnswTypeInfo
{
	int			max_dimensions;
	/* ERROR unless the value has this many dimensions */
	void		(*check_dimensions) (Datum value, int dimensions);
	/* ERROR unless an index can hold the value; NULL: it holds every one */
	void		(*check_indexed) (Datum value);
	/* is what was read from pages a value of this many dimensions and bytes? */
	bool		(*matches) (const void *value, Size size, int dimensions);
	/* a copy of norm 1 */
	Datum		(*normalize) (Datum value);
	/* a direct form of the distance function, or NULL: it is called through fmgr */
	HnswKernel	(*kernel) (PGFunction distance);
	/* of which metric of codes the distance is, if of one; both are NULL, or none */
	bool		(*metric) (PGFunction distance, code_metric *metric);
	void		(*floats) (const void *value, float *x);
} HnswTypeInfo;

/* What an index knows of its values; lives as long as the index's relcache entry. */
typedef struct HnswSupport
{
	const HnswTypeInfo *type;
	int			dimensions;
	FmgrInfo   *distance;
	FmgrInfo   *norm;			/* NULL: values are stored as they are */
	Oid			collation;
	HnswKernel	kernel;			/* NULL: call distance */
	const code_space *codes;	/* NULL: values are stored as they are */
	code_metric metric;			/* of the codes */
} HnswSupport;

/* ERROR when the column has no or too many dimensions. */
extern void HnswInitSupport(HnswSupport *support, Relation index);

/* ---- values as they are stored and compared (codes.c) ---- */

/* A value on its way into an index, or searched for; in the context that was current. */
typedef struct HnswForm
{
	const void *value;			/* as it is stored: of the type, or a code */
	Size		size;
	const code_query *query;	/* for estimates by codes, or NULL */
} HnswForm;

/* What the operator's result is at least and at most, whatever the value was. */
typedef struct HnswInterval
{
	double		lower;
	double		upper;
} HnswInterval;

extern Size HnswCodeSize(int dimensions);
/* The codes of an index, or NULL. */
extern const code_space *HnswCodesFor(const HnswSupport *support, code_metric *metric);

/* A value to store, or to search for; false: it is not indexed, and at no distance. */
extern bool HnswFormValue(const HnswSupport *support, Datum value, HnswForm *form);
extern bool HnswFormQuery(const HnswSupport *support, Datum value, HnswForm *form);
/* The same of a stored value, which has to stay. It cannot be refined by, or stored. */
extern HnswForm HnswFormStored(const HnswSupport *support, const void *value);
/* Is what was read from pages a stored value? */
extern bool HnswIsStored(const HnswSupport *support, const void *value, Size size);
/* Is this stored value the same as the one to be stored? */
extern bool HnswIsSame(const HnswSupport *support, const HnswForm *form, const void *value);

/* The distance of two stored values, or of one from a query: by it nodes are linked and
 * walks go. Not a number counts as infinitely far, so that every order stays a total one.
 * A NULL query is equally far from all. */
extern float HnswDistance(const HnswSupport *support, const void *a, const void *b);
extern float HnswMeasure(const HnswSupport *support, const HnswForm *query, const void *value);

/* Of a code: its distance from the query as good as it can be told, and where the result
 * of the operator, which is what rows are ordered by, is for certain. */
extern HnswInterval HnswRefine(const HnswSupport *support, const HnswForm *query, const void *value,
							   double *distance);

/* ---- the store interface ---- */

/* Links of one node on one level: 2 * m on level 0, m above. */
#define HNSW_MAX_LINKS (2 * HNSW_MAX_M)
#define HnswLevelLinks(m, level) ((level) == 0 ? 2 * (m) : (m))
#define HNSW_MAX_LEVEL 31

typedef struct HnswStore HnswStore;
typedef struct HnswInsertion HnswInsertion;

typedef struct HnswStoreMethods
{
	/* Fills distance and state of n candidates for the query. */
	void		(*distances) (HnswStore *store, const HnswForm *query, HnswCandidate *candidates, int n);

	/* The links of a node, at most HNSW_MAX_LINKS; distance is set only if the store
	 * keeps_distances, state never. Their number; 0 for a node that is gone. */
	int			(*links) (HnswStore *store, HnswNode node, int level, HnswCandidate *links);

	/* The value of a node until the store is reset, or NULL when it is gone. */
	const void *(*value) (HnswStore *store, HnswNode node);

	/* A new node with its links; nothing links to it yet. */
	HnswNode	(*add_node) (HnswStore *store, const HnswInsertion *insertion);

	/* Adds a row to a node of the same value; false when that node is dead by now. */
	bool		(*add_row) (HnswStore *store, HnswNode node, const ItemPointerData *row);

	/* Puts a link into a free slot; false when there is none. */
	bool		(*add_link) (HnswStore *store, HnswNode from, int level, HnswCandidate to);

	/* Puts a link in the place of another one; false when that one is not there. */
	bool		(*replace_link) (HnswStore *store, HnswNode from, int level, HnswNode old,
								 HnswCandidate to);

	/* Drops the links that are in a set and puts those of the list into free slots, as
	 * far as they go. */
	void		(*repair_links) (HnswStore *store, HnswNode from, int level,
								 const HnswNodeSet *deleted, const HnswQueue *added);
} HnswStoreMethods;

struct HnswStore
{
	const HnswStoreMethods *methods;
	const HnswSupport *support;
	int			m;
	int			ef_construction;
	int			max_level;
	bool		keeps_distances;
	bool		building;		/* changes are not logged */
	HnswNodeSet *visited;		/* for one search at a time; NULL: each has its own */
	HnswNode	entry;			/* HNSW_NO_NODE: the graph is empty */
	int			entry_level;
};

/* ---- graph.c ---- */

/* One search; its memory is in one context, which the caller resets or deletes. */
typedef struct HnswSearch
{
	HnswStore  *store;
	const HnswForm *query;		/* NULL: every node is equally far */
	bool		resumable;		/* keep what is found beyond the results */
	int64		evaluated;		/* distances so far */
	HnswNodeSet *visited;
	HnswNodeSet own_visited;	/* of a store that has none */
	HnswQueue	open;			/* nearest first: found, links not yet followed */
	HnswQueue	results;		/* farthest first while searching, then sorted */
	HnswQueue	unopened;		/* a list: found, but too far to be opened */
	HnswQueue	passed;			/* nearest first: live, and no result yet */
} HnswSearch;

/* A value on its way into a graph. */
struct HnswInsertion
{
	HnswForm	form;
	ItemPointerData row;
	int			level;
	HnswQueue	links[HNSW_MAX_LEVEL + 1];	/* lists, chosen by GraphChooseLinks */
	HnswQueue	near;			/* a list, the search's results on level 0 */
};

extern int	GraphDrawLevel(const HnswStore *store);
/* The same by a number drawn from [0, 1). */
extern int	GraphLevelOf(const HnswStore *store, double random);

extern void GraphSearchInit(HnswSearch *search, HnswStore *store, const HnswForm *query,
							MemoryContext context);
/* From the entry point down to the level above this one, then ef results on it. */
extern void GraphSearch(HnswSearch *search, int level, int ef);
/* The next results of a resumable search, beyond those returned before. */
extern void GraphSearchMore(HnswSearch *search, int ef);
/* All that a resumable search has found and not yet returned, without searching on. */
extern void GraphSearchDrain(HnswSearch *search);

/* The best of the candidates (sorted, nearest first) for links of a node that keeps
 * the first kept of chosen; appends to chosen up to max. */
extern void GraphSelectLinks(HnswStore *store, const HnswQueue *candidates, HnswQueue *chosen,
							 int max);

/* Fills insertion->links and ->near; insertion->level and ->form are given. */
extern void GraphChooseLinks(HnswStore *store, HnswInsertion *insertion, MemoryContext context);
/* Links a node to another one. When it is full it drops its worst link for that; the new
 * one may be that, unless it must be there. Is it there now? */
extern bool GraphLinkFrom(HnswStore *store, HnswNode from, int level, HnswCandidate to, bool must);

/* Does a neighbour of the node link to it, other than this one? */
extern bool GraphHasLinkFromOther(HnswStore *store, HnswNode node, int level, HnswNode than);

/* ---- repair.c ---- */

/* Replaces the links of a node that lead to deleted ones, and links back where there is
 * room; then makes sure that a neighbour links to it. */
extern void GraphRepair(HnswStore *store, HnswNode node, int level, const HnswNodeSet *deleted);

/* Adds the row to a near node of just this value, and returns HNSW_NO_NODE; or adds a
 * node and links it both ways. */
extern HnswNode GraphPlace(HnswStore *store, const HnswInsertion *insertion);

/* ---- reach.c ---- */

/* Nodes that a path leads to from the entry point. The caller gives limit and known. */
typedef struct HnswReach
{
	Size		limit;			/* bytes */
	const HnswNodeSet *known;	/* go to no other nodes; NULL: to any */
	HnswNodeSet set;
	HnswNode   *nodes;			/* the same in the order they were found */
	int64		count;
	int64		room;
	bool		complete;		/* false: there are more than the limit allows */
} HnswReach;

extern void GraphReach(HnswStore *store, HnswReach *reach, MemoryContext context);
/* Links a node that was not reached from the nearest that were. */
extern void GraphAttach(HnswStore *store, HnswReach *reach, HnswNode node);
/* Both, for all living nodes of an index, if maintenance_work_mem allows. */
extern void HnswAttachPages(Relation index, HnswStore *store);

/* ---- pages.c: what lies on a page ---- */

#define HNSW_META_BLOCK 0
#define HNSW_MAGIC 0x52484e57
#define PGVECTOR_HNSW_MAGIC 0xA953A953
#define PGVECTOR_IVFFLAT_MAGIC 0x14FF1A7
#define HNSW_VERSION 2
#define HNSW_PAGE_ID 0xFFB7		/* tells our pages to pg_filedump and the like */

typedef enum HnswPageKind
{
	HNSW_PAGE_FREE = 1,
	HNSW_PAGE_META,
	HNSW_PAGE_NODES,
	HNSW_PAGE_VALUE,			/* a part of one node's value */
	HNSW_PAGE_ROWS				/* heap TIDs that have no room in their node */
} HnswPageKind;

typedef struct HnswPageTail
{
	uint16		kind;
	uint16		version;		/* counts the times nodes were removed; never goes back */
	uint16		changes;		/* counts all changes of the page */
	uint16		page_id;
} HnswPageTail;

/* On pages a node is named by block, offset and the version of its page when it was
 * written: a name outlives its node without ever meaning another one. */
#define HnswRefMake(block, offset, version) \
	(((uint64) (block) << 32) | ((uint64) (offset) << 16) | (uint64) (version))
#define HnswRefBlock(ref) ((BlockNumber) ((ref) >> 32))
#define HnswRefOffset(ref) ((OffsetNumber) (((ref) >> 16) & 0xFFFF))
#define HnswRefVersion(ref) ((uint16) ((ref) & 0xFFFF))

typedef struct HnswMeta
{
	uint32		magic;
	uint32		layout;
	uint32		dimensions;
	uint16		m;
	uint16		ef_construction;
	HnswNode	entry;
	int32		entry_level;
	BlockNumber rows_block;		/* where to put the next tuple of rows; a hint */
} HnswMeta;

#define HNSW_INLINE_ROWS 4
#define HNSW_MAX_VALUE_PAGES 3	/* with the node's own page the limit of a generic WAL record */
#define HNSW_MAX_VALUE_SIZE (HNSW_MAX_VALUE_PAGES * HNSW_VALUE_PAGE_ROOM)

typedef struct HnswNodeTuple
{
	uint8		deleted;		/* no link leads here any more */
	uint8		level;
	uint16		version;
	uint8		row_count;		/* of rows[] */
	uint8		value_pages;
	uint16		inline_size;	/* bytes of the value that follow the links */
	uint32		value_size;		/* all of it */
	BlockNumber value_block[HNSW_MAX_VALUE_PAGES];
	FullTransactionId deleted_at;	/* set with deleted: no scan older than this may remain */
	ItemPointerData more_rows;	/* first tuple of further rows */
	ItemPointerData rows[HNSW_INLINE_ROWS];
	HnswNode	links[FLEXIBLE_ARRAY_MEMBER];	/* level 0 first; the value after them */
} HnswNodeTuple;

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

/* How a node of this level and size of value is laid out. */
typedef struct HnswShape
{
	int			links;			/* slots */
	int			value_pages;
	Size		inline_size;
	Size		tuple_size;
} HnswShape;

extern HnswShape HnswNodeShape(int m, int level, Size value_size);
extern int	HnswMaxLevel(int m);
static inline int
HnswLinkStart(int m, int level)
{
	return level == 0 ? 0 : (level + 1) * m;
}
static inline char *
HnswNodeValue(HnswNodeTuple *node, int m)
{
	return (char *) node + MAXALIGN(offsetof(HnswNodeTuple, links) +
									sizeof(HnswNode) * (node->level + 2) * m);
}

/* Fills a tuple of shape.tuple_size zeroed bytes with what has no place yet: its rows,
 * links and value_block are the caller's. */
extern void HnswFormNode(HnswNodeTuple *tuple, const HnswShape *shape, const HnswInsertion *insertion,
						 int m);

extern void HnswPageInit(Page page, HnswPageKind kind);
extern bool HnswPageIs(Page page, HnswPageKind kind);
extern bool HnswPageHasItems(Page page);
/* The node, or NULL when it is not there (any more). */
extern HnswNodeTuple *HnswPageGetNode(Page page, HnswNode node);
extern HnswNodeTuple *HnswPageNodeAt(Page page, OffsetNumber offset);
/* A page of a node's value: part number i of all. */
extern void HnswValuePageFill(Page page, HnswNode owner, const HnswShape *shape, const void *value,
							  Size size, int i);

/* A change of pages: one WAL record, or plain writes while the index is built. */
typedef struct HnswEdit
{
	Relation	index;
	GenericXLogState *record;	/* NULL: building */
	Buffer		keep;			/* this one stays locked at the end */
	Buffer		buffers[MAX_GENERIC_XLOG_PAGES];
	int			count;
} HnswEdit;

extern void HnswEditBegin(HnswEdit *edit, Relation index, bool building);
/* The page to change; the buffer is pinned and exclusively locked. */
extern Page HnswEditPage(HnswEdit *edit, Buffer buffer);
/* Writes the record; releases locks and pins. */
extern void HnswEditEnd(HnswEdit *edit);

/* An exclusively locked buffer of a free page (its kind is not yet set). */
extern Buffer HnswFreeBuffer(Relation index, ForkNumber fork);
extern void HnswInitMeta(Relation index, ForkNumber fork, const HnswMeta *meta);
extern void HnswReadMeta(Relation index, HnswMeta *meta);
extern void HnswWriteEntry(Relation index, HnswNode entry, int level, bool building);
extern void HnswWriteRowsBlock(Relation index, BlockNumber block, bool building);

/* ---- space.c: room for nodes, and getting it back ---- */

/* An exclusively locked buffer of a page of nodes with this much room, or a free one. */
extern Buffer HnswBufferWithRoom(Relation index, Size size);
/* Removes the nodes of a page that no scan can be at; the buffer's lock is kept. */
extern int	HnswReclaimPage(Relation index, Buffer buffer);
/* Tells the free space map of a page of nodes; an empty one becomes a free page. The
 * buffer is exclusively locked, and stays so. */
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
	const HnswNode *links;		/* (level + 2) * m by name, as HnswLinkStart says; empty
								 * slots hold HNSW_NO_NODE and are the last of a level */
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
extern HnswStore *HnswPageStore(Relation index, const HnswSupport *support, bool building,
								MemoryContext context);
/* Forgets the values that were read, and reads the entry point. */
extern void HnswPageStoreReset(HnswStore *store);
/* Adds the rows of a node, if it is still there. */
extern void HnswPageStoreRows(HnswStore *store, HnswNode node, HnswRows *rows);
/* The same, with where its value is from the query; false when it is not there. */
extern bool HnswPageStoreRefine(HnswStore *store, HnswNode node, const HnswForm *query, HnswRows *rows,
								HnswInterval *interval, double *distance);

/* ---- one file for each thing an access method does ---- */

#define HNSW_PROGRESS_LOAD 2	/* the subphase; 1 is core's "initializing" */
#define HNSW_UPDATE_LOCK HNSW_META_BLOCK	/* page lock: inserts share it, see README.md */

extern IndexBuildResult *hnswbuild(Relation heap, Relation index, IndexInfo *info);
extern void hnswbuildempty(Relation index);
/* Inserts a formed value into pages; what it allocates is the current context's. */
extern void HnswInsertValue(Relation index, HnswStore *store, const HnswForm *form, ItemPointer row);
extern bool RagIndexInsert(hnswinsert);
extern IndexScanDesc hnswbeginscan(Relation index, int nkeys, int norderbys);
extern void hnswrescan(IndexScanDesc scan, ScanKey keys, int nkeys, ScanKey orderbys, int norderbys);
extern bool hnswgettuple(IndexScanDesc scan, ScanDirection direction);
extern void hnswendscan(IndexScanDesc scan);
extern IndexBulkDeleteResult *hnswbulkdelete(IndexVacuumInfo *info, IndexBulkDeleteResult *stats,
											 IndexBulkDeleteCallback callback, void *state);
extern IndexBulkDeleteResult *hnswvacuumcleanup(IndexVacuumInfo *info, IndexBulkDeleteResult *stats);
extern void hnswcostestimate(PlannerInfo *root, IndexPath *path, double loop_count,
							 Cost *startup_cost, Cost *total_cost, Selectivity *selectivity,
							 double *correlation, double *pages);
extern bool hnswvalidate(Oid opclass);
/* The routine of the access method, without support functions and options. */
extern IndexAmRoutine *HnswMakeRoutine(void);

#endif							/* RAG_HNSW_H */
