/*
 * rope.cu: bias, rotary positions (Su et al. 2021) by a table, and writing the paged cache.
 *
 * One block to a row of qkv [heads + 2 kv_heads, head_size]; a thread takes a pair of elements that
 * turn together, or two neighbours of what does not turn.
 */
#include "cuda/kernel.cuh"

#define ROPE_THREADS 256

/* Element e of head h (a key's or value's: of kv head h % kv_heads) to the cache. */
template <typename T>
static __device__ __forceinline__ void
write_cache(const rope_launch_args &a, int h, int e, float x, size_t block, int slot)
{
	int			kv = h - a.heads;
	size_t		at;

	if (kv < 0 || a.cache.data == NULL)
		return;
	at = ((block * (size_t) a.kv_heads + (size_t) (kv % a.kv_heads)) * 2 +
		  (size_t) (kv / a.kv_heads)) * (size_t) a.cache.block_size + (size_t) slot;
	at = at * (size_t) a.head_size + (size_t) e;
	if (a.cache.f32)
		((float *) a.cache.data)[at] = x;
	else
		store_as((T *) a.cache.data + at, x);
}

/* The two elements of pair i of a head: those that turn come first. */
static __device__ __forceinline__ void
pair_elements(const rope_launch_args &a, int i, int *first, int *second)
{
	int			half = a.rope_dims / 2;

	if (i < half && !a.interleaved)
	{
		*first = i;
		*second = i + half;
	}
	else
	{
		*first = 2 * i;
		*second = 2 * i + 1;
	}
}

template <typename T>
static __global__ void __launch_bounds__(ROPE_THREADS, 1)
rope_kernel(rope_launch_args a)
{
	int			row = (int) blockIdx.x;
	int			sequence = a.step.row_sequence[row];
	int			heads = a.heads + 2 * a.kv_heads;
	int			pairs = (a.head_size + 1) / 2;
	int			position;
	int			slot = 0;
	size_t		block = 0;
	T		   *qkv = (T *) a.qkv + (size_t) row * (size_t) (heads * a.head_size);
	const float *table;

	if (sequence < 0)
		return;
	position = a.step.positions[row];
	table = a.table + (size_t) position * (size_t) a.rope_dims;
	if (a.cache.data != NULL)
	{
		slot = position % a.cache.block_size;
		block = (size_t) a.step.block_tables[(size_t) sequence * (size_t) a.step.table_stride +
											 (size_t) (position / a.cache.block_size)];
	}
	for (int n = (int) threadIdx.x; n < heads * pairs; n += ROPE_THREADS)
	{
		int			h = n / pairs;
		int			i = n % pairs;
		int			first;
		int			second;
		float		x;
		float		y;

		pair_elements(a, i, &first, &second);
		x = to_float(qkv[h * a.head_size + first]);
		y = second < a.head_size ? to_float(qkv[h * a.head_size + second]) : 0.0f;
		if (a.bias != NULL)
		{
			x += a.bias[h * a.head_size + first];
			y += second < a.head_size ? a.bias[h * a.head_size + second] : 0.0f;
		}
		if (i < a.rope_dims / 2 && h < a.heads + a.kv_heads)
		{
			float		cosine = table[i];
			float		sine = table[a.rope_dims / 2 + i];
			float		before = x;

			x = before * cosine - y * sine;
			y = before * sine + y * cosine;
		}
		store_as(qkv + h * a.head_size + first, x);
		write_cache<T>(a, h, first, x, block, slot);
		if (second < a.head_size)
		{
			store_as(qkv + h * a.head_size + second, y);
			write_cache<T>(a, h, second, y, block, slot);
		}
	}
}

extern "C" void
rope_launch(const rope_launch_args *args, cudaStream_t stream)
{
	if (args->rows > 0 && args->bf16)
		LAUNCH((rope_kernel<bfloat16>), args->rows, ROPE_THREADS, 0, stream, *args);
	else if (args->rows > 0)
		LAUNCH((rope_kernel<__half>), args->rows, ROPE_THREADS, 0, stream, *args);
}
