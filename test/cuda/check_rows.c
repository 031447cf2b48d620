/*
 * check_rows.c: norm, gate, gather, pooling and the sampler on the device, against sums in double
 * precision and against sampler.c.
 */
#include "emulated.h"

static const int awkward_columns[] = {1, 15, 16, 17, 33, 576, 2056};

#define EACH(list, i) (size_t i = 0; i < sizeof(list) / sizeof((list)[0]); i++)

static void
reference_norm(const backend_norm *a, const float *in, const float *delta, const float *weight,
			   const float *bias, double *out, double *sum)
{
	for (int r = 0; r < a->rows; r++)
	{
		size_t		at = (size_t) r * (size_t) a->columns;
		double		mean = 0;
		double		squares = 0;

		for (int c = 0; c < a->columns; c++)
		{
			double		x = (double) in[at + (size_t) c] + (delta != NULL ? delta[at + (size_t) c] : 0);

			sum[at + (size_t) c] = x;
			mean += a->kind == NORM_LAYER ? x / a->columns : 0;
		}
		for (int c = 0; c < a->columns; c++)
			squares += pow(sum[at + (size_t) c] - mean, 2);
		for (int c = 0; c < a->columns; c++)
			out[at + (size_t) c] = (sum[at + (size_t) c] - mean) /
				sqrt(squares / a->columns + a->epsilon) * weight[c] + (bias != NULL ? bias[c] : 0);
	}
}

/* where: 0 out is new, 1 out is in, 2 out is delta, and sum is in (as the graphs have it) */
static double
norm_error(backend_device *d, int rows, int columns, backend_norm_kind kind, int where)
{
	const backend_ops *ops = rag_backend();
	size_t		n = (size_t) rows * (size_t) columns;
	float	   *host = malloc(sizeof(float) * (4 * n + 2 * (size_t) columns));
	float	   *delta = host + n,
			   *got = delta + n,
			   *got_sum = got + n,
			   *weight = got_sum + n,
			   *bias = weight + columns;
	double	   *expected = malloc(sizeof(double) * 2 * n);
	backend_norm a = {.kind = kind,.rows = rows,.columns = columns,.epsilon = 1e-5f};
	backend_buffer *b[5];
	double		error;

	emulated_fill(host, n, 3);
	emulated_fill(delta, n, 3);
	test_fill(weight, (size_t) columns);
	test_fill(bias, (size_t) columns);
	b[0] = emulated_buffer(d, emulated_kind, host, n);
	b[1] = emulated_buffer(d, emulated_kind, delta, n);
	b[2] = emulated_buffer(d, emulated_kind, NULL, n);
	b[3] = emulated_buffer(d, BACKEND_F32, weight, (size_t) columns);
	b[4] = emulated_buffer(d, BACKEND_F32, bias, (size_t) columns);
	a.in = b[0];
	a.delta = where > 0 ? b[1] : NULL;
	a.out = where == 0 ? b[2] : where == 1 ? b[0] : b[1];
	a.sum = where == 2 ? b[0] : NULL;
	a.weight = b[3];
	a.bias = kind == NORM_LAYER ? b[4] : NULL;
	reference_norm(&a, host, a.delta != NULL ? delta : NULL, weight, a.bias != NULL ? bias : NULL,
				   expected, expected + n);
	if (!emulated_begin(d, rows) || ops->norm(d, &a) != ENGINE_OK || !emulated_end(d))
		return INFINITY;
	emulated_get(d, a.out, got, n);
	/* a single column less its mean is nothing but rounding */
	error = columns == 1 && kind == NORM_LAYER ? 0 :
		emulated_error(got, expected, n, 3e-3, F16_ERROR);
	if (a.sum != NULL)
	{
		emulated_get(d, a.sum, got_sum, n);
		error = fmax(error, emulated_error(got_sum, expected + n, n, 1e-6, F16_ERROR));
	}
	for (int i = 0; i < 5; i++)
		ops->free(d, b[i]);
	free(host);
	free(expected);
	return error;
}

