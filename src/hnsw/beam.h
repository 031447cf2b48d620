/*
 * beam.h: the nearest nodes that a search has found (beam.c).
 *
 * One list in order, nearest first, in place of a heap of what is to be opened and another
 * one of results: both are wanted of the same few nodes, and moving up half of a short list
 * costs less than the branches of two heaps, which no processor foresees.
 */
#ifndef RAG_HNSW_BEAM_H
#define RAG_HNSW_BEAM_H

#include <math.h>

#include "hnsw/queue.h"

typedef struct HnswBeam
{
	HnswCandidate *items;
	int			count;
	int			room;
	int			next;			/* all before it are opened */
	int			results;		/* of the items: those that count as results */
	int			width;			/* the most results */
	bool		live_only;		/* nodes without rows lead on, but are no results */
	HnswQueue  *beyond;			/* where what falls out of the beam goes, or NULL */
	MemoryContext context;
} HnswBeam;

extern void HnswBeamInit(HnswBeam *beam, MemoryContext context);
/* Empties it, for so many results. */
extern void HnswBeamStart(HnswBeam *beam, int width, bool live_only, HnswQueue *beyond);
/* Takes a node that was found into it, if it is near enough. */
extern void HnswBeamAdd(HnswBeam *beam, HnswCandidate found);
/* The same of nodes that were found just now, and are not opened; leaves nothing in the list that
 * is of use. */
extern void HnswBeamTake(HnswBeam *beam, HnswCandidate *found, int n);
/* The nearest node that is not opened yet, which it is from now on; false when there is none. */
extern bool HnswBeamOpen(HnswBeam *beam, HnswNode *node);
/* Those that would be opened next, at most n; their number. */
extern int	HnswBeamNext(const HnswBeam *beam, HnswNode *nodes, int n);
/* Puts the results into a list, nearest first. */
extern void HnswBeamResults(const HnswBeam *beam, HnswQueue *results);

static inline bool
HnswBeamIsFull(const HnswBeam *beam)
{
	return beam->results >= beam->width;
}

/* What is no nearer than this has no place in it. */
static inline float
HnswBeamLimit(const HnswBeam *beam)
{
	return HnswBeamIsFull(beam) ? beam->items[beam->count - 1].distance : INFINITY;
}

#endif							/* RAG_HNSW_BEAM_H */
