/*
 * vector.h: the vector type as it lies on disk.
 *
 * pgvector's storage layout, so that data files, COPY BINARY streams and client
 * drivers are interchangeable:
 *     int32 varlena header, int16 dim, int16 unused (must be 0), float4 x[dim]
 * Every element is finite. 1 <= dim <= VECTOR_MAX_DIM.
 */
#ifndef RAG_TYPE_VECTOR_H
#define RAG_TYPE_VECTOR_H

#include "fmgr.h"

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

/* A zero-filled vector in the current memory context; dim must be valid. */
extern Vector *VectorMake(int dim);

/* ERROR "different vector dimensions %d and %d" unless equal. */
extern void VectorCheckSameDim(const Vector *a, const Vector *b);

#endif							/* RAG_TYPE_VECTOR_H */
