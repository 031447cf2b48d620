/*
 * nearest.cu: the nearest of many vectors to many queries, out of the products that cuBLAS computes.
 *
 * A vector is packed as halves relative to a power of two of its own, so that floats of any size fit; its
 * norm is that of the halves, so that what comes out is the exact distance of what is compared, but
 * for the rounding of sums.
 *
 * Selection: Johnson, Douze, Jegou, "Billion-scale similarity search with GPUs", 2017, keeps lists in registers;
 * here a block has a query, reads its products [NEAREST_TILE] once, and collects keys below the k-th best so far
 * in shared memory, which is sorted when it is full. Keys are all different, so the result does not depend on
 * the order in which threads put them there.
 */
#include "cuda/kernel.cuh"

#define PACK_THREADS 128
#define NEAREST_THREADS 256
#define NEAREST_EACH 4			/* products that a thread reads at a time */
#define NEAREST_ROUND (NEAREST_THREADS * NEAREST_EACH)
#define NEAREST_KEYS (BACKEND_NEAREST_MAX + NEAREST_ROUND)
#define NO_KEY ~0ull

/* Powers of two of which both this one and its inverse are normal floats. */
#define EXPONENT_BITS 0x7F800000u
#define EXPONENT_ONE 0x00800000u
#define EXPONENT_LAST (253u << 23)

static __device__ __forceinline__ float
row_scale(float greatest, float *inverse)
{
	unsigned	bits = __float_as_uint(greatest) & EXPONENT_BITS;

	bits = bits < EXPONENT_ONE ? EXPONENT_ONE : bits > EXPONENT_LAST ? EXPONENT_LAST : bits;
	*inverse = __uint_as_float((254u << 23) - bits);
	return __uint_as_float(bits);
}

/* A warp to a vector: in [dimensions] -> rows [columns], factor and term. */
static __global__ void __launch_bounds__(PACK_THREADS, 1)
pack_kernel(pack_launch_args a)
{
	int			r = (int) (blockIdx.x * (PACK_THREADS / WARP) + threadIdx.x / WARP);
	int			lane = (int) threadIdx.x % WARP;
	const float *in = a.in + (size_t) r * (size_t) a.dimensions;
	__half	   *out = a.out.rows + (size_t) r * (size_t) a.columns;
	float		greatest = 0;
	float		squares = 0;
	float		scale;
	float		inverse;

	if (r >= a.count)
		return;
	for (int c = lane; c < a.dimensions; c += WARP)
		greatest = fmaxf(greatest, fabsf(in[c]));
#pragma unroll
	for (int bits = WARP / 2; bits > 0; bits /= 2)
		greatest = fmaxf(greatest, __shfl_xor_sync(ALL_LANES, greatest, bits));
	scale = row_scale(greatest, &inverse);
	for (int c = lane; c < a.columns; c += WARP)
	{
		__half		x = to_half(c < a.dimensions ? in[c] * inverse : 0.0f);

		out[c] = x;
		squares += to_float(x) * to_float(x);
	}
	squares = warp_sum(squares);
	if (lane != 0)
		return;
	if (a.distance == DISTANCE_COSINE)
		scale = squares > 0 ? 1.0f / sqrtf(squares) : 0.0f;
	a.out.factor[r] = scale;
	a.out.term[r] = a.distance == DISTANCE_L2 ? squares * scale * scale :
		a.distance == DISTANCE_COSINE ? 0.5f : 0.0f;
}

/* Lower for a shorter distance, then for a lower number; what is no number is infinitely far. */
static __device__ __forceinline__ unsigned long long
key_of(float distance, unsigned number)
{
	unsigned	bits = __float_as_uint(distance + 0.0f);

	if ((bits & 0x7FFFFFFFu) > EXPONENT_BITS)
		bits = EXPONENT_BITS;
	bits = bits >> 31 ? ~bits : bits | 0x80000000u;
	return (unsigned long long) bits << 32 | number;
}

