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
#include "access/reloptions.h"
#include "fmgr.h"
#include "nodes/execnodes.h"
#include "nodes/pathnodes.h"
#include "storage/itemptr.h"
#include "utils/rel.h"

#include "hnsw/beam.h"
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

/* Of a stored code: all of it, and its last part, which is only for refining. */
extern Size HnswCodeSize(int dimensions);
extern Size HnswFineSize(const HnswSupport *support);
/* The codes of an index, or NULL. */
extern const code_space *HnswCodesFor(const HnswSupport *support, code_metric *metric);

/* A value to store, or only to search for; false: it is not indexed, and at no distance. */
extern bool HnswFormValue(const HnswSupport *support, Datum value, HnswForm *form);
extern bool HnswFormQuery(const HnswSupport *support, Datum value, HnswForm *form);
/* The same of a stored value, which has to stay. It cannot be refined by, or stored. */
extern HnswForm HnswFormStored(const HnswSupport *support, const void *value);
/* Is what was read from pages a stored value? */
extern bool HnswIsStored(const HnswSupport *support, const void *value, Size size);
/* Is this stored value the same as the one to be stored? Of a code this tells as far as it
 * is for walking; the rest has to be compared too. */
extern bool HnswIsSame(const HnswSupport *support, const HnswForm *form, const void *value);

/* The distance of two stored values, or of one from a query: by it nodes are linked and
 * walks go. Not a number counts as infinitely far, so that every order stays a total one.
 * A NULL query is equally far from all. */
extern float HnswDistance(const HnswSupport *support, const void *a, const void *b);
extern float HnswMeasure(const HnswSupport *support, const HnswForm *query, const void *value);

/* Of a code: its distance from the query as good as it can be told, and where the result
 * of the operator, which is what rows are ordered by, is for certain. */
extern HnswInterval HnswRefine(const HnswSupport *support, const HnswForm *query, const void *value,
							   const void *fine, double *distance);

/* ---- the store interface ---- */

/* Links of one node on one level: 2 * m on level 0, m above. */
#define HNSW_MAX_LINKS (2 * HNSW_MAX_M)
#define HnswLevelLinks(m, level) ((level) == 0 ? 2 * (m) : (m))
#define HNSW_MAX_LEVEL 31

/* How many of them may be firm: the others are what walks go by. */
#define HnswFirmLinks(m, level) Max(HnswLevelLinks(m, level) / 2, 2)

typedef struct HnswStore HnswStore;
typedef struct HnswInsertion HnswInsertion;

/* A link to put into a slot of a node: into a free one, or in the place of another link. */
typedef struct HnswLinkChange
{
	HnswNode	from;
	int			level;
	HnswNode	old;			/* HNSW_NO_NODE: a free slot */
	HnswCandidate to;
	bool		done;			/* is it there now? */
} HnswLinkChange;

