/*
 * integer_body.h: the product of inputs quantised to 8 bits with quantised weights,
 * written once.
 *
 * A file that includes this has included one of the vec_*.h and defined
 *     INTEGER_ROWS, INTEGER_VECS   rows and vectors of 16 outputs that are done at a time
 *     SIGNED_WEIGHTS               1 if 8-bit weights stay signed when unpacked, else they
 *                                  are raised by 128 (see ISA files)
 *     bytes                        64 bytes, four columns of 16 outputs
 *     bytes_load(p), bytes_store(p, v), bytes_low(v), bytes_high(v) (nibbles),
 *     bytes_or(a, b), bytes_xor(a, b), bytes_set(u8),
 *     bytes_shift_left(v, n), bytes_shift_right(v, n) by n < 8 bits, what crosses a byte's
 *     border undefined; bytes_and(a, b)
 *     dots                         16 sums of 32 bits
 *     dots_set(i32), dots_shift_left(v, n), dots_to_vec(v)
 *     stage                        sums under way: one burst of groups
 *     stage_begin(d), stage_end(d, s), stage_add(s, w, x), stage_add_signed(s, w, x)
 *                                  x: four signed inputs in an i32
 *
 * AVX2 adds products in 16 bits first, as many as fit: that is what bursts are for.
 */
#ifndef RAG_ENGINE_CPU_INTEGER_BODY_H
#define RAG_ENGINE_CPU_INTEGER_BODY_H

#include <math.h>
#include <string.h>

#include "engine/cpu/unpack_body.h"

/* How a type's blocks are multiplied. */
typedef struct integer_shape
{
	int			burst;			/* groups whose products may be added in 16 bits */
	int			zero_shift;		/* log2 of what was added to signed weights; 0: nothing */
	bool		is_signed;
} integer_shape;

VEC_INLINE integer_shape
integer_shape_of(const tensor_type type)
{
	switch (type)
	{
		case TYPE_Q4_0:
			return (integer_shape) {.burst = 8, .zero_shift = 3};
		case TYPE_Q5_0:
			return (integer_shape) {.burst = 4, .zero_shift = 4};
		case TYPE_Q8_0:
			return SIGNED_WEIGHTS ? (integer_shape) {.burst = 1, .is_signed = true} :
				(integer_shape) {.burst = 8, .zero_shift = 7};
		case TYPE_Q6_K:
			return (integer_shape) {.burst = 2, .zero_shift = 5};
		default:				/* Q4_1, Q5_1, Q4_K, Q5_K: up to five bits, a scale and a minimum */
			return (integer_shape) {.burst = 4};
	}
}

static void
integer_quantize(quant_word *tile, int stride, int row, const float *in, int columns)
{
	size_t		s = (size_t) stride;
	quant_word *out = tile + row;

	for (int c = 0; c < columns; c += QUANT_COLUMNS, out += QUANT_WORDS * s)
	{
		vec			a = vec_load(in + c);
		vec			b = vec_load(in + c + 16);
		float		greatest = vec_greatest(vec_max(vec_abs(a), vec_abs(b)));
		vec			inverse = vec_set(greatest > 1e-30f ? 127.0f / greatest : 0.0f);
		int8_t		q[QUANT_COLUMNS];
		float		low,
					high;
		float		scale = greatest / 127.0f;

		a = vec_round(vec_mul(a, inverse));
		b = vec_round(vec_mul(b, inverse));
		low = vec_sum(a);
		high = vec_sum(b);
		/* infinities and NaNs do not fit bytes: the scale makes NaNs of all their products */
		if (!(fabsf(low + high) <= 127.0f * QUANT_COLUMNS))
			low = high = scale = NAN;
		vec_store_bytes(q, a);
		vec_store_bytes(q + 16, b);
		for (size_t g = 0; g < QUANT_GROUPS; g++)
			memcpy(&out[g * s].i, q + g * 4, 4);
		out[QUANT_SCALE * s].f = scale;
		out[QUANT_SUM * s].f = scale * (low + high);
		out[QUANT_MINUS * s].i = isnan(scale) ? 0 : -(int32_t) (low + high);
		out[QUANT_MINUS_LOW * s].i = isnan(scale) ? 0 : -(int32_t) low;
		out[QUANT_MINUS_HIGH * s].i = isnan(scale) ? 0 : -(int32_t) high;
	}
}

