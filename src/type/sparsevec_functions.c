/*
 * sparsevec_functions.c: distances, norm, order and casts of sparsevec.
 */
#include "postgres.h"

#include <math.h>

#include "type/distance.h"
#include "type/fetch.h"
#include "type/sparsevec.h"

/* ---- distances ---- */

typedef struct SparsevecPair
{
	sparse_array a;
	sparse_array b;
	FetchRoom	rooms[2];
} SparsevecPair;

/* The two arguments, of the same dimension. */
static void
get_pair(FunctionCallInfo fcinfo, SparsevecPair *pair)
{
	const Sparsevec *a = FetchArgument(fcinfo, 0, &pair->rooms[0]);
	const Sparsevec *b = FetchArgument(fcinfo, 1, &pair->rooms[1]);

	DenseCheckSameDim(&SparsevecType, a->dim, b->dim);
	pair->a = SparsevecArray(a);
	pair->b = SparsevecArray(b);
}

PG_FUNCTION_INFO_V1(rag_sparsevec_l2_distance);
Datum
rag_sparsevec_l2_distance(PG_FUNCTION_ARGS)
{
	SparsevecPair pair;

	get_pair(fcinfo, &pair);
	PG_RETURN_FLOAT8(sqrt((double) sparse_l2_squared(pair.a, pair.b)));
}

/* The order of l2_distance without the root. */
PG_FUNCTION_INFO_V1(rag_sparsevec_l2_squared_distance);
Datum
rag_sparsevec_l2_squared_distance(PG_FUNCTION_ARGS)
{
	SparsevecPair pair;

	get_pair(fcinfo, &pair);
	PG_RETURN_FLOAT8((double) sparse_l2_squared(pair.a, pair.b));
}

PG_FUNCTION_INFO_V1(rag_sparsevec_inner_product);
Datum
rag_sparsevec_inner_product(PG_FUNCTION_ARGS)
{
	SparsevecPair pair;

	get_pair(fcinfo, &pair);
	PG_RETURN_FLOAT8((double) sparse_dot(pair.a, pair.b));
}

/* Negative, since an index returns rows by ascending values of the operator. */
PG_FUNCTION_INFO_V1(rag_sparsevec_negative_inner_product);
Datum
rag_sparsevec_negative_inner_product(PG_FUNCTION_ARGS)
{
	SparsevecPair pair;

	get_pair(fcinfo, &pair);
	PG_RETURN_FLOAT8((double) -sparse_dot(pair.a, pair.b));
}

static double
norm_squared(sparse_array a)
{
	float		sum = 0;

	for (size_t i = 0; i < a.count; i++)
		sum += a.values[i] * a.values[i];
	return sum;
}

/* NaN where one value is zero (0 / 0): such a value has no direction. */
PG_FUNCTION_INFO_V1(rag_sparsevec_cosine_distance);
Datum
rag_sparsevec_cosine_distance(PG_FUNCTION_ARGS)
{
	SparsevecPair pair;

	get_pair(fcinfo, &pair);
	PG_RETURN_FLOAT8(DistanceOfCosine(sparse_dot(pair.a, pair.b), norm_squared(pair.a),
									  norm_squared(pair.b)));
}

PG_FUNCTION_INFO_V1(rag_sparsevec_l1_distance);
Datum
rag_sparsevec_l1_distance(PG_FUNCTION_ARGS)
{
	SparsevecPair pair;

	get_pair(fcinfo, &pair);
	PG_RETURN_FLOAT8((double) sparse_l1(pair.a, pair.b));
}

/* ---- norm ---- */

PG_FUNCTION_INFO_V1(rag_sparsevec_norm);
Datum
rag_sparsevec_norm(PG_FUNCTION_ARGS)
{
	PG_RETURN_FLOAT8(SparsevecNorm(PG_GETARG_SPARSEVEC_P(0)));
}

PG_FUNCTION_INFO_V1(rag_sparsevec_l2_normalize);
Datum
rag_sparsevec_l2_normalize(PG_FUNCTION_ARGS)
{
	PG_RETURN_POINTER(SparsevecL2Normalize(PG_GETARG_SPARSEVEC_P(0)));
}

/* ---- order: that of the same values as vectors ---- */

/*
 * The first element in which they differ decides, where both have the dimension; then
 * the number of dimensions. An element that only one has is compared with zero.
 */
