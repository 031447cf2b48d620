/*
 * test_sampler.c: what is drawn follows the distribution that the parameters describe.
 */
#include "tap.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "engine/sampler.h"

#define VOCAB 1000
#define DRAWS 40000

static const sampler_params neutral = {.temperature = 1,.top_p = 1,.repetition_penalty = 1};
static sampler_candidate scratch[VOCAB];

static void
make_logits(float *logits, uint32_t seed)
{
	for (int i = 0; i < VOCAB; i++)
	{
		seed = seed * 1664525 + 1013904223;
		logits[i] = (float) (seed >> 8) / (1 << 24) * 12 - 6;
	}
}

static int
compare_down(const void *a, const void *b)
{
	const sampler_candidate *x = a,
			   *y = b;

	return x->logit != y->logit ? (x->logit < y->logit) - (x->logit > y->logit) : x->id - y->id;
}

/* The distribution by its definition: sort everything, cut, normalise. */
static void
expected(const float *logits, const sampler_params *p, double *out)
{
	sampler_candidate all[VOCAB];
	double		w[VOCAB],
				total = 0,
				sum = 0;
	int			n = VOCAB;

	for (int i = 0; i < VOCAB; i++)
		all[i] = (sampler_candidate) {logits[i], i};
	qsort(all, VOCAB, sizeof(*all), compare_down);
	if (p->top_k > 0 && p->top_k < n)
		n = p->top_k;
	for (int i = 0; i < n; i++)
		total += w[i] = exp((all[i].logit - all[0].logit) / p->temperature);
	for (int i = 0; i < n && p->top_p < 1; i++)
	{
		sum += w[i];
		if (sum >= p->top_p * total)
			n = i + 1;
	}
	while (n > 1 && w[n - 1] < p->min_p)
		n--;
	total = 0;
	for (int i = 0; i < n; i++)
		total += w[i];
	memset(out, 0, sizeof(double) * VOCAB);
	for (int i = 0; i < n; i++)
		out[all[i].id] = w[i] / total;
}

static bool with_ties;			/* logits are whole numbers: many are equal */

static void
check_distribution(const char *name, sampler_params params)
{
	float		logits[VOCAB],
				copy[VOCAB];
	double		want[VOCAB];
	int			seen[VOCAB] = {0};
	double		chi = 0;
	int			cells = 0;
	bool		outside = false;

	make_logits(logits, 7);
	for (int i = 0; with_ties && i < VOCAB; i++)
		logits[i] = rintf(logits[i]);
	expected(logits, &params, want);
	params.seed = 99;
	for (int i = 0; i < DRAWS; i++)
	{
		sampler_result r;

		memcpy(copy, logits, sizeof(copy));
		params.step = (uint64_t) i;
		sampler_pick(copy, VOCAB, &params, scratch, &r);
		seen[r.token]++;
	}
	for (int i = 0; i < VOCAB; i++)
	{
		outside |= want[i] == 0 && seen[i] > 0;
		if (want[i] * DRAWS < 5)
			continue;
		chi += pow(seen[i] - want[i] * DRAWS, 2) / (want[i] * DRAWS);
		cells++;
	}
	ok(!outside, "%s: nothing outside is drawn", name);
	/* five standard deviations of chi square, in a draw that is the same every time */
	ok(chi < cells + 5 * sqrt(2.0 * cells) + 5, "%s: frequencies follow (chi square %.0f of %d cells)", name, chi, cells);
}

static void
test_greedy(void)
{
	float		logits[8] = {1, 5, NAN, 5, -INFINITY, INFINITY, 0, 2};
	float		none[4] = {NAN, -INFINITY, INFINITY, NAN};
	sampler_params p = {.top_p = 1,.repetition_penalty = 1};
	sampler_result r;

	ok(sampler_pick(logits, 8, &p, scratch, &r) && r.token == 1,
	   "temperature 0: the lowest id of the greatest finite logits");
	p.temperature = 1;
	ok(!sampler_pick(none, 4, &p, scratch, &r), "no finite logit is a failure, not a token");
	ok(sampler_pick(logits, 8, &p, scratch, &r) && r.token != 2 && r.token != 4 && r.token != 5,
	   "what is not finite is never drawn");
}

