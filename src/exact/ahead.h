/*
 * ahead.h: loads the memory that a sequential scan is about to read into the caches.
 *
 *     Ahead ahead;
 *     AheadInit(&ahead, child);
 *     slot = ExecProcNode(child);
 *     AheadLoad(&ahead);           after each row
 *
 * Rows of a heap page lie in it from the end to the start, a few kilobytes for each vector,
 * and the next page lies anywhere: no hardware expects that. So while one page is read, the
 * next one's rows are asked for, each as far as its place in the page is about the same.
 */
#ifndef RAG_EXACT_AHEAD_H
#define RAG_EXACT_AHEAD_H

#include "executor/tuptable.h"
#include "nodes/execnodes.h"

typedef struct Ahead
{
	TupleTableSlot *slot;		/* of the scan's rows; NULL: nothing is loaded */
	Relation	relation;
	Buffer		buffer;			/* of the page that is being read */
	const char *page;			/* the next one, NULL if it is not in shared buffers */
} Ahead;

/* For the rows of any node; only sequential scans of a heap are looked ahead. */
extern void AheadInit(Ahead *ahead, PlanState *child);

/* To be called after each row; never an error. */
extern void AheadLoad(Ahead *ahead);

#endif							/* RAG_EXACT_AHEAD_H */
