/*
 * scalar.c: the portable kernels, the oracle of every other instruction set.
 */
#include "simd/simd.h"

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

static const simd_kernels scalar = {
	.isa = SIMD_SCALAR,
	.l2_squared_f32 = l2_squared_f32,
	.dot_f32 = dot_f32,
	.l1_f32 = l1_f32,
	.cosine_parts_f32 = cosine_parts_f32,
};

const simd_kernels *
simd_get_for(simd_isa isa)
{
	return isa == SIMD_SCALAR ? &scalar : NULL;
}

const simd_kernels *
simd_get(void)
{
	return &scalar;
}

simd_isa
simd_current(void)
{
	return SIMD_SCALAR;
}

const char *
simd_name(simd_isa isa)
{
	return isa == SIMD_SCALAR ? "scalar" : "unknown";
}
