/*
 * dense.c: limits and checks of the dense types, with pgvector's wording and
 * SQLSTATEs, which client libraries match on.
 */
#include "postgres.h"

#include <float.h>
#include <math.h>

#include "common/shortest_dec.h"

#include "rag.h"
#include "type/halfvec.h"
#include "type/vector.h"

const DenseType VectorDense = {
	.name = "vector",
	.max_dim = VECTOR_MAX_DIM,
	.element_size = sizeof(float),
	.largest = FLT_MAX,
};

const DenseType HalfvecDense = {
	.name = "halfvec",
	.max_dim = HALFVEC_MAX_DIM,
	.element_size = sizeof(uint16),
	.largest = 0x1.ffdffep15f,	/* the last float before 65520, which rounds up */
};

StaticAssertDecl(offsetof(Vector, x) == offsetof(Dense, elements) &&
				 offsetof(Halfvec, x) == offsetof(Dense, elements),
				 "the dense types must lie alike on disk");

bool
DenseCheckDim(const DenseType *type, int dim, Node *escontext)
{
	if (dim < 1)
		ereturn(escontext, false,
				(errcode(ERRCODE_DATA_EXCEPTION),
				 errmsg("%s must have at least 1 dimension", type->name)));
	if (dim > type->max_dim)
		ereturn(escontext, false,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("%s cannot have more than %d dimensions", type->name, type->max_dim)));
	return true;
}

bool
DenseCheckExpectedDim(int32 typmod, int dim, Node *escontext)
{
	if (typmod != -1 && typmod != dim)
		ereturn(escontext, false,
				(errcode(ERRCODE_DATA_EXCEPTION),
				 errmsg("expected %d dimensions, not %d", typmod, dim)));
	return true;
}

void
DenseCheckSameDim(const DenseType *type, int a, int b)
{
	if (a != b)
		ereport(ERROR,
				(errcode(ERRCODE_DATA_EXCEPTION),
				 errmsg("different %s dimensions %d and %d", type->name, a, b)));
}

static char *
float_text(float value)
{
	char	   *result = palloc(FLOAT_SHORTEST_DECIMAL_LEN);

	float_to_shortest_decimal_buf(value, result);
	return result;
}

bool
DenseCheckElement(const DenseType *type, float value, Node *escontext)
{
	if (isnan(value))
		ereturn(escontext, false,
				(errcode(ERRCODE_DATA_EXCEPTION),
				 errmsg("NaN not allowed in %s", type->name)));
	if (isinf(value))
		ereturn(escontext, false,
				(errcode(ERRCODE_DATA_EXCEPTION),
				 errmsg("infinite value not allowed in %s", type->name)));
	if (DenseOverflows(type, value))
		ereturn(escontext, false,
				(errcode(ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE),
				 errmsg("\"%s\" is out of range for type %s", float_text(value), type->name)));
	return true;
}

int32
DenseTypmodIn(const DenseType *type, ArrayType *modifiers)
{
	int			count;
	int32	   *values = ArrayGetIntegerTypmods(modifiers, &count);

	if (count != 1)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("invalid type modifier")));
	if (values[0] < 1)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("dimensions for type %s must be at least 1", type->name)));
	if (values[0] > type->max_dim)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("dimensions for type %s cannot exceed %d", type->name, type->max_dim)));
	return values[0];
}
