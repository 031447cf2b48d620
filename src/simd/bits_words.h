/*
 * bits_words.h: the kernels over bits, eight bytes at a time; an instruction set that
 * has POPCNT makes one instruction of each count.
 */
#ifndef RAG_SIMD_BITS_WORDS_H
#define RAG_SIMD_BITS_WORDS_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* the first n <= 8 bytes, the rest 0 */
static inline uint64_t
bits_word(const uint8_t *bytes, size_t n)
{
	uint64_t	word = 0;

	memcpy(&word, bytes, n);
	return word;
}

static inline uint64_t
bits_count(uint64_t word)
{
	return (uint64_t) __builtin_popcountll(word);
}

static uint64_t
hamming(const uint8_t *a, const uint8_t *b, size_t bytes)
{
	uint64_t	even = 0,
				odd = 0;
	size_t		i = 0;

	for (; bytes - i >= 16; i += 16)
	{
		even += bits_count(bits_word(a + i, 8) ^ bits_word(b + i, 8));
		odd += bits_count(bits_word(a + i + 8, 8) ^ bits_word(b + i + 8, 8));
	}
	if (bytes - i >= 8)
	{
		even += bits_count(bits_word(a + i, 8) ^ bits_word(b + i, 8));
		i += 8;
	}
	if (i < bytes)
		odd += bits_count(bits_word(a + i, bytes - i) ^ bits_word(b + i, bytes - i));
	return even + odd;
}

static inline void
jaccard_step(uint64_t x, uint64_t y, uint64_t out[2])
{
	out[0] += bits_count(x & y);
	out[1] += bits_count(x | y);
}

static void
jaccard_parts(const uint8_t *a, const uint8_t *b, size_t bytes, uint64_t out[2])
{
	uint64_t	parts[2] = {0};
	size_t		i = 0;

	for (; bytes - i >= 8; i += 8)
		jaccard_step(bits_word(a + i, 8), bits_word(b + i, 8), parts);
	if (i < bytes)
		jaccard_step(bits_word(a + i, bytes - i), bits_word(b + i, bytes - i), parts);
	out[0] = parts[0];
	out[1] = parts[1];
}

#endif							/* RAG_SIMD_BITS_WORDS_H */
