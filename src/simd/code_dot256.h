/*
 * code_dot256.h: the dot product of bytes in 256-bit registers, over one step.
 *
 * A file that includes this has defined
 *     add_products(sum, code, steps)   adds those of 32 bytes, the steps in a register, to
 *                                      eight sums
 *     BIAS                             what add_products takes each code for too large:
 *                                      0 or CODE_MIDDLE
 */
#ifndef RAG_SIMD_CODE_DOT256_H
#define RAG_SIMD_CODE_DOT256_H

#define BYTES ((size_t) 32)

static inline int32_t
sum_lanes(__m256i v)
{
	__m128i		sums = _mm_add_epi32(_mm256_castsi256_si128(v), _mm256_extracti128_si256(v, 1));

	sums = _mm_add_epi32(sums, _mm_shuffle_epi32(sums, 0x4e));
	sums = _mm_add_epi32(sums, _mm_shuffle_epi32(sums, 0xb1));
	return _mm_cvtsi128_si32(sums);
}

/* Those of 32 steps to eight sums. */
static inline __m256i
add_steps(__m256i sum, __m256i steps)
{
	__m256i		pairs = _mm256_maddubs_epi16(_mm256_set1_epi8(1), steps);

	return _mm256_add_epi32(sum, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
}

static inline __m256i
load_bytes(const void *p)
{
	return _mm256_loadu_si256((const __m256i *) p);
}

static int32_t
code_dot(const uint8_t *code, const int8_t *steps, size_t n, int32_t steps_sum)
{
	__m256i		s0 = _mm256_setzero_si256();
	__m256i		s1 = s0;
	int32_t		rest = -BIAS * steps_sum;
	size_t		i = 0;

	for (; n - i >= 2 * BYTES; i += 2 * BYTES)
	{
		s0 = add_products(s0, code + i, load_bytes(steps + i));
		s1 = add_products(s1, code + i + BYTES, load_bytes(steps + i + BYTES));
	}
	for (; n - i >= BYTES; i += BYTES)
		s0 = add_products(s0, code + i, load_bytes(steps + i));
	for (; i < n; i++)
		rest += (code[i] - CODE_MIDDLE + BIAS) * steps[i];
	return sum_lanes(_mm256_add_epi32(s0, s1)) + rest;
}

/* Steps of a code, and BIAS times those taken from the other sums. */
static int32_t
code_between_bytes(const uint8_t *a, const uint8_t *b, size_t n)
{
	const __m256i lowest = _mm256_set1_epi8(1);
	const __m256i middle = _mm256_set1_epi8((char) CODE_MIDDLE);
	__m256i		sum = _mm256_setzero_si256();
	__m256i		bias = sum;
	int32_t		rest = 0;
	size_t		i = 0;

	for (; n - i >= BYTES; i += BYTES)
	{
		__m256i		steps = _mm256_xor_si256(_mm256_max_epu8(load_bytes(b + i), lowest), middle);

		sum = add_products(sum, a + i, steps);
		if (BIAS != 0)
			bias = add_steps(bias, steps);
	}
	for (; i < n; i++)
		rest += (a[i] - CODE_MIDDLE) * code_step(b[i]);
	return sum_lanes(sum) - BIAS * sum_lanes(bias) + rest;
}

#endif							/* RAG_SIMD_CODE_DOT256_H */
