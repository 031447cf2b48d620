/*
 * unpack_body.h: packed weights (packed.h) to vectors, and to the blocks that many rows meet; written
 * once over `vec` and `bytes`.
 */
#ifndef RAG_ENGINE_CPU_UNPACK_BODY_H
#define RAG_ENGINE_CPU_UNPACK_BODY_H

#include "engine/cpu/packed.h"

#define PANEL_VECS (PANEL_OUTPUTS / 16)

/*
 * Weights are unpacked two groups of columns at a time, those that lie together in memory: the halves of
 * nibbles, or bytes one after another. type, second and pair are constants at every call.
 */
VEC_INLINE int
group_of(int pair, int second, const tensor_type type)
{
	return type == TYPE_Q8_0 ? 2 * pair + second : pair + second * QUANT_GROUPS / 2;
}

/* One of the two, for the outputs of vector v. 8-bit weights are raised by 128 unless they stay signed. */
VEC_INLINE bytes
unpack_group(const uint8_t *block, int pair, int second, int v, const tensor_type type)
{
	const packed_layout layout = packed_layout_of(type);
	const int	group = group_of(pair, second, type);
	/* Q5: bit g of a byte is of group g. Q6: the bits 2 (g % 4) and 2 (g % 4) + 1 are, of a byte for each half */
	const int	bit = layout.high_bits == 1 ? group : 2 * pair;
	bytes		w;
	bytes		high;

	if (type == TYPE_Q8_0)
		return bytes_xor(bytes_load(block + group * PANEL_OUTPUTS * 4 + v * 64),
						 bytes_set(SIGNED_WEIGHTS ? 0 : 0x80));
	w = bytes_load(block + pair * PANEL_OUTPUTS * 4 + v * 64);
	w = second ? bytes_high(w) : bytes_low(w);
	if (layout.high_bits == 0)
		return w;
	high = bytes_load(block + layout.high + (layout.high_bits == 2 ? second * PACKED_BITS : 0) + v * 64);
	high = bit < 4 ? bytes_shift_left(high, 4 - bit) : bytes_shift_right(high, bit - 4);
	return bytes_or(w, bytes_and(high, bytes_set(layout.high_bits == 1 ? 0x10 : 0x30)));
}

/* What the blocks of a super-block share: 16-bit scales, those of the minima negated. */
typedef struct super_scales
{
	vec			scale[PANEL_VECS];
	vec			min[PANEL_VECS];
} super_scales;

VEC_INLINE void
unpack_super(super_scales *s, const uint8_t *super, const packed_layout layout)
{
#pragma GCC unroll 2
	for (int v = 0; v < PANEL_VECS; v++)
	{
		s->scale[v] = vec_load_half((const uint16_t *) (super + layout.scale) + v * 16);
		if (layout.sub_min >= 0)
			s->min[v] = vec_sub(vec_zero(),
								vec_load_half((const uint16_t *) (super + layout.min) + v * 16));
	}
}

/* Scales of vector v; K types: that of the super-block times a small whole number of the block.
 * part: which 16 columns, where they have a scale of their own. */
VEC_INLINE vec
unpack_scale(const super_scales *super, const uint8_t *block, int part, int v,
			 const packed_layout layout)
{
	const uint8_t *sub = block + layout.sub_scale + part * PANEL_OUTPUTS + v * 16;

	if (layout.super_bytes == 0)
		return vec_load_half((const uint16_t *) (block + layout.scale) + v * 16);
	return vec_mul(super->scale[v], layout.sub_min >= 0 ? vec_load_byte(sub) :
				   vec_load_signed_byte((const int8_t *) sub));
}

/* Minima, of types that have them. */
VEC_INLINE vec
unpack_min(const super_scales *super, const uint8_t *block, int v, const packed_layout layout)
{
	if (layout.super_bytes == 0)
		return vec_load_half((const uint16_t *) (block + layout.min) + v * 16);
	return vec_mul(super->min[v], vec_load_byte(block + layout.sub_min + v * 16));
}

/* Asks for what will be unpacked in a moment; beyond the last block that is of no effect. */
VEC_INLINE void
unpack_prefetch(const uint8_t *block, const packed_layout layout)
{
	for (int i = 0; i < layout.block_bytes; i += 64)
		__builtin_prefetch(block + PREFETCH_BYTES + i);
}

VEC_INLINE void
unpack_block(quant_block *out, const uint8_t *block, const super_scales *super,
			 const tensor_type type)
{
	const packed_layout layout = packed_layout_of(type);

	/* lines of memory one after another, which is what hardware foresees */
#pragma GCC unroll 4
	for (int pair = 0; pair < QUANT_GROUPS / 2; pair++)
	{
#pragma GCC unroll 2
		for (int v = 0; v < PANEL_VECS; v++)
		{
			bytes		first = unpack_group(block, pair, 0, v, type);
			bytes		second = unpack_group(block, pair, 1, v, type);

			bytes_store(&out->q[group_of(pair, 0, type)][v * 64], first);
			bytes_store(&out->q[group_of(pair, 1, type)][v * 64], second);
		}
	}
#pragma GCC unroll 2
	for (int v = 0; v < PANEL_VECS; v++)
	{
		vec_store(out->scale[0] + v * 16, unpack_scale(super, block, 0, v, layout));
		if (layout.halves)
			vec_store(out->scale[1] + v * 16, unpack_scale(super, block, 1, v, layout));
		if (layout.min >= 0)
			vec_store(out->min + v * 16, unpack_min(super, block, v, layout));
	}
}

/* first is the beginning of a super-block, if there are any */
VEC_INLINE void
unpack_blocks(quant_block *out, const uint8_t *panel, int first, int count, bool fetch,
			  const tensor_type type)
{
	const packed_layout layout = packed_layout_of(type);
	super_scales super = {0};

	for (int b = first; b < first + count; b++, out++)
	{
		const uint8_t *block = panel + packed_block_offset(&layout, (size_t) b);

		if (fetch)
			unpack_prefetch(block, layout);
		if (layout.super_bytes > 0 && b % SUPER_BLOCKS == 0)
			unpack_super(&super, panel + packed_super_offset(&layout, (size_t) b), layout);
		unpack_block(out, block, &super, type);
	}
}

#endif							/* RAG_ENGINE_CPU_UNPACK_BODY_H */
