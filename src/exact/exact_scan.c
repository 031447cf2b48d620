/*
 * exact_scan.c: the executor's part: all rows of the child are read once, of which the
 * nearest are kept in a heap, the farthest of them on top. A row that is farther than
 * that one is forgotten before anything of it is copied.
 */
#include "postgres.h"

#include "commands/explain.h"
#include "executor/executor.h"
#include "lib/binaryheap.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "utils/float.h"
#include "utils/memutils.h"
#include "utils/ruleutils.h"

#include "rag.h"
#include "exact/ahead.h"
#include "exact/exact.h"

/* A distance as an integer of the same order: NaN after all numbers, NULL after NaN. */
typedef uint64 ExactRank;

#define RANK_OF_NULL PG_UINT64_MAX
#define RANK_OF_NAN (PG_UINT64_MAX - 1)

typedef struct KeptRow
{
	ExactRank	rank;
	MinimalTuple tuple;
} KeptRow;

typedef struct ExactState
{
	CustomScanState custom;		/* first: what PostgreSQL knows of it */
	int			limit;
	int			column;			/* as in ExactOrder */
	PlanState  *child;
	Oid			function_id;
	FmgrInfo	function;
	FunctionCallInfo call;
	ExprState  *arguments[2];
	MemoryContext context;		/* of what is kept, reset for each scan */
	binaryheap *heap;			/* of KeptRow, the farthest first; NULL: not scanned yet */
	KeptRow   **rows;			/* when all are there: the nearest first */
	int			count;
	int			returned;
	TupleTableSlot *slot;		/* for the row that is being returned */
} ExactState;

/* ---- custom_private ---- */

List *
ExactMakePrivate(const ExactOrder *order, int limit)
{
	return list_make3(makeInteger(limit), makeInteger(order->column),
					  makeConst(OIDOID, -1, InvalidOid, sizeof(Oid), ObjectIdGetDatum(order->function),
								false, true));
}

static Node *CreateScanState(CustomScan *scan);

const CustomScanMethods ExactScanMethods = {
	.CustomName = "ExactNearest",
	.CreateCustomScanState = CreateScanState,
};

/* ---- distances ---- */

static ExactRank
RankOf(double distance)
{
	uint64		bits;

	if (isnan(distance))
		return RANK_OF_NAN;
	distance += 0.0;			/* -0 is 0 */
	memcpy(&bits, &distance, sizeof(bits));
	return (bits >> 63) != 0 ? ~bits : bits | (UINT64CONST(1) << 63);
}

static inline ExactRank
RankRow(ExactState *state, TupleTableSlot *row)
{
	ExprContext *context = state->custom.ss.ps.ps_ExprContext;
	MemoryContext old = MemoryContextSwitchTo(context->ecxt_per_tuple_memory);
	FunctionCallInfo call = state->call;
	NullableDatum *value = &call->args[state->column];
	ExactRank	rank = RANK_OF_NULL;

	ResetExprContext(context);
	context->ecxt_scantuple = row;
	value->value = ExecEvalExpr(state->arguments[state->column], context, &value->isnull);
	if (!value->isnull && !call->args[1 - state->column].isnull)
	{
		Datum		distance;

		call->isnull = false;
		distance = FunctionCallInvoke(call);
		if (!call->isnull)
			rank = RankOf(DatumGetFloat8(distance));
	}
	MemoryContextSwitchTo(old);
	return rank;
}

/* The value that all rows are compared with. */
static void
EvaluateValue(ExactState *state, ExprContext *context)
{
	int			n = 1 - state->column;
	NullableDatum *value = &state->call->args[n];

	value->value = ExecEvalExprSwitchContext(state->arguments[n], context, &value->isnull);
	if (!value->isnull)
	{
		MemoryContext old = MemoryContextSwitchTo(state->context);

		value->value = PointerGetDatum(PG_DETOAST_DATUM_COPY(value->value));
		MemoryContextSwitchTo(old);
	}
}

