/*
 * scan.c: ORDER BY column <-> value.
 *
 * The first ef_search rows are those that a search of the graph finds. When more are
 * wanted, because a filter has dropped some, an iterative scan goes on from where the
 * search ended, with more results each time, until the graph, hnsw.max_scan_tuples or
 * the memory is exhausted; what has been found by then is still returned.
 *
 * A batch can hold a node nearer than the last one of the batch before. In strict order
 * such a node is passed over, in relaxed order it comes late.
 */
#include "postgres.h"

#include "miscadmin.h"
#include "utils/memutils.h"

#include "hnsw/rank.h"

typedef struct HnswScan
{
	HnswSupport support;
	HnswSettings settings;
	MemoryContext context;		/* reset by each rescan */
	bool		started;
	HnswSearch	search;
	int			batch;			/* results asked for the last time */
	int			next;			/* of search.results */
	HnswForm	query;
	HnswRank	rank;
	HnswRanked	node;			/* which is being returned */
	int			next_row;		/* of it */
} HnswScan;

IndexScanDesc
hnswbeginscan(Relation index, int nkeys, int norderbys)
{
	IndexScanDesc scan = RelationGetIndexScan(index, nkeys, norderbys);
	HnswScan   *state = palloc0(sizeof(HnswScan));

	HnswInitSupport(&state->support, index);
	state->context = AllocSetContextCreate(CurrentMemoryContext, "hnsw scan", ALLOCSET_DEFAULT_SIZES);
	scan->opaque = state;
	scan->xs_orderbyvals = palloc0(sizeof(Datum));
	scan->xs_orderbynulls = palloc(sizeof(bool));
	*scan->xs_orderbynulls = true;
	return scan;
}

void
hnswrescan(IndexScanDesc scan, ScanKey keys, int nkeys, ScanKey orderbys, int norderbys)
{
	HnswScan   *state = scan->opaque;

	MemoryContextReset(state->context);
	state->started = false;
	if (keys != NULL && scan->numberOfKeys > 0)
		memmove(scan->keyData, keys, scan->numberOfKeys * sizeof(ScanKeyData));
	if (orderbys != NULL && scan->numberOfOrderBys > 0)
		memmove(scan->orderByData, orderbys, scan->numberOfOrderBys * sizeof(ScanKeyData));
}

/* The value to search for; NULL when it is null, or has no direction where only that
 * counts: all rows are then equally far. */
static const HnswForm *
QueryValue(IndexScanDesc scan)
{
	HnswScan   *state = scan->opaque;

	if (scan->orderByData->sk_flags & SK_ISNULL)
		return NULL;
	if (!HnswFormQuery(&state->support, scan->orderByData->sk_argument, &state->query))
		return NULL;
	return &state->query;
}

static void
Start(IndexScanDesc scan)
{
	HnswScan   *state = scan->opaque;
	HnswStore  *store;
	const HnswForm *query;

	if (scan->orderByData == NULL)
		elog(ERROR, "cannot scan hnsw index without order");
	if (!IsMVCCSnapshot(scan->xs_snapshot))
		elog(ERROR, "non-MVCC snapshots are not supported with hnsw");
	RagCountIndexScan(scan);

	HnswReadSettings(&state->settings);
	query = QueryValue(scan);
	store = HnswPageStore(scan->indexRelation, &state->support, HNSW_TO_READ, state->context);
	GraphSearchInit(&state->search, store, query, state->context);
	state->search.resumable = state->settings.iterative_scan != HNSW_ITERATIVE_OFF;
	state->batch = state->settings.ef_search;
	state->next = 0;
	HnswRankInit(&state->rank, store, query,
				 state->settings.iterative_scan != HNSW_ITERATIVE_RELAXED, state->context);
	state->node.row_count = 0;
	state->next_row = 0;
	GraphSearch(&state->search, 0, state->batch);
	state->started = true;
}

static Size
MemoryUsed(const HnswSearch *search)
{
	return HnswNodeSetMemory(search->visited) +
		((Size) search->beam.room + search->results.room + search->beyond.room) * sizeof(HnswCandidate);
}

/* May the search go on, or is what it has found all there will be? */
static bool
MaySearchOn(HnswScan *state)
{
	Size		limit = (Size) (state->settings.scan_mem_multiplier * work_mem * 1024.0);

	if (state->search.evaluated >= state->settings.max_scan_tuples)
		return false;
	if (MemoryUsed(&state->search) <= limit)
		return true;
	ereport(DEBUG1,
			(errmsg("hnsw index scan exceeded work_mem after " INT64_FORMAT " tuples",
					state->search.evaluated),
			 errhint("Increase hnsw.scan_mem_multiplier to scan more tuples.")));
	return false;
}

/* Fetches the next batch of results; false when there is none. */
static bool
NextBatch(HnswScan *state)
{
	if (!state->search.resumable)
		return false;
	state->next = 0;
	if (MaySearchOn(state))
	{
		/* larger steps: fewer of them, and fewer nodes that come late */
		state->batch = Min(state->batch * 2, HNSW_MAX_EF_SEARCH);
		GraphSearchMore(&state->search, state->batch);
	}
	else
		GraphSearchDrain(&state->search);
	return state->search.results.count > 0;
}

/* The next node to return; false when there is none. */
static bool
NextNode(HnswScan *state, Relation heap)
{
	for (;;)
	{
		const HnswQueue *found = &state->search.results;
		int			known = state->rank.rows.count;

		CHECK_FOR_INTERRUPTS();
		while (state->next < found->count &&
			   !HnswRankIsReady(&state->rank, &found->items[state->next]))
		{
			if (state->rank.codes && state->next % HNSW_REFINE_AHEAD == 0)
				HnswPageStoreExpectRefine(state->search.store, &found->items[state->next],
										  found->count - state->next);
			HnswRankAdd(&state->rank, &found->items[state->next++]);
		}
		if (state->rank.rows.count > known)
			HnswPageStoreExpectRows(state->search.store, heap, state->rank.rows.rows + known,
									state->rank.rows.count - known);
		if (HnswRankNext(&state->rank, &state->node))
			return true;
		if (state->next >= found->count && !NextBatch(state))
			return false;
	}
}

/* One row of the node. */
static void
ReturnRow(IndexScanDesc scan)
{
	HnswScan   *state = scan->opaque;
	const HnswRanked *node = &state->node;

	scan->xs_heaptid = state->rank.rows.rows[node->first_row + state->next_row++];
	scan->xs_recheck = false;
	scan->xs_recheckorderby = node->recheck;
	if (state->rank.codes)
	{
		*scan->xs_orderbyvals = Float8GetDatum(node->interval.lower);
		*scan->xs_orderbynulls = false;
	}
}

bool
hnswgettuple(IndexScanDesc scan, ScanDirection direction)
{
	HnswScan   *state = scan->opaque;
	MemoryContext old = MemoryContextSwitchTo(state->context);
	bool		found;

	Assert(ScanDirectionIsForward(direction));
	if (!state->started)
		Start(scan);
	else
		HnswPageStoreSawRow(scan);
	found = state->next_row < state->node.row_count;
	if (!found)
	{
		state->next_row = 0;
		found = NextNode(state, scan->heapRelation);
	}
	if (found)
		ReturnRow(scan);
	MemoryContextSwitchTo(old);
	return found;
}

void
hnswendscan(IndexScanDesc scan)
{
	HnswScan   *state = scan->opaque;

	MemoryContextDelete(state->context);
	pfree(scan->xs_orderbyvals);
	pfree(scan->xs_orderbynulls);
	pfree(state);
	scan->opaque = NULL;
}