static void
test_norm(backend_device *d, const char *order)
{
	double		worst = 0;

	for EACH(awkward_columns, i)
	{
		for (int where = 0; where < 3; where++)
		{
			worst = fmax(worst, norm_error(d, 3, awkward_columns[i], NORM_RMS, where));
			worst = fmax(worst, norm_error(d, 2, awkward_columns[i], NORM_LAYER, where));
		}
	}
	ok(worst < 1, "%s: norms (%.2f of the tolerance)", order, worst);
}

static void
test_gate(backend_device *d, const char *order)
{
	const backend_ops *ops = rag_backend();
	double		worst = 0;

	for EACH(awkward_columns, i)
	{
		int			columns = awkward_columns[i];
		int			rows = awkward_rows[i];
		size_t		n = (size_t) rows * (size_t) columns;
		float	   *in = malloc(sizeof(float) * 3 * n);
		double	   *expected = malloc(sizeof(double) * n);
		backend_buffer *from;
		backend_buffer *to = emulated_buffer(d, emulated_kind, NULL, n);

		emulated_fill(in, 2 * n, 12);
		from = emulated_buffer(d, emulated_kind, in, 2 * n);
		for (size_t k = 0; k < n; k++)
		{
			size_t		r = k / (size_t) columns;
			double		x = in[2 * r * (size_t) columns + k % (size_t) columns];

			expected[k] = x / (1 + exp(-x)) * in[(2 * r + 1) * (size_t) columns + k % (size_t) columns];
		}
		if (!emulated_begin(d, rows) ||
			ops->gate(d, &(backend_gate) {to, from, rows, columns}) != ENGINE_OK || !emulated_end(d))
			worst = INFINITY;
		emulated_get(d, to, in + 2 * n, n);
		worst = fmax(worst, emulated_error(in + 2 * n, expected, n, 1e-4, F16_ERROR));
		ops->free(d, from);
		ops->free(d, to);
		free(in);
		free(expected);
	}
	ok(worst < 1, "%s: gate (%.2f of the tolerance)", order, worst);
}

/* What is beyond f16 becomes its greatest number, or stays what it is as bf16; what is no number stays none. */
static void
test_extremes(backend_device *d, const char *order)
{
	const backend_ops *ops = rag_backend();
	float		in[4] = {60000, NAN, 60000, 1};
	float		got[2];
	backend_buffer *from = emulated_buffer(d, emulated_kind, in, 4);
	backend_buffer *to = emulated_buffer(d, emulated_kind, NULL, 2);

	ok(emulated_begin(d, 1) && ops->gate(d, &(backend_gate) {to, from, 1, 2}) == ENGINE_OK &&
	   emulated_end(d), "%s: a gate of extremes", order);
	emulated_get(d, to, got, 2);
	ok((emulated_kind == BACKEND_BF16 ? fabsf(got[0] / 3.6e9f - 1) < 0.01f : got[0] == 65504) &&
	   isnan(got[1]), "%s: f16 saturates, bf16 need not, NaN is kept (%g %g)", order, got[0], got[1]);
	ops->free(d, from);
	ops->free(d, to);
}

static void
test_gather(backend_device *d, const char *order)
{
	const backend_ops *ops = rag_backend();
	int32_t		rows[] = {4, 0, 4, 2};
	float		in[5 * 33];
	float		got[4 * 33];
	bool		same = true;
	backend_buffer *from;
	backend_buffer *to = emulated_buffer(d, emulated_kind, NULL, 4 * 33);

	emulated_fill(in, 5 * 33, 1);
	from = emulated_buffer(d, emulated_kind, in, 5 * 33);
	ok(emulated_begin(d, 5) && ops->gather(d, &(backend_gather) {to, from, rows, 4, 33}) == ENGINE_OK &&
	   ops->gather(d, &(backend_gather) {to, from, (int32_t[]) {5}, 1, 33}) == ENGINE_INTERNAL &&
	   emulated_end(d), "%s: gather runs, and refuses a row that is not there", order);
	emulated_get(d, to, got, 4 * 33);
	for (int i = 0; i < 4; i++)
		same &= memcmp(got + i * 33, in + rows[i] * 33, 33 * sizeof(float)) == 0;
	ok(same, "%s: gather copies", order);
	ops->free(d, from);
	ops->free(d, to);
}

