/*
 * sparse.h: distances of sparse arrays: the elements that are not zero, by rising index.
 *
 *     sparse_array a = {indices, values, count};
 *     float d = sparse_l2_squared(a, b);
 *
 * Plain C, no allocation, no errors. Both arrays are walked side by side; that is all
 * there is to do, so it is the same for every instruction set. Sums are float, in the
 * order of the indices.
 */
#ifndef RAG_SIMD_SPARSE_H
#define RAG_SIMD_SPARSE_H

#include <stddef.h>
#include <stdint.h>

typedef struct sparse_array
{
	const int32_t *indices;		/* rising */
	const float *values;
	size_t		count;
} sparse_array;

extern float sparse_l2_squared(sparse_array a, sparse_array b);
extern float sparse_dot(sparse_array a, sparse_array b);
extern float sparse_l1(sparse_array a, sparse_array b);

#endif							/* RAG_SIMD_SPARSE_H */
