/*
 * dense_cost.c: what the planner should expect of a distance.
 *
 * To the planner every function costs the same, and a value out of line costs nothing:
 * an exact scan of a table whose vectors are all in its toast table would look like one of
 * the few pages that are left of it, and cheaper than any index.
 */
#include "postgres.h"

#include "access/detoast.h"
#include "access/heaptoast.h"
#include "access/htup_details.h"
#include "nodes/pathnodes.h"
#include "nodes/supportnodes.h"
#include "optimizer/cost.h"
#include "optimizer/optimizer.h"
#include "utils/lsyscache.h"

#include "rag.h"
#include "type/dense.h"

/* In units of cpu_operator_cost: dimensions for one, and what finding a value takes. */
#define DIMENSIONS_PER_OPERATOR 8
#define LOOKUP_OPERATORS 400

/* The mean size of a column's values in its table, 0 when that is not known. */
static int32
stored_width(PlannerInfo *root, const Var *var)
{
	RangeTblEntry *entry;

	if (IS_SPECIAL_VARNO(var->varno) || var->varno >= root->simple_rel_array_size)
		return 0;
	entry = root->simple_rte_array[var->varno];
	if (entry == NULL || entry->rtekind != RTE_RELATION)
		return 0;
	return get_attavgwidth(entry->relid, var->varattno);
}

/* What it costs to read a column's value, and to compute the distance from it. */
static Cost
column_cost(PlannerInfo *root, const Var *var, const DenseType *type)
{
	int32		width = stored_width(root, var);
	bool		declared = var->vartypmod >= 1 && var->vartypmod <= type->max_dim;
	Size		size = declared ? DENSE_SIZE(type, var->vartypmod)
		: width > TOAST_POINTER_SIZE ? width : TOAST_TUPLE_TARGET;
	Cost		cost = cpu_operator_cost * (size / type->element_size) / DIMENSIONS_PER_OPERATOR;

	/* all that is left in the table, or will be when there is something in it */
	if (width == TOAST_POINTER_SIZE || (width == 0 && size > TOAST_TUPLE_TARGET))
		cost += cpu_operator_cost * LOOKUP_OPERATORS +
			cpu_tuple_cost * ((double) size / TOAST_MAX_CHUNK_SIZE) +
			seq_page_cost * ((double) size / BLCKSZ);
	return cost;
}

/* The support function of the distances. */
static Datum
dense_distance_support(FunctionCallInfo fcinfo, const DenseType *type)
{
	SupportRequestCost *request = (SupportRequestCost *) PG_GETARG_POINTER(0);
	List	   *columns;
	ListCell   *cell;

	if (!IsA(request, SupportRequestCost) || request->root == NULL || request->node == NULL)
		PG_RETURN_POINTER(NULL);
	columns = pull_var_clause(request->node, PVC_RECURSE_AGGREGATES | PVC_RECURSE_WINDOWFUNCS |
							  PVC_RECURSE_PLACEHOLDERS);
	request->startup = 0;
	request->per_tuple = cpu_operator_cost;
	foreach(cell, columns)
	{
		const Var  *var = lfirst_node(Var, cell);

		if (var->varlevelsup == 0 && get_typlen(var->vartype) == -1)
			request->per_tuple += column_cost(request->root, var, type);
	}
	list_free(columns);
	PG_RETURN_POINTER(request);
}
DENSE_FUNCTION(distance_support)
