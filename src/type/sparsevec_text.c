/*
 * sparsevec_text.c: "{1:1.5,3:3.5}/5" to a sparsevec and back.
 *
 * Indices count from 1 here, and may come in any order. White space may stand around
 * every part. An index that no int holds is the nearest one, and out of bounds.
 */
#include "postgres.h"

#include <errno.h>
#include <limits.h>
#include <math.h>

#include "common/shortest_dec.h"

#include "rag.h"
#include "type/sparsevec.h"
#include "type/text.h"

typedef struct Element
{
	int32		index;
	float		value;
} Element;

/* What is being read; the functions below return false when they have saved an error. */
typedef struct Parser
{
	const char *input;			/* the whole, for messages */
	const char *at;
	Node	   *escontext;
	Element    *elements;
	int			count;
} Parser;

static bool
syntax_error(const Parser *parser, const char *detail)
{
	return TextSyntaxError(&SparsevecType, parser->input, detail, parser->escontext);
}

static bool
fail(const Parser *parser, const char *message)
{
	ereturn(parser->escontext, false,
			(errcode(ERRCODE_DATA_EXCEPTION),
			 errmsg("%s", message)));
}

/* A whole number, cut to the range of int. */
static bool
parse_whole(Parser *parser, int *result)
{
	char	   *end;
	long		number;

	parser->at = TextSkipSpace(parser->at);
	number = strtol(parser->at, &end, 10);
	if (end == parser->at)
		return syntax_error(parser, NULL);
	*result = (int) Min(Max(number, INT_MIN), INT_MAX);
	parser->at = TextSkipSpace(end);
	return true;
}

/* As in float4's own input, a number too small for any float is out of range. */
static bool
parse_value(Parser *parser, float *value)
{
	const char *end;

	parser->at = TextSkipSpace(parser->at);
	*value = TextReadFloat(parser->at, &end);
	if (end == parser->at)
		return syntax_error(parser, NULL);
	if (errno == ERANGE && (*value == 0 || isinf(*value)))
		return TextRangeError(&SparsevecType, parser->at, end - parser->at, parser->escontext);
	parser->at = TextSkipSpace(end);
	return DenseCheckElement(&SparsevecType, *value, parser->escontext);
}

/* Elements up to the closing brace, which is not there for none. Zeros are left out. */
static bool
parse_elements(Parser *parser)
{
	for (;;)
	{
		Element		element;

		if (!parse_whole(parser, &element.index))
			return false;
		if (*parser->at != ':')
			return syntax_error(parser, NULL);
		parser->at++;
		if (!parse_value(parser, &element.value))
			return false;
		/* from 1 to from 0; what is out of bounds stays so */
		if (element.index > INT_MIN)
			element.index--;
		if (element.value != 0)
			parser->elements[parser->count++] = element;
		if (*parser->at == '}')
			return true;
		if (*parser->at != ',')
			return syntax_error(parser, NULL);
		parser->at++;
	}
}

static int
compare_elements(const void *a, const void *b)
{
	int32		x = ((const Element *) a)->index;
	int32		y = ((const Element *) b)->index;

	return (x > y) - (x < y);
}

/* After sorting: within the dimensions, and each index once. */
static bool
check_indices(const Parser *parser, int dim)
{
	for (int i = 0; i < parser->count; i++)
	{
		int32		index = parser->elements[i].index;

		if (index < 0 || index >= dim)
			return fail(parser, "sparsevec index out of bounds");
		if (i > 0 && index == parser->elements[i - 1].index)
			return fail(parser, "sparsevec indices must not contain duplicates");
	}
	return true;
}

/* Room for as many elements as input has commas, and one. */
static bool
make_room(Parser *parser)
{
	int			room = 1;

	for (const char *at = strchr(parser->input, ','); at != NULL; at = strchr(at + 1, ','))
	{
		if (++room > SPARSEVEC_MAX_NNZ)
			ereturn(parser->escontext, false,
					(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
					 errmsg("sparsevec cannot have more than %d non-zero elements",
							SPARSEVEC_MAX_NNZ)));
	}
	parser->elements = palloc(sizeof(Element) * room);
	return true;
}

static bool
parse(Parser *parser, int *dim)
{
	if (!make_room(parser))
		return false;
	parser->at = TextSkipSpace(parser->input);
	if (*parser->at != '{')
		return syntax_error(parser, "Vector contents must start with \"{\".");
	parser->at = TextSkipSpace(parser->at + 1);
	if (*parser->at != '}' && !parse_elements(parser))
		return false;
	parser->at = TextSkipSpace(parser->at + 1);
	if (*parser->at != '/')
		return syntax_error(parser, "Unexpected end of input.");
	parser->at++;
	if (!parse_whole(parser, dim))
		return false;
	if (*parser->at != '\0')
		return syntax_error(parser, "Junk after closing.");
	return true;
}

PG_FUNCTION_INFO_V1(rag_sparsevec_in);
Datum
rag_sparsevec_in(PG_FUNCTION_ARGS)
{
	int32		typmod = PG_GETARG_INT32(2);
	Parser		parser = {.input = PG_GETARG_CSTRING(0), .escontext = fcinfo->context};
	int			dim;
	Sparsevec  *result;

	if (!parse(&parser, &dim) || !DenseCheckDim(&SparsevecType, dim, parser.escontext))
		PG_RETURN_NULL();
	qsort(parser.elements, parser.count, sizeof(Element), compare_elements);
	if (!check_indices(&parser, dim) ||
		!DenseCheckExpectedDim(typmod, dim, parser.escontext))
		PG_RETURN_NULL();

	result = SparsevecMake(dim, parser.count);
	for (int i = 0; i < result->nnz; i++)
	{
		result->indices[i] = parser.elements[i].index;
		SPARSEVEC_VALUES(result)[i] = parser.elements[i].value;
	}
	pfree(parser.elements);
	PG_RETURN_POINTER(result);
}

PG_FUNCTION_INFO_V1(rag_sparsevec_out);
Datum
rag_sparsevec_out(PG_FUNCTION_ARGS)
{
	Sparsevec  *value = PG_GETARG_SPARSEVEC_P(0);
	StringInfoData out;

	initStringInfo(&out);
	appendStringInfoChar(&out, '{');
	for (int i = 0; i < value->nnz; i++)
	{
		char		number[FLOAT_SHORTEST_DECIMAL_LEN];

		float_to_shortest_decimal_buf(SPARSEVEC_VALUES(value)[i], number);
		appendStringInfo(&out, "%s%d:%s", i > 0 ? "," : "", value->indices[i] + 1, number);
	}
	appendStringInfo(&out, "}/%d", value->dim);
	PG_RETURN_CSTRING(out.data);
}
