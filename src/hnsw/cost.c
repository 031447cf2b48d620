/*
 * cost.c: what the planner should expect of a scan.
 *
 * Before the first row is returned a search computes the distances of some nodes. After
 * ef_search rows an iterative scan goes on, at a price per row that falls slowly, the
 * farther it gets. The planner knows two costs only, that of the first row and that of the last,
 * and takes those between from a straight line. So the line is laid through the cost of
 * as many rows as the query will want, with the slope of the first thousands.
 *
 * What reading the value of a row costs, for an exact scan or to put results in order, the
 * support function of the distance says (src/type/dense_cost.c).
 */
#include "postgres.h"

#include <math.h>

#include "access/genam.h"
#include "utils/float.h"
#include "utils/selfuncs.h"

#include "hnsw/pages.h"

/* How far a scan that goes on usually gets. */
#define USUAL_EF 1000

/*
 * Nodes that a search of n nodes computes the distance to for each of ef results: the
 * links of one node on level 0, of which the more have been seen before the larger ef is against n.
 * The factor is fitted to searches of 1,000 to 200,000 nodes.
 */
static double
EvaluatedPerResult(double n, int m, int ef)
{
	double		fresh = 0.55 * log(Max(n, 1)) / (log(m) * (1 + log(ef)));

	return 2.0 * m * fresh;
}

/* For all of them, and for a few steps on each upper level. */
static double
EvaluatedNodes(double n, int m, int ef)
{
	double		levels = floor(log(Max(n, 1)) / log(m));

	return Min(levels * m + ef * EvaluatedPerResult(n, m, ef), n);
}

/* How many rows the scan has to return until those that pass the filter are enough. */
static double
WantedRows(PlannerInfo *root, const RelOptInfo *table, double n)
{
	if (root->limit_tuples <= 0)
		return n;
	return Min(root->limit_tuples * n / Max(table->rows, 1), n);
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
	double		node_cost;
	double		row_cost;
	int			m;

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
	m = IndexM(info->indexoid);
	node_cost = costs.indexTotalCost / Max(info->tuples, 1);
	/* a scan that never goes on opens no node for a row beyond the first ef_search */
	row_cost = node_cost * (settings.iterative_scan == HNSW_ITERATIVE_OFF ? 1 :
							EvaluatedPerResult(info->tuples, m, USUAL_EF));
	*startup_cost = node_cost * EvaluatedNodes(info->tuples, m, settings.ef_search) -
		row_cost * Min(WantedRows(root, info->rel, info->tuples), settings.ef_search);
	*startup_cost = Max(*startup_cost, node_cost);
	*total_cost = *startup_cost + row_cost * info->tuples;
	*selectivity = costs.indexSelectivity;
	*correlation = costs.indexCorrelation;
	*pages = costs.numIndexPages;
}
