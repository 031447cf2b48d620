/*
 * build_parallel.c: a build by several processes.
 *
 * The backend that builds and its workers insert into one graph in a segment that they
 * share; each takes blocks of the table in turn. What the backend does with the graph then,
 * it does alone.
 */
#include "postgres.h"

#include "access/parallel.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "catalog/index.h"
#include "executor/instrument.h"
#include "miscadmin.h"
#include "optimizer/optimizer.h"
#include "optimizer/plancat.h"
#include "pgstat.h"
#include "tcop/tcopprot.h"
#include "utils/snapmgr.h"

#include "hnsw/build.h"

/* Keys of the shared segment. */
#define KEY_STATE UINT64CONST(0x686e737700000001)
#define KEY_SCAN UINT64CONST(0x686e737700000002)
#define KEY_GRAPH UINT64CONST(0x686e737700000003)
#define KEY_QUERY UINT64CONST(0x686e737700000004)
#define KEY_BUFFER_USAGE UINT64CONST(0x686e737700000005)
#define KEY_WAL_USAGE UINT64CONST(0x686e737700000006)

/* A segment's memory is taken at once, so it is made for so many times the rows that the
 * planner expects. */
#define ROWS_MARGIN 2.0

struct HnswParallelBuild
{
	ParallelContext *context;
	Snapshot	snapshot;
	ParallelTableScanDesc scan;
	BufferUsage *buffer_usage;	/* of each worker */
	WalUsage   *wal_usage;
	int			participants;
};

extern PGDLLEXPORT void RagHnswBuildWorkerMain(dsm_segment *segment, shm_toc *toc);

/*
 * The planner says whether workers are safe and whether there is memory for them, by the
 * size of the table; but inserting into a graph is so much work that all that are allowed
 * are worth it, even for a small one.
 */
static int
PlanWorkers(const HnswBuild *build)
{
	int			planned = plan_create_index_workers(RelationGetRelid(build->heap),
													RelationGetRelid(build->index));
	int			option = RelationGetParallelWorkers(build->heap, -1);

	if (planned == 0)
		return 0;
	return option >= 0 ? Min(option, max_parallel_maintenance_workers)
		: max_parallel_maintenance_workers;
}

static double
ExpectedRows(Relation heap)
{
	BlockNumber pages;
	double		rows;
	double		all_visible;

	estimate_rel_size(heap, NULL, &pages, &rows, &all_visible);
	return rows;
}

static void
EstimateChunk(ParallelContext *context, Size size)
{
	shm_toc_estimate_chunk(&context->estimator, size);
	shm_toc_estimate_keys(&context->estimator, 1);
}

static void *
Allocate(ParallelContext *context, uint64 key, Size size)
{
	void	   *chunk = shm_toc_allocate(context->toc, size);

	shm_toc_insert(context->toc, key, chunk);
	return chunk;
}

/* Lays the segment out; false when there is none to be had. */
static bool
InitSegment(HnswParallelBuild *parallel, HnswBuild *build)
{
	ParallelContext *context = parallel->context;
	int			workers = context->nworkers;
	Size		graph_size = HnswBuildGraphSize(build, ExpectedRows(build->heap) * ROWS_MARGIN);
	Size		scan_size = table_parallelscan_estimate(build->heap, parallel->snapshot);
	Size		query_size = debug_query_string == NULL ? 0 : strlen(debug_query_string) + 1;

	EstimateChunk(context, sizeof(HnswBuildState));
	EstimateChunk(context, scan_size);
	EstimateChunk(context, graph_size);
	EstimateChunk(context, query_size);
	EstimateChunk(context, mul_size(sizeof(BufferUsage), workers));
	EstimateChunk(context, mul_size(sizeof(WalUsage), workers));
	InitializeParallelDSM(context);
	if (context->seg == NULL)
		return false;

	build->state = Allocate(context, KEY_STATE, sizeof(HnswBuildState));
	HnswBuildInitState(build->state, build->heap, build->index, build->info->ii_Concurrent);
	parallel->scan = Allocate(context, KEY_SCAN, scan_size);
	table_parallelscan_initialize(build->heap, parallel->scan, parallel->snapshot);
	build->graph = Allocate(context, KEY_GRAPH, graph_size);
	HnswMemoryInit(build->graph, graph_size);
	if (query_size > 0)
		memcpy(Allocate(context, KEY_QUERY, query_size), debug_query_string, query_size);
	parallel->buffer_usage = Allocate(context, KEY_BUFFER_USAGE, mul_size(sizeof(BufferUsage), workers));
	parallel->wal_usage = Allocate(context, KEY_WAL_USAGE, mul_size(sizeof(WalUsage), workers));
	return true;
}

