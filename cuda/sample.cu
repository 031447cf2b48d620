/*
 * sample.cu: a token from each row of logits, as sampler.c of the engine chooses it: penalties,
 * temperature, top_k, top_p, min_p, and a draw by Philox4x32-10 of (seed, step).
 *
 * Nothing is sorted. Candidates have a total order, and what is wanted of it is always the place
 * where a sum passes a threshold: the k-th candidate, the first ones that hold top_p of the weight,
 * the one that a random number falls on. Such a place is found by histograms (radix selection), first
 * over 256 even ranges of logits, then over the bytes of a key that no two candidates share. Weights
 * are integers, exp((logit - max) / temperature) in units of 2^-44: their sums are the same in
 * every order.
 *
 * One block to a row [vocab].
 */
#include "cuda/kernel.cuh"

#define SAMPLE_THREADS 512
#define BINS 256
#define WEIGHT_ONE 17592186044416.0		/* 2^44: 2^19 candidates may have it */
#define NO_KEY 0ull

struct candidate_set
{
	const float *logits;
	int			vocab;
	float		max;
	float		temperature;
	float		min_p;			/* relative to the greatest */
	unsigned long long floor;	/* least key that belongs */
};

/* Greater for a greater logit, then for a lower id. */
static __device__ __forceinline__ unsigned long long
key_of(float logit, int id)
{
	unsigned	bits = __float_as_uint(logit + 0.0f);	/* -0 is 0 */

	bits = bits >> 31 ? ~bits : bits | 0x80000000u;
	return (unsigned long long) bits << 32 | (0xFFFFFFFFu - (unsigned) id);
}

static __device__ __forceinline__ int
id_of(unsigned long long key)
{
	return (int) (0xFFFFFFFFu - (unsigned) key);
}

static __device__ __forceinline__ double
weight_of(const candidate_set &c, float logit)
{
	double		x = (double) (logit - c.max) / (double) c.temperature;

	return x < -46 ? 0 : exp(x);
}

/* The even ranges: 0 holds the greatest logits; what weighs nothing is in the last. */
static __device__ __forceinline__ int
range_of(const candidate_set &c, float logit)
{
	float		x = (c.max - logit) / c.temperature * (float) (BINS / 48.0);

	return x < (float) (BINS - 1) ? (int) x : BINS - 1;
}

/* What a candidate counts for: 1, or its weight; 0 if it does not belong. */
static __device__ __forceinline__ unsigned long long
amount_of(const candidate_set &c, int id, bool weigh, unsigned long long *key)
{
	float		logit = c.logits[id];
	double		weight;

	*key = key_of(logit, id);
	if (!isfinite(logit) || *key < c.floor)
		return 0;
	if (!weigh)
		return 1;
	weight = weight_of(c, logit);
	return weight < (double) c.min_p ? 0 : (unsigned long long) (weight * WEIGHT_ONE);
}

/* Where a sum over candidates in some order passes a threshold. */
struct search
{
	bool		weigh;
	bool		worst_first;	/* from the least key up, else from the greatest down */
	bool		beyond;			/* sum > target, else sum >= target */
	double		target;
};

struct search_state
{
	unsigned long long bins[BINS];
	unsigned long long before;	/* sum of what comes before the chosen bin */
	unsigned long long chosen;	/* sum of the chosen bin */
	unsigned long long prefix;	/* of the keys of the chosen bin */
	int			range;
	int			bin;
};

static __device__ __forceinline__ bool
passes(const search &s, unsigned long long sum)
{
	return s.beyond ? (double) sum > s.target : (double) sum >= s.target;
}

/* Thread 0: the first bin, in the order of the search, at which the sum passes; else the last that
 * has anything. flip: bins count downwards in keys. */
static __device__ void
choose_bin(const search &s, search_state *state, bool flip)
{
	int			last = -1;
	unsigned long long sum = state->before;
	unsigned long long sum_last = sum;

	for (int i = 0; i < BINS; i++)
	{
		int			bin = s.worst_first != flip ? i : BINS - 1 - i;

		if (state->bins[bin] == 0)
			continue;
		last = bin;
		sum_last = sum;
		sum += state->bins[bin];
		if (passes(s, sum))
			break;
	}
	state->bin = last;
	state->before = sum_last;
	state->chosen = last >= 0 ? state->bins[last] : 0;
}

static __device__ __forceinline__ void
clear_bins(search_state *state)
{
	for (int i = (int) threadIdx.x; i < BINS; i += SAMPLE_THREADS)
		state->bins[i] = 0;
	__syncthreads();
}