/* A block of weights; is_packed and type are constants at every call. */
typedef struct weight_block
{
	tensor_type type;
	bool		is_packed;
	const uint8_t *packed;
	const super_scales *super;	/* of a packed one */
	const quant_block *unpacked;
} weight_block;

VEC_INLINE bytes
block_group(const weight_block b, int pair, int second, int v)
{
	if (!b.is_packed)
		return bytes_load(&b.unpacked->q[group_of(pair, second, b.type)][v * 64]);
	return unpack_group(b.packed, pair, second, v, b.type);
}

VEC_INLINE vec
block_scale(const weight_block b, int part, int v)
{
	if (!b.is_packed)
		return vec_load(b.unpacked->scale[part] + v * 16);
	return unpack_scale(b.super, b.packed, part, v, packed_layout_of(b.type));
}

VEC_INLINE vec
block_min(const weight_block b, int v)
{
	if (!b.is_packed)
		return vec_load(b.unpacked->min + v * 16);
	return unpack_min(b.super, b.packed, v, packed_layout_of(b.type));
}

/* Where the sums of a part of 16 columns, or of all 32, start: weights have been raised. */
VEC_INLINE void
dots_begin(dots d[INTEGER_ROWS][INTEGER_VECS], const quant_word *minus, const int rows,
		   const integer_shape shape)
{
#pragma GCC unroll 8
	for (int r = 0; r < rows; r++)
	{
		dots		start = dots_set(0);

		if (shape.zero_shift > 0)
			start = dots_shift_left(dots_set(minus[r].i), shape.zero_shift);
#pragma GCC unroll 2
		for (int v = 0; v < INTEGER_VECS; v++)
			d[r][v] = start;
	}
}

/* d[0] += dot products of a block; d[1]: of its last 16 columns, where they have a scale of their own */
VEC_INLINE void
dots_add(dots d[2][INTEGER_ROWS][INTEGER_VECS], const quant_word *x, size_t stride,
		 const weight_block b, int v0, const int rows)
{
	const integer_shape shape = integer_shape_of(b.type);
	const bool	halves = packed_layout_of(b.type).halves;
	stage		t[2][INTEGER_ROWS][INTEGER_VECS];

#pragma GCC unroll 8
	for (int i = 0; i < QUANT_GROUPS; i++)
	{
		const int	pair = i / 2;
		const int	second = i % 2;
		const int	part = halves ? second : 0;
		const int	nth = halves ? pair : i;	/* of the groups of that part */
		const quant_word *four = x + (size_t) group_of(pair, second, b.type) * stride;

#pragma GCC unroll 2
		for (int v = 0; v < INTEGER_VECS; v++)
		{
			bytes		w = block_group(b, pair, second, v0 + v);

#pragma GCC unroll 8
			for (int r = 0; r < rows; r++)
			{
				stage		s = nth % shape.burst == 0 ? stage_begin(d[part][r][v]) : t[part][r][v];

				s = shape.is_signed ? stage_add_signed(s, w, four[r].i) :
					stage_add(s, w, four[r].i);
				if ((nth + 1) % shape.burst == 0)
					d[part][r][v] = stage_end(d[part][r][v], s);
				t[part][r][v] = s;
			}
		}
	}
}

