/*
 * sparsevec.h: the sparsevec type as it lies on disk: the elements that are not zero.
 *
 * pgvector's storage layout:
 *     int32 varlena header, int32 dim, int32 nnz, int32 unused (must be 0),
 *     int32 indices[nnz], float4 values[nnz]
 * Indices count from 0 and rise; values are finite and not zero. 1 <= dim <=
 * SPARSEVEC_MAX_DIM, 0 <= nnz <= dim, nnz <= SPARSEVEC_MAX_NNZ.
 */
#ifndef RAG_TYPE_SPARSEVEC_H
#define RAG_TYPE_SPARSEVEC_H

#include "type/dense.h"

#include "simd/sparse.h"

#define SPARSEVEC_MAX_DIM 1000000000
#define SPARSEVEC_MAX_NNZ 16000

typedef struct Sparsevec
{
	int32		vl_len_;		/* varlena header, do not touch directly */
	int32		dim;			/* number of dimensions */
	int32		nnz;			/* number of elements that are not zero */
	int32		unused;			/* reserved, always 0 */
	int32		indices[FLEXIBLE_ARRAY_MEMBER]; /* the values after them */
} Sparsevec;

#define SPARSEVEC_SIZE(nnz) \
	(offsetof(Sparsevec, indices) + (sizeof(int32) + sizeof(float)) * (nnz))
#define SPARSEVEC_VALUES(v) ((float *) ((v)->indices + (v)->nnz))
#define DatumGetSparsevec(d) ((Sparsevec *) PG_DETOAST_DATUM(d))
#define PG_GETARG_SPARSEVEC_P(n) DatumGetSparsevec(PG_GETARG_DATUM(n))

/* For the checks that it shares with the dense types: name and limits. */
extern const DenseType SparsevecType;

/* Room for this many elements, zero-filled; ERROR unless dim and nnz are valid. */
extern Sparsevec *SparsevecMake(int dim, int nnz);

extern void SparsevecCheckNnz(int nnz, int dim);

/* A sparsevec of the floats that are not zero. */
extern Sparsevec *SparsevecFromFloats(const float *values, int dim);

/* The Euclidean norm, summed in double: finite for every value. */
extern double SparsevecNorm(const Sparsevec *value);

/* The value divided by its norm, a new one; zero stays zero. */
extern Sparsevec *SparsevecL2Normalize(const Sparsevec *value);

static inline sparse_array
SparsevecArray(const Sparsevec *value)
{
	return (sparse_array) {value->indices, SPARSEVEC_VALUES(value), value->nnz};
}

#endif							/* RAG_TYPE_SPARSEVEC_H */
