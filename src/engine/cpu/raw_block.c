/*
 * raw_block.c: the block formats of GGUF (the quantisation types of ggml) and of packed.h.
 */
#include "engine/cpu/raw_block.h"

#include <string.h>

#include "simd/half.h"

static uint16_t
read_half(const uint8_t *p)
{
	return (uint16_t) (p[0] | p[1] << 8);
}

/* Q4_0, Q4_1, Q5_0, Q5_1: [scale, min?, high bits?, 16 bytes of columns j and j + 16] */
static void
read_legacy(const uint8_t *p, bool has_min, bool has_high, raw_block *out)
{
	uint32_t	high = 0;

	out->scale = read_half(p);
	p += 2;
	if (has_min)
	{
		out->min = read_half(p);
		p += 2;
	}
	if (has_high)
	{
		high = read_half(p) | (uint32_t) read_half(p + 2) << 16;
		p += 4;
	}
	for (int j = 0; j < QUANT_COLUMNS / 2; j++)
	{
		out->q[j] = (uint8_t) ((p[j] & 0x0F) | (high >> j & 1) << 4);
		out->q[j + 16] = (uint8_t) (p[j] >> 4 | (high >> (j + 16) & 1) << 4);
	}
}

/* Eight pairs of 6-bit numbers in 12 bytes. */
static void
read_sub_scales(const uint8_t *p, size_t sub, raw_block *out)
{
	if (sub < 4)
	{
		out->sub_scale[0] = p[sub] & 63;
		out->sub_min = p[sub + 4] & 63;
	}
	else
	{
		out->sub_scale[0] = (uint8_t) ((p[sub + 4] & 0x0F) | p[sub - 4] >> 6 << 4);
		out->sub_min = (uint8_t) (p[sub + 4] >> 4 | p[sub] >> 6 << 4);
	}
}

/* Q4_K: [scale, min, 12 bytes, 128 bytes: columns 64 i .. 64 i + 31 low, the next 32 high];
 * Q5_K: 32 bytes of high bits before these, bit s for block s */
static void
read_q45_k(const uint8_t *p, size_t sub, bool has_high, raw_block *out)
{
	const uint8_t *high = p + 16;
	const uint8_t *nibbles = p + (has_high ? 48 : 16) + sub / 2 * 32;

	out->scale = read_half(p);
	out->min = read_half(p + 2);
	read_sub_scales(p + 4, sub, out);
	for (int j = 0; j < QUANT_COLUMNS; j++)
	{
		out->q[j] = sub % 2 == 0 ? nibbles[j] & 0x0F : nibbles[j] >> 4;
		if (has_high)
			out->q[j] = (uint8_t) (out->q[j] | (high[j] >> sub & 1) << 4);
	}
}

/* Q6_K: [128 bytes of low nibbles, 64 of high pairs of bits, 16 int8 scales, scale]; a half of 128
 * columns has four blocks: low nibbles of 32 + 32 bytes, then their high ones */
static void
read_q6_k(const uint8_t *p, size_t sub, raw_block *out)
{
	size_t		half = sub / 4;
	size_t		quarter = sub % 4;
	const uint8_t *low = p + half * 64 + quarter % 2 * 32;
	const uint8_t *high = p + 128 + half * 32;

	out->scale = read_half(p + 208);
	for (int j = 0; j < QUANT_COLUMNS; j++)
	{
		uint8_t		nibble = quarter < 2 ? low[j] & 0x0F : low[j] >> 4;

		out->q[j] = (uint8_t) (nibble | (high[j] >> 2 * quarter & 3) << 4);
	}
	memcpy(out->sub_scale, p + 192 + sub * 2, 2);
}

void
raw_block_read(tensor_type type, const uint8_t *row, size_t b, raw_block *out)
{
	const tensor_type_info *info = tensor_type_get(type);
	size_t		columns_of_block = (size_t) info->block_elements / QUANT_COLUMNS;
	const uint8_t *p = row + b / columns_of_block * (size_t) info->block_bytes;
	size_t		sub = b % columns_of_block;

	memset(out, 0, sizeof(*out));
	out->type = type;
	switch (type)
	{
		case TYPE_Q4_0:
			read_legacy(p, false, false, out);
			break;
		case TYPE_Q4_1:
			read_legacy(p, true, false, out);
			break;
		case TYPE_Q5_0:
			read_legacy(p, false, true, out);
			break;
		case TYPE_Q5_1:
			read_legacy(p, true, true, out);
			break;
		case TYPE_Q8_0:
			out->scale = read_half(p);
			memcpy(out->q, p + 2, QUANT_COLUMNS);
			break;
		case TYPE_Q4_K:
			read_q45_k(p, sub, false, out);
			break;
		case TYPE_Q5_K:
			read_q45_k(p, sub, true, out);
			break;
		case TYPE_Q6_K:
			read_q6_k(p, sub, out);
			break;
		default:
			break;
	}
}

/* Where the high bits of column j of output n are in planes of PACKED_BITS bytes. */
static size_t
high_plane(const packed_layout *layout, size_t j, unsigned *shift)
{
	size_t		group = j / 4;

	if (layout->high_bits == 1)
	{
		*shift = (unsigned) group;
		return 0;
	}
	*shift = (unsigned) (group % 4 * 2);
	return group / 4;
}

