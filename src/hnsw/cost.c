/*
 * cost.c: what the planner should expect of a scan.
 *
 * Before the first row is returned a search computes the distances of some nodes. After
 * ef_search rows an iterative scan goes on, at a price per row that falls slowly, the
 * farther it gets. The planner knows two costs only, that of the first row and that of the last,
 * and takes those between from a straight line. So the line is laid through the cost of
 * as many rows as the query will want, with the slope of the first thousands. If the scan would
 * not find as many before it ends, it is the last resort.
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

/* More than that of any other way, less than that of what is disabled (before 18). */
#define COST_OF_A_SHORT_ANSWER 1.0e9

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

/*
 * Nodes that a scan which goes on evaluates for each row. If it is not known how many rows are
 * wanted (LIMIT $1, a cursor), the planner takes a tenth of them all, but who asks for the
 * nearest wants few: then as little is counted as it can be. So it is if a scan never goes on.
 */
static double
EvaluatedGoingOn(const PlannerInfo *root, const HnswSettings *settings, double n, int m)
{
	bool		is_tenth = root->limit_tuples < 0 && root->tuple_fraction > 0 && root->tuple_fraction < 1;

	if (is_tenth || settings->iterative_scan == HNSW_ITERATIVE_OFF)
		return 1;
	return EvaluatedPerResult(n, m, USUAL_EF);
}

/* How many rows the scan has to return until those that pass the filter are enough. */
static double
WantedRows(const PlannerInfo *root, const RelOptInfo *table, double n)
{
	if (root->limit_tuples <= 0)
		return n;
	return Min(root->limit_tuples * n / Max(table->rows, 1), n);
}

/* Would a scan end at its bound before it has found what the query wants? */
static bool
EndsTooSoon(const PlannerInfo *root, const HnswSettings *settings, double wanted)
{
	return root->limit_tuples > 0 && settings->iterative_scan != HNSW_ITERATIVE_OFF &&
		wanted > settings->max_scan_tuples;
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
	double		n = path->indexinfo->tuples;
	double		node_cost;
	double		row_cost;
	double		wanted;
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
	wanted = WantedRows(root, info->rel, n);
	node_cost = costs.indexTotalCost / Max(n, 1);
	row_cost = node_cost * EvaluatedGoingOn(root, &settings, n, m);
	*startup_cost = node_cost * EvaluatedNodes(n, m, settings.ef_search) -
		row_cost * Min(wanted, settings.ef_search);
	*startup_cost = Max(*startup_cost, node_cost);
	if (EndsTooSoon(root, &settings, wanted))
		*startup_cost += COST_OF_A_SHORT_ANSWER;
	*total_cost = *startup_cost + row_cost * n;
	*selectivity = costs.indexSelectivity;
	*correlation = costs.indexCorrelation;
	*pages = costs.numIndexPages;
}
