/*
 * float_avx2.c: the kernels in 256-bit registers, with fused multiply-add; bits by POPCNT.
 */
#include <immintrin.h>

#include "simd/kernels.h"

#define LANES ((size_t) 8)

typedef __m256 lanes;

static inline lanes
lanes_zero(void)
{
	return _mm256_setzero_ps();
}

static inline lanes
lanes_load(const float *p)
{
	return _mm256_loadu_ps(p);
}

/* A masked load does not touch the memory of the lanes that it leaves out. */
static inline lanes
lanes_load_first(const float *p, size_t n)
{
	const __m256i position = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
	__m256i		mask = _mm256_cmpgt_epi32(_mm256_set1_epi32((int) n), position);

	return _mm256_maskload_ps(p, mask);
}

static inline lanes
lanes_load_half(const uint16_t *p)
{
	return _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *) p));
}

/* There is no masked load of 16-bit elements. */
static inline lanes
lanes_load_half_first(const uint16_t *p, size_t n)
{
	uint16_t	first[LANES] = {0};

	for (size_t i = 0; i < n; i++)
		first[i] = p[i];
	return lanes_load_half(first);
}

static inline void
lanes_store(float *p, lanes v)
{
	_mm256_storeu_ps(p, v);
}

static inline void
lanes_store_half(uint16_t *p, lanes v)
{
	_mm_storeu_si128((__m128i *) p, _mm256_cvtps_ph(v, _MM_FROUND_TO_NEAREST_INT));
}

static inline lanes
lanes_add(lanes a, lanes b)
{
	return _mm256_add_ps(a, b);
}

static inline lanes
lanes_sub(lanes a, lanes b)
{
	return _mm256_sub_ps(a, b);
}

static inline lanes
lanes_abs(lanes a)
{
	return _mm256_andnot_ps(_mm256_set1_ps(-0.0f), a);
}

static inline lanes
lanes_multiply_add(lanes a, lanes b, lanes c)
{
	return _mm256_fmadd_ps(a, b, c);
}

static inline float
lanes_sum(lanes a)
{
	__m128		four = _mm_add_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
	__m128		two = _mm_add_ps(four, _mm_movehl_ps(four, four));

	return _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)));
}

#include "simd/float_body.h"
#include "simd/bits_words.h"

const simd_kernels simd_kernels_avx2 = SIMD_KERNELS(SIMD_AVX2);

/* AVX-VNNI adds integer instructions only. */
const simd_kernels simd_kernels_avxvnni = SIMD_KERNELS(SIMD_AVXVNNI);