/* The four bytes of output n in each of `count` rows of a panel, from 4 * count bytes. */
static void
put_groups(uint8_t *to, size_t n, const uint8_t *from, size_t count)
{
	for (size_t g = 0; g < count; g++)
		memcpy(to + g * PANEL_OUTPUTS * 4 + n * 4, from + g * 4, 4);
}

/* Bits 4 and up of all columns: those of one byte's column t in every group side by side. */
static void
put_high_bits(uint8_t *to, size_t n, const uint8_t *q, int high_bits)
{
	uint8_t		planes[2][4] = {{0}};

	for (size_t g = 0; g < QUANT_GROUPS; g++)
	{
		for (size_t t = 0; t < 4; t++)
		{
			unsigned	high = q[g * 4 + t] >> 4;

			if (high_bits == 1)
				planes[0][t] = (uint8_t) (planes[0][t] | high << g);
			else
				planes[g / 4][t] = (uint8_t) (planes[g / 4][t] | high << g % 4 * 2);
		}
	}
	for (int i = 0; i < high_bits; i++)
		memcpy(to + i * PACKED_BITS + n * 4, planes[i], 4);
}

void
raw_block_pack(const raw_block *block, const packed_layout *layout, uint8_t *panel, size_t b,
			   size_t n)
{
	uint8_t    *p = panel + packed_block_offset(layout, b);
	uint8_t    *scales = layout->super_bytes > 0 ? panel + packed_super_offset(layout, b) : p;
	uint8_t		nibbles[QUANT_COLUMNS / 2];

	if (block->type == TYPE_Q8_0)
		put_groups(p, n, block->q, QUANT_GROUPS);
	else
	{
		for (int j = 0; j < QUANT_COLUMNS / 2; j++)
			nibbles[j] = (uint8_t) ((block->q[j] & 0x0F) | block->q[j + 16] << 4);
		put_groups(p, n, nibbles, QUANT_GROUPS / 2);
	}
	if (layout->high_bits > 0)
		put_high_bits(p + layout->high, n, block->q, layout->high_bits);
	memcpy(scales + layout->scale + n * 2, &block->scale, 2);
	if (layout->min >= 0)
		memcpy(scales + layout->min + n * 2, &block->min, 2);
	if (layout->super_bytes > 0)
	{
		p[(size_t) layout->sub_scale + n] = block->sub_scale[0];
		if (layout->sub_min >= 0)
			p[(size_t) layout->sub_min + n] = block->sub_min;
		else
			p[(size_t) layout->sub_scale + PANEL_OUTPUTS + n] = block->sub_scale[1];
	}
}

void
raw_block_unpack(tensor_type type, const packed_layout *layout, const uint8_t *panel, size_t b,
				 size_t n, raw_block *out)
{
	const uint8_t *p = panel + packed_block_offset(layout, b);
	const uint8_t *scales = layout->super_bytes > 0 ? panel + packed_super_offset(layout, b) : p;

	memset(out, 0, sizeof(*out));
	out->type = type;
	for (size_t j = 0; j < QUANT_COLUMNS; j++)
	{
		size_t		at = n * 4 + j % 4;

		if (type == TYPE_Q8_0)
			out->q[j] = p[j / 4 * PANEL_OUTPUTS * 4 + at];
		else
			out->q[j] = p[j / 4 % 4 * PANEL_OUTPUTS * 4 + at] >> (j < 16 ? 0 : 4) & 0x0F;
		if (layout->high_bits > 0)
		{
			unsigned	shift;
			size_t		plane = high_plane(layout, j, &shift);
			unsigned	mask = layout->high_bits == 1 ? 1 : 3;

			out->q[j] = (uint8_t) (out->q[j] |
								   (p[(size_t) layout->high + plane * PACKED_BITS + at] >> shift &
									mask) << 4);
		}
	}
	memcpy(&out->scale, scales + layout->scale + n * 2, 2);
	if (layout->min >= 0)
		memcpy(&out->min, scales + layout->min + n * 2, 2);
	if (layout->super_bytes > 0)
	{
		out->sub_scale[0] = p[(size_t) layout->sub_scale + n];
		if (layout->sub_min >= 0)
			out->sub_min = p[(size_t) layout->sub_min + n];
		else
			out->sub_scale[1] = p[(size_t) layout->sub_scale + PANEL_OUTPUTS + n];
	}
}

void
raw_block_values(const raw_block *block, float *out)
{
	float		scale = half_to_float(block->scale);
	float		min = half_to_float(block->min);
	int			zero = packed_layout_of(block->type).zero;

	for (int j = 0; j < QUANT_COLUMNS; j++)
	{
		switch (block->type)
		{
			case TYPE_Q4_1:
			case TYPE_Q5_1:
				out[j] = (float) block->q[j] * scale + min;
				break;
			case TYPE_Q8_0:
				out[j] = (float) (int8_t) block->q[j] * scale;
				break;
			case TYPE_Q4_K:
			case TYPE_Q5_K:
				out[j] = scale * block->sub_scale[0] * (float) block->q[j] - min * block->sub_min;
				break;
			case TYPE_Q6_K:
				out[j] = scale * (int8_t) block->sub_scale[j / 16] *
					(float) (block->q[j] - zero);
				break;
			default:
				out[j] = (float) (block->q[j] - zero) * scale;
				break;
		}
	}
}
