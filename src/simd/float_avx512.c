/*
 * float_avx512.c: the kernels in 512-bit registers; bits by POPCNT.
 */
#include <immintrin.h>

#include "simd/kernels.h"

#define LANES ((size_t) 16)

typedef __m512 lanes;

static inline lanes
lanes_zero(void)
{
	return _mm512_setzero_ps();
}

static inline lanes
lanes_load(const float *p)
{
	return _mm512_loadu_ps(p);
}

/* A masked load does not touch the memory of the lanes that it leaves out. */
static inline lanes
lanes_load_first(const float *p, size_t n)
{
	return _mm512_maskz_loadu_ps((__mmask16) ((1u << n) - 1), p);
}

static inline lanes
lanes_load_half(const uint16_t *p)
{
	return _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *) p));
}

static inline lanes
lanes_load_half_first(const uint16_t *p, size_t n)
{
	return _mm512_cvtph_ps(_mm256_maskz_loadu_epi16((__mmask16) ((1u << n) - 1), p));
}

static inline void
lanes_store(float *p, lanes v)
{
	_mm512_storeu_ps(p, v);
}

static inline void
lanes_store_half(uint16_t *p, lanes v)
{
	_mm256_storeu_si256((__m256i *) p, _mm512_cvtps_ph(v, _MM_FROUND_TO_NEAREST_INT));
}

static inline lanes
lanes_add(lanes a, lanes b)
{
	return _mm512_add_ps(a, b);
}

static inline lanes
lanes_sub(lanes a, lanes b)
{
	return _mm512_sub_ps(a, b);
}

static inline lanes
lanes_abs(lanes a)
{
	return _mm512_abs_ps(a);
}

static inline lanes
lanes_multiply_add(lanes a, lanes b, lanes c)
{
	return _mm512_fmadd_ps(a, b, c);
}

static inline float
lanes_sum(lanes a)
{
	return _mm512_reduce_add_ps(a);
}

#include "simd/float_body.h"
#include "simd/bits_words.h"
#include "simd/bits_popcnt512.h"

const simd_kernels simd_kernels_avx512 = SIMD_KERNELS(SIMD_AVX512);

/* AVX512-VNNI adds integer instructions only. */
const simd_kernels simd_kernels_avx512vnni = SIMD_KERNELS(SIMD_AVX512VNNI);

const simd_kernels simd_kernels_avx512popcnt = {
	SIMD_FLOAT_KERNELS(SIMD_AVX512VNNI),
	.hamming = hamming_popcnt512,
	.jaccard_parts = jaccard_parts_popcnt512,
};
