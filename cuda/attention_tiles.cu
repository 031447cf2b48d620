/*
 * attention_tiles.cu: softmax(q K^T) V of tiles of rows on tensor cores (FlashAttention-2, Dao 2023).
 *
 * A block takes up to 64 consecutive rows of one sequence and one query head, 16 rows to a warp,
 * and passes over the keys 64 at a time: while tile n is multiplied, tile n + 1 is on its way
 * (cp.async). Scores stay in registers; the accumulators of q K^T are, by the layouts of mma.m16n8k16,
 * the left operand of P V. Keys and values come through the block table (causal: a prompt's chunk,
 * cached prefix included) or from qkv (not causal: an encoder).
 *
 * Shared memory: two tiles of keys and two of values [64][SIZE], 16 bits. A row has 16 bytes more than it
 * needs, an odd number of 16 bytes in all: ldmatrix then meets no bank twice. The queries pass
 * through the second tile of values into registers.
 */
#include "cuda/ptx.cuh"

#define TILE_WARPS 4
#define TILE_THREADS (TILE_WARPS * WARP)
#define TILE_KEYS 64
#define NO_SCORE (-1e30f)

/* Elements of a row of shared memory. */
static __host__ __device__ constexpr int
row_stride(int size)
{
	return size + CHUNK;
}

static __host__ __device__ constexpr int
shared_bytes(int size)
{
	return 4 * TILE_KEYS * row_stride(size) * 2;
}

/* Row 0 of the block's queries and the way from row to row. */
template <typename T>
static __device__ __forceinline__ const T *
query_row(const attention_launch_args &a, const attention_tile &tile, int row, int head)
{
	return (const T *) a.qkv + (size_t) (tile.first + row) *
		(size_t) ((a.heads + 2 * a.kv_heads) * a.head_size) + (size_t) (head * a.head_size);
}

/* Key `key`; its value is *to_value elements further on. */
template <typename T>
static __device__ __forceinline__ const T *
key_row(const attention_launch_args &a, int sequence, int kv_head, int key, size_t *to_value)
{
	size_t		size = (size_t) a.head_size;

	if (a.causal)
	{
		size_t		block = (size_t) a.step.block_tables[(size_t) sequence *
														 (size_t) a.step.table_stride +
														 (size_t) (key / a.cache.block_size)];
		size_t		at = (block * (size_t) a.kv_heads + (size_t) kv_head) * 2 *
			(size_t) a.cache.block_size + (size_t) (key % a.cache.block_size);

		*to_value = (size_t) a.cache.block_size * size;
		return (const T *) a.cache.data + at * size;
	}
	*to_value = (size_t) a.kv_heads * size;
	return (const T *) a.qkv + ((size_t) (a.step.start[sequence] + key) *
								(size_t) (a.heads + 2 * a.kv_heads) + (size_t) (a.heads + kv_head)) * size;
}

/* Asks for keys [first, first + TILE_KEYS) and their values; zeros stand for what there is not. */
template <typename T, int SIZE>
static __device__ __forceinline__ void
fetch_keys(const attention_launch_args &a, const attention_tile &tile, int kv_head, int first,
		   T *keys, T *values)
{
	constexpr int chunks = SIZE / CHUNK;

	for (int n = (int) threadIdx.x; n < TILE_KEYS * chunks; n += TILE_THREADS)
	{
		int			row = n / chunks;
		int			e = n % chunks * CHUNK;
		bool		present = first + row < tile.keys && e < a.head_size;
		size_t		to_value;
		const T    *from = key_row<T>(a, tile.sequence, kv_head, present ? first + row : 0,
									  &to_value) + (present ? e : 0);

		copy_async(keys + row * row_stride(SIZE) + e, from, present);
		copy_async(values + row * row_stride(SIZE) + e, from + to_value, present);
	}
	copy_commit();
}

template <typename T, int SIZE>
static __device__ __forceinline__ void
fetch_queries(const attention_launch_args &a, const attention_tile &tile, int head, T *queries)
{
	constexpr int chunks = SIZE / CHUNK;

	for (int n = (int) threadIdx.x; n < ATTENTION_TILE * chunks; n += TILE_THREADS)
	{
		int			row = n / chunks;
		int			e = n % chunks * CHUNK;
		bool		present = row < tile.rows && e < a.head_size;

		copy_async(queries + row * row_stride(SIZE) + e,
				   query_row<T>(a, tile, present ? row : 0, head) + (present ? e : 0), present);
	}
	copy_commit();
}

/* A warp's 16 rows: each lane has parts of rows g and g + 8, lane = 4 g + t. */
template <int SIZE>
struct tile_state
{
	unsigned	q[SIZE / 16][4];
	float		out[SIZE / 8][4];
	float		max[2];
	float		sum[2];			/* this lane's part */
	int			visible[2];		/* keys that the row sees */
};