static double
pool_error(backend_device *d, int columns, model_pooling pooling, bool normalize)
{
	const backend_ops *ops = rag_backend();
	int32_t		start[] = {0, 1, 16, 33};
	int32_t		zeros[33] = {0};
	backend_batch batch = {.rows = 33,.tokens = zeros,.positions = zeros,.sequences = 3,
	.start = start};
	size_t		n = 33 * (size_t) columns;
	float	   *in = malloc(sizeof(float) * (n + 3 * (size_t) columns));
	double	   *expected = calloc(3 * (size_t) columns, sizeof(double));
	backend_buffer *from;
	backend_buffer *to = emulated_buffer(d, BACKEND_F32, NULL, 3 * (size_t) columns);
	backend_pool args = {.out = to,.pooling = pooling,.normalize = normalize,.columns = columns};
	double		error = INFINITY;

	emulated_fill(in, n, 1);
	args.in = from = emulated_buffer(d, emulated_kind, in, n);
	for (int s = 0; s < 3; s++)
	{
		int			end = pooling == POOLING_MEAN ? start[s + 1] : start[s] + 1;
		double		squares = 0;

		for (int c = 0; c < columns; c++)
		{
			for (int r = start[s]; r < end; r++)
				expected[s * columns + c] += in[r * columns + c] / (double) (end - start[s]);
			squares += pow(expected[s * columns + c], 2);
		}
		for (int c = 0; c < columns && normalize; c++)
			expected[s * columns + c] /= fmax(sqrt(squares), 1e-12);
	}
	if (ops->begin_step(d, &batch) == ENGINE_OK && ops->pool(d, &args) == ENGINE_OK &&
		emulated_end(d))
	{
		emulated_get(d, to, in + n, 3 * (size_t) columns);
		error = emulated_error(in + n, expected, 3 * (size_t) columns, 1e-6, F32_ERROR);
	}
	ops->free(d, from);
	ops->free(d, to);
	free(in);
	free(expected);
	return error;
}

static void
test_pool(backend_device *d, const char *order)
{
	double		worst = 0;

	for EACH(awkward_columns, i)
	{
		for (int kind = 0; kind < 4; kind++)
			worst = fmax(worst, pool_error(d, awkward_columns[i],
										   kind % 2 == 0 ? POOLING_MEAN : POOLING_CLS, kind / 2 == 0));
	}
	ok(worst < 1, "%s: pooling (%.2f of the tolerance)", order, worst);
}

#define SAMPLE_ROWS 7

static void
random_params(sampler_params *p, int i, int vocab, int32_t *seen, int32_t *counts)
{
	*p = (sampler_params)
	{
		.temperature = i % 5 == 0 ? 0 : 0.1f + (float) (i % 7) * 0.3f,
		.top_k = i % 3 == 0 ? 0 : 1 + test_below(i % 4 == 0 ? vocab * 2 : 20),
		.top_p = i % 2 == 0 ? 1 : 0.05f + (float) test_below(90) * 0.01f,
		.min_p = i % 6 == 1 ? 0.02f : 0,
		.repetition_penalty = i % 4 == 1 ? 1.3f : 1,
		.presence_penalty = i % 4 == 2 ? 0.5f : 0,
		.frequency_penalty = i % 4 == 3 ? 0.25f : 0,
		.want_logprob = i % 2 == 0,
		.seed = (uint64_t) i * 0x9E3779B97F4A7C15u,
		.step = (uint64_t) i,
		.seen = seen,
		.seen_output_count = counts,
	};
	for (int id = 0, n = 0; id < vocab && n < 50; id += 1 + test_below(5), n++)
	{
		seen[n] = id;
		counts[n] = test_below(3);
		p->seen_count = n + 1;
	}
}

