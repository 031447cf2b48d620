/*
 * integer_scalar.c: the portable 8-bit kernels, the oracle of every other instruction set.
 */
#include <string.h>

#include "engine/cpu/vec_scalar.h"

#define INTEGER_ROWS 1
#define INTEGER_VECS 1
#define SIGNED_WEIGHTS 0

/*
 * Vectors of 16 bytes, which most machines have; compilers make bad code of wider ones. Words
 * are four bytes in the order of memory; inputs come as such words too, so the order of bytes in
 * a word does not matter.
 */
typedef uint32_t words __attribute__((vector_size(16)));
typedef int32_t four_sums __attribute__((vector_size(16)));
typedef int16_t pairs __attribute__((vector_size(16)));

typedef struct bytes
{
	words		part[4];
} bytes;

typedef struct dots
{
	four_sums	part[4];
} dots;

typedef dots stage;

/* v.part[i] = expression, for each i */
#define PARTS_EACH(type, expression) \
	type		v; \
	for (int i = 0; i < 4; i++) \
		v.part[i] = (expression); \
	return v

VEC_INLINE bytes
bytes_load(const uint8_t *p)
{
	bytes		v;

	memcpy(&v, p, sizeof(v));
	return v;
}

VEC_INLINE void
bytes_store(uint8_t *p, bytes v)
{
	memcpy(p, &v, sizeof(v));
}

VEC_INLINE bytes
bytes_set(int x)
{
	PARTS_EACH(bytes, (words) {0} + (uint32_t) x * 0x01010101u);
}

VEC_INLINE bytes
bytes_and(bytes a, bytes b)
{
	PARTS_EACH(bytes, a.part[i] & b.part[i]);
}

VEC_INLINE bytes
bytes_or(bytes a, bytes b)
{
	PARTS_EACH(bytes, a.part[i] | b.part[i]);
}

VEC_INLINE bytes
bytes_xor(bytes a, bytes b)
{
	PARTS_EACH(bytes, a.part[i] ^ b.part[i]);
}

VEC_INLINE bytes
bytes_shift_left(bytes a, int n)
{
	PARTS_EACH(bytes, a.part[i] << (uint32_t) n);
}

VEC_INLINE bytes
bytes_shift_right(bytes a, int n)
{
	PARTS_EACH(bytes, a.part[i] >> (uint32_t) n);
}

VEC_INLINE bytes
bytes_low(bytes a)
{
	PARTS_EACH(bytes, a.part[i] & 0x0F0F0F0Fu);
}

VEC_INLINE bytes
bytes_high(bytes a)
{
	PARTS_EACH(bytes, a.part[i] >> 4 & 0x0F0F0F0Fu);
}

VEC_INLINE dots
dots_set(int32_t x)
{
	PARTS_EACH(dots, (four_sums) {0} + x);
}

/* the sums may be negative, which C does not shift */
VEC_INLINE dots
dots_shift_left(dots d, int n)
{
	PARTS_EACH(dots, d.part[i] * (1 << n));
}

VEC_INLINE vec
dots_to_vec(dots d)
{
	VEC_EACH((float) d.part[i / 4][i % 4]);
}

VEC_INLINE stage
stage_begin(dots d)
{
	return d;
}

VEC_INLINE dots
stage_end(dots d, stage s)
{
	(void) d;
	return s;
}

/* The two products in each word: the bytes in the lower halves of its two pairs, times those of x;
 * at most 255 * 127, so they fit. */
VEC_INLINE four_sums
add_pairs(words w, words x)
{
	pairs		products = (pairs) w * (pairs) x;

	return ((four_sums) ((words) products << 16) >> 16) + ((four_sums) products >> 16);
}

VEC_INLINE stage
stage_add(stage s, bytes w, int32_t x)
{
	const words mask = (words) {0} + 0x00FF00FFu;
	uint32_t	in = (uint32_t) x;
	words		even = (words) {0} +
		((uint32_t) (uint16_t) (int8_t) in | (uint32_t) (int8_t) (in >> 16) << 16);
	words		odd = (words) {0} +
		((uint32_t) (uint16_t) (int8_t) (in >> 8) | (uint32_t) (int8_t) (in >> 24) << 16);

	PARTS_EACH(stage, s.part[i] + add_pairs(w.part[i] & mask, even) +
			   add_pairs(w.part[i] >> 8 & mask, odd));
}

/* not reached: no weights are signed here */
VEC_INLINE stage
stage_add_signed(stage s, bytes w, int32_t x)
{
	return stage_add(s, w, x);
}

#include "engine/cpu/integer_body.h"

const integer_kernels integer_kernels_scalar = INTEGER_KERNELS(SIMD_SCALAR);
