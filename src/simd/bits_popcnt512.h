/*
 * bits_popcnt512.h: the kernels over bits where AVX-512 counts them itself, which is a
 * feature of its own (VPOPCNTDQ) and no part of the set that the file is compiled for.
 */
#ifndef RAG_SIMD_BITS_POPCNT512_H
#define RAG_SIMD_BITS_POPCNT512_H

#define HAS_POPCNT512 __attribute__((target("avx512vpopcntdq")))

/* the first n <= 64 bytes, the rest 0; reads nothing beyond them */
static inline HAS_POPCNT512 __m512i
bits_load(const uint8_t *bytes, size_t n)
{
	return _mm512_maskz_loadu_epi8(n < 64 ? ((__mmask64) 1 << n) - 1 : ~(__mmask64) 0, bytes);
}

static HAS_POPCNT512 uint64_t
hamming_popcnt512(const uint8_t *a, const uint8_t *b, size_t bytes)
{
	__m512i		sum = _mm512_setzero_si512();

	for (size_t i = 0; i < bytes; i += 64)
		sum = _mm512_add_epi64(sum, _mm512_popcnt_epi64(_mm512_xor_si512(bits_load(a + i, bytes - i),
																		bits_load(b + i, bytes - i))));
	return (uint64_t) _mm512_reduce_add_epi64(sum);
}

static HAS_POPCNT512 void
jaccard_parts_popcnt512(const uint8_t *a, const uint8_t *b, size_t bytes, uint64_t out[2])
{
	__m512i		both = _mm512_setzero_si512(),
				either = both;

	for (size_t i = 0; i < bytes; i += 64)
	{
		__m512i		x = bits_load(a + i, bytes - i),
					y = bits_load(b + i, bytes - i);

		both = _mm512_add_epi64(both, _mm512_popcnt_epi64(_mm512_and_si512(x, y)));
		either = _mm512_add_epi64(either, _mm512_popcnt_epi64(_mm512_or_si512(x, y)));
	}
	out[0] = (uint64_t) _mm512_reduce_add_epi64(both);
	out[1] = (uint64_t) _mm512_reduce_add_epi64(either);
}

#endif							/* RAG_SIMD_BITS_POPCNT512_H */