typedef struct HnswStoreMethods
{
	/* Fills distance and state of n candidates for the query. A distance beyond the limit,
	 * which may be INFINITY, need not be exact: then it is rough. */
	void		(*distances) (HnswStore *store, const HnswForm *query, HnswCandidate *candidates, int n,
							  float limit);

	/* The links of a node, at most HNSW_MAX_LINKS; distance is set only if the store
	 * keeps_distances, firm always, state never. Their number; 0 for a node that is gone. */
	int			(*links) (HnswStore *store, HnswNode node, int level, HnswCandidate *links);

	/* The links of these nodes are going to be asked for, the first one's soon, unless nearer
	 * nodes are found; or the method is NULL. */
	void		(*expect) (HnswStore *store, const HnswNode *nodes, int n);

	/* The value of a node until the store is reset, or NULL when it is gone. */
	const void *(*value) (HnswStore *store, HnswNode node);

	/* What follows the value in HnswForm, if value() does not have it; or the method is NULL. */
	const void *(*fine) (HnswStore *store, HnswNode node);

	/* Is the candidate no farther from one of n others than its own distance? */
	bool		(*covered) (HnswStore *store, const HnswCandidate *candidate,
							const HnswCandidate *others, int n);

	/* A new node with its links; nothing links to it yet. */
	HnswNode	(*add_node) (HnswStore *store, const HnswInsertion *insertion);

	/* Adds a row to a node of the same value; false when that node is dead by now. */
	bool		(*add_row) (HnswStore *store, HnswNode node, const ItemPointerData *row);

	/* Puts a link into a free slot; false when there is none, or when it is firm and there are
	 * as many as may be. Makes a link that is there already firm. */
	bool		(*add_link) (HnswStore *store, HnswNode from, int level, HnswCandidate to);

	/* Puts a link in the place of another one; false when that one is not there, or firm, or
	 * as above. */
	bool		(*replace_link) (HnswStore *store, HnswNode from, int level, HnswNode old,
								 HnswCandidate to);

	/* Several of both at once, each of another node, which costs less than one by one; or the
	 * method is NULL. Only the first may be firm: then it is made before the others, or none is. */
	void		(*change_links) (HnswStore *store, HnswLinkChange *changes, int n);

	/* Drops the links that are in a set, even firm ones, and puts those of the list into
	 * free slots, as far as they go. No more of them are firm than of those that are lost. */
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
	HnswBeam	beam;
	HnswQueue	results;		/* a list, nearest first */
	HnswQueue	beyond;			/* of a resumable search: found, and no result yet */
} HnswSearch;

/* A value on its way into a graph. */
struct HnswInsertion
{
	HnswForm	form;
	ItemPointerData row;
	int			level;
	HnswQueue	links[HNSW_MAX_LEVEL + 1];	/* lists, chosen by GraphChooseLinks */
	HnswQueue	near;			/* a list, the search's results on level 0 */
	const HnswNode *given;		/* instead of a search there: nodes, each once */
	int			given_count;	/* 0: search */
	HnswNode	node;			/* of the row, when it is in memory; HNSW_NO_NODE: it shares another's */
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

/* ---- repair.c ---- */

/* Replaces the links of a node that lead to deleted ones, of which it takes over what they
 * held, and links back where there is room. */
extern void GraphRepair(HnswStore *store, HnswNode node, int level, const HnswNodeSet *deleted);

/* Adds the row to a near node of just this value, and returns HNSW_NO_NODE; or adds a
 * node and links it both ways. */
extern HnswNode GraphPlace(HnswStore *store, const HnswInsertion *insertion);

/* ---- reach.c ---- */

/* A firm link to the node from this one, in the place of another link if need be; false when
 * there are as many as may be. */
extern bool GraphHold(HnswStore *store, HnswNode from, int level, HnswNode node, HnswFirmness firm);
/* The same from this node or a living one that firm links lead to from it; false when none of
 * them is alive. */
extern bool GraphHoldBelow(HnswStore *store, HnswNode from, int level, HnswNode node);
/* Adds the living nodes that firm links lead to from a dead one, through others of the
 * kind, as far as they are not in the set yet. */
extern void GraphHeirs(HnswStore *store, HnswNode dead, int level, HnswNodeSet *seen, HnswQueue *heirs);
/* Those from first on are held by nodes of the list that come before them. */
extern void GraphHoldHeirs(HnswStore *store, HnswQueue *heirs, int first, int level);
/* The highest living node that firm links lead to from a dead entry point, and its level;
 * HNSW_NO_NODE when nobody is left. */
extern HnswNode GraphFindSuccessor(HnswStore *store, int *level);
/* Firm links to what the entry point leads to, from the node that is going to be it. */
extern void GraphSucceedEntry(HnswStore *store, HnswNode node, int node_level);

/* The nodes that firm links of level 0 lead to from the entry point. The caller gives limit and known. */
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
/* A firm link to a living node that was not reached. */
extern void GraphAttach(HnswStore *store, HnswReach *reach, HnswNode node);

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