/* c[r][at ...] += a block times the rows, for INTEGER_VECS vectors of outputs from v0 on */
VEC_INLINE void
multiply_block(vec c[INTEGER_ROWS][PANEL_VECS], int at, const quant_word *x, size_t stride,
			   const weight_block b, int v0, const int rows)
{
	const packed_layout layout = packed_layout_of(b.type);
	const int	parts = layout.halves ? 2 : 1;
	dots		d[2][INTEGER_ROWS][INTEGER_VECS];

	dots_begin(d[0], x + (layout.halves ? QUANT_MINUS_LOW : QUANT_MINUS) * stride, rows,
			   integer_shape_of(b.type));
	if (layout.halves)
		dots_begin(d[1], x + QUANT_MINUS_HIGH * stride, rows, integer_shape_of(b.type));
	dots_add(d, x, stride, b, v0, rows);
#pragma GCC unroll 2
	for (int v = 0; v < INTEGER_VECS; v++)
	{
#pragma GCC unroll 2
		for (int part = 0; part < parts; part++)
		{
			vec			scale = block_scale(b, part, v0 + v);

#pragma GCC unroll 8
			for (int r = 0; r < rows; r++)
				c[r][at + v] = vec_fma(dots_to_vec(d[part][r][v]),
									   vec_mul(scale, vec_set(x[QUANT_SCALE * stride + (size_t) r].f)),
									   c[r][at + v]);
		}
		if (layout.min >= 0)
		{
			vec			min = block_min(b, v0 + v);

#pragma GCC unroll 8
			for (int r = 0; r < rows; r++)
				c[r][at + v] = vec_fma(min, vec_set(x[QUANT_SUM * stride + (size_t) r].f),
									   c[r][at + v]);
		}
	}
}

/*
 * Up to INTEGER_ROWS rows and some blocks. Packed ones are passed once, for all outputs: they may
 * come from memory, which is read line by line and without a pause.
 */
VEC_INLINE void
multiply_rows(float *sums, const quant_word *tile, size_t stride, const void *weights, int blocks,
			  const int rows, bool fetch, const tensor_type type, const bool is_packed)
{
	const packed_layout layout = packed_layout_of(type);
	const int	width = is_packed ? PANEL_VECS : INTEGER_VECS;
	super_scales super = {0};

	for (int v0 = 0; v0 < PANEL_VECS; v0 += width)
	{
		const quant_word *x = tile;
		vec			c[INTEGER_ROWS][PANEL_VECS];

#pragma GCC unroll 8
		for (int r = 0; r < rows; r++)
#pragma GCC unroll 2
			for (int v = 0; v < width; v++)
				c[r][v] = vec_load(sums + r * PANEL_OUTPUTS + (v0 + v) * 16);
		for (int i = 0; i < blocks; i++, x += QUANT_WORDS * stride)
		{
			weight_block b = {.type = type,.is_packed = is_packed};

			if (is_packed)
			{
				b.packed = (const uint8_t *) weights + packed_block_offset(&layout, (size_t) i);
				b.super = &super;
				if (fetch)
					unpack_prefetch(b.packed, layout);
				if (layout.super_bytes > 0 && i % SUPER_BLOCKS == 0)
					unpack_super(&super, (const uint8_t *) weights +
								 packed_super_offset(&layout, (size_t) i), layout);
			}
			else
				b.unpacked = (const quant_block *) weights + i;
#pragma GCC unroll 2
			for (int v = 0; v < width; v += INTEGER_VECS)
				multiply_block(c, v, x, stride, b, v0 + v, rows);
		}
#pragma GCC unroll 8
		for (int r = 0; r < rows; r++)
#pragma GCC unroll 2
			for (int v = 0; v < width; v++)
				vec_store(sums + r * PANEL_OUTPUTS + (v0 + v) * 16, c[r][v]);
	}
}

/* All rows of a tile, as evenly cut as INTEGER_ROWS allows; packed weights are unpacked for each cut. */
VEC_INLINE void
multiply_tile(float *sums, const quant_word *tile, int stride, const void *weights, int blocks,
			  int rows, bool fetch, const tensor_type type, const bool is_packed)
{
	int			passes = (rows + INTEGER_ROWS - 1) / INTEGER_ROWS;

	if (is_packed && rows == 1)
	{
		multiply_rows(sums, tile, 1, weights, blocks, 1, fetch, type, is_packed);
		return;
	}
	for (int pass = 0, first = 0; pass < passes; pass++)
	{
		int			count = (rows - first + passes - pass - 1) / (passes - pass);

		switch (count)
		{
#define MULTIPLY_CASE(n) \
			case n: \
				if (n <= INTEGER_ROWS) \
					multiply_rows(sums + first * PANEL_OUTPUTS, tile + first, (size_t) stride, \
								  weights, blocks, n <= INTEGER_ROWS ? n : 1, fetch && pass == 0, \
								  type, is_packed); \
				break
			MULTIPLY_CASE(1);
			MULTIPLY_CASE(2);
			MULTIPLY_CASE(3);
			MULTIPLY_CASE(4);
			MULTIPLY_CASE(5);
			MULTIPLY_CASE(6);
#undef MULTIPLY_CASE
		}
		first += count;
	}
}

