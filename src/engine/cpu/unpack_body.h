/*
 * unpack_body.h: packed weights (packed.h) to the blocks that integer_body.h multiplies,
 * written once over `vec` and `bytes`.
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

VEC_INLINE void
unpack_blocks(quant_block *out, const uint8_t *panel, int first, int count,
			  bool fetch, const packed_layout layout)
{
	for (int b = first; b < first + count; b++, out++)
	{
		const uint8_t *block = panel + packed_block_offset(&layout, (size_t) b);

		if (fetch)
			unpack_prefetch(block, layout);
		unpack_weights(out, block, layout);
		if (layout.super_bytes > 0)
			unpack_super_scales(out, panel + packed_super_offset(&layout, (size_t) b), block,
								layout);
		else
			unpack_scales(out, block, layout);
	}
}

static void
unpack_q4_0(quant_block *out, const uint8_t *panel, int first, int count, bool fetch)
{
	unpack_blocks(out, panel, first, count, fetch, packed_layout_of(TYPE_Q4_0));
}

static void
unpack_q4_1(quant_block *out, const uint8_t *panel, int first, int count, bool fetch)
{
	unpack_blocks(out, panel, first, count, fetch, packed_layout_of(TYPE_Q4_1));
}

static void
unpack_q5_0(quant_block *out, const uint8_t *panel, int first, int count, bool fetch)
{
	unpack_blocks(out, panel, first, count, fetch, packed_layout_of(TYPE_Q5_0));
}

static void
unpack_q5_1(quant_block *out, const uint8_t *panel, int first, int count, bool fetch)
{
	unpack_blocks(out, panel, first, count, fetch, packed_layout_of(TYPE_Q5_1));
}

static void
unpack_q4_k(quant_block *out, const uint8_t *panel, int first, int count, bool fetch)
{
	unpack_blocks(out, panel, first, count, fetch, packed_layout_of(TYPE_Q4_K));
}

static void
unpack_q5_k(quant_block *out, const uint8_t *panel, int first, int count, bool fetch)
{
	unpack_blocks(out, panel, first, count, fetch, packed_layout_of(TYPE_Q5_K));
}

static void
unpack_q6_k(quant_block *out, const uint8_t *panel, int first, int count, bool fetch)
{
	unpack_blocks(out, panel, first, count, fetch, packed_layout_of(TYPE_Q6_K));
}

static void
unpack_q8_0(quant_block *out, const uint8_t *panel, int first, int count, bool fetch)
{
	const packed_layout layout = packed_layout_of(TYPE_Q8_0);

	for (int b = first; b < first + count; b++, out++)
	{
		const uint8_t *block = panel + packed_block_offset(&layout, (size_t) b);

		if (fetch)
			unpack_prefetch(block, layout);
		for (int i = 0; i < PACKED_BYTES; i += 64)
		{
			bytes		w = bytes_load(block + i);

			bytes_store(&out->q[i / 128][i % 128], SIGNED_WEIGHTS ? w : bytes_xor(w, bytes_set(0x80)));
		}
		unpack_scales(out, block, layout);
	}
}

/* one table from the functions above and those of integer_body.h */
#define INTEGER_KERNELS(isa_) { \
	.isa = (isa_), \
	.quantize = integer_quantize, \
	.unpack = { \
		[TYPE_Q8_0] = unpack_q8_0, [TYPE_Q4_0] = unpack_q4_0, [TYPE_Q4_1] = unpack_q4_1, \
		[TYPE_Q5_0] = unpack_q5_0, [TYPE_Q5_1] = unpack_q5_1, [TYPE_Q4_K] = unpack_q4_k, \
		[TYPE_Q5_K] = unpack_q5_k, [TYPE_Q6_K] = unpack_q6_k, \
	}, \
	.multiply = { \
		[TYPE_Q8_0] = multiply_q8_0, [TYPE_Q4_0] = multiply_q4_0, \
		[TYPE_Q4_1] = multiply_with_min, [TYPE_Q5_0] = multiply_q5_0, \
		[TYPE_Q5_1] = multiply_with_min, [TYPE_Q4_K] = multiply_with_min, \
		[TYPE_Q5_K] = multiply_with_min, [TYPE_Q6_K] = multiply_q6_k, \
	}, \
}

#endif							/* RAG_ENGINE_CPU_UNPACK_BODY_H */