static void
Leave(HnswParallelBuild *parallel)
{
	if (IsMVCCSnapshot(parallel->snapshot))
		UnregisterSnapshot(parallel->snapshot);
	DestroyParallelContext(parallel->context);
	ExitParallelMode();
	pfree(parallel);
}

HnswParallelBuild *
HnswParallelBegin(HnswBuild *build)
{
	int			workers = PlanWorkers(build);
	HnswParallelBuild *parallel;

	if (workers == 0)
		return NULL;
	parallel = palloc0(sizeof(HnswParallelBuild));
	EnterParallelMode();
	parallel->context = CreateParallelContext("rag", "RagHnswBuildWorkerMain", workers);
	parallel->snapshot = build->info->ii_Concurrent
		? RegisterSnapshot(GetTransactionSnapshot())
		: SnapshotAny;
	if (!InitSegment(parallel, build))
	{
		Leave(parallel);
		return NULL;
	}
	LaunchParallelWorkers(parallel->context);
	if (parallel->context->nworkers_launched == 0)
	{
		WaitForParallelWorkersToFinish(parallel->context);
		Leave(parallel);
		return NULL;
	}
	parallel->participants = parallel->context->nworkers_launched + 1;
	return parallel;
}

void
HnswParallelScan(HnswParallelBuild *parallel, HnswBuild *build)
{
	HnswBuildState *state = build->state;
	bool		finished;

	HnswBuildScan(build, table_beginscan_parallel(build->heap, parallel->scan));
	/* a worker that failed to start would be waited for forever */
	WaitForParallelWorkersToAttach(parallel->context);
	for (;;)
	{
		SpinLockAcquire(&state->mutex);
		finished = state->finished == parallel->participants;
		SpinLockRelease(&state->mutex);
		if (finished)
			break;
		ConditionVariableSleep(&state->changed, WAIT_EVENT_PARALLEL_CREATE_INDEX_SCAN);
	}
	ConditionVariableCancelSleep();
}

void
HnswParallelEnd(HnswParallelBuild *parallel)
{
	WaitForParallelWorkersToFinish(parallel->context);
	for (int i = 0; i < parallel->context->nworkers_launched; i++)
		InstrAccumParallelQuery(&parallel->buffer_usage[i], &parallel->wal_usage[i]);
	Leave(parallel);
}

/* The locks are those that the backend holds, which do not conflict with its workers'. */
void
RagHnswBuildWorkerMain(dsm_segment *segment, shm_toc *toc)
{
	HnswBuildState *state = shm_toc_lookup(toc, KEY_STATE, false);
	BufferUsage *buffer_usage = shm_toc_lookup(toc, KEY_BUFFER_USAGE, false);
	WalUsage   *wal_usage = shm_toc_lookup(toc, KEY_WAL_USAGE, false);
	LOCKMODE	heap_lock = state->concurrent ? ShareUpdateExclusiveLock : ShareLock;
	LOCKMODE	index_lock = state->concurrent ? RowExclusiveLock : AccessExclusiveLock;
	HnswBuild	build = {.state = state};

	debug_query_string = shm_toc_lookup(toc, KEY_QUERY, true);
	pgstat_report_activity(STATE_RUNNING, debug_query_string);
	build.heap = table_open(state->heap, heap_lock);
	build.index = index_open(state->index, index_lock);
	build.info = BuildIndexInfo(build.index);
	build.info->ii_Concurrent = state->concurrent;
	build.graph = shm_toc_lookup(toc, KEY_GRAPH, false);
	HnswInitSupport(&build.support, build.index);

	InstrStartParallelQuery();
	HnswBuildScan(&build, table_beginscan_parallel(build.heap, shm_toc_lookup(toc, KEY_SCAN, false)));
	InstrEndParallelQuery(&buffer_usage[ParallelWorkerNumber], &wal_usage[ParallelWorkerNumber]);
	index_close(build.index, index_lock);
	table_close(build.heap, heap_lock);
}
