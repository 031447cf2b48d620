/*
 * vec_avx512.h: `vec`, sixteen floats, in one AVX-512 register. See vec_scalar.h.
 */
#ifndef RAG_ENGINE_CPU_VEC_H
#define RAG_ENGINE_CPU_VEC_H

#include <immintrin.h>
#include <stddef.h>
#include <stdint.h>

#define VEC_INLINE static inline __attribute__((always_inline, unused))

typedef __m512 vec;

VEC_INLINE vec
vec_zero(void)
{
	return _mm512_setzero_ps();
}

VEC_INLINE vec
vec_set(float x)
{
	return _mm512_set1_ps(x);
}

VEC_INLINE vec
vec_load(const float *p)
{
	return _mm512_loadu_ps(p);
}

VEC_INLINE vec
vec_load_first(const float *p, int n)
{
	return _mm512_maskz_loadu_ps((__mmask16) ((1u << n) - 1), p);
}

VEC_INLINE void
vec_store(float *p, vec v)
{
	_mm512_storeu_ps(p, v);
}

VEC_INLINE void
vec_store_first(float *p, vec v, int n)
{
	_mm512_mask_storeu_ps(p, (__mmask16) ((1u << n) - 1), v);
}

VEC_INLINE vec
vec_load_half(const uint16_t *p)
{
	return _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *) p));
}

VEC_INLINE void
vec_store_half(uint16_t *p, vec v)
{
	_mm256_storeu_si256((__m256i *) p, _mm512_cvtps_ph(v, _MM_FROUND_TO_NEAREST_INT));
}

VEC_INLINE vec
vec_load_bfloat(const uint16_t *p)
{
	__m512i		wide = _mm512_cvtepu16_epi32(_mm256_loadu_si256((const __m256i *) p));

	return _mm512_castsi512_ps(_mm512_slli_epi32(wide, 16));
}

VEC_INLINE vec
vec_load_byte(const uint8_t *p)
{
	return _mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(_mm_loadu_si128((const __m128i *) p)));
}

VEC_INLINE vec
vec_load_signed_byte(const int8_t *p)
{
	return _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128((const __m128i *) p)));
}

VEC_INLINE void
vec_store_bytes(int8_t *p, vec v)
{
	_mm_storeu_si128((__m128i *) p, _mm512_cvtsepi32_epi8(_mm512_cvtps_epi32(v)));
}

VEC_INLINE vec
vec_add(vec a, vec b)
{
	return _mm512_add_ps(a, b);
}

VEC_INLINE vec
vec_sub(vec a, vec b)
{
	return _mm512_sub_ps(a, b);
}

VEC_INLINE vec
vec_mul(vec a, vec b)
{
	return _mm512_mul_ps(a, b);
}

VEC_INLINE vec
vec_div(vec a, vec b)
{
	return _mm512_div_ps(a, b);
}

VEC_INLINE vec
vec_fma(vec a, vec b, vec c)
{
	return _mm512_fmadd_ps(a, b, c);
}

VEC_INLINE vec
vec_fnma(vec a, vec b, vec c)
{
	return _mm512_fnmadd_ps(a, b, c);
}

VEC_INLINE vec
vec_max(vec a, vec b)
{
	return _mm512_max_ps(a, b);
}

VEC_INLINE vec
vec_min(vec a, vec b)
{
	return _mm512_min_ps(a, b);
}

VEC_INLINE vec
vec_abs(vec a)
{
	return _mm512_abs_ps(a);
}

VEC_INLINE vec
vec_copy_sign(vec magnitude, vec sign)
{
	const __m512 bit = _mm512_set1_ps(-0.0f);

	return _mm512_or_ps(_mm512_andnot_ps(bit, magnitude), _mm512_and_ps(bit, sign));
}

VEC_INLINE vec
vec_round(vec a)
{
	return _mm512_roundscale_ps(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
}

VEC_INLINE vec
vec_power_of_two(vec n)
{
	return _mm512_castsi512_ps(_mm512_slli_epi32(
		_mm512_add_epi32(_mm512_cvtps_epi32(n), _mm512_set1_epi32(127)), 23));
}

VEC_INLINE vec
vec_keep_first(vec a, int n, vec fill)
{
	return _mm512_mask_blend_ps((__mmask16) ((1u << n) - 1), fill, a);
}

VEC_INLINE float
vec_sum(vec a)
{
	__m256		half = _mm256_add_ps(_mm512_castps512_ps256(a), _mm512_extractf32x8_ps(a, 1));
	__m128		four = _mm_add_ps(_mm256_castps256_ps128(half), _mm256_extractf128_ps(half, 1));
	__m128		two = _mm_add_ps(four, _mm_movehl_ps(four, four));

	return _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)));
}

VEC_INLINE float
vec_greatest(vec a)
{
	return _mm512_reduce_max_ps(a);
}

VEC_INLINE void
vec_transpose_store(float *to, vec v, int n)
{
	if (n == 16)
		vec_store(to, v);
	else
		vec_store_first(to, v, n);
}

/* to[j][i] = from[i][j], for n rows i (1 to 16) and 16 columns j; the strides are in floats */
VEC_INLINE void
vec_transpose(float *to, size_t to_stride, const float *from, size_t from_stride, int n)
{
	__m512		r[16],
				t[16];

#pragma GCC unroll 16
	for (int i = 0; i < 16; i++)
		r[i] = i < n ? vec_load(from + (size_t) i * from_stride) : vec_zero();
	/* pairs, fours, then blocks of four and eight */
#pragma GCC unroll 8
	for (int i = 0; i < 16; i += 2)
	{
		t[i] = _mm512_unpacklo_ps(r[i], r[i + 1]);
		t[i + 1] = _mm512_unpackhi_ps(r[i], r[i + 1]);
	}
#pragma GCC unroll 4
	for (int i = 0; i < 16; i += 4)
	{
		r[i] = _mm512_shuffle_ps(t[i], t[i + 2], 0x44);
		r[i + 1] = _mm512_shuffle_ps(t[i], t[i + 2], 0xEE);
		r[i + 2] = _mm512_shuffle_ps(t[i + 1], t[i + 3], 0x44);
		r[i + 3] = _mm512_shuffle_ps(t[i + 1], t[i + 3], 0xEE);
	}
#pragma GCC unroll 4
	for (int i = 0; i < 4; i++)
	{
		t[i] = _mm512_shuffle_f32x4(r[i], r[i + 4], 0x88);
		t[i + 4] = _mm512_shuffle_f32x4(r[i], r[i + 4], 0xDD);
		t[i + 8] = _mm512_shuffle_f32x4(r[i + 8], r[i + 12], 0x88);
		t[i + 12] = _mm512_shuffle_f32x4(r[i + 8], r[i + 12], 0xDD);
	}
#pragma GCC unroll 4
	for (int i = 0; i < 4; i++)
	{
		vec_transpose_store(to + (size_t) i * to_stride,
							_mm512_shuffle_f32x4(t[i], t[i + 8], 0x88), n);
		vec_transpose_store(to + (size_t) (i + 4) * to_stride,
							_mm512_shuffle_f32x4(t[i + 4], t[i + 12], 0x88), n);
		vec_transpose_store(to + (size_t) (i + 8) * to_stride,
							_mm512_shuffle_f32x4(t[i], t[i + 8], 0xDD), n);
		vec_transpose_store(to + (size_t) (i + 12) * to_stride,
							_mm512_shuffle_f32x4(t[i + 4], t[i + 12], 0xDD), n);
	}
}

#endif							/* RAG_ENGINE_CPU_VEC_H */
