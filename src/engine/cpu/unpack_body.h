/*
 * unpack_body.h: packed weights (packed.h) to the blocks that integer_body.h multiplies, and one row
 * times packed weights; written once over `vec` and `bytes`.
 */
#ifndef RAG_ENGINE_CPU_UNPACK_BODY_H
#define RAG_ENGINE_CPU_UNPACK_BODY_H

#include "engine/cpu/packed.h"

/* The weights of a block; layout is a constant at every call. */
VEC_INLINE void
unpack_weights(quant_block *out, const uint8_t *block, const packed_layout layout)
{
	/* lines of memory one after another, which is what hardware foresees */
#pragma GCC unroll 4
	for (int i = 0; i < QUANT_GROUPS / 2; i++)
	{
#pragma GCC unroll 2
		for (int v = 0; v < PANEL_OUTPUTS * 4; v += 64)
		{
			const uint8_t *high = block + layout.high + v;
			bytes		both = bytes_load(block + i * PANEL_OUTPUTS * 4 + v);
			bytes		low = bytes_low(both);
			bytes		up = bytes_high(both);

			/* Q5: bit g of a byte belongs to group g. Q6: so do the bits 2 (g % 4) and 2 (g % 4) + 1 */
			if (layout.high_bits == 1)
			{
				bytes		bits = bytes_load(high);

				low = bytes_or(low, bytes_and(bytes_shift_left(bits, 4 - i), bytes_set(0x10)));
				up = bytes_or(up, bytes_and(bytes_shift_right(bits, i), bytes_set(0x10)));
			}
			else if (layout.high_bits == 2)
			{
				bytes		first = bytes_load(high);
				bytes		second = bytes_load(high + PACKED_BITS);
				bytes		mask = bytes_set(0x30);

				if (i < 2)
				{
					low = bytes_or(low, bytes_and(bytes_shift_left(first, 4 - 2 * i), mask));
					up = bytes_or(up, bytes_and(bytes_shift_left(second, 4 - 2 * i), mask));
				}
				else
				{
					low = bytes_or(low, bytes_and(bytes_shift_right(first, 2 * i - 4), mask));
					up = bytes_or(up, bytes_and(bytes_shift_right(second, 2 * i - 4), mask));
				}
			}
			bytes_store(&out->q[i][v], low);
			bytes_store(&out->q[i + QUANT_GROUPS / 2][v], up);
		}
	}
}

/* Scales and minima of types without super-blocks. */
VEC_INLINE void
unpack_scales(quant_block *out, const uint8_t *block, const packed_layout layout)
{
#pragma GCC unroll 2
	for (int v = 0; v < PANEL_OUTPUTS; v += 16)
	{
		vec_store(out->scale[0] + v,
				  vec_load_half((const uint16_t *) (block + layout.scale) + v));
		if (layout.min >= 0)
			vec_store(out->min + v, vec_load_half((const uint16_t *) (block + layout.min) + v));
	}
}

/* Those of K types: a 16-bit one of the super-block times a small whole number of the block. */
VEC_INLINE void
unpack_super_scales(quant_block *out, const uint8_t *super, const uint8_t *block,
					const packed_layout layout)
{
#pragma GCC unroll 2
	for (int v = 0; v < PANEL_OUTPUTS; v += 16)
	{
		vec			scale = vec_load_half((const uint16_t *) (super + layout.scale) + v);

		if (layout.sub_min >= 0)
		{
			vec			min = vec_load_half((const uint16_t *) (super + layout.min) + v);

			vec_store(out->scale[0] + v,
					  vec_mul(scale, vec_load_byte(block + layout.sub_scale + v)));
			min = vec_mul(min, vec_load_byte(block + layout.sub_min + v));
			vec_store(out->min + v, vec_sub(vec_zero(), min));
		}
		else
		{
			const int8_t *sub = (const int8_t *) (block + layout.sub_scale);

			vec_store(out->scale[0] + v, vec_mul(scale, vec_load_signed_byte(sub + v)));
			vec_store(out->scale[1] + v,
					  vec_mul(scale, vec_load_signed_byte(sub + PANEL_OUTPUTS + v)));
		}
	}
}

/* Asks for what will be unpacked in a moment; beyond the last block that is of no effect. */
VEC_INLINE void
unpack_prefetch(const uint8_t *block, const packed_layout layout)
{
	for (int i = 0; i < layout.block_bytes; i += 64)
		__builtin_prefetch(block + PREFETCH_BYTES + i);
}

/* 8-bit weights, raised by 128 unless they stay signed. */
VEC_INLINE void
unpack_bytes(quant_block *out, const uint8_t *block)
{
	for (int i = 0; i < PACKED_BYTES; i += 64)
	{
		bytes		w = bytes_load(block + i);

		bytes_store(&out->q[i / 128][i % 128], SIGNED_WEIGHTS ? w : bytes_xor(w, bytes_set(0x80)));
	}
}