/* The key of the candidate at which the sum passes, NO_KEY if there is none at all. All threads. */
static __device__ unsigned long long
find_key(const candidate_set &c, const search &s, search_state *state)
{
	__syncthreads();
	if (threadIdx.x == 0)
		state->before = 0;
	clear_bins(state);
	for (int id = (int) threadIdx.x; id < c.vocab; id += SAMPLE_THREADS)
	{
		unsigned long long key;
		unsigned long long amount = amount_of(c, id, s.weigh, &key);

		if (amount > 0)
			atomicAdd(&state->bins[range_of(c, c.logits[id])], amount);
	}
	__syncthreads();
	if (threadIdx.x == 0)
	{
		choose_bin(s, state, true);
		state->range = state->bin;
		state->prefix = 0;
	}
	__syncthreads();
	if (state->bin < 0)
		return NO_KEY;
	for (int shift = 56; shift >= 0; shift -= 8)
	{
		unsigned long long above = shift == 56 ? 0 : ~0ull << (shift + 8);

		clear_bins(state);
		for (int id = (int) threadIdx.x; id < c.vocab; id += SAMPLE_THREADS)
		{
			unsigned long long key = key_of(c.logits[id], id);

			if ((key & above) == state->prefix && isfinite(c.logits[id]) &&
				range_of(c, c.logits[id]) == state->range)
			{
				unsigned long long amount = amount_of(c, id, s.weigh, &key);

				if (amount > 0)
					atomicAdd(&state->bins[key >> shift & (BINS - 1)], amount);
			}
		}
		__syncthreads();
		if (threadIdx.x == 0)
		{
			choose_bin(s, state, false);
			state->prefix |= (unsigned long long) state->bin << shift;
		}
		__syncthreads();
	}
	return state->prefix;
}

static __device__ unsigned long long
total_weight(const candidate_set &c, unsigned long long *partial)
{
	unsigned long long sum = 0;

	for (int id = (int) threadIdx.x; id < c.vocab; id += SAMPLE_THREADS)
	{
		unsigned long long key;

		sum += amount_of(c, id, true, &key);
	}
	return block_sum(sum, partial);
}

/* Philox4x32-10 of Salmon et al. (2011); uniform in [0, 1), 53 bits */
static __device__ double
draw_uniform(uint64_t seed, uint64_t step)
{
	unsigned	k0 = (unsigned) seed;
	unsigned	k1 = (unsigned) (seed >> 32);
	unsigned	c0 = (unsigned) step;
	unsigned	c1 = (unsigned) (step >> 32);
	unsigned	c2 = 0;
	unsigned	c3 = 0;

	for (int round = 0; round < 10; round++)
	{
		unsigned long long p0 = 0xD2511F53ull * c0;
		unsigned long long p1 = 0xCD9E8D57ull * c2;

		c0 = (unsigned) (p1 >> 32) ^ c1 ^ k0;
		c2 = (unsigned) (p0 >> 32) ^ c3 ^ k1;
		c1 = (unsigned) p1;
		c3 = (unsigned) p0;
		k0 += 0x9E3779B9u;
		k1 += 0xBB67AE85u;
	}
	return (double) (((unsigned long long) c0 << 21) ^ (c1 >> 11)) * (1.0 / 9007199254740992.0);
}

/*
 * Draws in the order of ids: all candidates belong. Each warp sums a stretch of ids; the warp on
 * whose stretch the number falls goes through it again.
 */
static __device__ int
draw_by_id(const candidate_set &c, double uniform, unsigned long long *stretches, int *chosen)
{
	int			warps = SAMPLE_THREADS / WARP;
	int			each = (c.vocab + warps - 1) / warps;
	int			warp = (int) threadIdx.x / WARP;
	int			lane = (int) threadIdx.x % WARP;
	int			end = (warp + 1) * each < c.vocab ? (warp + 1) * each : c.vocab;
	unsigned long long before = 0;
	unsigned long long total = 0;
	unsigned long long sum = 0;
	unsigned long long key;
	int			last = -1;
	double		target;

	for (int id = warp * each + lane; id < end; id += WARP)
		sum += amount_of(c, id, true, &key);
#pragma unroll
	for (int bits = WARP / 2; bits > 0; bits /= 2)
		sum += __shfl_xor_sync(ALL_LANES, sum, bits);
	if (lane == 0)
		stretches[warp] = sum;
	__syncthreads();
	for (int w = 0; w < warps; w++)
	{
		before += w < warp ? stretches[w] : 0;
		total += stretches[w];
		last = stretches[w] > 0 ? w : last;
	}
	target = uniform * (double) total;
	/* exactly one warp: there the sum passes, or, should rounding not let it, it is the last */
	if (sum > 0 && (double) before <= target && ((double) (before + sum) > target || warp == last))
	{
		for (int id = warp * each + lane; id - lane < end; id += WARP)
		{
			unsigned long long mine = id < end ? amount_of(c, id, true, &key) : 0;
			unsigned long long up_to = mine;
			unsigned	over;

			for (int bits = 1; bits < WARP; bits *= 2)
			{
				unsigned long long lower = __shfl_sync(ALL_LANES, up_to, lane >= bits ? lane - bits : lane);

				up_to += lane >= bits ? lower : 0;
			}
			over = __ballot_sync(ALL_LANES, mine > 0 && (double) (before + up_to) > target);
			if (over != 0)
			{
				/* the first lane of those */
				if ((over & ((2u << lane) - 1)) == 1u << lane)
					*chosen = id;
				break;
			}
			before += __shfl_sync(ALL_LANES, up_to, WARP - 1);
		}
	}
	__syncthreads();
	return *chosen;
}

