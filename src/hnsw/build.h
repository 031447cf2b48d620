/*
 * build.h: a build of an index, by one process (build.c) or several (build_parallel.c).
 */
#ifndef RAG_HNSW_BUILD_H
#define RAG_HNSW_BUILD_H

#include "access/relscan.h"

#include "hnsw/memory.h"

typedef struct HnswAssist HnswAssist;

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
	HnswAssist *assist;			/* NULL: every row searches for its own neighbours */
	bool		reports;		/* progress */
} HnswBuild;

/* ---- build.c ---- */

extern void HnswBuildInitState(HnswBuildState *state, Relation heap, Relation index, bool concurrent);
/* Bytes for the graph: what maintenance_work_mem allows, but no more than this many rows need. */
extern Size HnswBuildGraphSize(const HnswBuild *build, double rows);
/* Inserts this process's share of the rows: all, if scan is NULL. */
extern void HnswBuildScan(HnswBuild *build, TableScanDesc scan);
/* Inserts a row, near the nodes given if there are any; its node in memory, or HNSW_NO_NODE. */
extern HnswNode HnswBuildInsert(HnswBuild *build, const HnswForm *form, const ItemPointerData *row,
								const HnswNode *given, int given_count);

/* ---- build_assist.c ---- */

/* If rag.gpu_index_build asks for it and it can be had: sets build->assist. */
extern void HnswAssistBegin(HnswBuild *build);
/* Takes a row, in the current context; it is inserted when its neighbours are known. */
extern void HnswAssistRow(HnswBuild *build, Datum value, const ItemPointerData *row);
/* Inserts those that are left. */
extern void HnswAssistEnd(HnswBuild *build);

/* ---- build_parallel.c ---- */

typedef struct HnswParallelBuild HnswParallelBuild;

/* Starts workers, and sets build->state and ->graph; NULL when there are none to be had. */
extern HnswParallelBuild *HnswParallelBegin(HnswBuild *build);
/* Inserts with the workers; returns when all have finished. */
extern void HnswParallelScan(HnswParallelBuild *parallel, HnswBuild *build);
/* Ends the workers; state and graph are gone. */
extern void HnswParallelEnd(HnswParallelBuild *parallel);

#endif							/* RAG_HNSW_BUILD_H */
