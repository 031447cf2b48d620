/*
 * build.c: CREATE INDEX and REINDEX.
 *
 * The graph is built in memory, by one process or several at once, and then written out.
 * When it outgrows maintenance_work_mem it is written out early, and the rest of the rows
 * is inserted into the pages. Nothing is logged until the end, when all pages are at once.
 */
#include "postgres.h"

#include <math.h>
#include <sys/mman.h>

#include "access/tableam.h"
#include "access/xloginsert.h"
#include "catalog/index.h"
#include "commands/progress.h"
#include "common/hashfn.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "utils/memutils.h"

#include "hnsw/build.h"

#define ROW_CONTEXT_SIZE (64 * 1024)
#define LARGE_PAGE (2 * 1024 * 1024)

/* ---- where a row goes ---- */

/* Waits for the end of a flush. True: rows go to the graph in memory, which nobody writes
 * out before LeaveMemory. */
static bool
EnterMemory(HnswBuildState *state)
{
	HnswBuildPhase phase;

	for (;;)
	{
		SpinLockAcquire(&state->mutex);
		phase = state->phase;
		if (phase == HNSW_BUILD_MEMORY)
			state->inserting++;
		SpinLockRelease(&state->mutex);
		if (phase != HNSW_BUILD_FLUSH)
			break;
		ConditionVariableSleep(&state->changed, PG_WAIT_EXTENSION);
	}
	ConditionVariableCancelSleep();
	return phase == HNSW_BUILD_MEMORY;
}

static void
LeaveMemory(HnswBuildState *state)
{
	bool		awaited;

	SpinLockAcquire(&state->mutex);
	awaited = --state->inserting == 0 && state->phase == HNSW_BUILD_FLUSH;
	SpinLockRelease(&state->mutex);
	if (awaited)
		ConditionVariableBroadcast(&state->changed);
}

/* Keeps others away from the graph in memory; false when somebody else does. */
static bool
BeginFlush(HnswBuildState *state)
{
	bool		first;
	bool		others;

	SpinLockAcquire(&state->mutex);
	first = state->phase == HNSW_BUILD_MEMORY;
	if (first)
		state->phase = HNSW_BUILD_FLUSH;
	SpinLockRelease(&state->mutex);
	if (!first)
		return false;
	for (;;)
	{
		SpinLockAcquire(&state->mutex);
		others = state->inserting > 0;
		SpinLockRelease(&state->mutex);
		if (!others)
			break;
		ConditionVariableSleep(&state->changed, PG_WAIT_EXTENSION);
	}
	ConditionVariableCancelSleep();
	return true;
}

/* The graph in memory goes to pages, and what comes after goes there directly. */
static void
MoveToPages(HnswBuild *build)
{
	HnswBuildState *state = build->state;

	if (!BeginFlush(state))
		return;
	ereport(NOTICE,
			(errmsg("hnsw graph no longer fits into maintenance_work_mem after " INT64_FORMAT
					" tuples", (int64) pg_atomic_read_u64(&state->rows)),
			 errdetail("Building will take significantly more time."),
			 errhint("Increase maintenance_work_mem to speed up builds.")));
	HnswMemoryFlush(build->memory, build->index);
	SpinLockAcquire(&state->mutex);
	state->phase = HNSW_BUILD_PAGES;
	SpinLockRelease(&state->mutex);
	ConditionVariableBroadcast(&state->changed);
}

/* The same graph comes of the same rows each time, so levels are drawn by the row. */
static int
LevelOf(const HnswStore *store, const ItemPointerData *row)
{
	uint64		bits = hash_bytes_extended((const unsigned char *) row, sizeof(ItemPointerData), 0);

	return GraphLevelOf(store, (double) (bits >> 11) * pow(2, -53));
}