/* scores [16, TILE_KEYS] = q K^T, in units of log 2; no score where a row does not see a key */
template <typename T, int SIZE>
static __device__ __forceinline__ void
score_keys(const tile_state<SIZE> &state, const T *keys, int first, float factor,
		   float scores[TILE_KEYS / 8][4])
{
	int			lane = (int) threadIdx.x % WARP;

#pragma unroll
	for (int n = 0; n < TILE_KEYS / 8; n++)
		scores[n][0] = scores[n][1] = scores[n][2] = scores[n][3] = 0;
#pragma unroll
	for (int k = 0; k < SIZE / 16; k++)
	{
#pragma unroll
		for (int n = 0; n < TILE_KEYS / 8; n += 2)
		{
			unsigned	b[4];

			load_matrices(b, keys + (n * 8 + lane / 16 * 8 + lane % 8) * row_stride(SIZE) +
						  k * 16 + lane / 8 % 2 * 8);
			multiply_matrices<T>(scores[n], state.q[k], b[0], b[1]);
			multiply_matrices<T>(scores[n + 1], state.q[k], b[2], b[3]);
		}
	}
#pragma unroll
	for (int n = 0; n < TILE_KEYS / 8; n++)
	{
#pragma unroll
		for (int i = 0; i < 4; i++)
		{
			int			key = first + n * 8 + lane % 4 * 2 + i % 2;

			scores[n][i] = key < state.visible[i / 2] ? scores[n][i] * factor : NO_SCORE;
		}
	}
}

/* scores to weights, relative to the greatest score so far; what was summed before is rescaled */
template <int SIZE>
static __device__ __forceinline__ void
weigh_keys(tile_state<SIZE> &state, float scores[TILE_KEYS / 8][4])
{
#pragma unroll
	for (int half = 0; half < 2; half++)
	{
		float		max = state.max[half];
		float		factor;

#pragma unroll
		for (int n = 0; n < TILE_KEYS / 8; n++)
			max = fmaxf(max, fmaxf(scores[n][2 * half], scores[n][2 * half + 1]));
		max = fmaxf(max, __shfl_xor_sync(ALL_LANES, max, 1));
		max = fmaxf(max, __shfl_xor_sync(ALL_LANES, max, 2));
		factor = exp2f(state.max[half] - max);
		state.max[half] = max;
		state.sum[half] *= factor;
#pragma unroll
		for (int n = 0; n < TILE_KEYS / 8; n++)
		{
#pragma unroll
			for (int i = 2 * half; i < 2 * half + 2; i++)
			{
				scores[n][i] = exp2f(scores[n][i] - max);
				state.sum[half] += scores[n][i];
			}
		}
#pragma unroll
		for (int n = 0; n < SIZE / 8; n++)
		{
			state.out[n][2 * half] *= factor;
			state.out[n][2 * half + 1] *= factor;
		}
	}
}

/* out [16, SIZE] += weights . values */
template <typename T, int SIZE>
static __device__ __forceinline__ void
add_values(tile_state<SIZE> &state, const float weights[TILE_KEYS / 8][4], const T *values)
{
	int			lane = (int) threadIdx.x % WARP;

#pragma unroll
	for (int k = 0; k < TILE_KEYS / 16; k++)
	{
		unsigned	a[4];

		a[0] = pack_pair<T>(weights[2 * k][0], weights[2 * k][1]);
		a[1] = pack_pair<T>(weights[2 * k][2], weights[2 * k][3]);
		a[2] = pack_pair<T>(weights[2 * k + 1][0], weights[2 * k + 1][1]);
		a[3] = pack_pair<T>(weights[2 * k + 1][2], weights[2 * k + 1][3]);
#pragma unroll
		for (int n = 0; n < SIZE / 8; n += 2)
		{
			unsigned	b[4];

			load_matrices_transposed(b, values + (k * 16 + lane % 16) * row_stride(SIZE) +
									 n * 8 + lane / 16 * 8);
			multiply_matrices<T>(state.out[n], a, b[0], b[1]);
			multiply_matrices<T>(state.out[n + 1], a, b[2], b[3]);
		}
	}
}

template <typename T, int SIZE>
static __device__ __forceinline__ void
begin_tile(const attention_launch_args &a, const attention_tile &tile, const T *queries,
		   tile_state<SIZE> &state)
{
	int			warp = (int) threadIdx.x / WARP;
	int			lane = (int) threadIdx.x % WARP;

#pragma unroll
	for (int k = 0; k < SIZE / 16; k++)
		load_matrices(state.q[k], queries + (warp * 16 + lane % 16) * row_stride(SIZE) + k * 16 +
					  lane / 16 * 8);
#pragma unroll
	for (int n = 0; n < SIZE / 8; n++)
		state.out[n][0] = state.out[n][1] = state.out[n][2] = state.out[n][3] = 0;
#pragma unroll
	for (int half = 0; half < 2; half++)
	{
		int			row = warp * 16 + half * 8 + lane / 4;

		state.max[half] = NO_SCORE;
		state.sum[half] = 0;
		/* rows that do not exist see the first key, as every row does */
		state.visible[half] = row >= tile.rows ? 1 : !a.causal ? tile.keys :
			a.step.positions[tile.first + row] + 1;
	}
}

