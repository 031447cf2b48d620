/*
 * gemv.cu: out = epilogue(in . weight^T + bias) for up to GEMV_ROWS rows and weights of 16 bits.
 *
 * weight [outputs, columns], in [rows, columns]. Memory bounds it: a warp streams a row of the
 * weight, 16 bytes a lane, and keeps a sum for each row of the input, which stays in the caches.
 */
#include "cuda/kernel.cuh"

#define GEMV_THREADS 128

template <typename T, int ROWS>
static __global__ void __launch_bounds__(GEMV_THREADS, 1)
gemv_kernel(const T *weight, int outputs, int columns, const T *in, product_end end)
{
	int			o = (int) (blockIdx.x * (GEMV_THREADS / WARP) + threadIdx.x / WARP);
	int			lane = (int) threadIdx.x % WARP;
	bool		aligned = columns % CHUNK == 0;
	const T    *row = weight + (size_t) o * (size_t) columns;
	float		sums[ROWS] = {0};

	if (o >= outputs)
		return;
	for (int c = lane * CHUNK; c < columns; c += WARP * CHUNK)
	{
		float		w[CHUNK];

		load_chunk(row + c, columns - c, aligned, w);
#pragma unroll
		for (int r = 0; r < ROWS; r++)
		{
			float		x[CHUNK];

			load_chunk(in + (size_t) r * (size_t) columns + c, columns - c, aligned, x);
#pragma unroll
			for (int i = 0; i < CHUNK; i++)
				sums[r] += w[i] * x[i];
		}
	}
	store_sums<ROWS>(end, o, sums);
}

template <typename T>
static void
launch(const device_half *weight, int outputs, int columns, const device_half *in, int rows,
	   const product_end *end, cudaStream_t stream)
{
	unsigned	grid = (unsigned) ((outputs + GEMV_THREADS / WARP - 1) / (GEMV_THREADS / WARP));

#define GEMV(ROWS) \
	LAUNCH((gemv_kernel<T, ROWS>), grid, GEMV_THREADS, 0, stream, (const T *) weight, outputs, columns, \
		   (const T *) in, *end)
	switch (rows)
	{
		case 1: GEMV(1); break;
		case 2: GEMV(2); break;
		case 3: GEMV(3); break;
		case 4: GEMV(4); break;
		default: break;
	}
#undef GEMV
}

extern "C" void
gemv_launch(const device_half *weight, int outputs, int columns, const device_half *in, int rows,
			const product_end *end, cudaStream_t stream)
{
	if (end->bf16)
		launch<bfloat16>(weight, outputs, columns, in, rows, end, stream);
	else
		launch<__half>(weight, outputs, columns, in, rows, end, stream);
}
