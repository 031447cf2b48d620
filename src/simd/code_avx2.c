/*
 * code_avx2.c: the kernels of the codes in 256-bit registers.
 */
#include <immintrin.h>

#include "simd/code_body.h"

#define BIAS 0

/*
 * The instruction for bytes multiplies unsigned by signed ones, adds pairs and saturates
 * at 16 bits. |code| <= 128 and |step| <= 127 leave room for the sum of two products, so
 * the magnitude of the one goes with the other under its sign.
 */
static inline __m256i
add_products(__m256i sum, const uint8_t *code, __m256i steps)
{
	__m256i		c = _mm256_xor_si256(_mm256_loadu_si256((const __m256i *) code),
									 _mm256_set1_epi8((char) CODE_MIDDLE));
	__m256i		pairs = _mm256_maddubs_epi16(_mm256_abs_epi8(c), _mm256_sign_epi8(steps, c));

	return _mm256_add_epi32(sum, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
}

#include "simd/code_dot256.h"

const code_kernels code_kernels_avx2 = CODE_KERNELS;
