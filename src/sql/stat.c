/*
 * stat.c: what the models are doing, for the views rag.stat_activity and rag.stat_model.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/pg_authid.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/jsonb.h"
#include "utils/timestamp.h"

#include "rag.h"
#include "serve/activity.h"
#include "serve/client.h"

PG_FUNCTION_INFO_V1(rag_stat_get_activity);
PG_FUNCTION_INFO_V1(rag_stat_engine);
PG_FUNCTION_INFO_V1(rag_engine_statistics);

#define ACTIVITY_COLUMNS 10

static const char *
ActivityRequest(uint32 request)
{
	switch (request)
	{
		case PROTOCOL_LOAD:
			return "load";
		case PROTOCOL_UNLOAD:
			return "unload";
		case PROTOCOL_EMBED:
			return "embed";
		case PROTOCOL_RERANK:
			return "rerank";
		case PROTOCOL_COUNT:
			return "token_count";
		case PROTOCOL_GENERATE:
			return "generate";
		default:
			return "statistics";
	}
}

/* As in pg_stat_activity: what a session does is shown to its own role and to monitors. */
static bool
ActivityVisible(Oid role)
{
	return has_privs_of_role(GetUserId(), role) ||
		has_privs_of_role(GetUserId(), ROLE_PG_READ_ALL_STATS);
}

static Datum
ActivityRow(const Activity *activity, TupleDesc columns)
{
	Datum		values[ACTIVITY_COLUMNS];
	bool		nulls[ACTIVITY_COLUMNS] = {false};
	bool		visible = ActivityVisible(activity->role);

	values[0] = Int32GetDatum(activity->pid);
	values[1] = ObjectIdGetDatum(activity->database);
	values[2] = ObjectIdGetDatum(activity->role);
	values[3] = CStringGetTextDatum(ActivityRequest(activity->request));
	values[4] = CStringGetTextDatum(visible ? activity->model : "");
	nulls[4] = !visible || activity->model[0] == '\0';
	values[5] = TimestampTzGetDatum(activity->started);
	values[6] = Int64GetDatum(activity->sent);
	values[7] = Int64GetDatum(activity->finished);
	values[8] = Int64GetDatum(activity->prompt_tokens);
	values[9] = Int64GetDatum(activity->generated_tokens);
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
