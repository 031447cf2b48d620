/*
 * build.c: CREATE INDEX and REINDEX.
 *
 * The graph is built in memory and then written out. When it outgrows
 * maintenance_work_mem it is written out early, and the rest of the rows is inserted
 * into the pages. Nothing is logged until the end, when all pages are at once.
 */
#include "postgres.h"

#include <math.h>

#include "access/tableam.h"
#include "access/xloginsert.h"
#include "catalog/index.h"
#include "commands/progress.h"
#include "common/hashfn.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "utils/backend_progress.h"
#include "utils/memutils.h"

#include "hnsw/memory.h"

#define ROW_CONTEXT_SIZE (64 * 1024)

typedef struct Build
{
	Relation	index;
	HnswSupport support;
	HnswStore  *memory;			/* NULL once the graph is on pages */
	HnswStore  *pages;			/* NULL until then */
	MemoryContext graph_context;
	MemoryContext row_context;	/* reset after each row */
	double		rows;			/* in the index */
} Build;

/* The memory graph goes to pages, and what comes after goes there directly. */
static void
MoveToPages(Build *build)
{
	HnswMemoryFlush(build->memory, build->index);
	MemoryContextReset(build->graph_context);
	build->memory = NULL;
	build->pages = HnswPageStore(build->index, &build->support, true, build->graph_context);
}

/* The same graph comes of the same rows each time, so levels are drawn by the row. */
static int
LevelOf(const HnswStore *store, const ItemPointerData *row)
{
	uint64		bits = hash_bytes_extended((const unsigned char *) row, sizeof(ItemPointerData), 0);

	return GraphLevelOf(store, (double) (bits >> 11) * pow(2, -53));
}

static void
InsertRow(Build *build, const HnswForm *form, ItemPointer row)
{
	if (build->memory != NULL)
	{
		HnswInsertion insertion = {
			.form = *form,
			.row = *row,
			.level = LevelOf(build->memory, row)
		};

		if (HnswMemoryInsert(build->memory, &insertion))
			return;
		ereport(NOTICE,
				(errmsg("hnsw graph no longer fits into maintenance_work_mem after " INT64_FORMAT
						" tuples", (int64) build->rows),
				 errdetail("Building will take significantly more time."),
				 errhint("Increase maintenance_work_mem to speed up builds.")));
		MoveToPages(build);
	}
	HnswInsertValue(build->index, build->pages, form, row);
}

static void
BuildRow(Relation index, ItemPointer row, Datum *values, bool *isnull, bool alive, void *state)
{
	Build	   *build = state;
	MemoryContext old;
	HnswForm	form;

	if (isnull[0])
		return;
	CHECK_FOR_INTERRUPTS();
	old = MemoryContextSwitchTo(build->row_context);
	if (HnswFormValue(&build->support, values[0], &form))
	{
		InsertRow(build, &form, row);
		build->rows++;
		pgstat_progress_update_param(PROGRESS_CREATEIDX_TUPLES_DONE, (int64) build->rows);
	}
	MemoryContextSwitchTo(old);
	MemoryContextReset(build->row_context);
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
		.entry = HNSW_NO_NODE,
		.rows_block = InvalidBlockNumber
	};

	HnswInitMeta(index, fork, &meta);
}

static void
StartBuild(Build *build)
{
	int			m = HnswOptionM(build->index);
	int			ef_construction = HnswOptionEfConstruction(build->index);
	Size		size = (Size) maintenance_work_mem * 1024;
	HnswMemoryGraph *graph;

	if (ef_construction < 2 * m)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("ef_construction must be greater than or equal to 2 * m")));
	HnswInitSupport(&build->support, build->index);
	build->graph_context = AllocSetContextCreate(CurrentMemoryContext, "hnsw graph",
												 ALLOCSET_DEFAULT_SIZES);
	build->row_context = AllocSetContextCreate(CurrentMemoryContext, "hnsw build row",
											   0, ROW_CONTEXT_SIZE, ALLOCSET_DEFAULT_MAXSIZE);
	graph = MemoryContextAllocHuge(build->graph_context, size);
	HnswMemoryInit(graph, size);
	build->memory = HnswMemoryStore(graph, &build->support, m, ef_construction, build->graph_context);
}

IndexBuildResult *
hnswbuild(Relation heap, Relation index, IndexInfo *info)
{
	Build		build = {.index = index};
	IndexBuildResult *result;
	double		heap_rows;

	if (RelationGetNumberOfBlocks(index) != 0)
		elog(ERROR, "index \"%s\" already contains data", RelationGetRelationName(index));
	StartBuild(&build);
	StartMeta(index, MAIN_FORKNUM, build.support.dimensions);

	pgstat_progress_update_param(PROGRESS_CREATEIDX_SUBPHASE, HNSW_PROGRESS_LOAD);
	heap_rows = table_index_build_scan(heap, index, info, true, true, BuildRow, &build, NULL);
	if (build.memory != NULL)
	{
		HnswMemoryAttach(build.memory);
		MoveToPages(&build);
	}
	else
		HnswAttachPages(index, build.pages);
	if (RelationNeedsWAL(index))
		log_newpage_range(index, MAIN_FORKNUM, 0, RelationGetNumberOfBlocks(index), true);

	result = palloc0(sizeof(IndexBuildResult));
	result->heap_tuples = heap_rows;
	result->index_tuples = build.rows;
	MemoryContextDelete(build.row_context);
	MemoryContextDelete(build.graph_context);
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
