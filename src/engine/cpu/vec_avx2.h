/*
 * vec_avx2.h: `vec`, sixteen floats, in two AVX2 registers. See vec_scalar.h.
 */
#ifndef RAG_ENGINE_CPU_VEC_H
#define RAG_ENGINE_CPU_VEC_H

#include <immintrin.h>
#include <stddef.h>
#include <stdint.h>

#define VEC_INLINE static inline __attribute__((always_inline, unused))

typedef struct vec
{
	__m256		low,
				high;
} vec;

/* one operation of 256-bit registers, done on both halves */
#define VEC_BOTH(operation, a, b) \
	((vec) {operation((a).low, (b).low), operation((a).high, (b).high)})

VEC_INLINE vec
vec_zero(void)
{
	return (vec) {_mm256_setzero_ps(), _mm256_setzero_ps()};
}

VEC_INLINE vec
vec_set(float x)
{
	return (vec) {_mm256_set1_ps(x), _mm256_set1_ps(x)};
}

VEC_INLINE vec
vec_load(const float *p)
{
	return (vec) {_mm256_loadu_ps(p), _mm256_loadu_ps(p + 8)};
}

VEC_INLINE __m256i
vec_mask_first(int n)
{
	return _mm256_cmpgt_epi32(_mm256_set1_epi32(n), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}

VEC_INLINE vec
vec_load_first(const float *p, int n)
{
	if (n <= 8)
		return (vec) {_mm256_maskload_ps(p, vec_mask_first(n)), _mm256_setzero_ps()};
	return (vec) {_mm256_loadu_ps(p), _mm256_maskload_ps(p + 8, vec_mask_first(n - 8))};
}

VEC_INLINE void
vec_store(float *p, vec v)
{
	_mm256_storeu_ps(p, v.low);
	_mm256_storeu_ps(p + 8, v.high);
}

VEC_INLINE void
vec_store_first(float *p, vec v, int n)
{
	_mm256_maskstore_ps(p, vec_mask_first(n), v.low);
	if (n > 8)
		_mm256_maskstore_ps(p + 8, vec_mask_first(n - 8), v.high);
}

VEC_INLINE vec
vec_load_half(const uint16_t *p)
{
	return (vec) {_mm256_cvtph_ps(_mm_loadu_si128((const __m128i *) p)),
				  _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *) (p + 8)))};
}

VEC_INLINE void
vec_store_half(uint16_t *p, vec v)
{
	_mm_storeu_si128((__m128i *) p, _mm256_cvtps_ph(v.low, _MM_FROUND_TO_NEAREST_INT));
	_mm_storeu_si128((__m128i *) (p + 8), _mm256_cvtps_ph(v.high, _MM_FROUND_TO_NEAREST_INT));
}

VEC_INLINE __m256
vec_load_bfloat_8(const uint16_t *p)
{
	__m256i		wide = _mm256_cvtepu16_epi32(_mm_loadu_si128((const __m128i *) p));

	return _mm256_castsi256_ps(_mm256_slli_epi32(wide, 16));
}

VEC_INLINE vec
vec_load_bfloat(const uint16_t *p)
{
	return (vec) {vec_load_bfloat_8(p), vec_load_bfloat_8(p + 8)};
}

VEC_INLINE vec
vec_load_byte(const uint8_t *p)
{
	__m128i		bytes = _mm_loadu_si128((const __m128i *) p);

	return (vec) {_mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(bytes)),
				  _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(_mm_srli_si128(bytes, 8)))};
}

VEC_INLINE vec
vec_load_signed_byte(const int8_t *p)
{
	__m128i		bytes = _mm_loadu_si128((const __m128i *) p);

	return (vec) {_mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(bytes)),
				  _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_srli_si128(bytes, 8)))};
}

VEC_INLINE void
vec_store_bytes(int8_t *p, vec v)
{
	__m256i		words = _mm256_packs_epi32(_mm256_cvtps_epi32(v.low), _mm256_cvtps_epi32(v.high));

	words = _mm256_permute4x64_epi64(words, 0xD8);
	_mm_storeu_si128((__m128i *) p, _mm_packs_epi16(_mm256_castsi256_si128(words),
													_mm256_extracti128_si256(words, 1)));
}

VEC_INLINE vec
vec_add(vec a, vec b)
{
	return VEC_BOTH(_mm256_add_ps, a, b);
}

VEC_INLINE vec
vec_sub(vec a, vec b)
{
	return VEC_BOTH(_mm256_sub_ps, a, b);
}

VEC_INLINE vec
vec_mul(vec a, vec b)
{
	return VEC_BOTH(_mm256_mul_ps, a, b);
}

VEC_INLINE vec
vec_div(vec a, vec b)
{
	return VEC_BOTH(_mm256_div_ps, a, b);
}

VEC_INLINE vec
vec_fma(vec a, vec b, vec c)
{
	return (vec) {_mm256_fmadd_ps(a.low, b.low, c.low), _mm256_fmadd_ps(a.high, b.high, c.high)};
}

VEC_INLINE vec
vec_fnma(vec a, vec b, vec c)
{
	return (vec) {_mm256_fnmadd_ps(a.low, b.low, c.low),
				  _mm256_fnmadd_ps(a.high, b.high, c.high)};
}

VEC_INLINE vec
vec_max(vec a, vec b)
{
	return VEC_BOTH(_mm256_max_ps, a, b);
}

VEC_INLINE vec
vec_min(vec a, vec b)
{
	return VEC_BOTH(_mm256_min_ps, a, b);
}

