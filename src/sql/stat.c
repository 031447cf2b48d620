/*
 * stat.c: what the models are doing, for the views rag.stat_activity, rag.stat_model, rag.stat_role.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/pg_authid.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/jsonb.h"
#include "utils/timestamp.h"

#include "rag.h"
#include "serve/activity.h"
#include "serve/client.h"

PG_FUNCTION_INFO_V1(rag_stat_get_activity);
PG_FUNCTION_INFO_V1(rag_stat_engine);
PG_FUNCTION_INFO_V1(rag_engine_statistics);
PG_FUNCTION_INFO_V1(rag_stat_reset);
PG_FUNCTION_INFO_V1(rag_latency_quantile);

#define ACTIVITY_COLUMNS 15

/* As in pg_stat_activity: what a session does is shown to its own role and to monitors. */
static bool
ActivityVisible(Oid role)
{
	return has_privs_of_role(GetUserId(), role) ||
		has_privs_of_role(GetUserId(), ROLE_PG_READ_ALL_STATS);
}

static const char *
ActivityState(const Activity *activity)
{
	if (activity->sent == activity->finished)
		return "idle";
	if (activity->running > 0)
		return "running";
	return activity->request == PROTOCOL_LOAD ? "loading" : "waiting";
}

static Datum
ActivityRow(const Activity *activity, TupleDesc columns)
{
	Datum		values[ACTIVITY_COLUMNS];
	bool		nulls[ACTIVITY_COLUMNS] = {false};
	bool		visible = ActivityVisible(activity->role);
	const char *state = ActivityState(activity);
	const ActivityUsage *done = &activity->finished_usage;
	const ActivityUsage *now = &activity->running_usage;
	double		queue = (done->queue_us + now->queue_us) / 1000.0;

	if (strcmp(state, "waiting") == 0)
		queue += TimestampDifferenceMilliseconds(activity->last_sent, GetCurrentTimestamp());
	values[0] = Int32GetDatum(activity->pid);
	values[1] = ObjectIdGetDatum(activity->database);
	values[2] = ObjectIdGetDatum(activity->role);
	values[3] = CStringGetTextDatum(ActivityRequestName(activity->request));
	values[4] = CStringGetTextDatum(visible ? activity->model : "");
	nulls[4] = !visible || activity->model[0] == '\0';
	values[5] = CStringGetTextDatum(state);
	values[6] = TimestampTzGetDatum(activity->started);
	values[7] = Int64GetDatum(activity->sent);
	values[8] = Int64GetDatum(activity->finished);
	values[9] = Int64GetDatum(activity->running);
	values[10] = Int64GetDatum(done->prompt_tokens + now->prompt_tokens);
	values[11] = Int64GetDatum(done->cached_tokens + now->cached_tokens);
	values[12] = Int64GetDatum(done->generated_tokens + now->generated_tokens);
	values[13] = Float8GetDatum(queue);
	values[14] = Float8GetDatum((done->compute_us + now->compute_us) / 1000.0);
	return HeapTupleGetDatum(heap_form_tuple(columns, values, nulls));
}

/* rag.stat_get_activity() */
Datum
rag_stat_get_activity(PG_FUNCTION_ARGS)
{
	FuncCallContext *context;
	ActivityList *list;
	Datum		row;

	if (SRF_IS_FIRSTCALL())
	{
		MemoryContext before;
		TupleDesc	columns;

		context = SRF_FIRSTCALL_INIT();
		before = MemoryContextSwitchTo(context->multi_call_memory_ctx);
		if (get_call_result_type(fcinfo, NULL, &columns) != TYPEFUNC_COMPOSITE)
			elog(ERROR, "return type must be a row type");
		context->tuple_desc = BlessTupleDesc(columns);
		context->user_fctx = ActivityCollect();
		MemoryContextSwitchTo(before);
	}
	context = SRF_PERCALL_SETUP();
	list = context->user_fctx;
	if (context->call_cntr >= list->count)
		SRF_RETURN_DONE(context);
	/* made before SRF_RETURN_NEXT, which advances call_cntr first */
	row = ActivityRow(&list->activity[context->call_cntr], context->tuple_desc);
	SRF_RETURN_NEXT(context, row);
}

/* rag.stat_engine() */
Datum
rag_stat_engine(PG_FUNCTION_ARGS)
{
	TupleDesc	columns;
	int			pids[2];
	Datum		values[2];
	bool		nulls[2];

	ActivityProcesses(&pids[0], &pids[1]);
	if (get_call_result_type(fcinfo, NULL, &columns) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	for (int i = 0; i < 2; i++)
	{
		values[i] = Int32GetDatum(pids[i]);
		nulls[i] = pids[i] == 0;
	}
	return HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(columns), values, nulls));
}

/* rag.engine_statistics() */
Datum
rag_engine_statistics(PG_FUNCTION_ARGS)
{
	ClientSession *session = ClientOpen(PROTOCOL_STATS, "");
	ClientRequest request = {.type = PROTOCOL_STATS};
	ClientReply reply;
	Datum		statistics;

	ClientSend(session, &request);
	if (!ClientReceive(session, &reply) || reply.type != PROTOCOL_STATISTICS)
		elog(ERROR, "unexpected reply %d to a request for statistics", reply.type);
	statistics = DirectFunctionCall1(jsonb_in, CStringGetDatum(pnstrdup(reply.text.data, reply.text.length)));
	ClientClose(session);
	PG_RETURN_DATUM(statistics);
}

/* rag.stat_reset() */
Datum
rag_stat_reset(PG_FUNCTION_ARGS)
{
	ClientSession *session = ClientOpen(PROTOCOL_RESET, "");
	ClientRequest request = {.type = PROTOCOL_RESET};
	ClientReply reply;

	ClientSend(session, &request);
	while (ClientReceive(session, &reply))
		;
	ClientClose(session);
	PG_RETURN_VOID();
}

/* Upper bounds in milliseconds of the counts of a histogram, but the last (engine/meter.h). */
static const double latency_bounds[] = {
	1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10000, 20000, 50000
};

/*
 * rag.latency_quantile(counts bigint[], q double precision): within its bound a count is taken
 * to be spread evenly; what is beyond the last bound counts as the bound.
 */
Datum
rag_latency_quantile(PG_FUNCTION_ARGS)
{
	ArrayType  *array = PG_GETARG_ARRAYTYPE_P(0);
	double		q = PG_GETARG_FLOAT8(1);
	const int64 *counts = (const int64 *) ARR_DATA_PTR(array);
	int			n = lengthof(latency_bounds) + 1;
	double		total = 0;
	double		below = 0;

	if (ARR_NDIM(array) != 1 || ARR_DIMS(array)[0] != n || ARR_HASNULL(array) || !(q >= 0 && q <= 1))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("a histogram of latencies has %d counts, and a quantile is between 0 and 1", n)));
	for (int i = 0; i < n; i++)
		total += counts[i];
	if (total <= 0)
		PG_RETURN_NULL();
	for (int i = 0; i < n - 1; i++)
	{
		double		low = i > 0 ? latency_bounds[i - 1] : 0;

		if (counts[i] > 0 && below + counts[i] >= q * total)
			PG_RETURN_FLOAT8(low + (latency_bounds[i] - low) * (q * total - below) / counts[i]);
		below += counts[i];
	}
	PG_RETURN_FLOAT8(latency_bounds[n - 2]);
}