template <typename T, int SIZE>
static __device__ __forceinline__ void
end_tile(const attention_launch_args &a, const attention_tile &tile, int head,
		 tile_state<SIZE> &state)
{
	int			warp = (int) threadIdx.x / WARP;
	int			lane = (int) threadIdx.x % WARP;

#pragma unroll
	for (int half = 0; half < 2; half++)
	{
		int			row = warp * 16 + half * 8 + lane / 4;
		float		sum = state.sum[half];
		T		   *to = (T *) a.out + ((size_t) (tile.first + row) * (size_t) a.heads + (size_t) head) *
			(size_t) a.head_size;

		sum += __shfl_xor_sync(ALL_LANES, sum, 1);
		sum += __shfl_xor_sync(ALL_LANES, sum, 2);
#pragma unroll
		for (int n = 0; n < SIZE / 8; n++)
		{
			int			e = n * 8 + lane % 4 * 2;

			if (row < tile.rows && e < a.head_size)
				*(unsigned *) (to + e) = pack_pair<T>(state.out[n][2 * half] / sum,
													 state.out[n][2 * half + 1] / sum);
		}
	}
}

/* Grid: tiles, query heads. */
template <typename T, int SIZE>
static __global__ void __launch_bounds__(TILE_THREADS, 1)
attention_tiles_kernel(attention_launch_args a, const attention_tile *tiles)
{
	constexpr int plane = TILE_KEYS * row_stride(SIZE);
	DYNAMIC_SHARED(shared);
	attention_tile tile = tiles[blockIdx.x];
	int			head = (int) blockIdx.y;
	int			kv_head = head / (a.heads / a.kv_heads);
	T		   *keys = (T *) shared;
	T		   *values = keys + 2 * plane;
	T		   *queries = values + plane;
	tile_state<SIZE> state;

	static_assert(ATTENTION_TILE <= TILE_KEYS, "the queries fit into a tile of values");
	fetch_queries<T, SIZE>(a, tile, head, queries);
	fetch_keys<T, SIZE>(a, tile, kv_head, 0, keys, values);
	copy_wait<1>();
	__syncthreads();
	begin_tile<T, SIZE>(a, tile, queries, state);
	__syncthreads();
	for (int first = 0, now = 0; first < tile.keys; first += TILE_KEYS, now ^= 1)
	{
		float		scores[TILE_KEYS / 8][4];

		if (first + TILE_KEYS < tile.keys)
		{
			fetch_keys<T, SIZE>(a, tile, kv_head, first + TILE_KEYS, keys + (now ^ 1) * plane,
							 values + (now ^ 1) * plane);
			copy_wait<1>();
		}
		else
			copy_wait<0>();
		__syncthreads();
		score_keys<T, SIZE>(state, keys + now * plane, first, a.scale * LOG2_E, scores);
		weigh_keys<SIZE>(state, scores);
		add_values<T, SIZE>(state, scores, values + now * plane);
		/* the next turn overwrites what this one has read */
		__syncthreads();
	}
	end_tile<T, SIZE>(a, tile, head, state);
}

template <typename T, int SIZE>
static void
launch_tiles(const attention_tiles_args *args, cudaStream_t stream)
{
	LAUNCH((attention_tiles_kernel<T, SIZE>), dim3((unsigned) args->count, (unsigned) args->all.heads),
		   TILE_THREADS, shared_bytes(SIZE), stream, args->all, args->tiles);
}

template <typename T>
static void
launch_size(const attention_tiles_args *args, cudaStream_t stream)
{
	int			size = args->all.head_size;

	if (size <= 32)
		launch_tiles<T, 32>(args, stream);
	else if (size <= 64)
		launch_tiles<T, 64>(args, stream);
	else if (size <= 80)
		launch_tiles<T, 80>(args, stream);
	else if (size <= 96)
		launch_tiles<T, 96>(args, stream);
	else
		launch_tiles<T, 128>(args, stream);
}

extern "C" void
attention_tiles_launch(const attention_tiles_args *args, cudaStream_t stream)
{
	if (args->count == 0)
		return;
	if (args->all.bf16)
		launch_size<bfloat16>(args, stream);
	else
		launch_size<__half>(args, stream);
}

template <typename T, int SIZE>
static cudaError_t
allow_shared()
{
	return cudaFuncSetAttribute(attention_tiles_kernel<T, SIZE>,
								cudaFuncAttributeMaxDynamicSharedMemorySize, shared_bytes(SIZE));
}

template <typename T>
static cudaError_t
prepare()
{
	cudaError_t codes[] = {allow_shared<T, 32>(), allow_shared<T, 64>(), allow_shared<T, 80>(),
		allow_shared<T, 96>(), allow_shared<T, 128>()};

	for (cudaError_t code : codes)
	{
		if (code != cudaSuccess)
			return code;
	}
	return cudaSuccess;
}

extern "C" cudaError_t
attention_tiles_prepare(void)
{
	cudaError_t code = prepare<__half>();

	return code == cudaSuccess ? prepare<bfloat16>() : code;
}
