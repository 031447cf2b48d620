/*
 * vec_scalar.h: `vec`, sixteen floats, in portable C.
 *
 * The bodies of the kernels are written once over this type; each instruction set has
 * its own header of the same functions (vec_avx2.h, vec_avx512.h). Sixteen lanes
 * everywhere, so that layouts in memory do not depend on the instruction set.
 *
 *     vec_load_first(p, n)     the first n < 16 floats, then zeros; reads no further
 *     vec_keep_first(a, n, f)  the first n <= 16 lanes of a, then those of f
 *     vec_fma(a, b, c)         a * b + c, rounded once where the machine can
 *     vec_fnma(a, b, c)        c - a * b
 *     vec_power_of_two(n)      2^n for whole n in [-127, 127]; 2^-127 gives 0
 *     vec_sum, vec_greatest    over the lanes, always in the same order
 */
#ifndef RAG_ENGINE_CPU_VEC_H
#define RAG_ENGINE_CPU_VEC_H

#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "simd/half.h"

#define VEC_INLINE static inline __attribute__((always_inline, unused))

/* A vector type of the compiler, which makes of it what the machine has. */
typedef float vec __attribute__((vector_size(64)));

/* v[i] = expression, for each i */
#define VEC_EACH(expression) \
	vec			v; \
	for (int i = 0; i < 16; i++) \
		v[i] = (expression); \
	return v

VEC_INLINE vec
vec_zero(void)
{
	return (vec) {0};
}

VEC_INLINE vec
vec_set(float x)
{
	return x - (vec) {0};
}

VEC_INLINE vec
vec_load(const float *p)
{
	vec			v;

	memcpy(&v, p, sizeof(v));
	return v;
}

VEC_INLINE vec
vec_load_first(const float *p, int n)
{
	VEC_EACH(i < n ? p[i] : 0.0f);
}

VEC_INLINE void
vec_store(float *p, vec a)
{
	memcpy(p, &a, sizeof(a));
}

VEC_INLINE void
vec_store_first(float *p, vec a, int n)
{
	for (int i = 0; i < n; i++)
		p[i] = a[i];
}

VEC_INLINE vec
vec_load_half(const uint16_t *p)
{
	VEC_EACH(half_to_float(p[i]));
}

VEC_INLINE void
vec_store_half(uint16_t *p, vec a)
{
	for (int i = 0; i < 16; i++)
		p[i] = half_from_float(a[i]);
}

VEC_INLINE vec
vec_load_bfloat(const uint16_t *p)
{
	VEC_EACH(half_bfloat_to_float(p[i]));
}

VEC_INLINE vec
vec_load_byte(const uint8_t *p)
{
	VEC_EACH((float) p[i]);
}

VEC_INLINE vec
vec_load_signed_byte(const int8_t *p)
{
	VEC_EACH((float) p[i]);
}

/* Whole numbers, rounded to nearest even, of values in [-127.5, 127.5]; what others become is
 * not defined. */
VEC_INLINE void
vec_store_bytes(int8_t *p, vec a)
{
	for (int i = 0; i < 16; i++)
		p[i] = a[i] > -127.5f && a[i] < 127.5f ? (int8_t) rintf(a[i]) : -128;
}

VEC_INLINE vec
vec_add(vec a, vec b)
{
	return a + b;
}

VEC_INLINE vec
vec_sub(vec a, vec b)
{
	return a - b;
}

VEC_INLINE vec
vec_mul(vec a, vec b)
{
	return a * b;
}

VEC_INLINE vec
vec_div(vec a, vec b)
{
	return a / b;
}

VEC_INLINE vec
vec_fma(vec a, vec b, vec c)
{
	return a * b + c;
}

VEC_INLINE vec
vec_fnma(vec a, vec b, vec c)
{
	return c - a * b;
}

VEC_INLINE vec
vec_max(vec a, vec b)
{
	VEC_EACH(a[i] > b[i] ? a[i] : b[i]);
}

VEC_INLINE vec
vec_min(vec a, vec b)
{
	VEC_EACH(a[i] < b[i] ? a[i] : b[i]);
}

VEC_INLINE vec
vec_abs(vec a)
{
	VEC_EACH(__builtin_fabsf(a[i]));
}

VEC_INLINE vec
vec_copy_sign(vec magnitude, vec sign)
{
	VEC_EACH(__builtin_copysignf(magnitude[i], sign[i]));
}

VEC_INLINE vec
vec_round(vec a)
{
	VEC_EACH(rintf(a[i]));
}

/* The lanes outside the range can only come from NaNs: any value will do for them. */
VEC_INLINE vec
vec_power_of_two(vec n)
{
	VEC_EACH(half_bits_to_float(n[i] >= -127.0f && n[i] <= 127.0f ?
								(uint32_t) ((int32_t) n[i] + 127) << 23 : 0));
}

VEC_INLINE vec
vec_keep_first(vec a, int n, vec fill)
{
	VEC_EACH(i < n ? a[i] : fill[i]);
}

VEC_INLINE float
vec_sum(vec a)
{
	for (int width = 8; width > 0; width /= 2)
	{
		for (int i = 0; i < width; i++)
			a[i] += a[i + width];
	}
	return a[0];
}

VEC_INLINE float
vec_greatest(vec a)
{
	for (int width = 8; width > 0; width /= 2)
	{
		for (int i = 0; i < width; i++)
			a[i] = a[i] > a[i + width] ? a[i] : a[i + width];
	}
	return a[0];
}

/* to[j][i] = from[i][j], for n rows i (1 to 16) and 16 columns j; the strides are in floats */
VEC_INLINE void
vec_transpose(float *to, size_t to_stride, const float *from, size_t from_stride, int n)
{
	for (size_t i = 0; i < (size_t) n; i++)
	{
		for (size_t j = 0; j < 16; j++)
			to[j * to_stride + i] = from[i * from_stride + j];
	}
}

#endif							/* RAG_ENGINE_CPU_VEC_H */
