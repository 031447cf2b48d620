/*
 * stream.c: generate_stream(), a row per piece as it is made.
 *
 * Value per call: in a SELECT list or through a cursor a row appears when its piece
 * does. (A function in FROM is materialised by the executor first.) The session stays
 * open between the calls; a query that stops early closes it, which frees the model
 * at once.
 */
#include "postgres.h"

#include "funcapi.h"
#include "utils/builtins.h"

#include "sql/generate.h"

PG_FUNCTION_INFO_V1(rag_generate_stream);
PG_FUNCTION_INFO_V1(rag_generate_stream_messages);

typedef struct Stream
{
	ClientSession *session;		/* NULL when there is nothing more */
} Stream;

/* The query has stopped, perhaps before the end. (After an error src/serve closes the session.) */
static void
StreamShutdown(Datum argument)
{
	Stream	   *stream = (Stream *) DatumGetPointer(argument);

	if (stream->session != NULL)
		ClientClose(stream->session);
	stream->session = NULL;
}

static void
StreamBegin(FunctionCallInfo fcinfo, FuncCallContext *context, bool conversation)
{
	MemoryContext before = MemoryContextSwitchTo(context->multi_call_memory_ctx);
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	Stream	   *stream = palloc0(sizeof(Stream));
	GenerateCall call;
	MessageList list;

	context->user_fctx = stream;
	if (!PG_ARGISNULL(ARGUMENT_INPUT))
	{
		GenerateTakeCall(fcinfo, &call);
		if (conversation)
			list = MessagesOfJson(&call, MessagesArgument(fcinfo));
		else
			list = MessagesOfPrompt(&call, PG_GETARG_DATUM(ARGUMENT_INPUT));
		stream->session = ClientOpen(PROTOCOL_GENERATE, call.model->client.name);
		RegisterExprContextCallback(result->econtext, StreamShutdown, PointerGetDatum(stream));
		GenerateSend(stream->session, &call, &list, true);
	}
	MemoryContextSwitchTo(before);
}

static Datum
StreamNext(FunctionCallInfo fcinfo, bool conversation)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	FuncCallContext *context;
	Stream	   *stream;
	ClientReply reply;

	if (SRF_IS_FIRSTCALL())
		StreamBegin(fcinfo, SRF_FIRSTCALL_INIT(), conversation);
	context = SRF_PERCALL_SETUP();
	stream = context->user_fctx;
	while (stream->session != NULL && ClientReceive(stream->session, &reply))
	{
		if (reply.type == PROTOCOL_PIECE && reply.text.length > 0)
			SRF_RETURN_NEXT(context,
							PointerGetDatum(cstring_to_text_with_len(reply.text.data, (int) reply.text.length)));
	}
	if (stream->session != NULL)
		UnregisterExprContextCallback(result->econtext, StreamShutdown, PointerGetDatum(stream));
	StreamShutdown(PointerGetDatum(stream));
	SRF_RETURN_DONE(context);
}

/* generate_stream(prompt text, ...) */
Datum
rag_generate_stream(PG_FUNCTION_ARGS)
{
	return StreamNext(fcinfo, false);
}

/* generate_stream(messages jsonb | json, ...) */
Datum
rag_generate_stream_messages(PG_FUNCTION_ARGS)
{
	return StreamNext(fcinfo, true);
}
