/*
 * packed.h: quantised weights as the kernels read them.
 *
 * A panel holds 32 outputs; its blocks of 32 columns follow one another. In a block the
 * 4-bit parts come first: byte [i * 128 + n * 4 + t] has the weight of output n and
 * column 4 i + t in its low nibble and that of column 16 + 4 i + t in its high one,
 * i < 4. Then whole vectors of what else the type has; every size is a multiple of 64.
 * K types have 256 columns to a super-block: the 16-bit scales of 32 outputs (and those
 * of the minima), then eight blocks. Nothing is expanded: a weight takes the bits that it
 * takes in its file (6-bit scales of K types become bytes).
 */
#ifndef RAG_ENGINE_CPU_PACKED_H
#define RAG_ENGINE_CPU_PACKED_H

#include <stdint.h>

#include "engine/cpu/kernels.h"

#define PACKED_NIBBLES (PANEL_OUTPUTS * QUANT_COLUMNS / 2)	/* bytes */
#define PACKED_BYTES (PANEL_OUTPUTS * QUANT_COLUMNS)
#define PACKED_HALVES (PANEL_OUTPUTS * 2)
#define PACKED_BITS (PANEL_OUTPUTS * QUANT_COLUMNS / 8)
#define SUPER_BLOCKS 8			/* blocks of 32 columns in a super-block */

/* Where the parts of a block, and of its super-block, are. Offsets count from their start; a type
 * without super-blocks has super_bytes 0. */
typedef struct packed_layout
{
	int			block_bytes;
	int			super_bytes;	/* before the eight blocks */
	int			high_bits;		/* beyond the low four, 0: none */
	int			high;			/* offset of PACKED_BITS bytes for each */
	int			scale;			/* offset of 32 16-bit scales (in the super-block if there is one) */
	int			min;			/* the same for minima, or -1 */
	int			sub_scale;		/* offset of 32 bytes (64 in Q6_K), K types */
	int			sub_min;		/* offset of 32 bytes, or -1 */
	int			zero;			/* what is taken from the unsigned weight */
	bool		halves;			/* 16 columns share a scale, not 32 */
} packed_layout;

static inline packed_layout
packed_layout_of(tensor_type type)
{
	enum
	{
		N = PACKED_NIBBLES, H = PACKED_HALVES, B = PACKED_BITS, P = PANEL_OUTPUTS
	};

	switch (type)
	{
		case TYPE_Q4_0:
			return (packed_layout) {.block_bytes = N + H, .scale = N, .min = -1, .sub_min = -1,
									.zero = 8};
		case TYPE_Q4_1:
			return (packed_layout) {.block_bytes = N + 2 * H, .scale = N, .min = N + H,
									.sub_min = -1};
		case TYPE_Q5_0:
			return (packed_layout) {.block_bytes = N + B + H, .high_bits = 1, .high = N,
									.scale = N + B, .min = -1, .sub_min = -1, .zero = 16};
		case TYPE_Q5_1:
			return (packed_layout) {.block_bytes = N + B + 2 * H, .high_bits = 1, .high = N,
									.scale = N + B, .min = N + B + H, .sub_min = -1};
		case TYPE_Q8_0:
			return (packed_layout) {.block_bytes = PACKED_BYTES + H, .scale = PACKED_BYTES,
									.min = -1, .sub_min = -1};
		case TYPE_Q4_K:
			return (packed_layout) {.block_bytes = N + 2 * P, .super_bytes = 2 * H, .min = H,
									.sub_scale = N, .sub_min = N + P};
		case TYPE_Q5_K:
			return (packed_layout) {.block_bytes = N + B + 2 * P, .super_bytes = 2 * H,
									.high_bits = 1, .high = N, .min = H, .sub_scale = N + B,
									.sub_min = N + B + P};
		case TYPE_Q6_K:
			return (packed_layout) {.block_bytes = N + 2 * B + 2 * P, .super_bytes = H,
									.high_bits = 2, .high = N, .min = -1,
									.sub_scale = N + 2 * B, .sub_min = -1, .zero = 32,
									.halves = true};
		default:
			return (packed_layout) {0};
	}
}

/* Offset of block b in a panel, and of its super-block. */
static inline size_t
packed_super_offset(const packed_layout *l, size_t b)
{
	return b / SUPER_BLOCKS * ((size_t) l->super_bytes + SUPER_BLOCKS * (size_t) l->block_bytes);
}

static inline size_t
packed_block_offset(const packed_layout *l, size_t b)
{
	if (l->super_bytes == 0)
		return b * (size_t) l->block_bytes;
	return packed_super_offset(l, b) + (size_t) l->super_bytes +
		b % SUPER_BLOCKS * (size_t) l->block_bytes;
}

#endif							/* RAG_ENGINE_CPU_PACKED_H */
