/*
 * vector_distance.c: the distances of the SQL level, over the kernels of src/simd.
 *
 * Sums are taken in float; a sum that leaves its range is infinite and goes on as
 * IEEE 754 says: no distance raises an error but that of different dimensions.
 */
#include "postgres.h"

#include <math.h>

#include "simd/simd.h"
#include "type/vector.h"

typedef struct VectorPair
{
	Vector	   *a;
	Vector	   *b;
} VectorPair;

/* The two arguments, of the same dimension. */
static inline VectorPair
pair_args(FunctionCallInfo fcinfo)
{
	VectorPair	pair = {PG_GETARG_VECTOR_P(0), PG_GETARG_VECTOR_P(1)};

	VectorCheckSameDim(pair.a, pair.b);
	return pair;
}

static inline double
l2_squared(VectorPair pair)
{
	return (double) simd_get()->l2_squared_f32(pair.a->x, pair.b->x, pair.a->dim);
}

static inline double
dot(VectorPair pair)
{
	return (double) simd_get()->dot_f32(pair.a->x, pair.b->x, pair.a->dim);
}

/* A cosine that rounding has carried out of its range; NaN stays. */
static inline double
clamp_cosine(double cosine)
{
	if (cosine > 1)
		return 1;
	if (cosine < -1)
		return -1;
	return cosine;
}

PG_FUNCTION_INFO_V1(rag_l2_distance);
Datum
rag_l2_distance(PG_FUNCTION_ARGS)
{
	PG_RETURN_FLOAT8(sqrt(l2_squared(pair_args(fcinfo))));
}

/* The order of l2_distance without the root. */
PG_FUNCTION_INFO_V1(rag_vector_l2_squared_distance);
Datum
rag_vector_l2_squared_distance(PG_FUNCTION_ARGS)
{
	PG_RETURN_FLOAT8(l2_squared(pair_args(fcinfo)));
}

PG_FUNCTION_INFO_V1(rag_inner_product);
Datum
rag_inner_product(PG_FUNCTION_ARGS)
{
	PG_RETURN_FLOAT8(dot(pair_args(fcinfo)));
}

/* Negative, since an index returns rows by ascending values of the operator. */
PG_FUNCTION_INFO_V1(rag_vector_negative_inner_product);
Datum
rag_vector_negative_inner_product(PG_FUNCTION_ARGS)
{
	PG_RETURN_FLOAT8(-dot(pair_args(fcinfo)));
}

/* NaN where one vector is zero (0 / 0): such a vector has no direction. */
PG_FUNCTION_INFO_V1(rag_cosine_distance);
Datum
rag_cosine_distance(PG_FUNCTION_ARGS)
{
	VectorPair	pair = pair_args(fcinfo);
	float		parts[3];

	simd_get()->cosine_parts_f32(pair.a->x, pair.b->x, pair.a->dim, parts);
	PG_RETURN_FLOAT8(1 - clamp_cosine((double) parts[0] /
									  sqrt((double) parts[1] * (double) parts[2])));
}

/* The angle in units of pi, for vectors of norm 1: unlike the inner product a metric. */
PG_FUNCTION_INFO_V1(rag_vector_spherical_distance);
Datum
rag_vector_spherical_distance(PG_FUNCTION_ARGS)
{
	PG_RETURN_FLOAT8(acos(clamp_cosine(dot(pair_args(fcinfo)))) / M_PI);
}

PG_FUNCTION_INFO_V1(rag_l1_distance);
Datum
rag_l1_distance(PG_FUNCTION_ARGS)
{
	VectorPair	pair = pair_args(fcinfo);

	PG_RETURN_FLOAT8((double) simd_get()->l1_f32(pair.a->x, pair.b->x, pair.a->dim));
}