/* Block b of a panel; type is a constant at every call. */
VEC_INLINE void
unpack_block(quant_block *out, const uint8_t *panel, size_t b, bool fetch, const tensor_type type)
{
	const packed_layout layout = packed_layout_of(type);
	const uint8_t *block = panel + packed_block_offset(&layout, b);

	if (fetch)
		unpack_prefetch(block, layout);
	if (type == TYPE_Q8_0)
		unpack_bytes(out, block);
	else
		unpack_weights(out, block, layout);
	if (layout.super_bytes > 0)
		unpack_super_scales(out, panel + packed_super_offset(&layout, b), block, layout);
	else
		unpack_scales(out, block, layout);
}

VEC_INLINE void
unpack_blocks(quant_block *out, const uint8_t *panel, int first, int count, bool fetch,
			  const tensor_type type)
{
	for (int b = first; b < first + count; b++, out++)
		unpack_block(out, panel, (size_t) b, fetch, type);
}

/* One row: blocks are multiplied as soon as they are unpacked, so memory is read without a pause. */
VEC_INLINE void
multiply_row(float *sums, const quant_word *row, const uint8_t *panel, int blocks, bool fetch,
			 const tensor_type type)
{
	/* measured: one at a time where a block is large or has much done for it, else four */
	const int	chunk = type == TYPE_Q8_0 || packed_layout_of(type).super_bytes > 0 ? 1 : 4;
	quant_block unpacked[4];

	for (int b = 0; b < blocks; b += chunk, row += chunk * QUANT_WORDS)
	{
		int			count = blocks - b < chunk ? blocks - b : chunk;

		unpack_blocks(unpacked, panel, b, count, fetch, type);
		for (int v = 0; v < PANEL_OUTPUTS; v += 16 * INTEGER_VECS)
			multiply_blocks(sums, row, 1, unpacked, count, v, 1, integer_shape_of(type));
	}
}

#define OF_TYPE(name, type) \
static void \
unpack_##name(quant_block *out, const uint8_t *panel, int first, int count, bool fetch) \
{ \
	unpack_blocks(out, panel, first, count, fetch, type); \
} \
static void \
multiply_row_##name(float *sums, const quant_word *row, const uint8_t *panel, int blocks, bool fetch) \
{ \
	multiply_row(sums, row, panel, blocks, fetch, type); \
}

OF_TYPE(q8_0, TYPE_Q8_0)
OF_TYPE(q4_0, TYPE_Q4_0)
OF_TYPE(q4_1, TYPE_Q4_1)
OF_TYPE(q5_0, TYPE_Q5_0)
OF_TYPE(q5_1, TYPE_Q5_1)
OF_TYPE(q4_k, TYPE_Q4_K)
OF_TYPE(q5_k, TYPE_Q5_K)
OF_TYPE(q6_k, TYPE_Q6_K)

#undef OF_TYPE

/* one table from the functions above and those of integer_body.h */
#define INTEGER_KERNELS(isa_) { \
	.isa = (isa_), \
	.quantize = integer_quantize, \
	.unpack = { \
		[TYPE_Q8_0] = unpack_q8_0, [TYPE_Q4_0] = unpack_q4_0, [TYPE_Q4_1] = unpack_q4_1, \
		[TYPE_Q5_0] = unpack_q5_0, [TYPE_Q5_1] = unpack_q5_1, [TYPE_Q4_K] = unpack_q4_k, \
		[TYPE_Q5_K] = unpack_q5_k, [TYPE_Q6_K] = unpack_q6_k, \
	}, \
	.multiply_row = { \
		[TYPE_Q8_0] = multiply_row_q8_0, [TYPE_Q4_0] = multiply_row_q4_0, \
		[TYPE_Q4_1] = multiply_row_q4_1, [TYPE_Q5_0] = multiply_row_q5_0, \
		[TYPE_Q5_1] = multiply_row_q5_1, [TYPE_Q4_K] = multiply_row_q4_k, \
		[TYPE_Q5_K] = multiply_row_q5_k, [TYPE_Q6_K] = multiply_row_q6_k, \
	}, \
	.multiply = { \
		[TYPE_Q8_0] = multiply_q8_0, [TYPE_Q4_0] = multiply_q4_0, \
		[TYPE_Q4_1] = multiply_with_min, [TYPE_Q5_0] = multiply_q5_0, \
		[TYPE_Q5_1] = multiply_with_min, [TYPE_Q4_K] = multiply_with_min, \
		[TYPE_Q5_K] = multiply_with_min, [TYPE_Q6_K] = multiply_q6_k, \
	}, \
}

#endif							/* RAG_ENGINE_CPU_UNPACK_BODY_H */
