/*
 * rag.h: what every PostgreSQL room of the extension shares.
 *
 * The settings, and the only tests of PG_VERSION_NUM in the tree. Rooms include
 * this after "postgres.h".
 */
#ifndef RAG_H
#define RAG_H

#if PG_VERSION_NUM < 130000
#error "rag needs PostgreSQL 13 or later"
#endif

/* What a generic WAL record has of a page is no interface of core's, and the same from 9.6 to 18. */
#if PG_VERSION_NUM >= 190000
#error "see if generic_xlog.c of this version still replays what hnsw/edit.c writes"
#endif

#include "access/genam.h"
#include "access/heapam.h"
#include "access/relscan.h"
#include "access/stratnum.h"
#include "access/tableam.h"
#include "access/transam.h"
#include "commands/explain.h"
#include "commands/vacuum.h"
#include "nodes/extensible.h"
#include "nodes/pathnodes.h"
#include "optimizer/appendinfo.h"
#include "pgstat.h"
#include "storage/buf_internals.h"
#include "storage/bufmgr.h"
#include "storage/fd.h"
#include "storage/smgr.h"
#include "utils/guc.h"
#include "utils/guc_tables.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#if PG_VERSION_NUM >= 150000
#include "common/pg_prng.h"
#endif
#if PG_VERSION_NUM >= 180000
#include "commands/explain_format.h"
#endif

/* Errors of type input that the caller may want saved, not raised: since 16. */
#if PG_VERSION_NUM < 160000
#define ereturn(context, value, ...) \
	do \
	{ \
		(void) (context); \
		ereport(ERROR, __VA_ARGS__); \
	} while (0)
#endif

/* Asking for shared memory: in a hook of its own since 15, in _PG_init before. */
#if PG_VERSION_NUM >= 150000
#define RAG_SHMEM_REQUEST_HOOK 1
#endif

/* The owner of a set of wait events: a resource owner since 17, a memory context before. */
#if PG_VERSION_NUM >= 170000
#define RagCreateWaitEventSet(count) CreateWaitEventSet(NULL, (count))
#define RagWaitEvent(name) WaitEventExtensionNew(name)
#else
#define RagCreateWaitEventSet(count) CreateWaitEventSet(TopMemoryContext, (count))
#define RagWaitEvent(name) PG_WAIT_EXTENSION
#endif

/* How the names of libraries end, where the headers do not say so. */
#ifndef DLSUFFIX
#define DLSUFFIX ".so"
#endif

/* Settings below a prefix that nobody has defined are an error, once all are defined. */
#if PG_VERSION_NUM >= 150000
#define RagReserveSettings(prefix) MarkGUCPrefixReserved(prefix)
#else
#define RagReserveSettings(prefix) EmitWarningsOnPlaceholders(prefix)
#endif

/* The role of monitors has had its name since 14. */
#if PG_VERSION_NUM < 140000
#define ROLE_PG_READ_ALL_STATS DEFAULT_ROLE_READ_ALL_STATS
#endif

/* Where a worker's SIGHUP handler and its flag are declared. */
#include "postmaster/interrupt.h"

/* Where wait events are declared since 14, and the macros of varlena types since 16. */
#if PG_VERSION_NUM >= 140000
#include "utils/wait_event.h"
#else
#include "pgstat.h"
#endif
#if PG_VERSION_NUM >= 160000
#include "varatt.h"
#endif

/* The declaration of an aminsert function: "index unchanged" came with 14. */
#if PG_VERSION_NUM >= 140000
#define RagIndexInsert(name) \
	name(Relation index, Datum *values, bool *isnull, ItemPointer row, Relation heap, \
		 IndexUniqueCheck check, bool unchanged, IndexInfo *info)
#else
#define RagIndexInsert(name) \
	name(Relation index, Datum *values, bool *isnull, ItemPointer row, Relation heap, \
		 IndexUniqueCheck check, IndexInfo *info)
#endif

/* Since 17 an access method says that it builds with workers of its own. */
#if PG_VERSION_NUM >= 170000
#define RagCanBuildParallel(routine) ((routine)->amcanbuildparallel = true)
#else
#define RagCanBuildParallel(routine) ((void) 0)
#endif

