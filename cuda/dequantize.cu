/*
 * dequantize.cu: stretches of a quantised matrix in 16 bits [rows, 32 * blocks], for the matrix
 * products of many rows. A thread unpacks a block.
 */
#include "cuda/quant.cuh"

#define DEQUANTIZE_THREADS 128

template <typename T, tensor_type TYPE>
static __global__ void __launch_bounds__(DEQUANTIZE_THREADS, 1)
dequantize_kernel(T *out, quant_matrix w, int first, int rows)
{
	size_t		number = (size_t) blockIdx.x * DEQUANTIZE_THREADS + threadIdx.x;
	size_t		row = number / (size_t) w.blocks;
	int			q[8];
	quant_scale s;

	if (row >= (size_t) rows)
		return;
	s = load_block<TYPE>(w, row + (size_t) first, (int) (number % (size_t) w.blocks), q);
#pragma unroll
	for (int c = 0; c < QUANT_BLOCK; c += CHUNK)
	{
		float		v[CHUNK];

#pragma unroll
		for (int i = 0; i < CHUNK; i++)
			v[i] = block_value<TYPE>(s, q, c + i);
		store_chunk(out + number * QUANT_BLOCK + c, CHUNK, true, v);
	}
}

template <typename T>
static void
launch(T *out, const quant_matrix *weight, int first, int rows, cudaStream_t stream)
{
	size_t		blocks = (size_t) rows * (size_t) weight->blocks;
	unsigned	grid = (unsigned) ((blocks + DEQUANTIZE_THREADS - 1) / DEQUANTIZE_THREADS);

#define DEQUANTIZE(TYPE) \
	LAUNCH((dequantize_kernel<T, TYPE>), grid, DEQUANTIZE_THREADS, 0, stream, out, *weight, first, rows)
	QUANT_SWITCH(weight->type, DEQUANTIZE)
#undef DEQUANTIZE
}

extern "C" void
dequantize_launch(device_half *out, const quant_matrix *weight, int first, int rows, bool bf16,
				  cudaStream_t stream)
{
	if (bf16)
		launch((bfloat16 *) out, weight, first, rows, stream);
	else
		launch(out, weight, first, rows, stream);
}
