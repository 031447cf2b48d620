/*
 * raw_block.h: 32 columns of one row of a quantised weight, in the open: what model files
 * and packed panels are read into and panels are written from.
 *
 * A weight is scale * (q - zero) + min, in the order of operations that GGUF's reference
 * has, so that raw_block_values() gives the values that the file means to the last bit.
 */
#ifndef RAG_ENGINE_CPU_RAW_BLOCK_H
#define RAG_ENGINE_CPU_RAW_BLOCK_H

#include <stddef.h>
#include <stdint.h>

#include "engine/cpu/packed.h"

typedef struct raw_block
{
	tensor_type type;
	uint8_t		q[QUANT_COLUMNS];	/* unsigned; Q8_0: the bits of an int8 */
	uint16_t	scale;			/* 16-bit floats, K types: of the super-block */
	uint16_t	min;
	uint8_t		sub_scale[2];	/* K types; Q6_K: two, the bits of int8 */
	uint8_t		sub_min;
} raw_block;

/* Block b of the row at `row`, as in a file. */
extern void raw_block_read(tensor_type type, const uint8_t *row, size_t b, raw_block *out);

/* The same from and to output n of a panel. */
extern void raw_block_unpack(tensor_type type, const packed_layout *layout, const uint8_t *panel,
							 size_t b, size_t n, raw_block *out);
extern void raw_block_pack(const raw_block *block, const packed_layout *layout, uint8_t *panel,
						   size_t b, size_t n);

extern void raw_block_values(const raw_block *block, float *out);

#endif							/* RAG_ENGINE_CPU_RAW_BLOCK_H */