static int
compare(const Sparsevec *a, const Sparsevec *b)
{
	int			dim = Min(a->dim, b->dim);
	int			i = 0,
				j = 0;

	for (;;)
	{
		int32		in_a = i < a->nnz ? a->indices[i] : dim;
		int32		in_b = j < b->nnz ? b->indices[j] : dim;
		float		x = in_a <= in_b && in_a < dim ? SPARSEVEC_VALUES(a)[i++] : 0;
		float		y = in_b <= in_a && in_b < dim ? SPARSEVEC_VALUES(b)[j++] : 0;

		if (in_a >= dim && in_b >= dim)
			return (a->dim > b->dim) - (a->dim < b->dim);
		if (x != y)
			return x < y ? -1 : 1;
	}
}

/* A sort calls this in a context that lives as long as the sort: leave nothing. */
static int
compare_args(FunctionCallInfo fcinfo)
{
	Sparsevec  *a = PG_GETARG_SPARSEVEC_P(0);
	Sparsevec  *b = PG_GETARG_SPARSEVEC_P(1);
	int			result = compare(a, b);

	PG_FREE_IF_COPY(a, 0);
	PG_FREE_IF_COPY(b, 1);
	return result;
}

PG_FUNCTION_INFO_V1(rag_sparsevec_lt);
Datum
rag_sparsevec_lt(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(compare_args(fcinfo) < 0);
}

PG_FUNCTION_INFO_V1(rag_sparsevec_le);
Datum
rag_sparsevec_le(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(compare_args(fcinfo) <= 0);
}

PG_FUNCTION_INFO_V1(rag_sparsevec_eq);
Datum
rag_sparsevec_eq(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(compare_args(fcinfo) == 0);
}

PG_FUNCTION_INFO_V1(rag_sparsevec_ne);
Datum
rag_sparsevec_ne(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(compare_args(fcinfo) != 0);
}

PG_FUNCTION_INFO_V1(rag_sparsevec_ge);
Datum
rag_sparsevec_ge(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(compare_args(fcinfo) >= 0);
}

PG_FUNCTION_INFO_V1(rag_sparsevec_gt);
Datum
rag_sparsevec_gt(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(compare_args(fcinfo) > 0);
}

PG_FUNCTION_INFO_V1(rag_sparsevec_cmp);
Datum
rag_sparsevec_cmp(PG_FUNCTION_ARGS)
{
	PG_RETURN_INT32(compare_args(fcinfo));
}

/* ---- casts ---- */

PG_FUNCTION_INFO_V1(rag_sparsevec_enforce_typmod);
Datum
rag_sparsevec_enforce_typmod(PG_FUNCTION_ARGS)
{
	Sparsevec  *value = PG_GETARG_SPARSEVEC_P(0);

	DenseCheckExpectedDim(PG_GETARG_INT32(1), value->dim, NULL);
	PG_RETURN_POINTER(value);
}

PG_FUNCTION_INFO_V1(rag_sparsevec_from_array);
Datum
rag_sparsevec_from_array(PG_FUNCTION_ARGS)
{
	ArrayType  *array = PG_GETARG_ARRAYTYPE_P(0);
	int			dim = ArrayLength(array);
	float	   *values;
	Sparsevec  *result;

	DenseCheckDim(&SparsevecType, dim, NULL);
	DenseCheckExpectedDim(PG_GETARG_INT32(1), dim, NULL);
	ArrayToFloats(&SparsevecType, array, &values);
	result = SparsevecFromFloats(values, dim);
	pfree(values);
	PG_RETURN_POINTER(result);
}

static Datum
dense_to_sparsevec(FunctionCallInfo fcinfo, const DenseType *type)
{
	Dense	   *value = PG_GETARG_DENSE_P(0);

	DenseCheckExpectedDim(PG_GETARG_INT32(1), value->dim, NULL);
	PG_RETURN_POINTER(SparsevecFromFloats(DenseFloats(type, value), value->dim));
}
DENSE_FUNCTION(to_sparsevec)

static Datum
dense_from_sparsevec(FunctionCallInfo fcinfo, const DenseType *type)
{
	Sparsevec  *value = PG_GETARG_SPARSEVEC_P(0);
	DenseResult result;

	DenseCheckDim(type, value->dim, NULL);
	DenseCheckExpectedDim(PG_GETARG_INT32(1), value->dim, NULL);
	result = DenseResultBegin(type, value->dim);
	for (int i = 0; i < value->nnz; i++)
	{
		DenseCheckElement(type, SPARSEVEC_VALUES(value)[i], NULL);
		result.x[value->indices[i]] = SPARSEVEC_VALUES(value)[i];
	}
	PG_RETURN_POINTER(DenseResultEnd(type, &result));
}
DENSE_FUNCTION(from_sparsevec)