/* ---- the scan ---- */

static int
CompareRows(Datum a, Datum b, void *argument)
{
	ExactRank	x = ((const KeptRow *) DatumGetPointer(a))->rank;
	ExactRank	y = ((const KeptRow *) DatumGetPointer(b))->rank;

	return x < y ? -1 : x > y;
}

static void
KeepRow(ExactState *state, ExactRank rank, TupleTableSlot *slot)
{
	MemoryContext old = MemoryContextSwitchTo(state->context);
	bool		full = state->heap->bh_size == state->limit;
	KeptRow    *row;

	if (full)
	{
		row = (KeptRow *) DatumGetPointer(binaryheap_first(state->heap));
		pfree(row->tuple);
	}
	else
		row = palloc(sizeof(KeptRow));
	row->rank = rank;
	row->tuple = ExecCopySlotMinimalTuple(slot);
	if (full)
		binaryheap_replace_first(state->heap, PointerGetDatum(row));
	else
		binaryheap_add(state->heap, PointerGetDatum(row));
	MemoryContextSwitchTo(old);
}

/* Of equal distances the row that came first stays, as good as any other. */
static void
ReadRows(ExactState *state)
{
	ExactRank	farthest = PG_UINT64_MAX;
	Ahead		ahead;
	TupleTableSlot *slot;

	AheadInit(&ahead, state->child);
	while (slot = ExecProcNode(state->child), !TupIsNull(slot))
	{
		bool		full = state->heap->bh_size == state->limit;
		ExactRank	rank;

		AheadLoad(&ahead);
		rank = RankRow(state, slot);
		CHECK_FOR_INTERRUPTS();
		if (full && rank >= farthest)
			continue;
		KeepRow(state, rank, slot);
		farthest = ((KeptRow *) DatumGetPointer(binaryheap_first(state->heap)))->rank;
	}
}

static void
FindNearest(ExactState *state)
{
	MemoryContext old = MemoryContextSwitchTo(state->context);

	state->heap = binaryheap_allocate(state->limit, CompareRows, NULL);
	MemoryContextSwitchTo(old);
	EvaluateValue(state, state->custom.ss.ps.ps_ExprContext);
	ReadRows(state);
	state->count = state->heap->bh_size;
	state->rows = MemoryContextAlloc(state->context, sizeof(KeptRow *) * Max(state->count, 1));
	for (int i = state->count; i-- > 0;)
		state->rows[i] = (KeptRow *) DatumGetPointer(binaryheap_remove_first(state->heap));
}

/* The next row in the scan slot, whose columns are those of the child's. */
static TupleTableSlot *
NextRow(ExactState *state)
{
	TupleTableSlot *scan_slot = state->custom.ss.ss_ScanTupleSlot;
	int			columns = scan_slot->tts_tupleDescriptor->natts;

	ExecClearTuple(scan_slot);
	if (state->returned == state->count)
		return scan_slot;
	ExecStoreMinimalTuple(state->rows[state->returned++]->tuple, state->slot, false);
	slot_getallattrs(state->slot);
	memcpy(scan_slot->tts_values, state->slot->tts_values, columns * sizeof(Datum));
	memcpy(scan_slot->tts_isnull, state->slot->tts_isnull, columns * sizeof(bool));
	return ExecStoreVirtualTuple(scan_slot);
}

static TupleTableSlot *
ExecExact(CustomScanState *node)
{
	ExactState *state = (ExactState *) node;
	ProjectionInfo *projection = node->ss.ps.ps_ProjInfo;
	TupleTableSlot *slot;

	if (state->heap == NULL)
		FindNearest(state);
	slot = NextRow(state);
	if (projection == NULL)
		return slot;
	if (TupIsNull(slot))
		return ExecClearTuple(projection->pi_state.resultslot);
	ResetExprContext(node->ss.ps.ps_ExprContext);
	node->ss.ps.ps_ExprContext->ecxt_scantuple = slot;
	return ExecProject(projection);
}

