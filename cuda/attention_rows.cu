/*
 * attention_rows.cu: softmax(q K^T) V of single rows: decoding, and whatever the tiles of
 * attention_tiles.cu do not take (a cache of f32, heads of odd sizes).
 *
 * The keys of a row are cut into parts so that a few long sequences fill the device (flash-decoding:
 * Dao et al. 2023); the cut depends on the row alone. A block serves one part and up to G query heads
 * that share a kv head, so that each key and value is loaded once, 16 bytes a lane. LANES lanes hold
 * a key; each such group keeps a running maximum and sum of its own (Milakov and Gimelshein 2018),
 * and the groups are merged through shared memory, the parts by a second kernel.
 */
#include "cuda/kernel.cuh"

#define ROWS_THREADS 128
#define UNROLL 2
#define NO_SCORE (-1e30f)		/* below any score; its difference to itself is 0, not NaN */

/* Where the keys of a row are. */
struct key_range
{
	int			row;			/* of the batch; -1: none */
	int			sequence;
	int			visible;
	int			parts;
	int			begin;			/* of this part */
	int			end;
};

static __device__ __forceinline__ key_range
range_of(const attention_rows_args &a, int number, int part)
{
	key_range	k = {-1, 0, 0, 0, 0, 0};
	int			row = a.rows[number];
	int			each;

	if (row < 0 || a.all.step.row_sequence[row] < 0)
		return k;
	k.row = row;
	k.sequence = a.all.step.row_sequence[row];
	k.visible = a.all.causal ? a.all.step.positions[row] + 1 :
		a.all.step.start[k.sequence + 1] - a.all.step.start[k.sequence];
	k.parts = (k.visible + ATTENTION_SPLIT_KEYS - 1) / ATTENTION_SPLIT_KEYS;
	k.parts = a.partial == NULL ? 1 : k.parts > ATTENTION_SPLITS ? ATTENTION_SPLITS : k.parts;
	each = ((k.visible + k.parts - 1) / k.parts + 15) / 16 * 16;
	/* rounding up may leave the last parts nothing */
	k.parts = (k.visible + each - 1) / each;
	k.begin = part * each;
	k.end = k.begin + each < k.visible ? k.begin + each : k.visible;
	return k;
}

/* Key `key` of a sequence and kv head; its value is *to_value elements further on. */
template <typename KV>
static __device__ __forceinline__ const KV *
find_key(const attention_launch_args &a, int sequence, int head, int key, size_t *to_value)
{
	size_t		size = (size_t) a.head_size;

	if (a.causal)
	{
		size_t		block = (size_t) a.step.block_tables[(size_t) sequence *
														 (size_t) a.step.table_stride +
														 (size_t) (key / a.cache.block_size)];
		size_t		at = (block * (size_t) a.kv_heads + (size_t) head) * 2 *
			(size_t) a.cache.block_size + (size_t) (key % a.cache.block_size);

		*to_value = (size_t) a.cache.block_size * size;
		return (const KV *) a.cache.data + at * size;
	}
	*to_value = (size_t) a.kv_heads * size;
	return (const KV *) (const void *) a.qkv +
		((size_t) (a.step.start[sequence] + key) * (size_t) (a.heads + 2 * a.kv_heads) +
		 (size_t) (a.heads + head)) * size;
}

/* What a group of lanes has seen: of each query head the maximum, the sum and 8 elements. */
template <int G>
struct running
{
	float		max[G];
	float		sum[G];
	float		out[G][CHUNK];
};

template <int LANES, int G>
static __device__ __forceinline__ void
take_key(running<G> &state, const float q[G][CHUNK], const float key[CHUNK],
		 const float value[CHUNK], bool valid)
{
#pragma unroll
	for (int g = 0; g < G; g++)
	{
		float		score = 0;
		float		max;
		float		before;
		float		weight;

#pragma unroll
		for (int i = 0; i < CHUNK; i++)
			score += q[g][i] * key[i];
#pragma unroll
		for (int bits = LANES / 2; bits > 0; bits /= 2)
			score += __shfl_xor_sync(ALL_LANES, score, bits);
		score = valid ? score : NO_SCORE;
		max = fmaxf(state.max[g], score);
		before = exp2f(state.max[g] - max);
		weight = valid ? exp2f(score - max) : 0.0f;
		state.max[g] = max;
		state.sum[g] = state.sum[g] * before + weight;
#pragma unroll
		for (int i = 0; i < CHUNK; i++)
			state.out[g][i] = state.out[g][i] * before + weight * value[i];
	}
}