/* The same logits to both samplers: the same tokens. */
static void
test_sample(backend_device *d, const char *order)
{
	static const int vocabs[] = {1, 2, 15, 33, 511, 512, 513, 5000};
	const backend_ops *ops = rag_backend();
	static float logits[SAMPLE_ROWS * 5000];
	static sampler_candidate scratch[5000];
	static int32_t seen[SAMPLE_ROWS][50];
	static int32_t counts[SAMPLE_ROWS][50];
	sampler_params params[SAMPLE_ROWS];
	const sampler_params *pointers[SAMPLE_ROWS];
	sampler_result got[SAMPLE_ROWS];
	int			same = 0;
	int			all = 0;
	double		worst = 0;

	for (int turn = 0; turn < 6; turn++)
	{
		for EACH(vocabs, v)
		{
			int			vocab = vocabs[v];
			size_t		n = (size_t) SAMPLE_ROWS * (size_t) vocab;
			backend_buffer *b;

			if (emulated_quick() && vocab > 600)
				continue;
			for (size_t i = 0; i < n; i++)
				logits[i] = turn == 5 ? (float) test_below(4) : test_float() * 20;
			for (size_t i = 0; i < n && turn == 4; i += 3)
				logits[i] = i % 2 == 0 ? -INFINITY : i % 9 == 0 && vocab > 9 ? NAN : logits[i];
			for (int i = 0; i < SAMPLE_ROWS; i++)
			{
				random_params(&params[i], i + turn * SAMPLE_ROWS, vocab, seen[i], counts[i]);
				pointers[i] = &params[i];
				logits[i * vocab] = 1;
			}
			b = emulated_buffer(d, BACKEND_F32, logits, n);
			if (!emulated_begin(d, SAMPLE_ROWS) ||
				ops->sample(d, &(backend_sample) {b, pointers, got, SAMPLE_ROWS, vocab}) != ENGINE_OK ||
				!emulated_end(d))
				all++;
			for (int i = 0; i < SAMPLE_ROWS; i++, all++)
			{
				sampler_result expected = {-1, 0};

				sampler_pick(logits + i * vocab, vocab, &params[i], scratch, &expected);
				same += got[i].token == expected.token;
				worst = fmax(worst, fabs(got[i].logprob - expected.logprob));
			}
			emulated_note(got, sizeof(got));
			ops->free(d, b);
		}
	}
	ok(same == all && worst < 1e-4, "%s: %d of %d tokens are those of sampler.c, log-probabilities within %.1g",
	   order, same, all, worst);
}

static void
test_no_logit(backend_device *d, const char *order)
{
	const backend_ops *ops = rag_backend();
	float		logits[6] = {NAN, -INFINITY, INFINITY, 0, NAN, 1};
	sampler_params p = {.top_p = 1,.repetition_penalty = 1};
	const sampler_params *pointers[2] = {&p, &p};
	sampler_result got[2];
	backend_buffer *b = emulated_buffer(d, BACKEND_F32, logits, 6);

	ok(emulated_begin(d, 1) &&
	   ops->sample(d, &(backend_sample) {b, pointers, got, 2, 3}) == ENGINE_OK &&
	   ops->end_step(d) == ENGINE_OK && ops->sync(d) == ENGINE_OK &&
	   got[0].token == BACKEND_NO_TOKEN && got[1].token == 2,
	   "%s: a row without a finite logit has no token, the other its own", order);
	ops->free(d, b);
}

static void
test_all(backend_device *d, const char *order)
{
	test_norm(d, order);
	test_gate(d, order);
	test_extremes(d, order);
	test_gather(d, order);
	test_pool(d, order);
	test_sample(d, order);
	test_no_logit(d, order);
}

int
main(void)
{
	emulated_each_order(test_all);
	return tap_done();
}