static HnswNode
PutRow(HnswBuild *build, const HnswForm *form, const ItemPointerData *row, const HnswNode *given,
	   int given_count)
{
	HnswInsertion insertion = {
		.form = *form,
		.row = *row,
		.level = LevelOf(build->memory, row),
		.given = given,
		.given_count = given_count
	};
	ItemPointerData copy = *row;

	while (EnterMemory(build->state))
	{
		bool		inserted = HnswMemoryInsert(build->memory, &insertion);

		LeaveMemory(build->state);
		if (inserted)
			return insertion.node;
		MoveToPages(build);
	}
	if (build->pages == NULL)
		build->pages = HnswPageStore(build->index, &build->support, HNSW_TO_BUILD, build->context);
	HnswInsertValue(build->index, build->pages, form, &copy);
	return HNSW_NO_NODE;
}

HnswNode
HnswBuildInsert(HnswBuild *build, const HnswForm *form, const ItemPointerData *row, const HnswNode *given,
				int given_count)
{
	HnswNode	node = PutRow(build, form, row, given, given_count);
	int64		rows = (int64) pg_atomic_add_fetch_u64(&build->state->rows, 1);

	if (build->reports)
		pgstat_progress_update_param(PROGRESS_CREATEIDX_TUPLES_DONE, rows);
	return node;
}

/* ---- the table ---- */

static void
BuildRow(Relation index, ItemPointer row, Datum *values, bool *isnull, bool alive, void *state)
{
	HnswBuild  *build = state;
	MemoryContext old;
	HnswForm	form;

	if (isnull[0])
		return;
	CHECK_FOR_INTERRUPTS();
	old = MemoryContextSwitchTo(build->row_context);
	if (build->assist != NULL)
		HnswAssistRow(build, values[0], row);
	else if (HnswFormValue(&build->support, values[0], &form))
		HnswBuildInsert(build, &form, row, NULL, 0);
	MemoryContextSwitchTo(old);
	MemoryContextReset(build->row_context);
}

void
HnswBuildScan(HnswBuild *build, TableScanDesc scan)
{
	HnswBuildState *state = build->state;
	double		heap_rows;

	build->row_context = AllocSetContextCreate(CurrentMemoryContext, "hnsw build row",
											   0, ROW_CONTEXT_SIZE, ALLOCSET_DEFAULT_MAXSIZE);
	build->context = AllocSetContextCreate(CurrentMemoryContext, "hnsw build",
										   ALLOCSET_DEFAULT_SIZES);
	build->memory = HnswMemoryStore(build->graph, &build->support, HnswOptionM(build->index),
									HnswOptionEfConstruction(build->index), build->context);
	heap_rows = table_index_build_scan(build->heap, build->index, build->info, true, build->reports,
									   BuildRow, build, scan);
	HnswAssistEnd(build);
	MemoryContextDelete(build->row_context);

	SpinLockAcquire(&state->mutex);
	state->heap_rows += heap_rows;
	state->finished++;
	if (build->info->ii_BrokenHotChain)
		state->broken_hot_chain = true;
	SpinLockRelease(&state->mutex);
	ConditionVariableBroadcast(&state->changed);
}

/* ---- the build ---- */

void
HnswBuildInitState(HnswBuildState *state, Relation heap, Relation index, bool concurrent)
{
	memset(state, 0, sizeof(HnswBuildState));
	state->heap = RelationGetRelid(heap);
	state->index = RelationGetRelid(index);
	state->concurrent = concurrent;
	state->phase = HNSW_BUILD_MEMORY;
	pg_atomic_init_u64(&state->rows, 0);
	SpinLockInit(&state->mutex);
	ConditionVariableInit(&state->changed);
}

Size
HnswBuildGraphSize(const HnswBuild *build, double rows)
{
	Size		limit = (Size) maintenance_work_mem * 1024;
	Size		value_size = build->support.codes != NULL
		? HnswCodeSize(build->support.dimensions)
		: HNSW_MAX_VALUE_SIZE;
	double		need = HnswMemoryNeed(HnswOptionM(build->index), value_size, rows);

	return need < limit ? (Size) need : limit;
}

