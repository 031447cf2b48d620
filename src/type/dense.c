/*
 * dense.c: limits and checks of the dense types, with pgvector's wording and
 * SQLSTATEs, which client libraries match on.
 */
#include "postgres.h"

#include <math.h>

#include "rag.h"
#include "type/dense.h"

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
