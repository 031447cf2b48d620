/*
 * rank.c: the order in which a scan returns what a walk has found.
 *
 * Where values are stored as they are, that is the walk's order. Codes only estimate:
 * what is near by the estimates is refined, from the nearest on, until the next one's
 * estimate, less the most that one has been off so far, is beyond what is to be returned.
 * A refined node has an interval that its distance is in for certain. Where intervals
 * overlap, the executor is told to compute the distances from the rows and to order by
 * them; it then takes the lower ends for bounds.
 */
#include "postgres.h"

#include <math.h>

#include "hnsw/rank.h"

/* Refined before anything is returned, to learn how far estimates are off. */
#define FIRST_REFINED 12
#define ESTIMATE_MARGIN 1.5

void
HnswRankInit(HnswRank *rank, HnswStore *store, const HnswForm *query, bool in_order,
			 MemoryContext context)
{
	memset(rank, 0, sizeof(*rank));
	rank->store = store;
	rank->query = query;
	rank->codes = query != NULL && query->query != NULL;
	rank->in_order = in_order;
	rank->context = context;
	rank->rows.context = context;
	rank->floor = -INFINITY;
	rank->reached = -INFINITY;
}

static inline bool
Before(const HnswRanked *a, const HnswRanked *b)
{
	return a->interval.lower < b->interval.lower;
}

static void
Push(HnswRank *rank, HnswRanked item)
{
	int			at = rank->count++;

	if (at == rank->room)
	{
		rank->room = Max(rank->room * 2, 64);
		rank->items = rank->items == NULL
			? MemoryContextAlloc(rank->context, rank->room * sizeof(HnswRanked))
			: repalloc_huge(rank->items, rank->room * sizeof(HnswRanked));
	}
	for (; at > 0 && Before(&item, &rank->items[(at - 1) / 2]); at = (at - 1) / 2)
		rank->items[at] = rank->items[(at - 1) / 2];
	rank->items[at] = item;
}

static HnswRanked
Pop(HnswRank *rank)
{
	HnswRanked	top = rank->items[0];
	HnswRanked	item = rank->items[--rank->count];
	int			at = 0;

	for (int child = 1; child < rank->count; child = 2 * at + 1)
	{
		if (child + 1 < rank->count && Before(&rank->items[child + 1], &rank->items[child]))
			child++;
		if (!Before(&rank->items[child], &item))
			break;
		rank->items[at] = rank->items[child];
		at = child;
	}
	rank->items[at] = item;
	return top;
}

void
HnswRankAdd(HnswRank *rank, const HnswCandidate *found)
{
	HnswRanked	item = {.first_row = rank->rows.count, .distance = found->distance};

	if (!rank->codes)
	{
		item.interval = (HnswInterval) {found->distance, found->distance};
		HnswPageStoreRows(rank->store, found->node, &rank->rows);
	}
	else
	{
		if (!HnswPageStoreRefine(rank->store, found->node, rank->query, &rank->rows, &item.interval,
								 &item.distance))
			return;
		rank->refined++;
		rank->most_off = Max(rank->most_off, found->distance - item.distance);
	}
	item.row_count = rank->rows.count - item.first_row;
	if (item.row_count > 0)
		Push(rank, item);
}

bool
HnswRankIsReady(const HnswRank *rank, const HnswCandidate *next)
{
	if (rank->count == 0)
		return false;
	if (!rank->codes)
		return true;
	return rank->refined >= FIRST_REFINED &&
		rank->items[0].distance < next->distance - ESTIMATE_MARGIN * rank->most_off;
}

bool
HnswRankNext(HnswRank *rank, HnswRanked *item)
{
	while (rank->count > 0)
	{
		*item = Pop(rank);
		if (rank->in_order && item->interval.lower < rank->floor)
			continue;
		item->recheck = rank->codes &&
			(isinf(item->interval.upper) ||
			 (rank->count > 0 && rank->items[0].interval.lower < item->interval.upper) ||
			 rank->reached > item->interval.lower);
		/* what the executor orders may yet come before it, what it returns at once may not */
		rank->floor = Max(rank->floor, item->recheck ? item->interval.lower : item->interval.upper);
		if (item->recheck)
			rank->reached = Max(rank->reached, item->interval.upper);
		return true;
	}
	rank->rows.count = 0;
	return false;
}