static void
test_seed(void)
{
	float		logits[VOCAB],
				copy[VOCAB];
	sampler_params p = neutral;
	sampler_result a,
				b;
	int			same = 0,
				differ = 0;

	make_logits(logits, 3);
	for (uint64_t i = 0; i < 200; i++)
	{
		p.seed = i;
		p.step = i * 3;
		memcpy(copy, logits, sizeof(copy));
		sampler_pick(copy, VOCAB, &p, scratch, &a);
		memcpy(copy, logits, sizeof(copy));
		sampler_pick(copy, VOCAB, &p, scratch, &b);
		same += a.token == b.token;
		p.step++;
		memcpy(copy, logits, sizeof(copy));
		sampler_pick(copy, VOCAB, &p, scratch, &b);
		differ += a.token != b.token;
	}
	ok(same == 200, "seed and step decide the draw");
	ok(differ > 150, "another step draws anew");
}

/*
 * The first 9 bits of the draw among 512 equal logits. For key and counter 0 the generator's first
 * word is 6627e8d5 (known-answer test of Random123); the other by a second implementation.
 */
static void
test_generator(void)
{
	float		logits[512] = {0};
	sampler_params p = neutral;
	sampler_result r;

	sampler_pick(logits, 512, &p, scratch, &r);
	ok(r.token == 0x6627E8D5 >> 23, "Philox4x32-10: key 0, counter 0");
	p.seed = UINT64_C(0x0123456789ABCDEF);
	p.step = UINT64_C(0x1000000005);
	sampler_pick(logits, 512, &p, scratch, &r);
	ok(r.token == 140, "all bits of key and counter");
}

static void
test_penalties(void)
{
	float		logits[4] = {2, -2, 1, 1.9f};
	int32_t		seen[3] = {0, 1, 2};
	int32_t		output[3] = {0, 1, 2};
	sampler_params p = {.top_p = 1,.repetition_penalty = 2,.presence_penalty = 0.5f,
	.frequency_penalty = 0.25f,.seen = seen,.seen_output_count = output,.seen_count = 3,.want_logprob = true};
	sampler_result r;
	double		sum = exp(1.0) + exp(-4.75) + exp(-0.5) + exp(1.9);

	ok(sampler_pick(logits, 4, &p, scratch, &r) && r.token == 3, "penalties change the choice");
	ok(logits[0] == 1 && logits[1] == -4.75f && logits[2] == -0.5f,
	   "repetition divides or multiplies, presence and frequency count the output");
	ok(fabs(r.logprob - (1.9f - log(sum))) < 1e-5, "the log-probability");
}

int
main(void)
{
	sampler_params p = neutral;

	test_greedy();
	test_seed();
	test_generator();
	test_penalties();
	check_distribution("all tokens", p);
	p.temperature = 0.6f;
	check_distribution("temperature 0.6", p);
	p.top_k = 20;
	check_distribution("top_k 20", p);
	p.top_k = 0;
	p.top_p = 0.9f;
	check_distribution("top_p 0.9", p);
	p.top_p = 0.05f;
	check_distribution("top_p 0.05", p);
	p.top_p = 1;
	p.min_p = 0.1f;
	check_distribution("min_p 0.1", p);
	p = (sampler_params) {.temperature = 1.5f,.top_k = 300,.top_p = 0.95f,.min_p = 0.02f,.repetition_penalty = 1};
	check_distribution("all three", p);
	p.top_p = 1;
	p.top_k = 700;
	check_distribution("most of all", p);
	with_ties = true;
	p = neutral;
	p.top_k = 130;
	check_distribution("top_k 130 within equals", p);
	p.top_k = 0;
	p.top_p = 0.7f;
	check_distribution("top_p 0.7 within equals", p);
	p.temperature = 8;
	check_distribution("top_p 0.7 of nearly equals", p);
	p.top_k = 1;
	check_distribution("top_k 1", p);
	return tap_done();
}
