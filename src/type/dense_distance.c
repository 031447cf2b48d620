/*
 * dense_distance.c: the distances of the dense types, over the kernels of src/simd.
 *
 * Sums are taken in float; a sum that leaves its range is infinite and goes on as
 * IEEE 754 says: no distance raises an error but that of different dimensions.
 */
#include "postgres.h"

#include <math.h>

#include "simd/simd.h"
#include "type/dense.h"
#include "type/distance.h"
#include "type/fetch.h"

/* Two values of the same dimension. */
typedef struct DensePair
{
	const void *a;
	const void *b;
	int			dim;
	FetchRoom	rooms[2];
} DensePair;

static inline void
get_pair(FunctionCallInfo fcinfo, const DenseType *type, DensePair *pair)
{
	const Dense *a = FetchArgument(fcinfo, 0, &pair->rooms[0]);
	const Dense *b = FetchArgument(fcinfo, 1, &pair->rooms[1]);

	DenseCheckSameDim(type, a->dim, b->dim);
	pair->a = a->elements;
	pair->b = b->elements;
	pair->dim = a->dim;
}

static inline double
l2_squared(FunctionCallInfo fcinfo, const DenseType *type)
{
	DensePair	pair;

	get_pair(fcinfo, type, &pair);
	return DenseIsHalf(type) ? simd_get()->l2_squared_f16(pair.a, pair.b, pair.dim) :
		simd_get()->l2_squared_f32(pair.a, pair.b, pair.dim);
}

static inline double
dot(FunctionCallInfo fcinfo, const DenseType *type)
{
	DensePair	pair;

	get_pair(fcinfo, type, &pair);
	return DenseIsHalf(type) ? simd_get()->dot_f16(pair.a, pair.b, pair.dim) :
		simd_get()->dot_f32(pair.a, pair.b, pair.dim);
}

static Datum
dense_l2_distance(FunctionCallInfo fcinfo, const DenseType *type)
{
	PG_RETURN_FLOAT8(sqrt(l2_squared(fcinfo, type)));
}
DENSE_FUNCTION(l2_distance)

/* The order of l2_distance without the root. */
static Datum
dense_l2_squared_distance(FunctionCallInfo fcinfo, const DenseType *type)
{
	PG_RETURN_FLOAT8(l2_squared(fcinfo, type));
}
DENSE_FUNCTION(l2_squared_distance)

static Datum
dense_inner_product(FunctionCallInfo fcinfo, const DenseType *type)
{
	PG_RETURN_FLOAT8(dot(fcinfo, type));
}
DENSE_FUNCTION(inner_product)

/* Negative, since an index returns rows by ascending values of the operator. */
static Datum
dense_negative_inner_product(FunctionCallInfo fcinfo, const DenseType *type)
{
	PG_RETURN_FLOAT8(-dot(fcinfo, type));
}
DENSE_FUNCTION(negative_inner_product)

/* NaN where one value is zero (0 / 0): such a value has no direction. */
static Datum
dense_cosine_distance(FunctionCallInfo fcinfo, const DenseType *type)
{
	DensePair	pair;
	float		parts[3];

	get_pair(fcinfo, type, &pair);
	if (DenseIsHalf(type))
		simd_get()->cosine_parts_f16(pair.a, pair.b, pair.dim, parts);
	else
		simd_get()->cosine_parts_f32(pair.a, pair.b, pair.dim, parts);
	PG_RETURN_FLOAT8(DistanceOfCosine(parts[0], parts[1], parts[2]));
}
DENSE_FUNCTION(cosine_distance)

/* The angle in units of pi, for values of norm 1: unlike the inner product a metric. */
static Datum
dense_spherical_distance(FunctionCallInfo fcinfo, const DenseType *type)
{
	PG_RETURN_FLOAT8(acos(DistanceClampCosine(dot(fcinfo, type))) / M_PI);
}
DENSE_FUNCTION(spherical_distance)

static Datum
dense_l1_distance(FunctionCallInfo fcinfo, const DenseType *type)
{
	DensePair	pair;

	get_pair(fcinfo, type, &pair);
	PG_RETURN_FLOAT8(DenseIsHalf(type) ? simd_get()->l1_f16(pair.a, pair.b, pair.dim) :
					 simd_get()->l1_f32(pair.a, pair.b, pair.dim));
}
DENSE_FUNCTION(l1_distance)
