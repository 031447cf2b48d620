/*
 * dequant.c: the weight types and what their blocks mean, in plain scalar C.
 *
 * Block layouts and arithmetic follow the GGUF format (ggml's quantisation types).
 * Everything is little-endian and packed. This is the oracle of every kernel that
 * reads packed weights.
 */
#include <string.h>

#include "engine/model.h"

static const tensor_type_info types[TENSOR_TYPES] = {
	[TYPE_F32] = {"F32", 1, 4},
	[TYPE_F16] = {"F16", 1, 2},
	[TYPE_BF16] = {"BF16", 1, 2},
	[TYPE_Q8_0] = {"Q8_0", 32, 34},
	[TYPE_Q4_0] = {"Q4_0", 32, 18},
	[TYPE_Q4_1] = {"Q4_1", 32, 20},
	[TYPE_Q5_0] = {"Q5_0", 32, 22},
	[TYPE_Q5_1] = {"Q5_1", 32, 24},
	[TYPE_Q4_K] = {"Q4_K", 256, 144},
	[TYPE_Q5_K] = {"Q5_K", 256, 176},
	[TYPE_Q6_K] = {"Q6_K", 256, 210},
};

const tensor_type_info *
tensor_type_get(tensor_type type)
{
	return (unsigned) type < TENSOR_TYPES ? &types[type] : NULL;
}

static float
float_of_bits(uint32_t bits)
{
	float		f;

	memcpy(&f, &bits, sizeof(f));
	return f;
}

static uint16_t
load_u16(const unsigned char *p)
{
	return (uint16_t) (p[0] | p[1] << 8);
}

static uint32_t
load_u32(const unsigned char *p)
{
	return (uint32_t) load_u16(p) | (uint32_t) load_u16(p + 2) << 16;
}

static float
load_half(const unsigned char *p)
{
	uint16_t	h = load_u16(p);
	uint32_t	sign = (uint32_t) (h & 0x8000) << 16;
	uint32_t	exponent = h >> 10 & 0x1F;
	uint32_t	fraction = h & 0x3FF;
	float		magnitude;

	if (exponent == 31)			/* infinity, NaN */
		return float_of_bits(sign | 0x7F800000 | fraction << 13);
	if (exponent != 0)
		return float_of_bits(sign | (exponent + 112) << 23 | fraction << 13);
	magnitude = (float) fraction * 0x1p-24f;	/* zero and subnormals */
	return sign ? -magnitude : magnitude;
}

/* f16 d; int8 q[32]: d * q */
static void
unpack_q8_0(const unsigned char *block, float *out)
{
	float		d = load_half(block);

	for (int i = 0; i < 32; i++)
		out[i] = d * (float) (int8_t) block[2 + i];
}

/* f16 d; nibbles[16]: element i in the low half of byte i, i + 16 in the high half: d * (q - 8) */
static void
unpack_q4_0(const unsigned char *block, float *out)
{
	float		d = load_half(block);

	for (int i = 0; i < 16; i++)
	{
		out[i] = d * (float) ((block[2 + i] & 15) - 8);
		out[i + 16] = d * (float) ((block[2 + i] >> 4) - 8);
	}
}

/* f16 d, m; nibbles[16]: d * q + m */
static void
unpack_q4_1(const unsigned char *block, float *out)
{
	float		d = load_half(block);
	float		m = load_half(block + 2);

	for (int i = 0; i < 16; i++)
	{
		out[i] = d * (float) (block[4 + i] & 15) + m;
		out[i + 16] = d * (float) (block[4 + i] >> 4) + m;
	}
}

/* Element i of 32 with its low four bits in a nibble as above and its fifth in bit i of high. */
static int
five_bits(const unsigned char *nibbles, uint32_t high, int i)
{
	int			low = i < 16 ? nibbles[i] & 15 : nibbles[i - 16] >> 4;

	return low | (int) (high >> i & 1) << 4;
}

/* f16 d; u32 fifth bits; nibbles[16]: d * (q - 16) */
static void
unpack_q5_0(const unsigned char *block, float *out)
{
	float		d = load_half(block);
	uint32_t	high = load_u32(block + 2);

	for (int i = 0; i < 32; i++)
		out[i] = d * (float) (five_bits(block + 6, high, i) - 16);
}

/* f16 d, m; u32 fifth bits; nibbles[16]: d * q + m */
static void
unpack_q5_1(const unsigned char *block, float *out)
{
	float		d = load_half(block);
	float		m = load_half(block + 2);
	uint32_t	high = load_u32(block + 4);

	for (int i = 0; i < 32; i++)
		out[i] = d * (float) five_bits(block + 8, high, i) + m;
}

