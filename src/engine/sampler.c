/*
 * sampler.c: one token from one row of logits.
 */
#include "engine/sampler.h"

#include <math.h>
#include <stddef.h>
#include <string.h>

/* Philox4x32-10 of Salmon et al., "Parallel random numbers: as easy as 1, 2, 3" (2011). */
static void
philox(uint64_t key, uint64_t counter, uint32_t out[4])
{
	uint32_t	k0 = (uint32_t) key,
				k1 = (uint32_t) (key >> 32);
	uint32_t	c0 = (uint32_t) counter,
				c1 = (uint32_t) (counter >> 32),
				c2 = 0,
				c3 = 0;

	for (int round = 0; round < 10; round++)
	{
		uint64_t	p0 = (uint64_t) 0xD2511F53 * c0;
		uint64_t	p1 = (uint64_t) 0xCD9E8D57 * c2;

		c0 = (uint32_t) (p1 >> 32) ^ c1 ^ k0;
		c2 = (uint32_t) (p0 >> 32) ^ c3 ^ k1;
		c1 = (uint32_t) p1;
		c3 = (uint32_t) p0;
		k0 += 0x9E3779B9;
		k1 += 0xBB67AE85;
	}
	out[0] = c0;
	out[1] = c1;
	out[2] = c2;
	out[3] = c3;
}

/* Uniform in [0, 1), 53 bits. */
static double
draw_uniform(uint64_t seed, uint64_t step)
{
	uint32_t	r[4];

	philox(seed, step, r);
	return (((uint64_t) r[0] << 21) ^ (r[1] >> 11)) * 0x1p-53;
}

static void
apply_penalties(float *logits, int vocab, const sampler_params *params)
{
	float		repetition = params->repetition_penalty;

	for (int i = 0; i < params->seen_count; i++)
	{
		int32_t		id = params->seen[i];
		int32_t		count = params->seen_output_count[i];

		if (id < 0 || id >= vocab)
			continue;
		if (repetition != 1)
			logits[id] = logits[id] > 0 ? logits[id] / repetition : logits[id] * repetition;
		if (count > 0)
			logits[id] -= params->presence_penalty + params->frequency_penalty * (float) count;
	}
}

/* The lowest id among the greatest finite logits, or -1. */
static int
greatest(const float *logits, int vocab)
{
	int			best = -1;

	for (int i = 0; i < vocab; i++)
	{
		if (isfinite(logits[i]) && (best < 0 || logits[i] > logits[best]))
			best = i;
	}
	return best;
}

static double
log_sum_exp(const float *logits, int vocab, float max)
{
	double		sum = 0;

	for (int i = 0; i < vocab; i++)
	{
		if (isfinite(logits[i]))
			sum += expf(logits[i] - max);
	}
	return max + log(sum);
}

/* Descending by logit, ascending by id among equals: a total order. */
static bool
ranks_before(const sampler_candidate *a, const sampler_candidate *b)
{
	return a->logit > b->logit || (a->logit == b->logit && a->id < b->id);
}

/* Moves the k first of n candidates, in the order above, to the front (quickselect). */
static void
select_first(sampler_candidate *c, int n, int k)
{
	int			low = 0,
				high = n - 1;

	while (low < high)
	{
		sampler_candidate pivot = c[low + (high - low) / 2];
		int			i = low,
					j = high;

		while (i <= j)
		{
			while (ranks_before(&c[i], &pivot))
				i++;
			while (ranks_before(&pivot, &c[j]))
				j--;
			if (i <= j)
			{
				sampler_candidate swap = c[i];

				c[i++] = c[j];
				c[j--] = swap;
			}
		}
		if (k - 1 <= j)
			high = j;
		else if (k - 1 >= i)
			low = i;
		else
			return;
	}
}

/* All finite logits. */
static int
collect_all(const float *logits, int vocab, sampler_candidate *out)
{
	int			n = 0;

	for (int i = 0; i < vocab; i++)
	{
		if (isfinite(logits[i]))
			out[n++] = (sampler_candidate) {.logit = logits[i],.id = i};
	}
	return n;
}

/*
 * The k first of the finite logits, or all if there are fewer. Looks at each once: twice
 * k are kept at most, and what the k first of those rule out is passed over from then on.
 */
