/*
 * kernel.cuh: what all kernels use: conversions, vector loads, sums over a warp or a block.
 *
 * Elements of activations and cached keys and values are 16-bit floats (__half); sums are f32.
 * What is beyond the range of 16 bits becomes the greatest number, not infinity; NaN stays NaN.
 */
#ifndef RAG_CUDA_KERNEL_CUH
#define RAG_CUDA_KERNEL_CUH

#include <cuda_fp16.h>
#include <cuda_runtime.h>
#include <stdint.h>

#include "cuda/kernels.h"

#ifndef LAUNCH
#define LAUNCH(kernel, grid, block, shared, stream, ...) \
	(kernel)<<<(grid), (block), (shared), (stream)>>>(__VA_ARGS__)
#define DYNAMIC_SHARED(name) extern __shared__ __align__(16) unsigned char name[]
#define SHARED_ARRAY(type, name, count) __shared__ __align__(16) type name[count]
#endif

#define WARP 32
#define ALL_LANES 0xFFFFFFFFu
#define HALF_MAX 65504.0f

/* Elements that a thread takes at a time: 16 bytes of halves. */
#define CHUNK 8

static __device__ __forceinline__ float
to_float(float x)
{
	return x;
}

static __device__ __forceinline__ float
to_float(__half x)
{
	return __half2float(x);
}

static __device__ __forceinline__ __half
to_half(float x)
{
	return __float2half_rn(x > HALF_MAX ? HALF_MAX : x < -HALF_MAX ? -HALF_MAX : x);
}

static __device__ __forceinline__ void
store_as(float *to, float x)
{
	*to = x;
}

static __device__ __forceinline__ void
store_as(__half *to, float x)
{
	*to = to_half(x);
}

/* Two floats as a register of two halves, the first in the low bits. */
static __device__ __forceinline__ unsigned
pack_halves(float low, float high)
{
	return (unsigned) __half_as_ushort(to_half(low)) |
		(unsigned) __half_as_ushort(to_half(high)) << 16;
}

static __device__ __forceinline__ float
low_half(unsigned packed)
{
	return __half2float(__ushort_as_half((unsigned short) packed));
}

static __device__ __forceinline__ float
high_half(unsigned packed)
{
	return __half2float(__ushort_as_half((unsigned short) (packed >> 16)));
}

static __device__ __forceinline__ void
unpack_chunk(uint4 packed, float out[CHUNK])
{
	out[0] = low_half(packed.x);
	out[1] = high_half(packed.x);
	out[2] = low_half(packed.y);
	out[3] = high_half(packed.y);
	out[4] = low_half(packed.z);
	out[5] = high_half(packed.z);
	out[6] = low_half(packed.w);
	out[7] = high_half(packed.w);
}

/* Eight elements of a row from p on, of which `left` exist; aligned: p is at a multiple of 16 bytes
 * and all eight exist. */
static __device__ __forceinline__ void
load_chunk(const __half *p, int left, bool aligned, float out[CHUNK])
{
	if (aligned)
	{
		unpack_chunk(*(const uint4 *) p, out);
		return;
	}
#pragma unroll
	for (int i = 0; i < CHUNK; i++)
		out[i] = i < left ? __half2float(p[i]) : 0.0f;
}

static __device__ __forceinline__ void
load_chunk(const float *p, int left, bool aligned, float out[CHUNK])
{
	if (aligned)
	{
		float4		a = ((const float4 *) p)[0];
		float4		b = ((const float4 *) p)[1];

		out[0] = a.x, out[1] = a.y, out[2] = a.z, out[3] = a.w;
		out[4] = b.x, out[5] = b.y, out[6] = b.z, out[7] = b.w;
		return;
	}
#pragma unroll
	for (int i = 0; i < CHUNK; i++)
		out[i] = i < left ? p[i] : 0.0f;
}

static __device__ __forceinline__ void
store_chunk(__half *p, int left, bool aligned, const float in[CHUNK])
{
	if (aligned)
	{
		uint4		packed;

		packed.x = pack_halves(in[0], in[1]);
		packed.y = pack_halves(in[2], in[3]);
		packed.z = pack_halves(in[4], in[5]);
		packed.w = pack_halves(in[6], in[7]);
		*(uint4 *) p = packed;
		return;
	}
#pragma unroll
	for (int i = 0; i < CHUNK; i++)
		if (i < left)
			p[i] = to_half(in[i]);
}

static __device__ __forceinline__ float
warp_sum(float x)
{
#pragma unroll
	for (int bits = WARP / 2; bits > 0; bits /= 2)
		x += __shfl_xor_sync(ALL_LANES, x, bits);
	return x;
}

/*
 * The sum over a block of up to 1024 threads, in a fixed order, for all of them. partial: one
 * place per warp of shared memory, free again when the next barrier has been passed.
 */
template <typename T>
static __device__ __forceinline__ T
block_sum(T x, T *partial)
{
	int			warps = (int) (blockDim.x + WARP - 1) / WARP;
	T			sum = 0;

#pragma unroll
	for (int bits = WARP / 2; bits > 0; bits /= 2)
		x += __shfl_xor_sync(ALL_LANES, x, bits);
	if (threadIdx.x % WARP == 0)
		partial[threadIdx.x / WARP] = x;
	__syncthreads();
	for (int w = 0; w < warps; w++)
		sum += partial[w];
	__syncthreads();
	return sum;
}

#define LOG2_E 1.44269504f

/* The error function, to 2e-7 (Abramowitz and Stegun 1964, 7.1.26): f16 keeps 5e-4 of it. */
static __device__ __forceinline__ float
error_function(float x)
{
	float		t = 1.0f / (1.0f + 0.3275911f * fabsf(x));
	float		y = t * (0.254829592f + t * (-0.284496736f + t *
										 (1.421413741f + t * (-1.453152027f + t * 1.061405429f))));

	y = 1.0f - y * exp2f(-x * x * LOG2_E);
	return x < 0 ? -y : y;
}

static __device__ __forceinline__ float
apply_epilogue(float x, int epilogue)
{
	if (epilogue == EPILOGUE_GELU)
		return 0.5f * x * (1.0f + error_function(x * 0.70710678f));
	if (epilogue == EPILOGUE_TANH)
		return 1.0f - 2.0f / (1.0f + exp2f(x * (2 * LOG2_E)));
	return x;
}

/* The lanes of a warp have parts of a product for ROWS rows: lane r stores the sum of row r. */
template <int ROWS>
static __device__ __forceinline__ void
store_sums(const product_end &end, int output, const float sums[ROWS])
{
	int			lane = (int) threadIdx.x % WARP;
	size_t		at = (size_t) lane * (size_t) end.stride + (size_t) output;
	float		mine = 0;

#pragma unroll
	for (int r = 0; r < ROWS; r++)
	{
		float		sum = warp_sum(sums[r]);

		mine = lane == r ? sum : mine;
	}
	if (lane >= ROWS)
		return;
	mine = apply_epilogue(mine + (end.bias != NULL ? end.bias[output] : 0.0f), end.epilogue);
	if (end.out_f32)
		((float *) end.out)[at] = mine;
	else
		((__half *) end.out)[at] = to_half(mine);
}

#endif							/* RAG_CUDA_KERNEL_CUH */
