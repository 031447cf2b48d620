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

#include "engine/cpu/packed.h"

/* How a type's blocks are multiplied; a constant at every call. */
typedef struct integer_shape
{
	int			burst;			/* groups whose products may be added in 16 bits */
	int			zero_shift;		/* log2 of what was added to signed weights; 0: nothing */
	bool		has_min;
	bool		halves;			/* two scales to a block */
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
			return (integer_shape) {.burst = 2, .zero_shift = 5, .halves = true};
		default:				/* Q4_1, Q5_1, Q4_K, Q5_K: up to five bits, a scale and a minimum */
			return (integer_shape) {.burst = 4, .has_min = true};
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

/* Groups [from, to) of one block, a multiple of the burst, for `rows` rows and INTEGER_VECS vectors
 * of outputs. */
VEC_INLINE void
dot_groups(dots d[INTEGER_ROWS][INTEGER_VECS], const quant_word *x, size_t stride,
		   const uint8_t *q, int from, int to, const int rows, const integer_shape shape)
{
#pragma GCC unroll 8
	for (int first = from; first < to; first += shape.burst)
	{
		stage		t[INTEGER_ROWS][INTEGER_VECS];

#pragma GCC unroll 8
		for (int r = 0; r < rows; r++)
		{
#pragma GCC unroll 2
			for (int v = 0; v < INTEGER_VECS; v++)
				t[r][v] = stage_begin(d[r][v]);
		}
#pragma GCC unroll 8
		for (int g = first; g < first + shape.burst; g++)
		{
			bytes		w[INTEGER_VECS];

#pragma GCC unroll 2
			for (int v = 0; v < INTEGER_VECS; v++)
				w[v] = bytes_load(q + g * PANEL_OUTPUTS * 4 + v * 64);
#pragma GCC unroll 8
			for (int r = 0; r < rows; r++)
			{
				int32_t		four = x[(size_t) g * stride + (size_t) r].i;

#pragma GCC unroll 2
				for (int v = 0; v < INTEGER_VECS; v++)
					t[r][v] = shape.is_signed ? stage_add_signed(t[r][v], w[v], four) :
						stage_add(t[r][v], w[v], four);
			}
		}
#pragma GCC unroll 8
		for (int r = 0; r < rows; r++)
		{
#pragma GCC unroll 2
			for (int v = 0; v < INTEGER_VECS; v++)
				d[r][v] = stage_end(d[r][v], t[r][v]);
		}
	}
}

/* sums += scale * dot products of groups [from, to), for the scale of that part of the block */
VEC_INLINE void
multiply_part(vec c[INTEGER_ROWS][INTEGER_VECS], const quant_word *x, size_t stride,
			  const quant_block *b, int v0, int from, int to, const int rows,
			  const integer_shape shape)
{
	dots		d[INTEGER_ROWS][INTEGER_VECS];
	int			minus = !shape.halves ? QUANT_MINUS : from == 0 ? QUANT_MINUS_LOW :
		QUANT_MINUS_HIGH;
	int			part = shape.halves && from > 0;

#pragma GCC unroll 8
	for (int r = 0; r < rows; r++)
	{
		dots		start = dots_set(0);

		if (shape.zero_shift > 0)
			start = dots_shift_left(dots_set(x[(size_t) minus * stride + (size_t) r].i),
									shape.zero_shift);
#pragma GCC unroll 2
		for (int v = 0; v < INTEGER_VECS; v++)
			d[r][v] = start;
	}
	dot_groups(d, x, stride, &b->q[0][v0 * 4], from, to, rows, shape);
#pragma GCC unroll 8
	for (int r = 0; r < rows; r++)
	{
		vec			scale = vec_set(x[QUANT_SCALE * stride + (size_t) r].f);

#pragma GCC unroll 2
		for (int v = 0; v < INTEGER_VECS; v++)
			c[r][v] = vec_fma(dots_to_vec(d[r][v]),
							  vec_mul(vec_load(b->scale[part] + v0 + v * 16), scale), c[r][v]);
	}
}

/* sums += min * sum of the inputs */
VEC_INLINE void
multiply_min(vec c[INTEGER_ROWS][INTEGER_VECS], const quant_word *sums, const quant_block *b,
			 int v0, const int rows)
{
#pragma GCC unroll 8
	for (int r = 0; r < rows; r++)
	{
		vec			sum = vec_set(sums[r].f);

#pragma GCC unroll 2
		for (int v = 0; v < INTEGER_VECS; v++)
			c[r][v] = vec_fma(vec_load(b->min + v0 + v * 16), sum, c[r][v]);
	}
}

VEC_INLINE void
multiply_blocks(float *sums, const quant_word *x, size_t stride, const quant_block *b, int blocks,
				int v0, const int rows, const integer_shape shape)
{
	vec			c[INTEGER_ROWS][INTEGER_VECS];

#pragma GCC unroll 8
	for (int r = 0; r < rows; r++)
	{
#pragma GCC unroll 2
		for (int v = 0; v < INTEGER_VECS; v++)
			c[r][v] = vec_load(sums + r * PANEL_OUTPUTS + v0 + v * 16);
	}
	for (int i = 0; i < blocks; i++, b++, x += QUANT_WORDS * stride)
	{
		if (shape.halves)
		{
			multiply_part(c, x, stride, b, v0, 0, QUANT_GROUPS / 2, rows, shape);
			multiply_part(c, x, stride, b, v0, QUANT_GROUPS / 2, QUANT_GROUPS, rows, shape);
		}
		else
			multiply_part(c, x, stride, b, v0, 0, QUANT_GROUPS, rows, shape);
		if (shape.has_min)
			multiply_min(c, x + QUANT_SUM * stride, b, v0, rows);
	}
#pragma GCC unroll 8
	for (int r = 0; r < rows; r++)
	{
#pragma GCC unroll 2
		for (int v = 0; v < INTEGER_VECS; v++)
			vec_store(sums + r * PANEL_OUTPUTS + v0 + v * 16, c[r][v]);
	}
}

/* All rows of a tile, as evenly cut as INTEGER_ROWS allows. */
VEC_INLINE void
multiply_shape(float *sums, const quant_word *tile, int stride, const quant_block *panel,
			   int blocks, int rows, const integer_shape shape)
{
	int			passes = (rows + INTEGER_ROWS - 1) / INTEGER_ROWS;

	for (int pass = 0, first = 0; pass < passes; pass++)
	{
		int			count = (rows - first + passes - pass - 1) / (passes - pass);

		for (int v = 0; v < PANEL_OUTPUTS; v += 16 * INTEGER_VECS)
		{
			float	   *s = sums + first * PANEL_OUTPUTS;
			const quant_word *x = tile + first;

			switch (count)
			{
#define MULTIPLY_CASE(n) \
				case n: \
					if (n <= INTEGER_ROWS) \
						multiply_blocks(s, x, (size_t) stride, panel, blocks, v, \
										n <= INTEGER_ROWS ? n : 1, shape); \
					break
				MULTIPLY_CASE(1);
				MULTIPLY_CASE(2);
				MULTIPLY_CASE(3);
				MULTIPLY_CASE(4);
				MULTIPLY_CASE(5);
				MULTIPLY_CASE(6);
#undef MULTIPLY_CASE
			}
		}
		first += count;
	}
}

static void
multiply_q4_0(float *sums, const quant_word *tile, int stride, const quant_block *panel,
			  int blocks, int rows)
{
	multiply_shape(sums, tile, stride, panel, blocks, rows, integer_shape_of(TYPE_Q4_0));
}

static void
multiply_q5_0(float *sums, const quant_word *tile, int stride, const quant_block *panel,
			  int blocks, int rows)
{
	multiply_shape(sums, tile, stride, panel, blocks, rows, integer_shape_of(TYPE_Q5_0));
}

/* Q4_1, Q5_1, Q4_K, Q5_K */
static void
multiply_with_min(float *sums, const quant_word *tile, int stride, const quant_block *panel,
				  int blocks, int rows)
{
	multiply_shape(sums, tile, stride, panel, blocks, rows, integer_shape_of(TYPE_Q4_1));
}

static void
multiply_q8_0(float *sums, const quant_word *tile, int stride, const quant_block *panel,
			  int blocks, int rows)
{
	multiply_shape(sums, tile, stride, panel, blocks, rows, integer_shape_of(TYPE_Q8_0));
}

static void
multiply_q6_k(float *sums, const quant_word *tile, int stride, const quant_block *panel,
			  int blocks, int rows)
{
	multiply_shape(sums, tile, stride, panel, blocks, rows, integer_shape_of(TYPE_Q6_K));
}

#endif							/* RAG_ENGINE_CPU_INTEGER_BODY_H */