/* What the groups of a block have seen, in shared memory. */
template <int LANES, int G>
struct all_groups
{
	float		out[ROWS_THREADS * CHUNK * G];
	float		max[ROWS_THREADS / LANES * G];
	float		sum[ROWS_THREADS / LANES * G];
};

/* The groups of a block merged: sums of head h's elements to out, or to this part's place. */
template <typename T, int LANES, int G>
static __device__ __forceinline__ void
merge_groups(const attention_rows_args &a, const key_range &k, const running<G> &state, int first_head,
			 all_groups<LANES, G> &all)
{
	constexpr int groups = ROWS_THREADS / LANES;
	constexpr int width = LANES * CHUNK;
	int			group = (int) threadIdx.x / LANES;
	int			lane = (int) threadIdx.x % LANES;
	int			last = first_head / (a.all.heads / a.all.kv_heads) * (a.all.heads / a.all.kv_heads) +
		a.all.heads / a.all.kv_heads;

#pragma unroll
	for (int g = 0; g < G; g++)
	{
		if (lane == 0)
		{
			all.max[g * groups + group] = state.max[g];
			all.sum[g * groups + group] = state.sum[g];
		}
#pragma unroll
		for (int i = 0; i < CHUNK; i++)
			all.out[(g * groups + group) * width + lane * CHUNK + i] = state.out[g][i];
	}
	__syncthreads();
	for (int n = (int) threadIdx.x; n < G * a.all.head_size; n += ROWS_THREADS)
	{
		int			g = n / a.all.head_size;
		int			e = n % a.all.head_size;
		int			head = first_head + g;
		float		top = NO_SCORE;
		float		total = 0;
		float		x = 0;

		if (head >= last)
			break;
		for (int i = 0; i < groups; i++)
			top = fmaxf(top, all.max[g * groups + i]);
		for (int i = 0; i < groups; i++)
		{
			float		factor = exp2f(all.max[g * groups + i] - top);

			total += all.sum[g * groups + i] * factor;
			x += all.out[(g * groups + i) * width + e] * factor;
		}
		if (k.parts == 1)
			store_as((T *) a.all.out + ((size_t) k.row * (size_t) a.all.heads + (size_t) head) *
					 (size_t) a.all.head_size + (size_t) e, x / total);
		else
		{
			float	   *place = a.partial + (((size_t) blockIdx.x * (size_t) a.all.heads +
											  (size_t) head) * ATTENTION_SPLITS + blockIdx.z) *
				(size_t) (a.all.head_size + 2);

			place[e] = x;
			if (e == 0)
			{
				place[a.all.head_size] = top;
				place[a.all.head_size + 1] = total;
			}
		}
	}
}

/* Grid: rows, kv heads times stretches of G query heads, parts. */
template <typename T, typename KV, int LANES, int G>
static __global__ void __launch_bounds__(ROWS_THREADS, 1)
attention_rows_kernel(attention_rows_args a)
{
	constexpr int groups = ROWS_THREADS / LANES;
	typedef all_groups<LANES, G> all_kind;
	SHARED_ARRAY(all_kind, all, 1);
	key_range	k = range_of(a, (int) blockIdx.x, (int) blockIdx.z);
	int			per_kv = a.all.heads / a.all.kv_heads;
	int			stretches = (per_kv + G - 1) / G;
	int			kv_head = (int) blockIdx.y / stretches;
	int			first_head = kv_head * per_kv + (int) blockIdx.y % stretches * G;
	int			e = (int) threadIdx.x % LANES * CHUNK;
	int			left = a.all.head_size - e;
	bool		aligned = a.all.head_size % CHUNK == 0 && left > 0;
	float		q[G][CHUNK];
	running<G>	state;

	if (k.row < 0 || (int) blockIdx.z >= k.parts)
		return;
#pragma unroll
	for (int g = 0; g < G; g++)
	{
		bool		exists = first_head + g < (kv_head + 1) * per_kv;
		int			head = exists ? first_head + g : first_head;

		load_chunk((const T *) a.all.qkv + (size_t) k.row * (size_t) ((a.all.heads + 2 * a.all.kv_heads) *
														  a.all.head_size) +
				   (size_t) (head * a.all.head_size + e), left, aligned, q[g]);
		state.max[g] = NO_SCORE;
		state.sum[g] = 0;
#pragma unroll
		for (int i = 0; i < CHUNK; i++)
		{
			q[g][i] *= a.all.scale * LOG2_E;
			state.out[g][i] = 0;
		}
	}
	for (int first = k.begin; first < k.end; first += groups * UNROLL)
	{
		float		keys[UNROLL][CHUNK];
		float		values[UNROLL][CHUNK];

#pragma unroll
		for (int u = 0; u < UNROLL; u++)
		{
			int			key = first + u * groups + (int) threadIdx.x / LANES;
			bool		valid = key < k.end;
			size_t		to_value;
			const KV   *at = find_key<KV>(a.all, k.sequence, kv_head, valid ? key : k.begin,
										  &to_value) + e;

			load_chunk(at, left, aligned, keys[u]);
			load_chunk(at + to_value, left, aligned, values[u]);
		}
#pragma unroll
		for (int u = 0; u < UNROLL; u++)
			take_key<LANES, G>(state, q, keys[u], values[u],
							   first + u * groups + (int) threadIdx.x / LANES < k.end);
	}
	merge_groups<T, LANES, G>(a, k, state, first_head, *all);
}

