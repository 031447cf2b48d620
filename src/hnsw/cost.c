/*
 * cost.c: what the planner should expect of a scan.
 *
 * Before the first row is returned a search computes the distances of some nodes, each
 * on a page of its own. After ef_search rows an iterative scan goes on at about the same
 * price per row, so that returning everything costs reading everything, once.
 */
#include "postgres.h"

#include <math.h>

#include "access/genam.h"
#include "utils/float.h"
#include "utils/selfuncs.h"
#include "utils/spccache.h"

#include "hnsw/pages.h"

/*
 * Nodes that a search of n nodes computes the distance to: a few steps on each upper
 * level, and on level 0 the links of about ef nodes, of which the more have been seen
 * before the larger ef is against n. The factor is fitted to searches of 1,000 to
 * 200,000 nodes.
 */
static double
EvaluatedNodes(double n, int m, int ef)
{
	double		levels = floor(log(Max(n, 1)) / log(m));
	double		fresh = 0.55 * log(Max(n, 1)) / (log(m) * (1 + log(ef)));

	return Min(levels * m + 2.0 * m * ef * fresh, n);
}

static int
IndexM(Oid oid)
{
	Relation	index = index_open(oid, NoLock);
	HnswMeta	meta;

	HnswReadMeta(index, &meta);
	index_close(index, NoLock);
	return meta.m;
}

void
hnswcostestimate(PlannerInfo *root, IndexPath *path, double loop_count, Cost *startup_cost,
				 Cost *total_cost, Selectivity *selectivity, double *correlation, double *pages)
{
	IndexOptInfo *info = path->indexinfo;
	GenericCosts costs = {0};
	HnswSettings settings;
	double		share;
	double		startup_pages;
	double		random_page_cost_here;
	double		seq_page_cost_here;

	/* there is nothing to find without an order */
	if (path->indexorderbys == NIL)
	{
		*startup_cost = get_float8_infinity();
		*total_cost = get_float8_infinity();
		*selectivity = 0;
		*correlation = 0;
		*pages = 0;
		RagDisablePath(&path->path);
		return;
	}

	HnswReadSettings(&settings);
	genericcostestimate(root, path, loop_count, &costs);
	share = EvaluatedNodes(info->tuples, IndexM(info->indexoid), settings.ef_search) /
		Max(info->tuples, 1);
	*startup_cost = costs.indexTotalCost * share;

	/*
	 * A large value is counted as a page of the index, while the heap, with the value out
	 * of line, counts none for it. Where that would make reading a part of the index dearer
	 * than reading the table, count its pages as the table's are counted.
	 */
	get_tablespace_page_costs(info->reltablespace, &random_page_cost_here, &seq_page_cost_here);
	startup_pages = costs.numIndexPages * share;
	if (startup_pages > info->rel->pages && share < 0.5)
	{
		*startup_cost -= startup_pages * (random_page_cost_here - seq_page_cost_here);
		*startup_cost -= (startup_pages - info->rel->pages) * seq_page_cost_here;
	}

	*total_cost = Max(costs.indexTotalCost, *startup_cost);
	*selectivity = costs.indexSelectivity;
	*correlation = costs.indexCorrelation;
	*pages = costs.numIndexPages;
}