static void
StartMeta(Relation index, ForkNumber fork, int dimensions)
{
	HnswMeta	meta = {
		.magic = HNSW_MAGIC,
		.layout = HNSW_VERSION,
		.dimensions = dimensions,
		.m = HnswOptionM(index),
		.ef_construction = HnswOptionEfConstruction(index),
		.entry = HNSW_NO_NODE
	};

	for (int kind = 0; kind < HNSW_PAGE_KINDS; kind++)
		meta.last[kind] = InvalidBlockNumber;
	if (!pg_strong_random(&meta.salt, sizeof(meta.salt)))
		ereport(ERROR,
				(errcode(ERRCODE_INTERNAL_ERROR),
				 errmsg("could not generate random bytes")));
	HnswInitMeta(index, fork, &meta);
}

/* A walk is all over the area: with large pages, where the system has them, the processor
 * looks fewer addresses up. */
static void
AskForLargePages(void *area, Size size)
{
#ifdef MADV_HUGEPAGE
	char	   *start = (char *) TYPEALIGN(LARGE_PAGE, (uintptr_t) area);
	char	   *end = (char *) TYPEALIGN_DOWN(LARGE_PAGE, (uintptr_t) area + size);

	if (start < end)
		(void) madvise(start, end - start, MADV_HUGEPAGE);
#endif
}

/* Memory that is not touched costs nothing, so there is room for as many rows as can be. */
static void
ScanAlone(HnswBuild *build)
{
	double		rows = (double) RelationGetNumberOfBlocks(build->heap) * MaxHeapTuplesPerPage;
	Size		size = HnswBuildGraphSize(build, rows);

	build->state = palloc(sizeof(HnswBuildState));
	HnswBuildInitState(build->state, build->heap, build->index, build->info->ii_Concurrent);
	build->graph = MemoryContextAllocHuge(CurrentMemoryContext, size);
	AskForLargePages(build->graph, size);
	HnswMemoryInit(build->graph, size);
	HnswBuildScan(build, NULL);
}

IndexBuildResult *
hnswbuild(Relation heap, Relation index, IndexInfo *info)
{
	HnswBuild	build = {.heap = heap, .index = index, .info = info, .reports = true};
	IndexBuildResult *result = palloc0(sizeof(IndexBuildResult));
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "hnsw build",
												  ALLOCSET_DEFAULT_SIZES);
	MemoryContext old = MemoryContextSwitchTo(context);
	HnswParallelBuild *parallel;

	if (RelationGetNumberOfBlocks(index) != 0)
		elog(ERROR, "index \"%s\" already contains data", RelationGetRelationName(index));
	if (HnswOptionEfConstruction(index) < 2 * HnswOptionM(index))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("ef_construction must be greater than or equal to 2 * m")));
	HnswInitSupport(&build.support, index);
	StartMeta(index, MAIN_FORKNUM, build.support.dimensions);

	pgstat_progress_update_param(PROGRESS_CREATEIDX_SUBPHASE, HNSW_PROGRESS_LOAD);
	HnswAssistBegin(&build);
	parallel = build.assist == NULL ? HnswParallelBegin(&build) : NULL;
	if (parallel != NULL)
		HnswParallelScan(parallel, &build);
	else
		ScanAlone(&build);
	if (build.state->phase == HNSW_BUILD_MEMORY)
		HnswMemoryFlush(build.memory, index);
	info->ii_BrokenHotChain |= build.state->broken_hot_chain;
	result->heap_tuples = build.state->heap_rows;
	result->index_tuples = (double) pg_atomic_read_u64(&build.state->rows);
	if (parallel != NULL)
		HnswParallelEnd(parallel);
	if (RelationNeedsWAL(index))
		log_newpage_range(index, MAIN_FORKNUM, 0, RelationGetNumberOfBlocks(index), true);
	MemoryContextSwitchTo(old);
	MemoryContextDelete(context);
	return result;
}

/* The empty index that an unlogged one is reset to after a crash. */
void
hnswbuildempty(Relation index)
{
	HnswSupport support;

	HnswInitSupport(&support, index);
	StartMeta(index, INIT_FORKNUM, support.dimensions);
	log_newpage_range(index, INIT_FORKNUM, 0, 1, true);
}