VEC_INLINE vec
vec_abs(vec a)
{
	const __m256 bit = _mm256_set1_ps(-0.0f);

	return (vec) {_mm256_andnot_ps(bit, a.low), _mm256_andnot_ps(bit, a.high)};
}

VEC_INLINE __m256
vec_copy_sign_8(__m256 magnitude, __m256 sign)
{
	const __m256 bit = _mm256_set1_ps(-0.0f);

	return _mm256_or_ps(_mm256_andnot_ps(bit, magnitude), _mm256_and_ps(bit, sign));
}

VEC_INLINE vec
vec_copy_sign(vec magnitude, vec sign)
{
	return VEC_BOTH(vec_copy_sign_8, magnitude, sign);
}

VEC_INLINE vec
vec_round(vec a)
{
	return (vec) {_mm256_round_ps(a.low, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC),
				  _mm256_round_ps(a.high, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC)};
}

VEC_INLINE __m256
vec_power_of_two_8(__m256 n)
{
	return _mm256_castsi256_ps(_mm256_slli_epi32(
		_mm256_add_epi32(_mm256_cvtps_epi32(n), _mm256_set1_epi32(127)), 23));
}

VEC_INLINE vec
vec_power_of_two(vec n)
{
	return (vec) {vec_power_of_two_8(n.low), vec_power_of_two_8(n.high)};
}

VEC_INLINE vec
vec_keep_first(vec a, int n, vec fill)
{
	return (vec) {_mm256_blendv_ps(fill.low, a.low, _mm256_castsi256_ps(vec_mask_first(n))),
				  _mm256_blendv_ps(fill.high, a.high,
								   _mm256_castsi256_ps(vec_mask_first(n - 8)))};
}

VEC_INLINE float
vec_sum(vec a)
{
	__m256		half = _mm256_add_ps(a.low, a.high);
	__m128		four = _mm_add_ps(_mm256_castps256_ps128(half), _mm256_extractf128_ps(half, 1));
	__m128		two = _mm_add_ps(four, _mm_movehl_ps(four, four));

	return _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)));
}

VEC_INLINE float
vec_greatest(vec a)
{
	__m256		half = _mm256_max_ps(a.low, a.high);
	__m128		four = _mm_max_ps(_mm256_castps256_ps128(half), _mm256_extractf128_ps(half, 1));
	__m128		two = _mm_max_ps(four, _mm_movehl_ps(four, four));

	return _mm_cvtss_f32(_mm_max_ss(two, _mm_movehdup_ps(two)));
}

VEC_INLINE void
vec_transpose_8(float *to, size_t to_stride, const float *from, size_t from_stride)
{
	__m256		r[8],
				t[8];

#pragma GCC unroll 8
	for (int i = 0; i < 8; i++)
		r[i] = _mm256_loadu_ps(from + (size_t) i * from_stride);
#pragma GCC unroll 4
	for (int i = 0; i < 8; i += 2)
	{
		t[i] = _mm256_unpacklo_ps(r[i], r[i + 1]);
		t[i + 1] = _mm256_unpackhi_ps(r[i], r[i + 1]);
	}
#pragma GCC unroll 2
	for (int i = 0; i < 8; i += 4)
	{
		r[i] = _mm256_shuffle_ps(t[i], t[i + 2], 0x44);
		r[i + 1] = _mm256_shuffle_ps(t[i], t[i + 2], 0xEE);
		r[i + 2] = _mm256_shuffle_ps(t[i + 1], t[i + 3], 0x44);
		r[i + 3] = _mm256_shuffle_ps(t[i + 1], t[i + 3], 0xEE);
	}
#pragma GCC unroll 4
	for (int i = 0; i < 4; i++)
	{
		_mm256_storeu_ps(to + (size_t) i * to_stride,
						 _mm256_permute2f128_ps(r[i], r[i + 4], 0x20));
		_mm256_storeu_ps(to + (size_t) (i + 4) * to_stride,
						 _mm256_permute2f128_ps(r[i], r[i + 4], 0x31));
	}
}

VEC_INLINE void
vec_transpose_4(float *to, size_t to_stride, const float *from, size_t from_stride)
{
	__m128		r[4];

#pragma GCC unroll 4
	for (int i = 0; i < 4; i++)
		r[i] = _mm_loadu_ps(from + (size_t) i * from_stride);
	_MM_TRANSPOSE4_PS(r[0], r[1], r[2], r[3]);
#pragma GCC unroll 4
	for (int i = 0; i < 4; i++)
		_mm_storeu_ps(to + (size_t) i * to_stride, r[i]);
}

/* to[j][i] = from[i][j], for n rows i (1 to 16) and 16 columns j; the strides are in floats */
VEC_INLINE void
vec_transpose(float *to, size_t to_stride, const float *from, size_t from_stride, int n)
{
	size_t		rows = (size_t) n;
	size_t		i = 0;

	for (; i + 8 <= rows; i += 8)
	{
		for (size_t j = 0; j < 16; j += 8)
			vec_transpose_8(to + j * to_stride + i, to_stride, from + i * from_stride + j,
							from_stride);
	}
	for (; i + 4 <= rows; i += 4)
	{
		for (size_t j = 0; j < 16; j += 4)
			vec_transpose_4(to + j * to_stride + i, to_stride, from + i * from_stride + j,
							from_stride);
	}
	for (; i < rows; i++)
	{
		for (size_t j = 0; j < 16; j++)
			to[j * to_stride + i] = from[i * from_stride + j];
	}
}

#endif							/* RAG_ENGINE_CPU_VEC_H */
