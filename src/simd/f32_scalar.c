/*
 * f32_scalar.c: the portable kernels, the oracle of every other instruction set.
 */
#include "simd/kernels.h"

static float
l2_squared_f32(const float *a, const float *b, size_t n)
{
	float		sum = 0;

	for (size_t i = 0; i < n; i++)
	{
		float		d = a[i] - b[i];

		sum += d * d;
	}
	return sum;
}

static float
dot_f32(const float *a, const float *b, size_t n)
{
	float		sum = 0;

	for (size_t i = 0; i < n; i++)
		sum += a[i] * b[i];
	return sum;
}

static float
l1_f32(const float *a, const float *b, size_t n)
{
	float		sum = 0;

	for (size_t i = 0; i < n; i++)
		sum += __builtin_fabsf(a[i] - b[i]);
	return sum;
}

static void
cosine_parts_f32(const float *a, const float *b, size_t n, float out[3])
{
	float		ab = 0,
				aa = 0,
				bb = 0;

	for (size_t i = 0; i < n; i++)
	{
		ab += a[i] * b[i];
		aa += a[i] * a[i];
		bb += b[i] * b[i];
	}
	out[0] = ab;
	out[1] = aa;
	out[2] = bb;
}

const simd_kernels simd_kernels_scalar = SIMD_KERNELS(SIMD_SCALAR);
