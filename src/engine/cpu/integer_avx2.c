/*
 * integer_avx2.c: the 8-bit kernels for AVX2.
 *
 * VPMADDUBSW adds two products of an unsigned and a signed byte in 16 bits. Inputs are
 * at most 127 in magnitude, so with 4, 5 and 6-bit weights 8, 4 and 2 of its results fit
 * 16 bits before they are widened. 8-bit weights stay signed: |w| is multiplied by the
 * input with the sign of w, and 128 * 127 * 2 still fits.
 */
#include "engine/cpu/bytes_avx2.h"

#define INTEGER_ROWS 2
#define INTEGER_VECS 1
#define SIGNED_WEIGHTS 1

VEC_INLINE stage
stage_begin(dots d)
{
	(void) d;
	return dots_set(0);
}

VEC_INLINE dots
stage_end(dots d, stage s)
{
	const __m256i one = _mm256_set1_epi16(1);

	return (dots) {_mm256_add_epi32(d.low, _mm256_madd_epi16(s.low, one)),
				   _mm256_add_epi32(d.high, _mm256_madd_epi16(s.high, one))};
}

VEC_INLINE stage
stage_add(stage s, bytes w, int32_t x)
{
	const __m256i four = _mm256_set1_epi32(x);

	return (stage) {_mm256_add_epi16(s.low, _mm256_maddubs_epi16(w.low, four)),
					_mm256_add_epi16(s.high, _mm256_maddubs_epi16(w.high, four))};
}

VEC_INLINE stage
stage_add_signed(stage s, bytes w, int32_t x)
{
	const __m256i four = _mm256_set1_epi32(x);
	__m256i		low = _mm256_maddubs_epi16(_mm256_abs_epi8(w.low), _mm256_sign_epi8(four, w.low));
	__m256i		high = _mm256_maddubs_epi16(_mm256_abs_epi8(w.high),
											_mm256_sign_epi8(four, w.high));

	return (stage) {_mm256_add_epi16(s.low, low), _mm256_add_epi16(s.high, high)};
}

#include "engine/cpu/integer_body.h"

const integer_kernels integer_kernels_avx2 = INTEGER_KERNELS(SIMD_AVX2);
