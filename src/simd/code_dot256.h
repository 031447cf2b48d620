/*
 * code_dot256.h: the dot product of bytes in 256-bit registers, over one step.
 *
 * A file that includes this has defined
 *     add_products(sum, code, steps)   adds those of 32 bytes to eight sums
 *     BIAS                             what add_products takes each code for too large:
 *                                      0 or CODE_MIDDLE
 */
#ifndef RAG_SIMD_CODE_DOT256_H
#define RAG_SIMD_CODE_DOT256_H

#define BYTES ((size_t) 32)

static int32_t
code_dot(const uint8_t *code, const int8_t *steps, size_t n, int32_t steps_sum)
{
	__m256i		s0 = _mm256_setzero_si256();
	__m256i		s1 = s0;
	__m128i		four;
	int32_t		rest = -BIAS * steps_sum;
	size_t		i = 0;

	for (; n - i >= 2 * BYTES; i += 2 * BYTES)
	{
		s0 = add_products(s0, code + i, steps + i);
		s1 = add_products(s1, code + i + BYTES, steps + i + BYTES);
	}
	for (; n - i >= BYTES; i += BYTES)
		s0 = add_products(s0, code + i, steps + i);
	for (; i < n; i++)
		rest += (code[i] - CODE_MIDDLE + BIAS) * steps[i];
	s0 = _mm256_add_epi32(s0, s1);
	four = _mm_add_epi32(_mm256_castsi256_si128(s0), _mm256_extracti128_si256(s0, 1));
	four = _mm_add_epi32(four, _mm_shuffle_epi32(four, 0x4e));
	four = _mm_add_epi32(four, _mm_shuffle_epi32(four, 0xb1));
	return _mm_cvtsi128_si32(four) + rest;
}

#endif							/* RAG_SIMD_CODE_DOT256_H */