/* Grid: rows, heads. Parts that a row does not have are not read. */
template <typename T>
static __global__ void __launch_bounds__(ROWS_THREADS, 1)
attention_merge_kernel(attention_rows_args a)
{
	key_range	k = range_of(a, (int) blockIdx.x, 0);
	int			size = a.all.head_size;
	const float *parts = a.partial + ((size_t) blockIdx.x * (size_t) a.all.heads + blockIdx.y) *
		ATTENTION_SPLITS * (size_t) (size + 2);
	float		top = NO_SCORE;
	float		total = 0;

	if (k.row < 0 || k.parts == 1)
		return;
	for (int p = 0; p < k.parts; p++)
		top = fmaxf(top, parts[p * (size + 2) + size]);
	for (int p = 0; p < k.parts; p++)
		total += parts[p * (size + 2) + size + 1] * exp2f(parts[p * (size + 2) + size] - top);
	for (int e = (int) threadIdx.x; e < size; e += ROWS_THREADS)
	{
		float		x = 0;

		for (int p = 0; p < k.parts; p++)
			x += parts[p * (size + 2) + e] * exp2f(parts[p * (size + 2) + size] - top);
		store_as((T *) a.all.out + ((size_t) k.row * (size_t) a.all.heads + blockIdx.y) * (size_t) size +
				 (size_t) e, x / total);
	}
}

template <typename T, typename KV, int LANES, int G>
static void
launch_rows(const attention_rows_args *a, cudaStream_t stream)
{
	int			stretches = (a->all.heads / a->all.kv_heads + G - 1) / G;
	dim3		grid((unsigned) a->count, (unsigned) (a->all.kv_heads * stretches),
					 a->partial != NULL ? ATTENTION_SPLITS : 1);

	LAUNCH((attention_rows_kernel<T, KV, LANES, G>), grid, ROWS_THREADS, 0, stream, *a);
}

template <typename T, typename KV, int LANES>
static void
launch_heads(const attention_rows_args *a, cudaStream_t stream)
{
	int			per_kv = a->all.heads / a->all.kv_heads;

	if (per_kv == 1)
		launch_rows<T, KV, LANES, 1>(a, stream);
	else if (per_kv == 2)
		launch_rows<T, KV, LANES, 2>(a, stream);
	else
		launch_rows<T, KV, LANES, 4>(a, stream);
}

template <typename T, typename KV>
static void
launch_size(const attention_rows_args *a, cudaStream_t stream)
{
	if (a->all.head_size <= 32)
		launch_heads<T, KV, 4>(a, stream);
	else if (a->all.head_size <= 64)
		launch_heads<T, KV, 8>(a, stream);
	else if (a->all.head_size <= 128)
		launch_heads<T, KV, 16>(a, stream);
	else
		launch_heads<T, KV, 32>(a, stream);
}

/* T: of queries and the output, KV: of the cache */
template <typename T, typename KV>
static void
launch_all(const attention_rows_args *a, cudaStream_t stream)
{
	launch_size<T, KV>(a, stream);
	if (a->partial != NULL)
		LAUNCH((attention_merge_kernel<T>), dim3((unsigned) a->count, (unsigned) a->all.heads),
			   ROWS_THREADS, 0, stream, *a);
}

extern "C" size_t
attention_rows_partial(int count, int heads, int head_size)
{
	return (size_t) count * (size_t) heads * ATTENTION_SPLITS * (size_t) (head_size + 2);
}

extern "C" void
attention_rows_launch(const attention_rows_args *args, cudaStream_t stream)
{
	bool		f32 = args->all.causal && args->all.cache.f32;

	if (args->count == 0)
		return;
	if (args->all.bf16 && f32)
		launch_all<bfloat16, float>(args, stream);
	else if (args->all.bf16)
		launch_all<bfloat16, bfloat16>(args, stream);
	else if (f32)
		launch_all<__half, float>(args, stream);
	else
		launch_all<__half, __half>(args, stream);
}
