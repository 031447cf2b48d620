/*
 * generate.c: generate() of a prompt, of a conversation, of many prompts.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "lib/stringinfo.h"
#include "utils/array.h"
#include "utils/builtins.h"

#include "sql/generate.h"

PG_FUNCTION_INFO_V1(rag_generate);
PG_FUNCTION_INFO_V1(rag_generate_messages);
PG_FUNCTION_INFO_V1(rag_generate_array);

void
GenerateTakeCall(FunctionCallInfo fcinfo, GenerateCall *call)
{
	memset(call, 0, sizeof(GenerateCall));
	SamplingTake(fcinfo, call);
	if (!PG_ARGISNULL(ARGUMENT_SYSTEM))
	{
		text	   *string = PG_GETARG_TEXT_PP(ARGUMENT_SYSTEM);

		call->system = (ClientText) {VARDATA_ANY(string), VARSIZE_ANY_EXHDR(string)};
	}
	call->model = ModelForCall(ModelTextArgument(fcinfo, ARGUMENT_MODEL), MODEL_GENERATION);
}

uint32
GenerateSend(ClientSession *session, const GenerateCall *call, const MessageList *list, bool stream)
{
	protocol_sampling sampling = call->sampling;
	ClientRequest request = {
		.type = PROTOCOL_GENERATE,
		.model = &call->model->client,
		.priority = call->priority,
		.sampling = &sampling,
		.stop_count = call->stop_count,
		.stops = call->stops,
		.message_count = list->count,
		.messages = list->messages,
	};

	if (stream)
		sampling.flags |= PROTOCOL_GENERATE_STREAM;
	return ClientSend(session, &request);
}

static Datum
GenerateOne(const GenerateCall *call, const MessageList *list)
{
	ClientSession *session = ClientOpen(PROTOCOL_GENERATE, call->model->client.name);
	StringInfoData answer;
	ClientReply reply;

	initStringInfo(&answer);
	GenerateSend(session, call, list, false);
	while (ClientReceive(session, &reply))
	{
		if (reply.type == PROTOCOL_PIECE)
			appendBinaryStringInfo(&answer, reply.text.data, (int) reply.text.length);
	}
	ClientClose(session);
	return PointerGetDatum(cstring_to_text_with_len(answer.data, answer.len));
}

/* generate(prompt text, ...) */
Datum
rag_generate(PG_FUNCTION_ARGS)
{
	GenerateCall call;
	MessageList list;

	if (PG_ARGISNULL(ARGUMENT_INPUT))
		PG_RETURN_NULL();
	GenerateTakeCall(fcinfo, &call);
	list = MessagesOfPrompt(&call, PG_GETARG_DATUM(ARGUMENT_INPUT));
	return GenerateOne(&call, &list);
}

/* generate(messages jsonb | json, ...) */
Datum
rag_generate_messages(PG_FUNCTION_ARGS)
{
	GenerateCall call;
	MessageList list;

	if (PG_ARGISNULL(ARGUMENT_INPUT))
		PG_RETURN_NULL();
	GenerateTakeCall(fcinfo, &call);
	list = MessagesOfJson(&call, MessagesArgument(fcinfo));
	return GenerateOne(&call, &list);
}

/*
 * The answers to all prompts that are not null. As many requests as a session may have
 * are in flight: the engine computes them as one batch.
 */
static void
GenerateMany(const GenerateCall *call, const Datum *prompts, const bool *nulls, int count,
			 StringInfoData *answers)
{
	ClientSession *session = ClientOpen(PROTOCOL_GENERATE, call->model->client.name);
	int		   *prompt_of = palloc(sizeof(int) * (count + 1));
	int			next = 0;
	ClientReply reply;

	for (;;)
	{
		for (; next < count && ClientOpenCount(session) < CLIENT_MAX_OPEN; next++)
		{
			MessageList list;

			if (nulls[next])
				continue;
			list = MessagesOfPrompt(call, prompts[next]);
			prompt_of[GenerateSend(session, call, &list, false)] = next;
		}
		if (!ClientReceive(session, &reply))
			break;
		if (reply.type == PROTOCOL_PIECE)
			appendBinaryStringInfo(&answers[prompt_of[reply.request]], reply.text.data,
								   (int) reply.text.length);
	}
	ClientClose(session);
}

/* generate(prompts text[], ...) */
Datum
rag_generate_array(PG_FUNCTION_ARGS)
{
	GenerateCall call;
	ArrayType  *prompts;
	StringInfoData *answers;
	Datum	   *values;
	bool	   *nulls;
	int			count;
	int			lower = 1;

	if (PG_ARGISNULL(ARGUMENT_INPUT))
		PG_RETURN_NULL();
	GenerateTakeCall(fcinfo, &call);
	prompts = PG_GETARG_ARRAYTYPE_P(ARGUMENT_INPUT);
	if (ARR_NDIM(prompts) > 1)
		ereport(ERROR,
				(errcode(ERRCODE_ARRAY_SUBSCRIPT_ERROR), errmsg("prompts must be a one-dimensional array")));
	deconstruct_array(prompts, TEXTOID, -1, false, TYPALIGN_INT, &values, &nulls, &count);
	if (count == 0)
		PG_RETURN_ARRAYTYPE_P(construct_empty_array(TEXTOID));

	answers = palloc(sizeof(StringInfoData) * count);
	for (int i = 0; i < count; i++)
		initStringInfo(&answers[i]);
	GenerateMany(&call, values, nulls, count, answers);
	for (int i = 0; i < count; i++)
	{
		if (!nulls[i])
			values[i] = PointerGetDatum(cstring_to_text_with_len(answers[i].data, answers[i].len));
	}
	PG_RETURN_ARRAYTYPE_P(construct_md_array(values, nulls, 1, &count, &lower, TEXTOID, -1, false,
											 TYPALIGN_INT));
}
