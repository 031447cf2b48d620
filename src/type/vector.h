/*
 * vector.h: the vector type as it lies on disk, and what other rooms do with one.
 *
 * pgvector's storage layout, so that data files, COPY BINARY streams and client
 * drivers are interchangeable:
 *     int32 varlena header, int16 dim, int16 unused (must be 0), float4 x[dim]
 * Every element is finite. 1 <= dim <= VECTOR_MAX_DIM.
 *
 *     Vector *v = PG_GETARG_VECTOR_P(0);         detoasted; maybe a copy
 *     Vector *unit = VectorL2Normalize(v);
 */
#ifndef RAG_TYPE_VECTOR_H
#define RAG_TYPE_VECTOR_H

#include "fmgr.h"

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

/* The name and limits of the type, for dense.h. */
extern const DenseType VectorDense;

/* A zero-filled vector in the current memory context; ERROR unless dim is valid. */
extern Vector *VectorMake(int dim);

/* A vector of these dim elements; ERROR unless dim is valid and all are finite. */
extern Vector *VectorFromFloats(const float *values, int dim);

/* ERROR "different vector dimensions %d and %d" unless equal. */
extern void VectorCheckSameDim(const Vector *a, const Vector *b);

/* The Euclidean norm, summed in double: finite for every vector. */
extern double VectorNorm(const Vector *v);

/* v divided by its norm, a new vector; a zero vector stays zero. */
extern Vector *VectorL2Normalize(const Vector *v);

/* The order of btree: element by element, then the shorter first. <0, 0, >0. */
extern int	VectorCompare(const Vector *a, const Vector *b);

#endif							/* RAG_TYPE_VECTOR_H */
