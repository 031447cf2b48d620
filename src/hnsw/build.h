/*
 * build.h: a build of an index, by one process (build.c) or several (build_parallel.c).
 */
#ifndef RAG_HNSW_BUILD_H
#define RAG_HNSW_BUILD_H

#include "access/relscan.h"

#include "hnsw/memory.h"

typedef enum HnswBuildPhase
{
	HNSW_BUILD_MEMORY,			/* rows go to the graph in memory */
	HNSW_BUILD_FLUSH,			/* one process writes it out, the others wait */
	HNSW_BUILD_PAGES			/* rows go to pages */
} HnswBuildPhase;

/* What the processes of a build share. */
typedef struct HnswBuildState
{
	Oid			heap;
	Oid			index;
	bool		concurrent;
	pg_atomic_uint64 rows;		/* in the index */

	slock_t		mutex;			/* guards the rest */
	ConditionVariable changed;
	HnswBuildPhase phase;
	int			inserting;		/* processes that are at the graph in memory */
	int			finished;		/* processes whose share of the table is done */
	double		heap_rows;
	bool		broken_hot_chain;
} HnswBuildState;

/* One process of a build. */
typedef struct HnswBuild
{
	Relation	heap;
	Relation	index;
	IndexInfo  *info;
	HnswBuildState *state;
	HnswMemoryGraph *graph;
	HnswSupport support;
	HnswStore  *memory;
	HnswStore  *pages;			/* NULL until this process has inserted there */
	MemoryContext context;		/* of the stores */
	MemoryContext row_context;	/* reset after each row */
	bool		reports;		/* progress */
} HnswBuild;

/* ---- build.c ---- */

extern void HnswBuildInitState(HnswBuildState *state, Relation heap, Relation index, bool concurrent);
/* Bytes for the graph: what maintenance_work_mem allows, but no more than this many rows need. */
extern Size HnswBuildGraphSize(const HnswBuild *build, double rows);
/* Inserts this process's share of the rows: all, if scan is NULL. */
extern void HnswBuildScan(HnswBuild *build, TableScanDesc scan);

/* ---- build_parallel.c ---- */

typedef struct HnswParallelBuild HnswParallelBuild;

/* Starts workers, and sets build->state and ->graph; NULL when there are none to be had. */
extern HnswParallelBuild *HnswParallelBegin(HnswBuild *build);
/* Inserts with the workers; returns when all have finished. */
extern void HnswParallelScan(HnswParallelBuild *parallel, HnswBuild *build);
/* Ends the workers; state and graph are gone. */
extern void HnswParallelEnd(HnswParallelBuild *parallel);

#endif							/* RAG_HNSW_BUILD_H */
