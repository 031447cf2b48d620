/*
 * kernel.cuh: what all kernels use: conversions, vector loads, sums over a warp or a block.
 *
 * Elements of activations and cached keys and values are 16-bit floats (T: __half or bfloat16); sums are f32.
 * What is beyond the range of __half becomes its greatest number, not infinity; NaN stays NaN.
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

/* The upper half of a float. Converted in integers: the instructions for it differ between architectures. */
struct bfloat16
{
	unsigned short bits;
};

template <typename T> constexpr bool is_bfloat16 = false;
template <> constexpr bool is_bfloat16<bfloat16> = true;

static __device__ __forceinline__ float
to_float(bfloat16 x)
{
	return __uint_as_float((unsigned) x.bits << 16);
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

/* To the nearest, ties to even. */
static __device__ __forceinline__ void
store_as(bfloat16 *to, float x)
{
	unsigned	bits = __float_as_uint(x);

	bits = (bits & 0x7FFFFFFFu) > 0x7F800000u ? bits | 0x400000u : bits + 0x7FFFu + (bits >> 16 & 1u);
	to->bits = (unsigned short) (bits >> 16);
}

template <typename T>
static __device__ __forceinline__ T
from_float(float x)
{
	T			y;

	store_as(&y, x);
	return y;
}

static __device__ __forceinline__ unsigned
bits_of(__half x)
{
	return (unsigned) __half_as_ushort(x);
}

static __device__ __forceinline__ unsigned
bits_of(bfloat16 x)
{
	return x.bits;
}

static __device__ __forceinline__ void
from_bits(__half *to, unsigned bits)
{
	*to = __ushort_as_half((unsigned short) bits);
}

static __device__ __forceinline__ void
from_bits(bfloat16 *to, unsigned bits)
{
	to->bits = (unsigned short) bits;
}

/* Two floats as a register of two elements, the first in the low bits. */
template <typename T>
static __device__ __forceinline__ unsigned
pack_pair(float low, float high)
{
	return bits_of(from_float<T>(low)) | bits_of(from_float<T>(high)) << 16;
}

template <typename T>
static __device__ __forceinline__ float
low_of(unsigned packed)
{
	T			x;

	from_bits(&x, packed & 0xFFFFu);
	return to_float(x);
}

template <typename T>
static __device__ __forceinline__ float
high_of(unsigned packed)
{
	T			x;

	from_bits(&x, packed >> 16);
	return to_float(x);
}

/* Eight elements of a row from p on, of which `left` exist; aligned: p is at a multiple of 16 bytes
 * and all eight exist. */
template <typename T>
static __device__ __forceinline__ void
load_chunk(const T *p, int left, bool aligned, float out[CHUNK])
{
	if (aligned)
	{
		uint4		packed = *(const uint4 *) p;
		unsigned	pairs[CHUNK / 2] = {packed.x, packed.y, packed.z, packed.w};

#pragma unroll
		for (int i = 0; i < CHUNK / 2; i++)
		{
			out[2 * i] = low_of<T>(pairs[i]);
			out[2 * i + 1] = high_of<T>(pairs[i]);
		}
		return;
	}
#pragma unroll
	for (int i = 0; i < CHUNK; i++)
		out[i] = i < left ? to_float(p[i]) : 0.0f;
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

template <typename T>
static __device__ __forceinline__ void
store_chunk(T *p, int left, bool aligned, const float in[CHUNK])
{
	if (aligned)
	{
		*(uint4 *) p = {pack_pair<T>(in[0], in[1]), pack_pair<T>(in[2], in[3]),
						pack_pair<T>(in[4], in[5]), pack_pair<T>(in[6], in[7])};
		return;
	}
#pragma unroll
	for (int i = 0; i < CHUNK; i++)
		if (i < left)
			store_as(p + i, in[i]);
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
	else if (end.bf16)
		store_as((bfloat16 *) end.out + at, mine);
	else
		store_as((__half *) end.out + at, mine);
}

#endif							/* RAG_CUDA_KERNEL_CUH */