/* The number of the running transaction in this backend; every one has one. */
static inline LocalTransactionId
RagLocalTransactionId(void)
{
#if PG_VERSION_NUM >= 170000
	return MyProc->vxid.lxid;
#else
	return MyProc->lxid;
#endif
}

/* What of a toast table can be seen; storage is for the versions that fill it. */
#if PG_VERSION_NUM >= 180000
#define RagToastSnapshot(storage) ((void) (storage), get_toast_snapshot())
#else
#define RagToastSnapshot(storage) (init_toast_snapshot(storage), (Snapshot) (storage))
#endif
#if PG_VERSION_NUM < 140000
#define VARATT_EXTERNAL_GET_EXTSIZE(pointer) ((pointer).va_extsize)
#endif

/* In [0, 1). */
static inline double
RagRandomDouble(void)
{
#if PG_VERSION_NUM >= 150000
	return pg_prng_double(&pg_global_prng_state);
#else
	return (double) random() / ((double) MAX_RANDOM_VALUE + 1);
#endif
}

/* Has every snapshot gone that was taken before this transaction id was assigned? */
static inline bool
RagXidIsPast(FullTransactionId xid)
{
#if PG_VERSION_NUM >= 140000
	return GlobalVisCheckRemovableFullXid(NULL, xid);
#else
	return TransactionIdPrecedes(XidFromFullTransactionId(xid), RecentGlobalXmin);
#endif
}

/* Makes a path the last that the planner takes. Since 18 one that is disabled beats one
 * of infinite cost that is not, so it has to be disabled more than any other. */
static inline void
RagDisablePath(Path *path)
{
#if PG_VERSION_NUM >= 180000
	path->disabled_nodes = 2;
#endif
}

/* A path that stands on another one is disabled with it: since 18 that is not told by the costs. */
static inline void
RagCopyDisabled(Path *path, const Path *child)
{
#if PG_VERSION_NUM >= 180000
	path->disabled_nodes = child->disabled_nodes;
#endif
}

static inline bool
RagPathKeyIsAscending(const PathKey *key)
{
#if PG_VERSION_NUM >= 180000
	return key->pk_cmptype == COMPARE_LT;
#else
	return key->pk_strategy == BTLessStrategyNumber;
#endif
}

/* An expression of a table as one of its member, a partition at any depth or a child. */
static inline Node *
RagTranslateForMember(PlannerInfo *root, Node *expression, RelOptInfo *member)
{
#if PG_VERSION_NUM >= 160000
	return adjust_appendrel_attrs_multilevel(root, expression, member, member->top_parent);
#else
	return adjust_appendrel_attrs_multilevel(root, expression, member->relids,
											 member->top_parent_relids);
#endif
}

/* A custom scan that computes columns says so since 15; before it was expected of all. */
#ifdef CUSTOMPATH_SUPPORT_PROJECTION
#define RAG_CUSTOMPATH_PROJECTS CUSTOMPATH_SUPPORT_PROJECTION
#else
#define RAG_CUSTOMPATH_PROJECTS 0
#endif

/* For pg_stat_user_indexes and, since 18, EXPLAIN ANALYZE. */
static inline void
RagCountIndexScan(IndexScanDesc scan)
{
	pgstat_count_index_scan(scan->indexRelation);
#if PG_VERSION_NUM >= 180000
	if (scan->instrument)
		scan->instrument->nsearches++;
#endif
}

/* To be called between pages by a vacuum, which sleeps here by its cost settings. */
static inline void
RagVacuumDelay(void)
{
#if PG_VERSION_NUM >= 180000
	vacuum_delay_point(false);
#else
	vacuum_delay_point();
#endif
}

/* For looking at shared buffers without a lock: see hnsw/peek.h. Valgrind is told of each
 * buffer when it may be read, which is while it is pinned. */
#ifdef USE_VALGRIND
#define RAG_MAY_PEEK false
#else
#define RAG_MAY_PEEK true
#endif

/* The tag of block 0 of a relation. */
static inline void
RagBufferTagInit(BufferTag *tag, Relation relation)
{
#if PG_VERSION_NUM >= 160000
	InitBufferTag(tag, &relation->rd_locator, MAIN_FORKNUM, 0);
#else
	INIT_BUFFERTAG(*tag, relation->rd_node, MAIN_FORKNUM, 0);
#endif
}

