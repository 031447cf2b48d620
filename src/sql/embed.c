/*
 * embed.c: embed() and token_count().
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"

#include "sql/embed_memory.h"
#include "sql/models.h"
#include "type/vector.h"

PG_FUNCTION_INFO_V1(rag_embed);
PG_FUNCTION_INFO_V1(rag_embed_with);
PG_FUNCTION_INFO_V1(rag_embed_array);
PG_FUNCTION_INFO_V1(rag_token_count);

/* Which prefix of the model goes before the text. */
static uint32
EmbedFlags(const char *kind)
{
	if (kind == NULL)
		return PROTOCOL_EMBED_PLAIN;
	if (strcmp(kind, "query") == 0)
		return PROTOCOL_EMBED_QUERY;
	if (strcmp(kind, "document") == 0)
		return PROTOCOL_EMBED_DOCUMENT;
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("unrecognized kind of text: \"%s\"", kind),
			 errhint("Kinds are \"query\" and \"document\".")));
}

/* How many elements are asked for: 0 for all. */
static uint32
EmbedDimensions(FunctionCallInfo fcinfo, int number, const CatalogModel *model)
{
	int			dimensions;

	if (PG_ARGISNULL(number))
		return 0;
	dimensions = PG_GETARG_INT32(number);
	if (dimensions < 1 || dimensions > model->dimensions)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("dimensions must be between 1 and %d, not %d", model->dimensions, dimensions),
				 errdetail("Model \"%s\" makes vectors of %d dimensions.", model->client.name,
						   model->dimensions)));
	return dimensions;
}

static ClientText
EmbedText(Datum value)
{
	text	   *input = DatumGetTextPP(value);

	return (ClientText) {VARDATA_ANY(input), VARSIZE_ANY_EXHDR(input)};
}

static Vector *
EmbedVector(const ClientReply *reply)
{
	Vector	   *vector;

	if (reply->count < 1 || reply->count > VECTOR_MAX_DIM)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("vector cannot have more than %d dimensions", VECTOR_MAX_DIM),
				 errdetail("The model makes vectors of %u dimensions.", reply->count)));
	vector = VectorMake((int) reply->count);
	memcpy(vector->x, reply->values, reply->count * sizeof(float));
	for (int i = 0; i < vector->dim; i++)
		DenseCheckElement(&VectorDense, vector->x[i], NULL);
	return vector;
}

/* Embeds all texts of the request; vectors[i] is that of texts[i]. */
static void
EmbedRun(const ClientRequest *request, Vector **vectors)
{
	ClientSession *session = ClientOpen(PROTOCOL_EMBED, request->model->name);
	uint32		received = 0;
	ClientReply reply;

	ClientSend(session, request);
	while (ClientReceive(session, &reply))
	{
		if (reply.type != PROTOCOL_VECTOR)
			continue;
		if (reply.index >= request->text_count || vectors[reply.index] != NULL)
			elog(ERROR, "the model engine sent a vector that was not asked for");
		vectors[reply.index] = EmbedVector(&reply);
		received++;
	}
	if (received != request->text_count)
		elog(ERROR, "the model engine sent %u vectors for %u texts", received, request->text_count);
	ClientClose(session);
}

static Vector *
EmbedOne(const CatalogModel *model, Datum input, uint32 flags, uint32 dimensions)
{
	EmbedKey	key = {.model = &model->client,.flags = flags,.dimensions = dimensions,.input = EmbedText(input)};
	Vector	   *vector = EmbedRecall(&key);
	ClientRequest request = {
		.type = PROTOCOL_EMBED,.model = &model->client,.flags = flags,.dimensions = dimensions,
		.text_count = 1,.texts = &key.input,
	};

	if (vector != NULL)
		return vector;
	EmbedRun(&request, &vector);
	EmbedRemember(&key, vector);
	return vector;
}

/* embed(input text) */
Datum
rag_embed(PG_FUNCTION_ARGS)
{
	CatalogModel *model = ModelForCall(NULL, MODEL_EMBEDDING);

	PG_RETURN_VECTOR_P(EmbedOne(model, PG_GETARG_DATUM(0), PROTOCOL_EMBED_PLAIN, 0));
}

