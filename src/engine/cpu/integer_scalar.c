/*
 * integer_scalar.c: the portable 8-bit kernels, the oracle of every other instruction set.
 */
#include <string.h>

#include "engine/cpu/vec_scalar.h"

#define INTEGER_ROWS 1
#define INTEGER_VECS 1
#define SIGNED_WEIGHTS 1

typedef struct bytes
{
	uint8_t		byte[64];
} bytes;

typedef struct dots
{
	int32_t		sum[16];
} dots;

typedef dots stage;

#define BYTES_EACH(expression) \
	bytes		v; \
	for (int i = 0; i < 64; i++) \
		v.byte[i] = (uint8_t) (expression); \
	return v

VEC_INLINE bytes
bytes_load(const uint8_t *p)
{
	BYTES_EACH(p[i]);
}

VEC_INLINE void
bytes_store(uint8_t *p, bytes a)
{
	memcpy(p, a.byte, sizeof(a.byte));
}

VEC_INLINE bytes
bytes_set(int x)
{
	BYTES_EACH(x);
}

VEC_INLINE bytes
bytes_and(bytes a, bytes b)
{
	BYTES_EACH(a.byte[i] & b.byte[i]);
}

VEC_INLINE bytes
bytes_or(bytes a, bytes b)
{
	BYTES_EACH(a.byte[i] | b.byte[i]);
}

VEC_INLINE bytes
bytes_xor(bytes a, bytes b)
{
	BYTES_EACH(a.byte[i] ^ b.byte[i]);
}

VEC_INLINE bytes
bytes_shift_left(bytes a, int n)
{
	BYTES_EACH(a.byte[i] << n);
}

VEC_INLINE bytes
bytes_shift_right(bytes a, int n)
{
	BYTES_EACH(a.byte[i] >> n);
}

VEC_INLINE bytes
bytes_low(bytes a)
{
	BYTES_EACH(a.byte[i] & 0x0F);
}

VEC_INLINE bytes
bytes_high(bytes a)
{
	BYTES_EACH(a.byte[i] >> 4);
}

VEC_INLINE dots
dots_set(int32_t x)
{
	dots		d;

	for (int i = 0; i < 16; i++)
		d.sum[i] = x;
	return d;
}

/* the sums may be negative, which C does not shift */
VEC_INLINE dots
dots_shift_left(dots d, int n)
{
	for (int i = 0; i < 16; i++)
		d.sum[i] *= 1 << n;
	return d;
}

VEC_INLINE vec
dots_to_vec(dots d)
{
	VEC_EACH((float) d.sum[i]);
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

VEC_INLINE stage
stage_add(stage s, bytes w, int32_t x)
{
	int8_t		in[4];

	memcpy(in, &x, 4);
	for (int i = 0; i < 16; i++)
	{
		for (int t = 0; t < 4; t++)
			s.sum[i] += w.byte[i * 4 + t] * in[t];
	}
	return s;
}

VEC_INLINE stage
stage_add_signed(stage s, bytes w, int32_t x)
{
	int8_t		in[4];

	memcpy(in, &x, 4);
	for (int i = 0; i < 16; i++)
	{
		for (int t = 0; t < 4; t++)
			s.sum[i] += (int8_t) w.byte[i * 4 + t] * in[t];
	}
	return s;
}

#include "engine/cpu/integer_body.h"
#include "engine/cpu/unpack_body.h"

const integer_kernels integer_kernels_scalar = INTEGER_KERNELS(SIMD_SCALAR);
