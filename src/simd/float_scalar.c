/*
 * float_scalar.c: the portable kernels, the oracle of every other instruction set.
 */
#include "simd/bits_words.h"
#include "simd/half.h"
#include "simd/kernels.h"

static inline float
read_f32(const void *array, size_t at)
{
	return ((const float *) array)[at];
}

static inline float
read_f16(const void *array, size_t at)
{
	return half_to_float(((const uint16_t *) array)[at]);
}

/* one element of an array; a constant at every call, so it is inlined */
typedef float (*element_reader) (const void *array, size_t at);

#define SCALAR_INLINE static inline __attribute__((always_inline))

SCALAR_INLINE float
sum_l2_squared(const void *a, const void *b, size_t n, element_reader read)
{
	float		sum = 0;

	for (size_t i = 0; i < n; i++)
	{
		float		d = read(a, i) - read(b, i);

		sum += d * d;
	}
	return sum;
}

SCALAR_INLINE float
sum_dot(const void *a, const void *b, size_t n, element_reader read)
{
	float		sum = 0;

	for (size_t i = 0; i < n; i++)
		sum += read(a, i) * read(b, i);
	return sum;
}

SCALAR_INLINE float
sum_l1(const void *a, const void *b, size_t n, element_reader read)
{
	float		sum = 0;

	for (size_t i = 0; i < n; i++)
		sum += __builtin_fabsf(read(a, i) - read(b, i));
	return sum;
}

SCALAR_INLINE void
sum_cosine(const void *a, const void *b, size_t n, element_reader read, float out[3])
{
	float		ab = 0,
				aa = 0,
				bb = 0;

	for (size_t i = 0; i < n; i++)
	{
		float		x = read(a, i),
					y = read(b, i);

		ab += x * y;
		aa += x * x;
		bb += y * y;
	}
	out[0] = ab;
	out[1] = aa;
	out[2] = bb;
}

static float
l2_squared_f32(const float *a, const float *b, size_t n)
{
	return sum_l2_squared(a, b, n, read_f32);
}

static float
dot_f32(const float *a, const float *b, size_t n)
{
	return sum_dot(a, b, n, read_f32);
}

static float
l1_f32(const float *a, const float *b, size_t n)
{
	return sum_l1(a, b, n, read_f32);
}

static void
cosine_parts_f32(const float *a, const float *b, size_t n, float out[3])
{
	sum_cosine(a, b, n, read_f32, out);
}

static float
l2_squared_f16(const uint16_t *a, const uint16_t *b, size_t n)
{
	return sum_l2_squared(a, b, n, read_f16);
}

static float
dot_f16(const uint16_t *a, const uint16_t *b, size_t n)
{
	return sum_dot(a, b, n, read_f16);
}

static float
l1_f16(const uint16_t *a, const uint16_t *b, size_t n)
{
	return sum_l1(a, b, n, read_f16);
}

static void
cosine_parts_f16(const uint16_t *a, const uint16_t *b, size_t n, float out[3])
{
	sum_cosine(a, b, n, read_f16, out);
}

static void
f16_to_f32(const uint16_t *in, float *out, size_t n)
{
	for (size_t i = 0; i < n; i++)
		out[i] = half_to_float(in[i]);
}

static void
f32_to_f16(const float *in, uint16_t *out, size_t n)
{
	for (size_t i = 0; i < n; i++)
		out[i] = half_from_float(in[i]);
}

const simd_kernels simd_kernels_scalar = SIMD_KERNELS(SIMD_SCALAR);