/* ---- the node's life ---- */

static void
BeginExact(CustomScanState *node, EState *estate, int flags)
{
	ExactState *state = (ExactState *) node;
	PlanState  *plan = &node->ss.ps;
	CustomScan *scan = castNode(CustomScan, plan->plan);
	Node	   *call = linitial(scan->custom_exprs);
	List	   *arguments = IsA(call, OpExpr) ? ((OpExpr *) call)->args : ((FuncExpr *) call)->args;

	state->child = ExecInitNode(linitial(scan->custom_plans), estate, flags);
	node->custom_ps = list_make1(state->child);
	state->slot = ExecInitExtraTupleSlot(estate, ExecGetResultType(state->child), &TTSOpsMinimalTuple);
	/* arguments are computed from the child's slots, of which kind they may be */
	plan->scanops = NULL;
	plan->scanopsfixed = false;
	for (int i = 0; i < 2; i++)
		state->arguments[i] = ExecInitExpr(list_nth(arguments, i), plan);
	fmgr_info(state->function_id, &state->function);
	fmgr_info_set_expr(call, &state->function);
	state->call = palloc0(SizeForFunctionCallInfo(2));
	InitFunctionCallInfoData(*state->call, &state->function, 2, exprInputCollation(call), NULL, NULL);
	state->context = AllocSetContextCreate(CurrentMemoryContext, "exact nearest rows",
										   ALLOCSET_DEFAULT_SIZES);
}

/* Forgets what was found, so that the next call scans. */
static void
Forget(ExactState *state)
{
	ExecClearTuple(state->custom.ss.ss_ScanTupleSlot);
	ExecClearTuple(state->slot);
	MemoryContextReset(state->context);
	state->heap = NULL;
	state->rows = NULL;
	state->count = state->returned = 0;
}

static void
EndExact(CustomScanState *node)
{
	ExactState *state = (ExactState *) node;

	Forget(state);
	ExecEndNode(state->child);
}

static void
RescanExact(CustomScanState *node)
{
	ExactState *state = (ExactState *) node;

	Forget(state);
	if (node->ss.ps.chgParam != NULL)
		UpdateChangedParamSet(state->child, node->ss.ps.chgParam);
	/* else the first call of the child does it */
	if (state->child->chgParam == NULL)
		ExecReScan(state->child);
}

static void
ExplainExact(CustomScanState *node, List *ancestors, ExplainState *explain)
{
	ExactState *state = (ExactState *) node;
	CustomScan *scan = castNode(CustomScan, node->ss.ps.plan);
	List	   *context = set_deparse_context_plan(explain->deparse_cxt, node->ss.ps.plan, ancestors);
	bool		prefix = list_length(explain->rtable) > 1 || explain->verbose;

	ExplainPropertyText("Distance", deparse_expression(linitial(scan->custom_exprs), context, prefix, false),
						explain);
	ExplainPropertyInteger("Nearest Rows", NULL, state->limit, explain);
}

static const CustomExecMethods exec_methods = {
	.CustomName = "ExactNearest",
	.BeginCustomScan = BeginExact,
	.ExecCustomScan = ExecExact,
	.EndCustomScan = EndExact,
	.ReScanCustomScan = RescanExact,
	.ExplainCustomScan = ExplainExact,
};

static Node *
CreateScanState(CustomScan *scan)
{
	ExactState *state = palloc0(sizeof(ExactState));

	NodeSetTag(state, T_CustomScanState);
	state->custom.methods = &exec_methods;
	state->limit = intVal(linitial(scan->custom_private));
	state->column = intVal(lsecond(scan->custom_private));
	state->function_id = DatumGetObjectId(lthird_node(Const, scan->custom_private)->constvalue);
	return (Node *) state;
}
