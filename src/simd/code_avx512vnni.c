/*
 * code_avx512vnni.c: the kernels of the codes in 512-bit registers with a dot product of
 * bytes, unsigned by signed ones.
 */
#include <immintrin.h>

#include "simd/code_body.h"

#define BYTES ((size_t) 64)

static inline __m512i
add_products(__m512i sum, const uint8_t *code, const int8_t *steps)
{
	return _mm512_dpbusd_epi32(sum, _mm512_loadu_si512(code), _mm512_loadu_si512(steps));
}

static int32_t
code_dot(const uint8_t *code, const int8_t *steps, size_t n, int32_t steps_sum)
{
	__m512i		s0 = _mm512_setzero_si512();
	__m512i		s1 = s0;
	size_t		i = 0;

	for (; n - i >= 2 * BYTES; i += 2 * BYTES)
	{
		s0 = add_products(s0, code + i, steps + i);
		s1 = add_products(s1, code + i + BYTES, steps + i + BYTES);
	}
	for (; n - i >= BYTES; i += BYTES)
		s0 = add_products(s0, code + i, steps + i);
	if (i < n)
	{
		/* a masked load does not touch the memory that it leaves out */
		__mmask64	rest = ((__mmask64) 1 << (n - i)) - 1;

		s1 = _mm512_dpbusd_epi32(s1, _mm512_maskz_loadu_epi8(rest, code + i),
								 _mm512_maskz_loadu_epi8(rest, steps + i));
	}
	return _mm512_reduce_add_epi32(_mm512_add_epi32(s0, s1)) - CODE_MIDDLE * steps_sum;
}

static inline void
add_between(__m512i sums[2], __m512i a, __m512i b)
{
	__m512i		steps = _mm512_xor_si512(_mm512_max_epu8(b, _mm512_set1_epi8(1)),
										 _mm512_set1_epi8((char) CODE_MIDDLE));

	sums[0] = _mm512_dpbusd_epi32(sums[0], a, steps);
	sums[1] = _mm512_dpbusd_epi32(sums[1], _mm512_set1_epi8(1), steps);
}

/* The second sums are of the steps alone; lanes that are left out are steps of 0. */
static int32_t
code_between_bytes(const uint8_t *a, const uint8_t *b, size_t n)
{
	const __m512i middle = _mm512_set1_epi8((char) CODE_MIDDLE);
	__m512i		sums[2] = {_mm512_setzero_si512(), _mm512_setzero_si512()};
	size_t		i = 0;

	for (; n - i >= BYTES; i += BYTES)
		add_between(sums, _mm512_loadu_si512(a + i), _mm512_loadu_si512(b + i));
	if (i < n)
	{
		__mmask64	rest = ((__mmask64) 1 << (n - i)) - 1;

		add_between(sums, _mm512_maskz_loadu_epi8(rest, a + i),
					_mm512_mask_loadu_epi8(middle, rest, b + i));
	}
	return _mm512_reduce_add_epi32(_mm512_sub_epi32(sums[0], _mm512_slli_epi32(sums[1], 7)));
}

const code_kernels code_kernels_avx512vnni = CODE_KERNELS;
