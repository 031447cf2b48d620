/*
 * dense_cmp.c: the order of the dense types, for ORDER BY, DISTINCT, unique and btree.
 *
 * Element by element as far as both go, then the one with fewer dimensions first.
 * -0 equals 0.
 */
#include "postgres.h"

#include "type/dense.h"

static int
compare(const DenseType *type, const Dense *a, const Dense *b)
{
	int			common = Min(a->dim, b->dim);

	for (int i = 0; i < common; i++)
	{
		float		x = DenseElement(type, a, i);
		float		y = DenseElement(type, b, i);

		if (x < y)
			return -1;
		if (x > y)
			return 1;
	}
	return (a->dim > b->dim) - (a->dim < b->dim);
}

/* A sort calls this in a context that lives as long as the sort: leave nothing. */
static int
compare_args(FunctionCallInfo fcinfo, const DenseType *type)
{
	Dense	   *a = PG_GETARG_DENSE_P(0);
	Dense	   *b = PG_GETARG_DENSE_P(1);
	int			result = compare(type, a, b);

	PG_FREE_IF_COPY(a, 0);
	PG_FREE_IF_COPY(b, 1);
	return result;
}

static Datum
dense_lt(FunctionCallInfo fcinfo, const DenseType *type)
{
	PG_RETURN_BOOL(compare_args(fcinfo, type) < 0);
}
DENSE_FUNCTION(lt)

static Datum
dense_le(FunctionCallInfo fcinfo, const DenseType *type)
{
	PG_RETURN_BOOL(compare_args(fcinfo, type) <= 0);
}
DENSE_FUNCTION(le)

static Datum
dense_eq(FunctionCallInfo fcinfo, const DenseType *type)
{
	PG_RETURN_BOOL(compare_args(fcinfo, type) == 0);
}
DENSE_FUNCTION(eq)

static Datum
dense_ne(FunctionCallInfo fcinfo, const DenseType *type)
{
	PG_RETURN_BOOL(compare_args(fcinfo, type) != 0);
}
DENSE_FUNCTION(ne)

static Datum
dense_ge(FunctionCallInfo fcinfo, const DenseType *type)
{
	PG_RETURN_BOOL(compare_args(fcinfo, type) >= 0);
}
DENSE_FUNCTION(ge)

static Datum
dense_gt(FunctionCallInfo fcinfo, const DenseType *type)
{
	PG_RETURN_BOOL(compare_args(fcinfo, type) > 0);
}
DENSE_FUNCTION(gt)

static Datum
dense_cmp(FunctionCallInfo fcinfo, const DenseType *type)
{
	PG_RETURN_INT32(compare_args(fcinfo, type));
}
DENSE_FUNCTION(cmp)
