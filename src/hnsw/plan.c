/*
 * plan.c: the distance that a plan computes and nobody reads.
 *
 * A query that is ordered by a distance has it as a column of its scan, even if it returns
 * the rows without it. The order comes from the index, so for each row the value is fetched,
 * from the toast table if it is large, and compared with the query's, for nothing. A null takes
 * the place of such a column.
 */
#include "postgres.h"

#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/planner.h"

#include "hnsw/hnsw.h"

static planner_hook_type previous_planner_hook = NULL;

static bool
IsOurs(Oid oid)
{
	Relation	index = index_open(oid, NoLock);
	bool		ours = index->rd_indam->amgettuple == hnswgettuple;

	index_close(index, NoLock);
	return ours;
}

/* The scan whose columns are those of the plan, and whose order nobody looks at again; or NULL. */
static IndexScan *
OrderedScan(Plan *plan)
{
	while (plan != NULL && IsA(plan, Limit) && ((Limit *) plan)->limitOption == LIMIT_OPTION_COUNT)
		plan = plan->lefttree;
	return plan != NULL && IsA(plan, IndexScan) && ((IndexScan *) plan)->indexorderby != NIL
		? (IndexScan *) plan
		: NULL;
}

/* In the plan of a whole query a junk column is only read by what is above the scan. */
static void
DropUnread(Plan *query)
{
	IndexScan  *scan = OrderedScan(query);
	ListCell   *column;
	ListCell   *of_scan;

	if (scan == NULL || list_length(query->targetlist) != list_length(scan->scan.plan.targetlist))
		return;
	forboth(column, query->targetlist, of_scan, scan->scan.plan.targetlist)
	{
		TargetEntry *entry = lfirst(of_scan);

		if (((TargetEntry *) lfirst(column))->resjunk &&
			list_member(scan->indexorderbyorig, entry->expr) && IsOurs(scan->indexid))
			entry->expr = (Expr *) makeNullConst(exprType((Node *) entry->expr),
												 exprTypmod((Node *) entry->expr),
												 exprCollation((Node *) entry->expr));
	}
}

/* The same in the queries that are a part of this plan. */
static void
DropUnreadBelow(Plan *plan)
{
	ListCell   *cell;

	if (plan == NULL)
		return;
	check_stack_depth();
	if (IsA(plan, SubqueryScan))
	{
		DropUnread(((SubqueryScan *) plan)->subplan);
		DropUnreadBelow(((SubqueryScan *) plan)->subplan);
	}
	else if (IsA(plan, Append))
	{
		foreach(cell, ((Append *) plan)->appendplans)
			DropUnreadBelow(lfirst(cell));
	}
	DropUnreadBelow(plan->lefttree);
	DropUnreadBelow(plan->righttree);
}

static PlannedStmt *
PlanQuery(Query *query, const char *source, int options, ParamListInfo parameters)
{
	planner_hook_type plan = previous_planner_hook != NULL ? previous_planner_hook : standard_planner;
	PlannedStmt *planned = plan(query, source, options, parameters);
	ListCell   *cell;

	DropUnread(planned->planTree);
	DropUnreadBelow(planned->planTree);
	foreach(cell, planned->subplans)
	{
		DropUnread(lfirst(cell));
		DropUnreadBelow(lfirst(cell));
	}
	return planned;
}

void
RagPlanInit(void)
{
	previous_planner_hook = planner_hook;
	planner_hook = PlanQuery;
}
