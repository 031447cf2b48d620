/*
 * exact_path.c: the planner's part: when there is a path, and what it costs.
 *
 * A query that wants the k nearest rows of one table, and nothing else of it, can be given a
 * path which returns just these, in order. It stands on any other path of that table: a
 * sequential scan, or what an index leaves of a filter. So conditions,
 * row security and samples are as ever, and what this path sees are rows that count.
 */
#include "postgres.h"

#include <limits.h>
#include <math.h>

#include "access/stratnum.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/appendinfo.h"
#include "optimizer/clauses.h"
#include "optimizer/cost.h"
#include "optimizer/optimizer.h"
#include "optimizer/pathnode.h"
#include "optimizer/paths.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"

#include "rag.h"
#include "exact/exact.h"
#include "type/distances.h"

/* What a row that is kept needs beside its columns. */
#define ROW_OVERHEAD 64

static bool enable_exact_nearest = true;
static set_rel_pathlist_hook_type next_hook = NULL;

/* ---- does the query ask for this? ---- */

bool
ExactFindOrder(Expr *expression, ExactOrder *order)
{
	List	   *arguments;
	bool		depends[2];

	if (IsA(expression, OpExpr))
	{
		set_opfuncid((OpExpr *) expression);
		order->function = ((OpExpr *) expression)->opfuncid;
		arguments = ((OpExpr *) expression)->args;
	}
	else if (IsA(expression, FuncExpr))
	{
		order->function = ((FuncExpr *) expression)->funcid;
		arguments = ((FuncExpr *) expression)->args;
	}
	else
		return false;
	if (list_length(arguments) != 2 || !IsDistanceFunction(order->function))
		return false;
	for (int i = 0; i < 2; i++)
		depends[i] = contain_var_clause(list_nth(arguments, i));
	if (depends[0] == depends[1] || contain_volatile_functions((Node *) expression))
		return false;
	order->call = expression;
	order->column = depends[0] ? 0 : 1;
	return true;
}

/* The rows that are wanted, or 0 if it is not certain that no more will be. */
static int
WantedRows(const PlannerInfo *root, const RelOptInfo *rel)
{
	const Query *query = root->parse;
	const Node *offset = query->limitOffset;

	/* -1: rows are grouped, or otherwise not those that LIMIT counts */
	if (root->limit_tuples < 1 || root->limit_tuples > INT_MAX / 2)
		return 0;
	/* what is not constant was only estimated */
	if (!IsA(query->limitCount, Const) || (offset != NULL && !IsA(offset, Const)) ||
		query->limitOption != LIMIT_OPTION_COUNT)
		return 0;
	/* rows that turn out to be locked or changed are left out, and others come after them */
	if (query->commandType != CMD_SELECT || query->rowMarks != NIL || root->rowMarks != NIL)
		return 0;
	if (root->limit_tuples * (rel->reltarget->width + ROW_OVERHEAD) > work_mem * 1024.0)
		return 0;
	return (int) root->limit_tuples;
}

/* A table, materialized view or partition that alone makes the rows of the query. */
static bool
IsWholeQuery(const PlannerInfo *root, const RelOptInfo *rel, const RangeTblEntry *entry)
{
	if (entry->rtekind != RTE_RELATION || entry->inh || rel->fdwroutine != NULL)
		return false;
	if (rel->reloptkind == RELOPT_BASEREL)
		return bms_equal(rel->relids, root->all_baserels);
	return rel->reloptkind == RELOPT_OTHER_MEMBER_REL &&
		bms_equal(rel->top_parent_relids, root->all_baserels);
}

/* The expression of the table that the rows are ordered by, ascending and NULL last. */
static bool
FindOrder(PlannerInfo *root, RelOptInfo *rel, ExactOrder *order)
{
	bool		is_member = rel->reloptkind == RELOPT_OTHER_MEMBER_REL;
	PathKey    *key;
	ListCell   *cell;

	if (list_length(root->query_pathkeys) != 1)
		return false;
	key = linitial_node(PathKey, root->query_pathkeys);
	if (!RagPathKeyIsAscending(key) || key->pk_nulls_first || key->pk_eclass->ec_has_volatile)
		return false;
	foreach(cell, key->pk_eclass->ec_members)
	{
		EquivalenceMember *member = lfirst_node(EquivalenceMember, cell);
		Expr	   *expression = member->em_expr;

		if (member->em_is_child || !bms_equal(member->em_relids, root->all_baserels))
			continue;
		if (!ExactFindOrder(expression, order))
			continue;
		if (is_member)
			expression = (Expr *) RagTranslateForMember(root, (Node *) expression, rel);
		return !is_member || ExactFindOrder(expression, order);
	}
	return false;
}

/* ---- the path ---- */

