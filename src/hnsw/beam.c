/*
 * beam.c: the nearest nodes that a search has found.
 *
 * A full beam ends with a result: what is farther than all results is neither a result nor
 * worth opening. So whether a node is near enough shows at the last item.
 */
#include "postgres.h"

#include "hnsw/beam.h"

#define BEAM_FIRST_ROOM 128

void
HnswBeamInit(HnswBeam *beam, MemoryContext context)
{
	memset(beam, 0, sizeof(*beam));
	beam->context = context;
	beam->room = BEAM_FIRST_ROOM;
	beam->items = MemoryContextAlloc(context, beam->room * sizeof(HnswCandidate));
}

void
HnswBeamStart(HnswBeam *beam, int width, bool live_only, HnswQueue *beyond)
{
	beam->count = 0;
	beam->next = 0;
	beam->results = 0;
	beam->width = width;
	beam->live_only = live_only;
	beam->beyond = beyond;
}

static inline bool
IsResult(const HnswBeam *beam, const HnswCandidate *item)
{
	return !beam->live_only || item->state == HNSW_LIVE;
}

static inline void
PutBeyond(HnswBeam *beam, const HnswCandidate *item)
{
	/* one that is opened and no result is of no more use */
	if (beam->beyond != NULL && (!item->opened || item->state == HNSW_LIVE))
		HnswQueueAppend(beam->beyond, *item);
}

/* Drops the last results that are too many, and what is farther than the last one then. */
static void
Trim(HnswBeam *beam)
{
	while (beam->count > 0)
	{
		const HnswCandidate *last = &beam->items[beam->count - 1];

		if (IsResult(beam, last))
		{
			if (beam->results <= beam->width)
				break;
			beam->results--;
		}
		PutBeyond(beam, last);
		beam->count--;
	}
	beam->next = Min(beam->next, beam->count);
}

/* Where a node belongs. */
static inline int
PlaceOf(const HnswBeam *beam, const HnswCandidate *found)
{
	int			low = 0;
	int			count = beam->count;

	while (count > 0)
	{
		int			half = count / 2;
		const HnswCandidate *item = &beam->items[low + half];
		/* without branches, which would be as likely as not */
		int			before = (item->distance < found->distance) |
			((item->distance == found->distance) & (item->node < found->node));

		low += before * (half + 1);
		count = half - before * (2 * half + 1 - count);
	}
	return low;
}

void
HnswBeamAdd(HnswBeam *beam, HnswCandidate found)
{
	int			place;

	if (found.state == HNSW_GONE)
		return;
	if (HnswBeamIsFull(beam) && found.distance >= beam->items[beam->count - 1].distance)
	{
		PutBeyond(beam, &found);
		return;
	}
	if (beam->count == beam->room)
	{
		beam->room *= 2;
		beam->items = repalloc_huge(beam->items, beam->room * sizeof(HnswCandidate));
	}
	place = PlaceOf(beam, &found);
	memmove(&beam->items[place + 1], &beam->items[place],
			(beam->count - place) * sizeof(HnswCandidate));
	beam->items[place] = found;
	beam->count++;
	if (place < beam->next)
		beam->next = found.opened ? beam->next + 1 : place;
	if (IsResult(beam, &found))
	{
		beam->results++;
		if (HnswBeamIsFull(beam))
			Trim(beam);
	}
}

/* Puts what is too far where that goes, and the others to the front; their number. Which are
 * too far no processor foresees: so no branch depends on it. */
static int
SortOut(HnswBeam *beam, HnswCandidate *found, int n)
{
	bool		full = HnswBeamIsFull(beam);
	float		limit = HnswBeamLimit(beam);
	HnswCandidate nowhere;
	HnswCandidate *beyond = &nowhere;
	int			step = 0;
	int			near = 0;

	if (beam->beyond != NULL)
	{
		HnswQueueReserve(beam->beyond, n);
		beyond = beam->beyond->items + beam->beyond->count;
		step = 1;
	}
	for (int i = 0; i < n; i++)
	{
		HnswCandidate candidate = found[i];
		bool		there = candidate.state != HNSW_GONE;
		bool		far = full & (candidate.distance >= limit);

		candidate.opened = false;
		*beyond = candidate;
		beyond += step & there & far;
		found[near] = candidate;
		near += there & !far;
	}
	if (beam->beyond != NULL)
		beam->beyond->count = (int) (beyond - beam->beyond->items);
	return near;
}

void
HnswBeamTake(HnswBeam *beam, HnswCandidate *found, int n)
{
	int			near = n > 0 ? SortOut(beam, found, n) : 0;

	for (int i = 0; i < near; i++)
		HnswBeamAdd(beam, found[i]);
}

bool
HnswBeamOpen(HnswBeam *beam, HnswNode *node)
{
	while (beam->next < beam->count)
	{
		HnswCandidate *item = &beam->items[beam->next++];

		if (!item->opened)
		{
			item->opened = true;
			*node = item->node;
			return true;
		}
	}
	return false;
}

int
HnswBeamNext(const HnswBeam *beam, HnswNode *nodes, int n)
{
	int			count = 0;

	for (int i = beam->next; i < beam->count && count < n; i++)
	{
		if (!beam->items[i].opened)
			nodes[count++] = beam->items[i].node;
	}
	return count;
}

void
HnswBeamResults(const HnswBeam *beam, HnswQueue *results)
{
	results->count = 0;
	for (int i = 0; i < beam->count; i++)
	{
		if (IsResult(beam, &beam->items[i]))
			HnswQueueAppend(results, beam->items[i]);
	}
}