/* embed(input text, model text, kind text, dimensions int): immutable, so no setting may decide */
Datum
rag_embed_with(PG_FUNCTION_ARGS)
{
	CatalogModel *model;
	uint32		flags;

	if (PG_ARGISNULL(0))
		PG_RETURN_NULL();
	if (PG_ARGISNULL(1))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("model must not be null"),
				 errhint("embed(input) takes the model that rag.embedding_model names.")));
	flags = EmbedFlags(ModelTextArgument(fcinfo, 2));
	model = ModelForCall(ModelTextArgument(fcinfo, 1), MODEL_EMBEDDING);
	PG_RETURN_VECTOR_P(EmbedOne(model, PG_GETARG_DATUM(0), flags, EmbedDimensions(fcinfo, 3, model)));
}

/* embed(inputs text[], model text, kind text): one request, computed as one batch */
Datum
rag_embed_array(PG_FUNCTION_ARGS)
{
	Oid			element = get_element_type(get_func_rettype(fcinfo->flinfo->fn_oid));
	ArrayType  *inputs;
	CatalogModel *model;
	ClientRequest request = {.type = PROTOCOL_EMBED};
	ClientText *texts;
	Vector	  **vectors;
	Datum	   *values;
	bool	   *nulls;
	int			count;
	int			lower = 1;
	uint32		next = 0;
	int16		length;
	bool		by_value;
	char		alignment;

	if (PG_ARGISNULL(0))
		PG_RETURN_NULL();
	inputs = PG_GETARG_ARRAYTYPE_P(0);
	request.flags = EmbedFlags(ModelTextArgument(fcinfo, 2));
	model = ModelForCall(ModelTextArgument(fcinfo, 1), MODEL_EMBEDDING);
	if (ARR_NDIM(inputs) > 1)
		ereport(ERROR,
				(errcode(ERRCODE_ARRAY_SUBSCRIPT_ERROR), errmsg("inputs must be a one-dimensional array")));
	deconstruct_array(inputs, TEXTOID, -1, false, TYPALIGN_INT, &values, &nulls, &count);
	if (count == 0)
		PG_RETURN_ARRAYTYPE_P(construct_empty_array(element));

	texts = palloc(sizeof(ClientText) * count);
	vectors = palloc0(sizeof(Vector *) * count);
	for (int i = 0; i < count; i++)
	{
		if (!nulls[i])
			texts[request.text_count++] = EmbedText(values[i]);
	}
	request.model = &model->client;
	request.texts = texts;
	if (request.text_count > 0)
		EmbedRun(&request, vectors);
	for (int i = 0; i < count; i++)
	{
		if (!nulls[i])
			values[i] = PointerGetDatum(vectors[next++]);
	}
	get_typlenbyvalalign(element, &length, &by_value, &alignment);
	PG_RETURN_ARRAYTYPE_P(construct_md_array(values, nulls, 1, &count, &lower, element, length, by_value,
											 alignment));
}

/* token_count(input text, model text) */
Datum
rag_token_count(PG_FUNCTION_ARGS)
{
	CatalogModel *model;
	ClientSession *session;
	ClientText	input;
	ClientRequest request = {.type = PROTOCOL_COUNT,.text_count = 1,.texts = &input};
	ClientReply reply;

	if (PG_ARGISNULL(0))
		PG_RETURN_NULL();
	model = ModelForCall(ModelTextArgument(fcinfo, 1), MODEL_ANY);
	request.model = &model->client;
	input = EmbedText(PG_GETARG_DATUM(0));
	session = ClientOpen(PROTOCOL_COUNT, model->client.name);
	ClientSend(session, &request);
	if (!ClientReceive(session, &reply) || reply.type != PROTOCOL_COUNTED || reply.tokens > PG_INT32_MAX)
		elog(ERROR, "unexpected reply %d to a request to count tokens", reply.type);
	ClientClose(session);
	PG_RETURN_INT32((int32) reply.tokens);
}