/*
 * Eight six-bit scales and eight six-bit minimums in twelve bytes: the first four of each in the
 * low six bits of bytes 0-3 and 4-7; the others have their low four bits in the halves of bytes
 * 8-11 and their high two on top of bytes 0-3 and 4-7.
 */
static void
six_bit_pair(const unsigned char *packed, int i, int *scale, int *minimum)
{
	if (i < 4)
	{
		*scale = packed[i] & 63;
		*minimum = packed[i + 4] & 63;
	}
	else
	{
		*scale = (packed[i + 4] & 15) | packed[i - 4] >> 6 << 4;
		*minimum = packed[i + 4] >> 4 | packed[i] >> 6 << 4;
	}
}

/*
 * Q4_K: f16 d, dmin; scales[12]; nibbles[128]. Q5_K has fifth bits[32] before the nibbles (NULL for
 * Q4_K). Eight groups of 32: groups 2n and 2n + 1 are the low and the high halves of nibbles
 * 32n .. 32n + 31; the fifth bit of element i of group g is bit g of byte i.
 * d * scale * q - dmin * minimum
 */
static void
unpack_k_groups(const unsigned char *block, const unsigned char *fifth,
				const unsigned char *nibbles, float *out)
{
	float		d = load_half(block);
	float		dmin = load_half(block + 2);

	for (int g = 0; g < 8; g++)
	{
		int			scale,
					minimum;
		float		factor,
					offset;

		six_bit_pair(block + 4, g, &scale, &minimum);
		factor = d * (float) scale;
		offset = dmin * (float) minimum;
		for (int i = 0; i < 32; i++)
		{
			int			q = nibbles[g / 2 * 32 + i] >> (g % 2 * 4) & 15;

			if (fifth)
				q |= (fifth[i] >> g & 1) << 4;
			out[g * 32 + i] = factor * (float) q - offset;
		}
	}
}

static void
unpack_q4_k(const unsigned char *block, float *out)
{
	unpack_k_groups(block, NULL, block + 16, out);
}

static void
unpack_q5_k(const unsigned char *block, float *out)
{
	unpack_k_groups(block, block + 16, block + 48, out);
}

/*
 * Low four bits[128]; high two bits[64]; int8 scales[16]; f16 d. Two halves of 128 elements, each
 * four runs of 32: run r has its low bits in bytes 32 (r % 2) .. of the half's 64 (low nibbles for
 * runs 0 and 1, high for 2 and 3) and its high bits in bits 2r of the half's 32; a scale covers 16
 * elements. d * scale * (q - 32)
 */
static void
unpack_q6_k(const unsigned char *block, float *out)
{
	const int8_t *scales = (const int8_t *) block + 192;
	float		d = load_half(block + 208);

	for (int e = 0; e < 256; e++)
	{
		int			half = e / 128;
		int			run = e % 128 / 32;
		int			i = e % 32;
		int			low = block[half * 64 + run % 2 * 32 + i] >> (run / 2 * 4) & 15;
		int			high = block[128 + half * 32 + i] >> (run * 2) & 3;

		out[e] = d * (float) scales[e / 16] * (float) ((low | high << 4) - 32);
	}
}

static void
unpack_f32(const unsigned char *block, float *out)
{
	*out = float_of_bits(load_u32(block));
}

static void
unpack_f16(const unsigned char *block, float *out)
{
	*out = load_half(block);
}

static void
unpack_bf16(const unsigned char *block, float *out)
{
	*out = float_of_bits((uint32_t) load_u16(block) << 16);
}

static void (*const unpack[TENSOR_TYPES]) (const unsigned char *block, float *out) = {
	[TYPE_F32] = unpack_f32,
	[TYPE_F16] = unpack_f16,
	[TYPE_BF16] = unpack_bf16,
	[TYPE_Q8_0] = unpack_q8_0,
	[TYPE_Q4_0] = unpack_q4_0,
	[TYPE_Q4_1] = unpack_q4_1,
	[TYPE_Q5_0] = unpack_q5_0,
	[TYPE_Q5_1] = unpack_q5_1,
	[TYPE_Q4_K] = unpack_q4_k,
	[TYPE_Q5_K] = unpack_q5_k,
	[TYPE_Q6_K] = unpack_q6_k,
};

void
tensor_dequantize(tensor_type type, const void *data, float *out, size_t count)
{
	const tensor_type_info *info = &types[type];
	const unsigned char *block = data;

	for (size_t done = 0; done < count; done += (size_t) info->block_elements)
	{
		unpack[type] (block, out + done);
		block += info->block_bytes;
	}
}