static int
collect_first(const float *logits, int vocab, int k, sampler_candidate *out)
{
	int			n = 0;
	float		least = -INFINITY;	/* among equals the lower id has come already */

	if (k > vocab / 2)
		n = collect_all(logits, vocab, out);
	else
	{
		for (int i = 0; i < vocab; i++)
		{
			if (!isfinite(logits[i]) || logits[i] <= least)
				continue;
			out[n++] = (sampler_candidate) {.logit = logits[i],.id = i};
			if (n == 2 * k)
			{
				select_first(out, n, k);
				n = k;
				least = out[k - 1].logit;
			}
		}
	}
	if (n <= k)
		return n;
	select_first(out, n, k);
	return k;
}

/* Weight of a candidate relative to the greatest logit, after temperature. */
static double
weight_of(float logit, float max, float temperature)
{
	double		x = (double) (logit - max) / temperature;

	/* one in 10^20 is as good as never, and costs as much as the others */
	return x < -46 ? 0 : exp(x);
}

/* Puts c[at] to its place in a heap of n whose root ranks before all others. */
static void
sift_down(sampler_candidate *c, int n, int at)
{
	sampler_candidate moved = c[at];

	for (int child = 2 * at + 1; child < n; child = 2 * at + 1)
	{
		if (child + 1 < n && ranks_before(&c[child + 1], &c[child]))
			child++;
		if (!ranks_before(&c[child], &moved))
			break;
		c[at] = c[child];
		at = child;
	}
	c[at] = moved;
}

/* The head of the distribution, in which top_p lies as a rule: at least this weight. */
#define HEAD_WEIGHT 1e-5

/*
 * Keeps the fewest first candidates that hold top_p of the total weight. They come from
 * a heap one by one: of the head, or of all where that does not hold enough.
 */
static int
keep_top_p(sampler_candidate *c, int n, float max, const sampler_params *params)
{
	double		total = 0;
	double		head_total = 0;
	double		sum = 0;
	int			head = 0;
	int			rest;

	for (int i = 0; i < n; i++)
	{
		double		weight = weight_of(c[i].logit, max, params->temperature);

		total += weight;
		if (weight >= HEAD_WEIGHT)
		{
			sampler_candidate swap = c[head];

			head_total += weight;
			c[head++] = c[i];
			c[i] = swap;
		}
	}
	if (head_total >= params->top_p * total)
		n = head;
	for (int i = n / 2 - 1; i >= 0; i--)
		sift_down(c, n, i);
	for (rest = n; rest > 0 && sum < params->top_p * total; rest--)
	{
		sampler_candidate first = c[0];

		sum += weight_of(first.logit, max, params->temperature);
		c[0] = c[rest - 1];
		c[rest - 1] = first;
		sift_down(c, rest - 1, 0);
	}
	memmove(c, c + rest, (size_t) (n - rest) * sizeof(*c));
	return n - rest;
}

static int
keep_min_p(sampler_candidate *c, int n, float max, const sampler_params *params)
{
	int			kept = 0;

	for (int i = 0; i < n; i++)
	{
		if (weight_of(c[i].logit, max, params->temperature) >= params->min_p)
			c[kept++] = c[i];
	}
	return kept;
}

static int32_t
draw(const sampler_candidate *c, int n, float max, const sampler_params *params)
{
	double		total = 0;
	double		target;

	for (int i = 0; i < n; i++)
		total += weight_of(c[i].logit, max, params->temperature);
	target = draw_uniform(params->seed, params->step) * total;
	for (int i = 0; i < n; i++)
	{
		target -= weight_of(c[i].logit, max, params->temperature);
		if (target < 0)
			return c[i].id;
	}
	return c[n - 1].id;
}

bool
sampler_pick(float *logits, int vocab, const sampler_params *params, sampler_candidate *scratch,
			 sampler_result *result)
{
	int			best;
	float		max;

	apply_penalties(logits, vocab, params);
	best = greatest(logits, vocab);
	if (best < 0)
		return false;
	max = logits[best];
	result->token = best;
	result->logprob = 0;

	if (params->temperature > 0)
	{
		int			n = params->top_k > 0 ?
			collect_first(logits, vocab, params->top_k, scratch) :
			collect_all(logits, vocab, scratch);

		/* also the order that is drawn in, which top_k alone leaves open: the least first */
		if (params->top_p < 1 || params->top_k > 0)
			n = keep_top_p(scratch, n, max, params);
		if (params->min_p > 0)
			n = keep_min_p(scratch, n, max, params);
		result->token = draw(scratch, n, max, params);
	}
	if (params->want_logprob)
		result->logprob = (float) (logits[result->token] - log_sum_exp(logits, vocab, max));
	return true;
}