#define OF_UNPACKED(name, type) \
static void \
multiply_##name(float *sums, const quant_word *tile, int stride, const quant_block *panel, \
				int blocks, int rows) \
{ \
	multiply_tile(sums, tile, stride, panel, blocks, rows, false, type, false); \
}

OF_UNPACKED(q4_0, TYPE_Q4_0)
OF_UNPACKED(q5_0, TYPE_Q5_0)
OF_UNPACKED(q8_0, TYPE_Q8_0)
OF_UNPACKED(q6_k, TYPE_Q6_K)
OF_UNPACKED(with_min, TYPE_Q4_1)	/* and Q5_1, Q4_K, Q5_K */

#undef OF_UNPACKED

#define OF_PACKED(name, type) \
static void \
unpack_##name(quant_block *out, const uint8_t *panel, int first, int count, bool fetch) \
{ \
	unpack_blocks(out, panel, first, count, fetch, type); \
} \
static void \
multiply_few_##name(float *sums, const quant_word *tile, const uint8_t *panel, int blocks, \
					int rows, bool fetch) \
{ \
	multiply_tile(sums, tile, rows, panel, blocks, rows, fetch, type, true); \
}

OF_PACKED(q8_0, TYPE_Q8_0)
OF_PACKED(q4_0, TYPE_Q4_0)
OF_PACKED(q4_1, TYPE_Q4_1)
OF_PACKED(q5_0, TYPE_Q5_0)
OF_PACKED(q5_1, TYPE_Q5_1)
OF_PACKED(q4_k, TYPE_Q4_K)
OF_PACKED(q5_k, TYPE_Q5_K)
OF_PACKED(q6_k, TYPE_Q6_K)

#undef OF_PACKED

/* one table from the functions above */
#define INTEGER_KERNELS(isa_) { \
	.isa = (isa_), \
	.quantize = integer_quantize, \
	.unpack = { \
		[TYPE_Q8_0] = unpack_q8_0, [TYPE_Q4_0] = unpack_q4_0, [TYPE_Q4_1] = unpack_q4_1, \
		[TYPE_Q5_0] = unpack_q5_0, [TYPE_Q5_1] = unpack_q5_1, [TYPE_Q4_K] = unpack_q4_k, \
		[TYPE_Q5_K] = unpack_q5_k, [TYPE_Q6_K] = unpack_q6_k, \
	}, \
	.multiply_few = { \
		[TYPE_Q8_0] = multiply_few_q8_0, [TYPE_Q4_0] = multiply_few_q4_0, \
		[TYPE_Q4_1] = multiply_few_q4_1, [TYPE_Q5_0] = multiply_few_q5_0, \
		[TYPE_Q5_1] = multiply_few_q5_1, [TYPE_Q4_K] = multiply_few_q4_k, \
		[TYPE_Q5_K] = multiply_few_q5_k, [TYPE_Q6_K] = multiply_few_q6_k, \
	}, \
	.multiply = { \
		[TYPE_Q8_0] = multiply_q8_0, [TYPE_Q4_0] = multiply_q4_0, \
		[TYPE_Q4_1] = multiply_with_min, [TYPE_Q5_0] = multiply_q5_0, \
		[TYPE_Q5_1] = multiply_with_min, [TYPE_Q4_K] = multiply_with_min, \
		[TYPE_Q5_K] = multiply_with_min, [TYPE_Q6_K] = multiply_q6_k, \
	}, \
}

#endif							/* RAG_ENGINE_CPU_INTEGER_BODY_H */
