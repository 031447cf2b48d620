/*
 * bytes_avx2.h: 64 bytes, and sixteen 32-bit sums, in two AVX2 registers each: what the
 * 8-bit kernels for AVX2 and AVX-VNNI share. See integer_body.h.
 */
#ifndef RAG_ENGINE_CPU_BYTES_AVX2_H
#define RAG_ENGINE_CPU_BYTES_AVX2_H

#include "engine/cpu/vec_avx2.h"

typedef struct bytes
{
	__m256i		low,
				high;
} bytes;

typedef bytes dots;
typedef bytes stage;

#define BYTES_BOTH(operation, a, b) \
	((bytes) {operation((a).low, (b).low), operation((a).high, (b).high)})
#define BYTES_SHIFT(operation, a, n) \
	((bytes) {operation((a).low, n), operation((a).high, n)})

VEC_INLINE bytes
bytes_load(const uint8_t *p)
{
	return (bytes) {_mm256_loadu_si256((const __m256i *) p),
					_mm256_loadu_si256((const __m256i *) (p + 32))};
}

VEC_INLINE void
bytes_store(uint8_t *p, bytes v)
{
	_mm256_storeu_si256((__m256i *) p, v.low);
	_mm256_storeu_si256((__m256i *) (p + 32), v.high);
}

VEC_INLINE bytes
bytes_set(int x)
{
	return (bytes) {_mm256_set1_epi8((char) x), _mm256_set1_epi8((char) x)};
}

VEC_INLINE bytes
bytes_and(bytes a, bytes b)
{
	return BYTES_BOTH(_mm256_and_si256, a, b);
}

VEC_INLINE bytes
bytes_or(bytes a, bytes b)
{
	return BYTES_BOTH(_mm256_or_si256, a, b);
}

VEC_INLINE bytes
bytes_xor(bytes a, bytes b)
{
	return BYTES_BOTH(_mm256_xor_si256, a, b);
}

VEC_INLINE bytes
bytes_shift_left(bytes v, int n)
{
	return BYTES_SHIFT(_mm256_slli_epi16, v, n);
}

VEC_INLINE bytes
bytes_shift_right(bytes v, int n)
{
	return BYTES_SHIFT(_mm256_srli_epi16, v, n);
}

VEC_INLINE bytes
bytes_low(bytes v)
{
	return bytes_and(v, bytes_set(0x0F));
}

VEC_INLINE bytes
bytes_high(bytes v)
{
	return bytes_and(bytes_shift_right(v, 4), bytes_set(0x0F));
}

VEC_INLINE dots
dots_set(int32_t x)
{
	return (dots) {_mm256_set1_epi32(x), _mm256_set1_epi32(x)};
}

VEC_INLINE dots
dots_shift_left(dots v, int n)
{
	return BYTES_SHIFT(_mm256_slli_epi32, v, n);
}

VEC_INLINE vec
dots_to_vec(dots v)
{
	return (vec) {_mm256_cvtepi32_ps(v.low), _mm256_cvtepi32_ps(v.high)};
}

#endif							/* RAG_ENGINE_CPU_BYTES_AVX2_H */
