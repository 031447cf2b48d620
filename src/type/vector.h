/*
 * vector.h: the vector type as it lies on disk, and what other rooms do with one. It is
 * the dense type (dense.h) of float4 elements.
 *
 *     Vector *v = PG_GETARG_VECTOR_P(0);         detoasted; maybe a copy
 *     Vector *w = VectorFromFloats(x, dim);
 */
#ifndef RAG_TYPE_VECTOR_H
#define RAG_TYPE_VECTOR_H

#include "type/dense.h"

#define VECTOR_MAX_DIM 16000

typedef struct Vector
{
	int32		vl_len_;		/* varlena header, do not touch directly */
	int16		dim;			/* number of dimensions */
	int16		unused;			/* reserved, always 0 */
	float		x[FLEXIBLE_ARRAY_MEMBER];
} Vector;

#define VECTOR_SIZE(dim) (offsetof(Vector, x) + sizeof(float) * (dim))
#define DatumGetVector(d) ((Vector *) PG_DETOAST_DATUM(d))
#define PG_GETARG_VECTOR_P(n) DatumGetVector(PG_GETARG_DATUM(n))
#define PG_RETURN_VECTOR_P(v) PG_RETURN_POINTER(v)

/* A zero-filled vector in the current memory context; ERROR unless dim is valid. */
static inline Vector *
VectorMake(int dim)
{
	return (Vector *) DenseMake(&VectorDense, dim);
}

/* A vector of these dim elements; ERROR unless dim is valid and all are finite. */
static inline Vector *
VectorFromFloats(const float *values, int dim)
{
	return (Vector *) DenseFromFloats(&VectorDense, values, dim);
}

#endif							/* RAG_TYPE_VECTOR_H */
