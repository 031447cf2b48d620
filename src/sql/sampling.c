/*
 * sampling.c: the arguments of generate() that say how tokens are chosen.
 */
#include "postgres.h"

#include <math.h>

#include "catalog/pg_type.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/numeric.h"

#include "serve/settings.h"
#include "sql/generate.h"

static double
SamplingFloat(FunctionCallInfo fcinfo, int number, const char *name, double low, double high,
			  double otherwise)
{
	double		value;

	if (PG_ARGISNULL(number))
		return otherwise;
	value = PG_GETARG_FLOAT8(number);
	if (!(value >= low && value <= high))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("%s must be between %g and %g, not %g", name, low, high, value)));
	return value;
}

static int
SamplingInt(FunctionCallInfo fcinfo, int number, const char *name, int low, int otherwise)
{
	int			value;

	if (PG_ARGISNULL(number))
		return otherwise;
	value = PG_GETARG_INT32(number);
	if (value < low)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("%s must be at least %d, not %d", name, low, value)));
	return value;
}

static void
SamplingTakeStops(FunctionCallInfo fcinfo, GenerateCall *call)
{
	Datum	   *values;
	bool	   *nulls;
	int			count;

	if (PG_ARGISNULL(ARGUMENT_STOP))
		return;
	deconstruct_array(PG_GETARG_ARRAYTYPE_P(ARGUMENT_STOP), TEXTOID, -1, false, TYPALIGN_INT, &values,
					  &nulls, &count);
	if (count > PROTOCOL_MAX_STOPS)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("too many stop strings: %d, limit is %d", count, PROTOCOL_MAX_STOPS)));
	for (int i = 0; i < count; i++)
	{
		text	   *stop = nulls[i] ? NULL : DatumGetTextPP(values[i]);

		if (stop == NULL || VARSIZE_ANY_EXHDR(stop) == 0)
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("a stop string must not be null or empty")));
		call->stops[i] = (ClientText) {VARDATA_ANY(stop), VARSIZE_ANY_EXHDR(stop)};
	}
	call->stop_count = count;
}

/* ---------------------------------------------------------------------------
 * options: {"repetition_penalty": 1.1, ...}
 * ---------------------------------------------------------------------------
 */

static double
OptionNumber(const char *name, const JsonbValue *value, double low, double high)
{
	double		number;

	if (value->type != jbvNumeric)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("option \"%s\" must be a number", name)));
	number = DatumGetFloat8(DirectFunctionCall1(numeric_float8, NumericGetDatum(value->val.numeric)));
	if (!(number >= low && number <= high))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("option \"%s\" must be between %g and %g, not %g", name, low, high, number)));
	return number;
}

static bool
OptionBoolean(const char *name, const JsonbValue *value)
{
	if (value->type != jbvBool)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("option \"%s\" must be true or false", name)));
	return value->val.boolean;
}

static void
SamplingTakeOption(GenerateCall *call, const char *name, const JsonbValue *value)
{
	protocol_sampling *sampling = &call->sampling;

	if (strcmp(name, "repetition_penalty") == 0)
		sampling->repetition_penalty = OptionNumber(name, value, 0.01, 100.0);
	else if (strcmp(name, "presence_penalty") == 0)
		sampling->presence_penalty = OptionNumber(name, value, -100.0, 100.0);
	else if (strcmp(name, "frequency_penalty") == 0)
		sampling->frequency_penalty = OptionNumber(name, value, -100.0, 100.0);
	else if (strcmp(name, "priority") == 0)
	{
		double		priority = OptionNumber(name, value, -PROTOCOL_MAX_PRIORITY, PROTOCOL_MAX_PRIORITY);

		if (priority != floor(priority))
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("option \"%s\" must be a whole number", name)));
		call->priority = (int) priority;
	}
	else if (strcmp(name, "raw") == 0)
	{
		if (OptionBoolean(name, value))
			sampling->flags |= PROTOCOL_GENERATE_RAW;
	}
	else if (strcmp(name, "speculation") == 0)
	{
		if (!OptionBoolean(name, value))
			sampling->flags |= PROTOCOL_GENERATE_PLAIN;
	}
	else
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("unrecognized option of generate(): \"%s\"", name),
				 errhint("Options are \"repetition_penalty\", \"presence_penalty\", \"frequency_penalty\", \"priority\", \"raw\" and \"speculation\".")));
}

static void
SamplingTakeOptions(Jsonb *options, GenerateCall *call)
{
	JsonbIterator *iterator = JsonbIteratorInit(&options->root);
	JsonbIteratorToken token;
	JsonbValue	value;
	const char *name = "";

	if (!JB_ROOT_IS_OBJECT(options))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("options of generate() must be a JSON object")));
	/* nested values are skipped: they come as one value of type jbvBinary */
	while ((token = JsonbIteratorNext(&iterator, &value, true)) != WJB_DONE)
	{
		if (token == WJB_KEY)
			name = pnstrdup(value.val.string.val, value.val.string.len);
		else if (token == WJB_VALUE)
			SamplingTakeOption(call, name, &value);
	}
}

void
SamplingTake(FunctionCallInfo fcinfo, GenerateCall *call)
{
	protocol_sampling *sampling = &call->sampling;

	sampling->max_tokens = SamplingInt(fcinfo, ARGUMENT_MAX_TOKENS, "max_tokens", 1, rag_settings.max_tokens);
	sampling->temperature = SamplingFloat(fcinfo, ARGUMENT_TEMPERATURE, "temperature", 0.0, 100.0,
										  rag_settings.temperature);
	sampling->top_p = SamplingFloat(fcinfo, ARGUMENT_TOP_P, "top_p", 1e-6, 1.0, rag_settings.top_p);
	sampling->top_k = SamplingInt(fcinfo, ARGUMENT_TOP_K, "top_k", 0, rag_settings.top_k);
	sampling->min_p = SamplingFloat(fcinfo, ARGUMENT_MIN_P, "min_p", 0.0, 1.0, rag_settings.min_p);
	sampling->repetition_penalty = 1.0;
	call->priority = rag_settings.priority;
	if (!PG_ARGISNULL(ARGUMENT_SEED))
		sampling->seed = (uint64) PG_GETARG_INT64(ARGUMENT_SEED);
	else if (!pg_strong_random(&sampling->seed, sizeof(sampling->seed)))
		ereport(ERROR,
				(errcode(ERRCODE_INTERNAL_ERROR), errmsg("could not generate random values")));
	if (!PG_ARGISNULL(ARGUMENT_OPTIONS))
		SamplingTakeOptions(PG_GETARG_JSONB_P(ARGUMENT_OPTIONS), call);
	SamplingTakeStops(fcinfo, call);
}
