/*
 * quant.cuh: what the planes of a quant_matrix mean (kernels.h), type by type.
 *
 *     quant_scale<TYPE> s = ...;   value of column i = d[i / 16] * (q[i] - zero) + m
 */
#ifndef RAG_CUDA_QUANT_CUH
#define RAG_CUDA_QUANT_CUH

#include "cuda/kernel.cuh"

#define QUANT_BLOCK 32
#define SUPER_BLOCKS 8			/* blocks of a super-block of the K types */

static __device__ __forceinline__ constexpr int
quant_zero(tensor_type type)
{
	return type == TYPE_Q4_0 ? 8 : type == TYPE_Q5_0 ? 16 : type == TYPE_Q6_K ? 32 : 0;
}

static __device__ __forceinline__ constexpr bool
quant_is_k(tensor_type type)
{
	return type == TYPE_Q4_K || type == TYPE_Q5_K || type == TYPE_Q6_K;
}

static __device__ __forceinline__ constexpr int
quant_high_words(tensor_type type)
{
	return type == TYPE_Q6_K ? 2 : type == TYPE_Q5_0 || type == TYPE_Q5_1 || type == TYPE_Q5_K ? 1 : 0;
}

struct quant_scale
{
	float		d[2];			/* columns 0-15, 16-31 */
	float		m;
};

/* Bits 4 i .. 4 i + 3 of high as bit 0 of four bytes. */
static __device__ __forceinline__ unsigned
spread_bits(unsigned high, int i)
{
	return ((high >> 4 * i & 15) * 0x00204081u) & 0x01010101u;
}

/* The scale of block b of row `row`. */
template <tensor_type TYPE>
static __device__ __forceinline__ quant_scale
load_scale(const quant_matrix &w, size_t row, int b)
{
	size_t		number = row * (size_t) w.blocks + (size_t) b;
	quant_scale s;

	if (TYPE == TYPE_Q6_K)
	{
		size_t		super = row * (size_t) (w.blocks / SUPER_BLOCKS) + (size_t) (b / SUPER_BLOCKS);
		float		d = __half2float(w.scale[super]);

		s.d[0] = d * (float) (int8_t) w.sub[number * 2];
		s.d[1] = d * (float) (int8_t) w.sub[number * 2 + 1];
		s.m = 0;
	}
	else if (quant_is_k(TYPE))
	{
		size_t		super = row * (size_t) (w.blocks / SUPER_BLOCKS) + (size_t) (b / SUPER_BLOCKS);

		s.d[0] = s.d[1] = __half2float(w.scale[super * 2]) * (float) w.sub[number * 2];
		s.m = -(__half2float(w.scale[super * 2 + 1]) * (float) w.sub[number * 2 + 1]);
	}
	else if (TYPE == TYPE_Q4_1 || TYPE == TYPE_Q5_1)
	{
		s.d[0] = s.d[1] = __half2float(w.scale[number * 2]);
		s.m = __half2float(w.scale[number * 2 + 1]);
	}
	else
	{
		s.d[0] = s.d[1] = __half2float(w.scale[number]);
		s.m = 0;
	}
	return s;
}

/* Block b of row `row`: q as eight words of four bytes, and its scale. */
template <tensor_type TYPE>
static __device__ __forceinline__ quant_scale
load_block(const quant_matrix &w, size_t row, int b, int q[8])
{
	size_t		number = row * (size_t) w.blocks + (size_t) b;

	if (TYPE == TYPE_Q8_0)
	{
		uint4		first = ((const uint4 *) w.q)[number * 2];
		uint4		second = ((const uint4 *) w.q)[number * 2 + 1];

		q[0] = (int) first.x, q[1] = (int) first.y, q[2] = (int) first.z, q[3] = (int) first.w;
		q[4] = (int) second.x, q[5] = (int) second.y, q[6] = (int) second.z, q[7] = (int) second.w;
	}
	else
	{
		uint4		nibbles = ((const uint4 *) w.q)[number];
		unsigned	words[4] = {nibbles.x, nibbles.y, nibbles.z, nibbles.w};
		unsigned	fifth = quant_high_words(TYPE) > 0 ? w.high[number * quant_high_words(TYPE)] : 0;
		unsigned	sixth = quant_high_words(TYPE) > 1 ? w.high[number * 2 + 1] : 0;

#pragma unroll
		for (int i = 0; i < 4; i++)
		{
			q[i] = (int) ((words[i] & 0x0F0F0F0Fu) | spread_bits(fifth, i) << 4 |
						  spread_bits(sixth, i) << 5);
			q[i + 4] = (int) ((words[i] >> 4 & 0x0F0F0F0Fu) | spread_bits(fifth, i + 4) << 4 |
							  spread_bits(sixth, i + 4) << 5);
		}
	}
	return load_scale<TYPE>(w, row, b);
}

/* Column i of a block as load_block() gives it. */
template <tensor_type TYPE>
static __device__ __forceinline__ float
block_value(const quant_scale &s, const int q[8], int i)
{
	int			byte = q[i / 4] >> i % 4 * 8 & 0xFF;

	if (TYPE == TYPE_Q8_0)
		byte = (int) (int8_t) byte;
	return s.d[i / 16] * (float) (byte - quant_zero(TYPE)) + s.m;
}

/* Column `column` of a row, alone. */
template <tensor_type TYPE>
static __device__ __forceinline__ float
load_value(const quant_matrix &w, size_t row, int column)
{
	int			i = column % QUANT_BLOCK;
	size_t		number = row * (size_t) w.blocks + (size_t) (column / QUANT_BLOCK);
	quant_scale s = load_scale<TYPE>(w, row, column / QUANT_BLOCK);
	int			q;

	if (TYPE == TYPE_Q8_0)
		q = (int) ((const int8_t *) w.q)[number * QUANT_BLOCK + (size_t) i];
	else
	{
		q = w.q[number * 16 + (size_t) (i % 16)] >> i / 16 * 4 & 15;
		for (int k = 0; k < quant_high_words(TYPE); k++)
			q |= (int) (w.high[number * quant_high_words(TYPE) + k] >> i & 1) << (4 + k);
	}
	return (i < 16 ? s.d[0] : s.d[1]) * (float) (q - quant_zero(TYPE)) + s.m;
}

/* Calls what with the type as a constant. */
#define QUANT_SWITCH(type, what) \
	switch (type) \
	{ \
		case TYPE_Q8_0: what(TYPE_Q8_0); break; \
		case TYPE_Q4_0: what(TYPE_Q4_0); break; \
		case TYPE_Q4_1: what(TYPE_Q4_1); break; \
		case TYPE_Q5_0: what(TYPE_Q5_0); break; \
		case TYPE_Q5_1: what(TYPE_Q5_1); break; \
		case TYPE_Q4_K: what(TYPE_Q4_K); break; \
		case TYPE_Q5_K: what(TYPE_Q5_K); break; \
		case TYPE_Q6_K: what(TYPE_Q6_K); break; \
		default: break; \
	}

#endif							/* RAG_CUDA_QUANT_CUH */