static __device__ void
apply_penalties(const sample_launch_args &a, const sample_row &row, float *logits)
{
	for (int i = (int) threadIdx.x; i < row.seen_count; i += SAMPLE_THREADS)
	{
		int			id = a.seen[2 * (row.seen_first + i)];
		int			count = a.seen[2 * (row.seen_first + i) + 1];
		float		x;

		if (id < 0 || id >= a.vocab)
			continue;
		x = logits[id];
		if (row.repetition != 1)
			x = x > 0 ? x / row.repetition : x * row.repetition;
		if (count > 0)
			x -= row.presence + row.frequency * (float) count;
		logits[id] = x;
	}
	__syncthreads();
}

/* The greatest key of the finite logits, NO_KEY if there is none. */
static __device__ unsigned long long
greatest_key(const float *logits, int vocab, unsigned long long *partial)
{
	unsigned long long best = NO_KEY;

	for (int id = (int) threadIdx.x; id < vocab; id += SAMPLE_THREADS)
	{
		unsigned long long key = isfinite(logits[id]) ? key_of(logits[id], id) : NO_KEY;

		best = key > best ? key : best;
	}
#pragma unroll
	for (int bits = WARP / 2; bits > 0; bits /= 2)
	{
		unsigned long long other = __shfl_xor_sync(ALL_LANES, best, bits);

		best = other > best ? other : best;
	}
	if (threadIdx.x % WARP == 0)
		partial[threadIdx.x / WARP] = best;
	__syncthreads();
	for (int w = 0; w < SAMPLE_THREADS / WARP; w++)
		best = partial[w] > best ? partial[w] : best;
	__syncthreads();
	return best;
}

/* The token of a row whose temperature is above 0. */
static __device__ int
draw(const sample_row &row, candidate_set &c, search_state *state, unsigned long long *partial,
	 int *chosen)
{
	double		uniform = draw_uniform(row.seed, row.step);

	if (row.top_k <= 0 && row.top_p >= 1)
	{
		c.min_p = row.min_p;
		return draw_by_id(c, uniform, partial, chosen);
	}
	if (row.top_k > 0 && row.top_k < c.vocab)
		c.floor = find_key(c, search {false, false, false, (double) row.top_k}, state);
	if (row.top_p < 1)
	{
		double		target = (double) row.top_p * (double) total_weight(c, partial);

		c.floor = find_key(c, search {true, false, false, target}, state);
	}
	c.min_p = row.min_p;
	return id_of(find_key(c, search {true, true, true, uniform * (double) total_weight(c, partial)},
						  state));
}

static __global__ void __launch_bounds__(SAMPLE_THREADS, 1)
sample_kernel(sample_launch_args a)
{
	SHARED_ARRAY(search_state, state, 1);
	SHARED_ARRAY(unsigned long long, partial, SAMPLE_THREADS / WARP);
	SHARED_ARRAY(double, sums, SAMPLE_THREADS / WARP);
	SHARED_ARRAY(int, chosen, 1);
	const sample_row &row = a.rows[blockIdx.x];
	float	   *logits = a.logits + (size_t) blockIdx.x * (size_t) a.vocab;
	sample_result result = {-1, 0};
	unsigned long long best;
	float		max;

	if (row.active == 0)
		return;
	apply_penalties(a, row, logits);
	best = greatest_key(logits, a.vocab, partial);
	if (best == NO_KEY)
	{
		if (threadIdx.x == 0)
			a.results[blockIdx.x] = result;
		return;
	}
	result.token = id_of(best);
	max = logits[result.token];
	if (row.temperature > 0)
	{
		candidate_set c = {logits, a.vocab, max, row.temperature, 0, NO_KEY};

		result.token = draw(row, c, state, partial, chosen);
	}
	if (row.want_logprob != 0)
	{
		double		sum = 0;

		for (int id = (int) threadIdx.x; id < a.vocab; id += SAMPLE_THREADS)
			sum += isfinite(logits[id]) ? (double) exp2f((logits[id] - max) * LOG2_E) : 0.0;
		sum = block_sum(sum, sums);
		result.logprob = logits[result.token] - max - logf((float) sum);
	}
	if (threadIdx.x == 0)
		a.results[blockIdx.x] = result;
}

extern "C" void
sample_launch(const sample_launch_args *args, cudaStream_t stream)
{
	if (args->count > 0)
		LAUNCH((sample_kernel), args->count, SAMPLE_THREADS, 0, stream, *args);
}
