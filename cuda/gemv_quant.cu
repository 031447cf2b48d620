/*
 * gemv_quant.cu: products of few rows with a quantised weight, in 8-bit integers.
 *
 * The input is quantised once, 32 columns to a scale (as the CPU backend does it, to the last
 * bit); then a warp streams a row of the weight, a block a lane: with x = sx qx and
 * w = d (qw - zero) + m, the product of a block is
 *     sx (d (qw . qx - zero sum(qx)) + m sum(qx)).
 */
#include "cuda/quant.cuh"

#define GEMV_THREADS 128

/* One warp to a block of 32 columns. */
template <typename T>
static __global__ void __launch_bounds__(GEMV_THREADS, 1)
quantize_kernel(quant_rows out, const T *in, size_t blocks)
{
	size_t		number = (size_t) blockIdx.x * (GEMV_THREADS / WARP) + threadIdx.x / WARP;
	int			lane = (int) threadIdx.x % WARP;
	float		x;
	float		greatest;
	float		scale;
	int			q;
	int			sum;

	if (number >= blocks)
		return;
	x = to_float(in[number * QUANT_BLOCK + (size_t) lane]);
	greatest = fabsf(x);
#pragma unroll
	for (int bits = WARP / 2; bits > 0; bits /= 2)
		greatest = fmaxf(greatest, __shfl_xor_sync(ALL_LANES, greatest, bits));
	scale = greatest / 127.0f;
	q = greatest > 1e-30f ? (int) rintf(x * (127.0f / greatest)) : 0;
	/* what is no number must not become one */
	if (__ballot_sync(ALL_LANES, !isfinite(x)) != 0)
		scale = __uint_as_float(0x7FC00000u);
	sum = q;
#pragma unroll
	for (int bits = WARP / 4; bits > 0; bits /= 2)
		sum += __shfl_xor_sync(ALL_LANES, sum, bits);
	out.q[number * QUANT_BLOCK + (size_t) lane] = (int8_t) q;
	if (lane == 0)
		out.info[number].scale = scale;
	if (lane % 16 == 0)
		out.info[number].sums[lane / 16] = (int16_t) sum;
}

extern "C" void
quantize_launch(const quant_rows *out, const device_half *in, int rows, int columns, bool bf16,
				cudaStream_t stream)
{
	size_t		blocks = (size_t) rows * (size_t) (columns / QUANT_BLOCK);
	unsigned	grid = (unsigned) ((blocks + GEMV_THREADS / WARP - 1) / (GEMV_THREADS / WARP));

	if (bf16)
		LAUNCH((quantize_kernel<bfloat16>), grid, GEMV_THREADS, 0, stream, *out, (const bfloat16 *) in, blocks);
	else
		LAUNCH((quantize_kernel<__half>), grid, GEMV_THREADS, 0, stream, *out, in, blocks);
}

/* The product of a block with block `number` of the input. */
template <tensor_type TYPE>
static __device__ __forceinline__ float
multiply_block(const quant_scale &s, const int q[8], const quant_rows &in, size_t number)
{
	uint4		first = ((const uint4 *) in.q)[number * 2];
	uint4		second = ((const uint4 *) in.q)[number * 2 + 1];
	uint2		packed = ((const uint2 *) in.info)[number];
	float		scale = __uint_as_float(packed.x);
	int			low = (int) (int16_t) (packed.y & 0xFFFF);
	int			high = (int) (int16_t) (packed.y >> 16);
	int			a = __dp4a(q[0], (int) first.x, 0);
	int			b = __dp4a(q[4], (int) second.x, 0);

	a = __dp4a(q[1], (int) first.y, a);
	a = __dp4a(q[2], (int) first.z, a);
	a = __dp4a(q[3], (int) first.w, a);
	b = __dp4a(q[5], (int) second.y, b);
	b = __dp4a(q[6], (int) second.z, b);
	b = __dp4a(q[7], (int) second.w, b);
	if (quant_zero(TYPE) != 0)
	{
		a -= quant_zero(TYPE) * low;
		b -= quant_zero(TYPE) * high;
	}
	if (TYPE == TYPE_Q6_K)
		return scale * (s.d[0] * (float) a + s.d[1] * (float) b);
	return scale * (s.d[0] * (float) (a + b) + s.m * (float) (low + high));
}

template <tensor_type TYPE, int ROWS>
static __global__ void __launch_bounds__(GEMV_THREADS, 1)
gemv_quant_kernel(quant_matrix w, quant_rows in, product_end end)
{
	int			o = (int) (blockIdx.x * (GEMV_THREADS / WARP) + threadIdx.x / WARP);
	int			lane = (int) threadIdx.x % WARP;
	float		sums[ROWS] = {0};

	if (o >= w.rows)
		return;
	for (int b = lane; b < w.blocks; b += WARP)
	{
		int			q[8];
		quant_scale s = load_block<TYPE>(w, (size_t) o, b, q);

#pragma unroll
		for (int r = 0; r < ROWS; r++)
			sums[r] += multiply_block<TYPE>(s, q, in, (size_t) r * (size_t) w.blocks + (size_t) b);
	}
	store_sums<ROWS>(end, o, sums);
}

template <tensor_type TYPE>
static void
launch_type(const quant_matrix *w, const quant_rows *in, int rows, const product_end *end,
			cudaStream_t stream)
{
	unsigned	grid = (unsigned) ((w->rows + GEMV_THREADS / WARP - 1) / (GEMV_THREADS / WARP));

#define GEMV(ROWS) \
	LAUNCH((gemv_quant_kernel<TYPE, ROWS>), grid, GEMV_THREADS, 0, stream, *w, *in, *end)
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
gemv_quant_launch(const quant_matrix *weight, const quant_rows *in, int rows,
				  const product_end *end, cudaStream_t stream)
{
#define GEMV_TYPE(TYPE) launch_type<TYPE>(weight, in, rows, end, stream)
	QUANT_SWITCH(weight->type, GEMV_TYPE)
#undef GEMV_TYPE
}