static Plan *
PlanExact(PlannerInfo *root, RelOptInfo *rel, CustomPath *path, List *columns, List *clauses,
		  List *children)
{
	CustomScan *scan = makeNode(CustomScan);
	Plan	   *child = linitial(children);
	ExactOrder	order;
	bool		found PG_USED_FOR_ASSERTS_ONLY;

	found = ExactFindOrder(linitial(path->custom_private), &order);
	Assert(found);
	scan->scan.plan.targetlist = columns;
	scan->scan.scanrelid = rel->relid;
	scan->flags = path->flags;
	scan->custom_plans = children;
	scan->custom_exprs = list_make1(order.call);
	scan->custom_private = ExactMakePrivate(&order, intVal(lsecond(path->custom_private)));
	scan->custom_scan_tlist = copyObject(child->targetlist);
	scan->methods = &ExactScanMethods;
	return &scan->scan.plan;
}

static const CustomPathMethods path_methods = {
	.CustomName = "ExactNearest",
	.PlanCustomPath = PlanExact,
};

/* One distance and one comparison for each row, and the order of those that are left. */
static void
SetCosts(PlannerInfo *root, Path *path, const Path *child, const ExactOrder *order)
{
	QualCost	distance;

	cost_qual_eval_node(&distance, (Node *) order->call, root);
	path->startup_cost = child->total_cost + distance.startup +
		(distance.per_tuple + cpu_operator_cost) * child->rows +
		2 * cpu_operator_cost * path->rows * log2(path->rows + 1);
	path->total_cost = path->startup_cost + cpu_operator_cost * path->rows;
}

static Path *
MakePath(PlannerInfo *root, RelOptInfo *rel, Path *child, const ExactOrder *order, int wanted)
{
	CustomPath *path = makeNode(CustomPath);

	path->path.pathtype = T_CustomScan;
	path->path.parent = rel;
	path->path.pathtarget = rel->reltarget;
	path->path.parallel_safe = child->parallel_safe && is_parallel_safe(root, (Node *) order->call);
	path->path.parallel_workers = child->parallel_workers;
	path->path.rows = Min(wanted, child->rows);
	path->path.pathkeys = root->query_pathkeys;
	RagCopyDisabled(&path->path, child);
	SetCosts(root, &path->path, child, order);
	path->flags = RAG_CUSTOMPATH_PROJECTS;
	path->custom_paths = list_make1(child);
	path->custom_private = list_make2(order->call, makeInteger(wanted));
	path->methods = &path_methods;
	return &path->path;
}

/* The cheapest way to all rows. An index that finds by order returns only some of them. */
static Path *
CheapestOfAll(List *paths)
{
	Path	   *cheapest = NULL;
	ListCell   *cell;

	foreach(cell, paths)
	{
		Path	   *path = lfirst(cell);

		if (path->param_info != NULL || IsA(path, CustomPath) ||
			(IsA(path, IndexPath) && ((IndexPath *) path)->indexorderbys != NIL))
			continue;
		if (cheapest == NULL || compare_path_costs(path, cheapest, TOTAL_COST) < 0)
			cheapest = path;
	}
	return cheapest;
}

/* add_path() frees paths that a new one beats, which may be the one that this stands on: so it
 * stands on a copy. What a path has below it is never freed. NULL for kinds that tables have not. */
static Path *
CopyPath(const Path *path)
{
	Size		size;
	Path	   *copy;

	switch (nodeTag(path))
	{
		case T_Path:
			size = sizeof(Path);
			break;
		case T_IndexPath:
			size = sizeof(IndexPath);
			break;
		case T_BitmapHeapPath:
			size = sizeof(BitmapHeapPath);
			break;
		case T_TidPath:
			size = sizeof(TidPath);
			break;
		default:
			return NULL;
	}
	copy = palloc(size);
	memcpy(copy, path, size);
	return copy;
}

static void
AddPaths(PlannerInfo *root, RelOptInfo *rel, const ExactOrder *order, int wanted)
{
	Path	   *all = CheapestOfAll(rel->pathlist);
	Path	   *shared = CheapestOfAll(rel->partial_pathlist);

	if (all != NULL && (all = CopyPath(all)) != NULL)
		add_path(rel, MakePath(root, rel, all, order, wanted));
	/* each process finds its own nearest */
	if (shared != NULL && is_parallel_safe(root, (Node *) order->call) &&
		(shared = CopyPath(shared)) != NULL)
		add_partial_path(rel, MakePath(root, rel, shared, order, wanted));
}

static void
SetRelPathlist(PlannerInfo *root, RelOptInfo *rel, Index number, RangeTblEntry *entry)
{
	ExactOrder	order;
	int			wanted;

	if (next_hook != NULL)
		next_hook(root, rel, number, entry);
	if (!enable_exact_nearest || !enable_sort || IS_DUMMY_REL(rel) || !IsWholeQuery(root, rel, entry))
		return;
	wanted = WantedRows(root, rel);
	if (wanted > 0 && FindOrder(root, rel, &order))
		AddPaths(root, rel, &order, wanted);
}

void
RagExactInit(void)
{
	DefineCustomBoolVariable("rag.enable_exact_nearest",
							 "Enables the planner's use of exact nearest neighbour scans.",
							 "Without them, and with enable_sort off, rows that no index orders by distance are sorted.",
							 &enable_exact_nearest, true, PGC_USERSET, GUC_EXPLAIN, NULL, NULL, NULL);
	RegisterCustomScanMethods(&ExactScanMethods);
	next_hook = set_rel_pathlist_hook;
	set_rel_pathlist_hook = SetRelPathlist;
}
