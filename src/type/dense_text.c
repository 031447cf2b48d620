/*
 * dense_text.c: "[1,2.5,3]" to elements and back.
 *
 * White space may stand around every element and around the brackets. Numbers are
 * what strtof() reads, as in float4's own input, so exponents and hexadecimal forms
 * pass; a number too small for a float is rounded to a denormal or zero.
 */
#include "postgres.h"

#include <errno.h>
#include <math.h>

#include "common/shortest_dec.h"

#include "rag.h"
#include "type/dense.h"
#include "type/text.h"

bool
TextSyntaxError(const DenseType *type, const char *input, const char *detail, Node *escontext)
{
	ereturn(escontext, false,
			(errcode(ERRCODE_INVALID_TEXT_REPRESENTATION),
			 errmsg("invalid input syntax for type %s: \"%s\"", type->name, input),
			 detail != NULL ? errdetail_internal("%s", detail) : 0));
}

bool
TextRangeError(const DenseType *type, const char *number, Size length, Node *escontext)
{
	ereturn(escontext, false,
			(errcode(ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE),
			 errmsg("\"%s\" is out of range for type %s", pnstrdup(number, length), type->name)));
}

/* The same for the parser of all elements, whose failure is -1. */
static int
syntax_error(const DenseType *type, const char *input, const char *detail, Node *escontext)
{
	(void) TextSyntaxError(type, input, detail, escontext);
	return -1;
}

/* At most so many elements can be in input: one more than it has commas. */
static int
count_bound(const DenseType *type, const char *input)
{
	int			bound = 1;

	for (input = strchr(input, ','); input != NULL && bound < type->max_dim;
		 input = strchr(input + 1, ','))
		bound++;
	return bound;
}

/*
 * The number at *at, which is then where it ends; false: an error was saved.
 * input is the whole, for messages.
 */
static bool
parse_element(const DenseType *type, const char *input, const char **at, float *value,
			  Node *escontext)
{
	const char *end;

	*value = TextReadFloat(*at, &end);
	if (end == *at)
		return TextSyntaxError(type, input, NULL, escontext);
	if ((errno == ERANGE && isinf(*value)) || DenseOverflows(type, *value))
		return TextRangeError(type, *at, end - *at, escontext);
	*at = end;
	return DenseCheckElement(type, *value, escontext);
}

int
DenseParse(const DenseType *type, const char *input, float **values, Node *escontext)
{
	const char *at = TextSkipSpace(input);
	int			dim = 0;

	if (*at != '[')
		return syntax_error(type, input, "Vector contents must start with \"[\".", escontext);
	at = TextSkipSpace(at + 1);
	if (*at == ']')
	{
		(void) DenseCheckDim(type, 0, escontext);
		return -1;
	}

	*values = palloc(sizeof(float) * count_bound(type, input));
	for (;;)
	{
		if (dim == type->max_dim)
		{
			(void) DenseCheckDim(type, dim + 1, escontext);
			return -1;
		}
		/* strtof() would skip the space too, but by the locale's idea of it */
		at = TextSkipSpace(at);
		if (!parse_element(type, input, &at, &(*values)[dim], escontext))
			return -1;
		dim++;
		at = TextSkipSpace(at);
		if (*at == ']')
			break;
		if (*at != ',')
			return syntax_error(type, input, NULL, escontext);
		at++;
	}
	if (*TextSkipSpace(at + 1) != '\0')
		return syntax_error(type, input, "Junk after closing right brace.", escontext);
	return dim;
}

char *
DenseFormat(const float *values, int dim)
{
	/* FLOAT_SHORTEST_DECIMAL_LEN counts a terminator, here the comma or bracket */
	char	   *output = palloc((Size) dim * FLOAT_SHORTEST_DECIMAL_LEN + 2);
	char	   *at = output;

	*at++ = '[';
	for (int i = 0; i < dim; i++)
	{
		if (i > 0)
			*at++ = ',';
		at += float_to_shortest_decimal_bufn(values[i], at);
	}
	*at++ = ']';
	*at = '\0';
	return output;
}
