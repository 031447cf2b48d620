/*
 * sparse.c: distances of sparse arrays.
 *
 * Which array goes on is as good as random, so it is computed and not branched on.
 */
#include <stdbool.h>

#include "simd/sparse.h"

/* sum + f(a, b) for an index of one or both; the other side is 0 */
typedef float (*sparse_step) (float sum, float a, float b);

static inline float
step_l2_squared(float sum, float a, float b)
{
	return sum + (a - b) * (a - b);
}

static inline float
step_l1(float sum, float a, float b)
{
	return sum + __builtin_fabsf(a - b);
}

/* step is a constant at every call, so it is inlined with this function. */
static inline __attribute__((always_inline)) float
sum_either(sparse_array a, sparse_array b, sparse_step step)
{
	float		sum = 0;
	size_t		i = 0,
				j = 0;

	while (i < a.count && j < b.count)
	{
		bool		in_a = a.indices[i] <= b.indices[j];
		bool		in_b = b.indices[j] <= a.indices[i];

		sum = step(sum, in_a ? a.values[i] : 0, in_b ? b.values[j] : 0);
		i += in_a;
		j += in_b;
	}
	for (; i < a.count; i++)
		sum = step(sum, a.values[i], 0);
	for (; j < b.count; j++)
		sum = step(sum, 0, b.values[j]);
	return sum;
}

float
sparse_l2_squared(sparse_array a, sparse_array b)
{
	return sum_either(a, b, step_l2_squared);
}

float
sparse_l1(sparse_array a, sparse_array b)
{
	return sum_either(a, b, step_l1);
}

float
sparse_dot(sparse_array a, sparse_array b)
{
	float		sum = 0;
	size_t		i = 0,
				j = 0;

	while (i < a.count && j < b.count)
	{
		int32_t		x = a.indices[i],
					y = b.indices[j];

		if (x == y)
			sum += a.values[i] * b.values[j];
		i += x <= y;
		j += y <= x;
	}
	return sum;
}