/* All threads: puts keys [0, count) in order. The room up to the next power of two is filled up. */
static __device__ void
sort_keys(unsigned long long *keys, int count)
{
	int			size = 2;

	while (size < count)
		size *= 2;
	for (int i = count + (int) threadIdx.x; i < size; i += NEAREST_THREADS)
		keys[i] = NO_KEY;
	__syncthreads();
	for (int run = 2; run <= size; run *= 2)
	{
		for (int step = run / 2; step > 0; step /= 2)
		{
			for (int i = (int) threadIdx.x; i < size / 2; i += NEAREST_THREADS)
			{
				int			low = 2 * i - (i & (step - 1));
				int			high = low + step;
				unsigned long long x = keys[low];
				unsigned long long y = keys[high];

				if ((x > y) == ((low & run) == 0))
				{
					keys[low] = y;
					keys[high] = x;
				}
			}
			__syncthreads();
		}
	}
}

/* Four products to distances, as keys; the places behind `left` have none. */
static __device__ __forceinline__ void
read_keys(const nearest_launch_args &a, int at, float query_factor, float query_term,
		  unsigned long long keys[NEAREST_EACH])
{
	float4		product = *(const float4 *) (a.products + (size_t) blockIdx.x * NEAREST_TILE + at);
	float4		factor = *(const float4 *) (a.vectors.factor + at);
	float4		term = *(const float4 *) (a.vectors.term + at);
	float		d[NEAREST_EACH] = {
		query_term + term.x - query_factor * factor.x * product.x,
		query_term + term.y - query_factor * factor.y * product.y,
		query_term + term.z - query_factor * factor.z * product.z,
		query_term + term.w - query_factor * factor.w * product.w
	};

#pragma unroll
	for (int i = 0; i < NEAREST_EACH; i++)
		keys[i] = key_of(d[i], a.first + (unsigned) (at + i));
}

static __global__ void __launch_bounds__(NEAREST_THREADS, 1)
nearest_kernel(nearest_launch_args a)
{
	SHARED_ARRAY(unsigned long long, keys, NEAREST_KEYS);
	SHARED_ARRAY(int, collected, 1);
	unsigned long long *best = a.best + (size_t) blockIdx.x * (size_t) a.k;
	int64_t		seen = a.seen + (int64_t) blockIdx.x;
	int			size = seen < 0 ? 0 : seen < a.size ? (int) seen : a.size;
	float		factor = a.queries.factor[blockIdx.x] * a.weight;
	float		term = a.queries.term[blockIdx.x];
	unsigned long long threshold;
	int			count = a.k;

	for (int i = (int) threadIdx.x; i < a.k; i += NEAREST_THREADS)
		keys[i] = a.first == 0 ? NO_KEY : best[i];
	if (threadIdx.x == 0)
		*collected = a.k;
	__syncthreads();
	threshold = keys[a.k - 1];
	for (int at = (int) threadIdx.x * NEAREST_EACH; at - (int) threadIdx.x * NEAREST_EACH < size;
		 at += NEAREST_ROUND)
	{
		unsigned long long found[NEAREST_EACH];

		if (at < size)
		{
			read_keys(a, at, factor, term, found);
#pragma unroll
			for (int i = 0; i < NEAREST_EACH; i++)
				if (at + i < size && found[i] < threshold)
					keys[atomicAdd(collected, 1)] = found[i];
		}
		__syncthreads();
		count = *collected;
		if (count > NEAREST_KEYS - NEAREST_ROUND)
		{
			sort_keys(keys, count);
			count = a.k;
			threshold = keys[a.k - 1];
			if (threadIdx.x == 0)
				*collected = a.k;
		}
		__syncthreads();
	}
	if (count > a.k)
		sort_keys(keys, count);
	for (int i = (int) threadIdx.x; i < a.k; i += NEAREST_THREADS)
		best[i] = keys[i];
}

extern "C" void
pack_launch(const pack_launch_args *args, cudaStream_t stream)
{
	unsigned	grid = (unsigned) ((args->count + PACK_THREADS / WARP - 1) / (PACK_THREADS / WARP));

	if (args->count > 0)
		LAUNCH((pack_kernel), grid, PACK_THREADS, 0, stream, *args);
}

extern "C" void
nearest_launch(const nearest_launch_args *args, cudaStream_t stream)
{
	if (args->count > 0)
		LAUNCH((nearest_kernel), (unsigned) args->count, NEAREST_THREADS, 0, stream, *args);
}