static inline bool
RagBufferTagSameFork(const BufferTag *a, const BufferTag *b)
{
	StaticAssertStmt(offsetof(BufferTag, blockNum) == 4 * sizeof(uint32), "the block is the last of a tag");
	return memcmp(a, b, offsetof(BufferTag, blockNum)) == 0;
}

/* Pins a buffer that may still hold this block, which costs less than finding it; false: it
 * does not, or nobody can tell. */
static inline bool
RagReadRecentBuffer(Relation relation, BlockNumber block, Buffer buffer)
{
#if PG_VERSION_NUM >= 160000
	return ReadRecentBuffer(relation->rd_locator, MAIN_FORKNUM, block, buffer);
#elif PG_VERSION_NUM >= 140000
	return ReadRecentBuffer(relation->rd_node, MAIN_FORKNUM, block, buffer);
#else
	return false;
#endif
}

/* The buffer that the last row of an index scan was read from, which the scan has pinned; or
 * InvalidBuffer, also where a table keeps its rows in a way of its own. */
static inline Buffer
RagFetchedBuffer(IndexScanDesc scan)
{
	if (scan->xs_heapfetch == NULL || scan->heapRelation->rd_tableam != GetHeapamTableAmRoutine())
		return InvalidBuffer;
	return ((IndexFetchHeapData *) scan->xs_heapfetch)->xs_cbuf;
}

/* Counts a use of a buffer, as pinning one does that is not pinned by this backend; not if its
 * state changes meanwhile. ReadRecentBuffer does not count. */
static inline void
RagCountUse(BufferDesc *buffer)
{
	uint32		state = pg_atomic_read_u32(&buffer->state);

	if (BUF_STATE_GET_USAGECOUNT(state) < BM_MAX_USAGE_COUNT && (state & BM_LOCKED) == 0)
		(void) pg_atomic_compare_exchange_u32(&buffer->state, &state, state + BUF_USAGECOUNT_ONE);
}

/* Asks the kernel to have these blocks in its memory soon. */
static inline void
RagPrefetchBlocks(Relation relation, BlockNumber first, BlockNumber count)
{
#if PG_VERSION_NUM >= 170000
	if ((io_direct_flags & IO_DIRECT_DATA) == 0)
		(void) smgrprefetch(RelationGetSmgr(relation), MAIN_FORKNUM, first, count);
#else
	for (BlockNumber i = 0; i < count; i++)
		(void) PrefetchBuffer(relation, MAIN_FORKNUM, first + i);
#endif
}

/* Does anybody hold the buffer's lock exclusively? The bit has been this one since 18, and
 * that one before, where neither is ever set in the other's place. */
static inline bool
RagBufferIsExclusive(BufferDesc *buffer)
{
	const uint32 exclusive = ((uint32) 1 << 18) | ((uint32) 1 << 24);

	return (pg_atomic_read_u32(&BufferDescriptorGetContentLock(buffer)->state) & exclusive) != 0;
}

/* Is there a setting of this name, and not just a value that waits for one? */
static inline bool
RagSettingIsDefined(const char *name)
{
#if PG_VERSION_NUM >= 160000
	struct config_generic *setting = find_option(name, false, true, 0);

	return setting != NULL && (setting->flags & GUC_CUSTOM_PLACEHOLDER) == 0;
#else
	struct config_generic **all = get_guc_variables();

	for (int i = 0; i < GetNumConfigOptions(); i++)
	{
		if (pg_strcasecmp(all[i]->name, name) == 0)
			return (all[i]->flags & GUC_CUSTOM_PLACEHOLDER) == 0;
	}
	return false;
#endif
}

/*
 * Each called once by _PG_init. RagExactInit has the planner see exact scans (src/exact).
 * RagServeInit asks for shared memory and registers the
 * model worker when the library is being preloaded; in any other case it only
 * defines the settings. RagPlanInit is told of every plan (hnsw/plan.c).
 */
extern void RagExactInit(void);
extern void RagServeInit(void);
extern void RagPlanInit(void);

#endif							/* RAG_H */
