/*
 * norm.cu: residual + RMSNorm (Zhang and Sennrich 2019) or LayerNorm (Ba et al. 2016).
 *
 * One block to a row [columns]. Each thread reads what it wrote: a row is read from memory once
 * and from the cache after that.
 */
#include "cuda/kernel.cuh"

#define NORM_THREADS 256

/* Chunk at c of in + delta, and of sum once that has been stored. */
template <typename T>
static __device__ __forceinline__ void
load_sum(const norm_launch_args &a, size_t row, int c, bool stored, bool aligned, float v[CHUNK])
{
	size_t		at = row * (size_t) a.columns + (size_t) c;

	if (stored && a.sum != NULL)
	{
		load_chunk((const T *) a.sum + at, a.columns - c, aligned, v);
		return;
	}
	load_chunk((const T *) a.in + at, a.columns - c, aligned, v);
	if (a.delta != NULL)
	{
		float		delta[CHUNK];

		load_chunk((const T *) a.delta + at, a.columns - c, aligned, delta);
#pragma unroll
		for (int i = 0; i < CHUNK; i++)
			v[i] += delta[i];
	}
}

template <typename T, bool LAYER>
static __global__ void __launch_bounds__(NORM_THREADS, 1)
norm_kernel(norm_launch_args a)
{
	SHARED_ARRAY(float, partial, NORM_THREADS / WARP);
	size_t		row = blockIdx.x;
	bool		aligned = a.columns % CHUNK == 0;
	float		mean = 0;
	float		sum = 0;
	float		factor;

	for (int c = (int) threadIdx.x * CHUNK; c < a.columns; c += NORM_THREADS * CHUNK)
	{
		float		v[CHUNK];

		load_sum<T>(a, row, c, false, aligned, v);
		if (a.sum != NULL)
			store_chunk((T *) a.sum + row * (size_t) a.columns + (size_t) c, a.columns - c, aligned, v);
#pragma unroll
		for (int i = 0; i < CHUNK; i++)
			sum += LAYER ? v[i] : v[i] * v[i];
	}
	sum = block_sum(sum, partial);
	if (LAYER)
	{
		mean = sum / (float) a.columns;
		sum = 0;
		for (int c = (int) threadIdx.x * CHUNK; c < a.columns; c += NORM_THREADS * CHUNK)
		{
			float		v[CHUNK];

			load_sum<T>(a, row, c, true, aligned, v);
#pragma unroll
			for (int i = 0; i < CHUNK; i++)
				sum += c + i < a.columns ? (v[i] - mean) * (v[i] - mean) : 0.0f;
		}
		sum = block_sum(sum, partial);
	}
	factor = rsqrtf(sum / (float) a.columns + a.epsilon);
	for (int c = (int) threadIdx.x * CHUNK; c < a.columns; c += NORM_THREADS * CHUNK)
	{
		float		v[CHUNK];

		load_sum<T>(a, row, c, true, aligned, v);
#pragma unroll
		for (int i = 0; i < CHUNK; i++)
		{
			if (c + i < a.columns)
				v[i] = (v[i] - mean) * factor * a.weight[c + i] +
					(LAYER && a.bias != NULL ? a.bias[c + i] : 0.0f);
		}
		store_chunk((T *) a.out + row * (size_t) a.columns + (size_t) c, a.columns - c, aligned, v);
	}
}

template <typename T>
static void
launch(const norm_launch_args *args, cudaStream_t stream)
{
	if (args->layer)
		LAUNCH((norm_kernel<T, true>), args->rows, NORM_THREADS, 0, stream, *args);
	else
		LAUNCH((norm_kernel<T, false>), args->rows, NORM_THREADS, 0, stream, *args);
}

extern "C" void
norm_launch(const norm_launch_args *args, cudaStream_t stream)
{
	if (args->rows == 0)
		return;
	if (args->bf16)
		launch<bfloat16>(args, stream);
	else
		launch<__half>(args, stream);
}
