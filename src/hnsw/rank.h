/*
 * rank.h: the order in which a scan returns what a walk has found (rank.c).
 */
#ifndef RAG_HNSW_RANK_H
#define RAG_HNSW_RANK_H

#include "hnsw/pages.h"

/* A node that may be returned. */
typedef struct HnswRanked
{
	HnswInterval interval;		/* of the operator's result */
	double		distance;		/* as HnswMeasure has it, but refined */
	int			first_row;		/* of HnswRank.rows */
	int			row_count;
	bool		recheck;		/* its place in the order is not certain */
} HnswRanked;

typedef struct HnswRank
{
	HnswStore  *store;
	const HnswForm *query;
	bool		codes;			/* distances of candidates are estimates */
	bool		in_order;		/* pass over what comes too late */
	MemoryContext context;
	HnswRanked *items;			/* a heap, least lower end on top */
	int			count;
	int			room;
	HnswRows	rows;			/* of all items */
	int64		refined;
	double		most_off;		/* the largest excess of an estimate so far */
	double		floor;			/* nothing below may be returned any more */
	double		reached;		/* the largest upper end of what is to be rechecked */
} HnswRank;

extern void HnswRankInit(HnswRank *rank, HnswStore *store, const HnswForm *query, bool in_order,
						 MemoryContext context);
/* Takes a candidate in, from the nearest on. */
extern void HnswRankAdd(HnswRank *rank, const HnswCandidate *found);
/* Is the first of the items to be returned before the next candidate is taken in? */
extern bool HnswRankIsReady(const HnswRank *rank, const HnswCandidate *next);
/* The first of the items; false when there is none. */
extern bool HnswRankNext(HnswRank *rank, HnswRanked *item);

#endif
