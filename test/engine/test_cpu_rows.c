/*
 * test_cpu_rows.c: norm, gate, gather, pool, sample and the functions under the
 * epilogues, on every instruction set, against double precision.
 */
#include "cpu_test.h"

#define ROWS 9

static const int all_columns[] = {1, 16, 17, 31, 32, 64, 100, 384, 576, 1536};

#define COLUMN_COUNT (sizeof(all_columns) / sizeof(all_columns[0]))

static void
reference_norm(const float *x, const float *delta, const float *weight, const float *bias,
			   backend_norm_kind kind, int n, double epsilon, double *out)
{
	double		mean = 0,
				squares = 0;

	for (int i = 0; i < n; i++)
	{
		out[i] = (double) x[i] + (delta != NULL ? (double) delta[i] : 0);
		mean += out[i] / n;
	}
	if (kind == NORM_RMS)
		mean = 0;
	for (int i = 0; i < n; i++)
		squares += (out[i] - mean) * (out[i] - mean) / n;
	for (int i = 0; i < n; i++)
		out[i] = (out[i] - mean) / sqrt(squares + epsilon) * (double) weight[i] +
			(bias != NULL ? (double) bias[i] : 0);
}

/* alias: 0 none, 1 out is in, 2 out is delta, 3 sum is in, 4 no sum is kept */
static double
norm_error(backend_device *d, backend_norm_kind kind, int n, bool has_delta, bool has_bias,
		   int alias)
{
	const backend_ops *ops = backend_cpu();
	size_t		total = (size_t) (ROWS * n);
	float	   *x = malloc(sizeof(float) * total),
			   *delta = malloc(sizeof(float) * total),
			   *weight = malloc(sizeof(float) * (size_t) n),
			   *out = malloc(sizeof(float) * total);
	double	   *expected = malloc(sizeof(double) * (size_t) n);
	backend_buffer *in,
			   *delta_in,
			   *sum,
			   *to,
			   *w;
	backend_norm args;
	double		worst = 0;

	test_fill(x, total);
	test_fill(delta, total);
	test_fill(weight, (size_t) n);
	in = test_buffer(d, x, total);
	delta_in = test_buffer(d, delta, total);
	sum = test_buffer(d, NULL, total);
	to = test_buffer(d, NULL, total);
	w = test_buffer(d, weight, (size_t) n);
	args = (backend_norm) {
		.kind = kind, .in = in, .delta = has_delta ? delta_in : NULL, .weight = w,
		.out = alias == 1 ? in : alias == 2 ? delta_in : to,
		.sum = alias == 4 || alias == 1 ? NULL : alias == 3 ? in : sum,
		.bias = has_bias ? w : NULL, .rows = ROWS, .columns = n, .epsilon = 1e-5f,
	};
	if (ops->norm(d, &args) != ENGINE_OK)
		worst = 1;
	ops->download(d, args.out, 0, out, total);
	for (int r = 0; r < ROWS; r++)
	{
		reference_norm(x + r * n, has_delta ? delta + r * n : NULL, weight,
					   has_bias ? weight : NULL, kind, n, 1e-5, expected);
		for (int i = 0; i < n; i++)
			worst = fmax(worst, fabs(expected[i] - out[r * n + i]) / (1 + fabs(expected[i])));
	}
	if (args.sum != NULL)
	{
		ops->download(d, args.sum, 0, out, total);
		for (size_t i = 0; i < total; i++)
			worst = fmax(worst, out[i] != x[i] + (has_delta ? delta[i] : 0.0f));
	}
	ops->free(d, in);
	ops->free(d, delta_in);
	ops->free(d, sum);
	ops->free(d, to);
	ops->free(d, w);
	free(x);
	free(delta);
	free(weight);
	free(out);
	free(expected);
	return worst;
}

static void
test_norm(backend_device *d, const char *isa)
{
	double		worst = 0;

	for (size_t c = 0; c < COLUMN_COUNT; c++)
	{
		for (int alias = 0; alias < 5; alias++)
		{
			worst = fmax(worst, norm_error(d, NORM_RMS, all_columns[c], alias != 1, false, alias));
			worst = fmax(worst, norm_error(d, NORM_LAYER, all_columns[c], c % 2 == 0, true, alias));
		}
	}
	/* with one column a layer norm is 0 / sqrt(epsilon): nothing large can come of rounding */
	ok(worst < 2e-6, "%s: norm: error %.2g", isa, worst);
}

static void
test_gate(backend_device *d, const char *isa)
{
	const backend_ops *ops = backend_cpu();
	double		worst = 0;

	for (size_t c = 0; c < COLUMN_COUNT; c++)
	{
		int			n = all_columns[c];
		float	   *x = malloc(sizeof(float) * (size_t) (2 * ROWS * n));
		backend_buffer *in;
		backend_buffer *out = test_buffer(d, NULL, (size_t) (ROWS * n));
		backend_gate args;

		test_fill(x, (size_t) (2 * ROWS * n));
		for (int i = 0; i < 2 * ROWS * n; i++)
			x[i] *= i % 7 == 0 ? 100.0f : 5.0f;
		in = test_buffer(d, x, (size_t) (2 * ROWS * n));
		args = (backend_gate) {.out = out, .in = in, .rows = ROWS, .columns = n};
		if (ops->gate(d, &args) != ENGINE_OK)
			worst = 1;
		for (int i = 0; i < ROWS * n; i++)
		{
			double		g = x[i / n * 2 * n + i % n];
			double		expected = g / (1 + exp(-g)) * (double) x[i / n * 2 * n + n + i % n];

			worst = fmax(worst, fabs(expected - out->data[i]) / (1e-3 + fabs(expected)));
		}
		ops->free(d, in);
		ops->free(d, out);
		free(x);
	}
	ok(worst < 2e-6, "%s: gate: error %.2g", isa, worst);
}

/* An identity matrix gives the epilogue itself. */
static void
test_epilogues(backend_device *d, const char *isa)
{
	enum
	{
		N = 32, POINTS = 20000
	};
	const backend_ops *ops = backend_cpu();
	float		identity[N * N] = {0};
	model_tensor t = {"identity", TYPE_F32, N, N, identity, sizeof(identity)};
	const model_tensor *part = &t;
	backend_weight *w;
	float	   *x = malloc(sizeof(float) * POINTS);
	backend_buffer *in;
	backend_buffer *out = test_buffer(d, NULL, POINTS);
	double		gelu = 0,
				tanh_error = 0;
	backend_linear args;

	for (int i = 0; i < N; i++)
		identity[i * N + i] = 1;
	for (int i = 0; i < POINTS; i++)
		x[i] = ((float) i / POINTS - 0.5f) * (i % 2 ? 24.0f : 6.0f);
	x[0] = -3e4f;
	x[1] = 3e4f;
	x[2] = 0;
	w = ops->upload_weight(d, &part, 1, WEIGHT_LINEAR, BACKEND_ACTIVATION, NULL);
	in = test_buffer(d, x, POINTS);
	args = (backend_linear) {.out = out, .in = in, .weight = w, .rows = POINTS / N,
							 .epilogue = EPILOGUE_GELU};
	ops->linear(d, &args);
	for (int i = 0; i < POINTS; i++)
	{
		double		expected = x[i] * 0.5 * erfc(-(double) x[i] / sqrt(2));

		gelu = fmax(gelu, fabs(out->data[i] - expected) / (1 + fabs(expected)));
	}
	args.epilogue = EPILOGUE_TANH;
	ops->linear(d, &args);
	for (int i = 0; i < POINTS; i++)
		tanh_error = fmax(tanh_error, fabs(out->data[i] - tanh((double) x[i])));
	ok(gelu < 3e-7, "%s: GELU: error %.2g", isa, gelu);
	ok(tanh_error < 3e-7, "%s: tanh: error %.2g", isa, tanh_error);
	ops->free_weight(d, w);
	ops->free(d, in);
	ops->free(d, out);
	free(x);
}

static double
pool_error(backend_device *d, model_pooling pooling, bool normalize, int n)
{
	const backend_ops *ops = backend_cpu();
	const int32_t start[] = {0, 1, 4, 12};
	int32_t		tokens[12] = {0};
	backend_batch batch = {.rows = 12, .tokens = tokens, .positions = tokens, .sequences = 3,
	.start = start};
	float	   *x = malloc(sizeof(float) * (size_t) (12 * n));
	double	   *expected = malloc(sizeof(double) * (size_t) n);
	backend_buffer *in;
	backend_buffer *out = test_buffer(d, NULL, (size_t) (3 * n));
	backend_pool args;
	double		worst = 0;

	test_fill(x, (size_t) (12 * n));
	in = test_buffer(d, x, (size_t) (12 * n));
	args = (backend_pool) {.out = out, .in = in, .pooling = pooling, .normalize = normalize,
						   .columns = n};
	if (ops->begin_step(d, &batch) != ENGINE_OK || ops->pool(d, &args) != ENGINE_OK ||
		ops->end_step(d) != ENGINE_OK)
		worst = 1;
	for (int s = 0; s < 3; s++)
	{
		int			rows = pooling == POOLING_MEAN ? start[s + 1] - start[s] : 1;
		double		length = 0;

		for (int i = 0; i < n; i++)
		{
			expected[i] = 0;
			for (int r = 0; r < rows; r++)
				expected[i] += (double) x[(start[s] + r) * n + i] / rows;
			length += expected[i] * expected[i];
		}
		for (int i = 0; i < n; i++)
			worst = fmax(worst, fabs(expected[i] / (normalize ? sqrt(length) : 1) -
									 out->data[s * n + i]));
	}
	ops->free(d, in);
	ops->free(d, out);
	free(x);
	free(expected);
	return worst;
}

static void
test_pool(backend_device *d, const char *isa)
{
	const backend_ops *ops = backend_cpu();
	double		worst = 0;
	float		zeros[48] = {0};
	int32_t		token = 0;
	const int32_t start[] = {0, 1};
	backend_batch batch = {.rows = 1, .tokens = &token, .positions = &token, .sequences = 1,
	.start = start};
	backend_buffer *b = test_buffer(d, zeros, 48);
	backend_pool args = {.out = b, .in = b, .pooling = POOLING_CLS, .normalize = true,
	.columns = 48};

	for (size_t c = 0; c < COLUMN_COUNT; c++)
	{
		for (int i = 0; i < 4; i++)
			worst = fmax(worst, pool_error(d, i < 2 ? POOLING_MEAN : POOLING_CLS, i % 2 == 0,
										   all_columns[c]));
	}
	ok(worst < 5e-7, "%s: pool: error %.2g", isa, worst);
	ok(ops->pool(d, &args) == ENGINE_INTERNAL, "%s: pool outside a step", isa);
	ops->begin_step(d, &batch);
	ops->pool(d, &args);
	ops->end_step(d);
	ok(memcmp(b->data, zeros, sizeof(zeros)) == 0, "%s: zeros stay zeros", isa);
	ops->free(d, b);
}

static void
test_gather(backend_device *d, const char *isa)
{
	const backend_ops *ops = backend_cpu();
	float		x[5 * 20];
	int32_t		rows[] = {4, 0, 2, 2};
	backend_buffer *in,
			   *out = test_buffer(d, NULL, 80);
	backend_gather args;
	bool		good;

	test_fill(x, 100);
	in = test_buffer(d, x, 100);
	args = (backend_gather) {.out = out, .in = in, .rows = rows, .count = 4, .columns = 20};
	good = ops->gather(d, &args) == ENGINE_OK;
	for (int i = 0; i < 4; i++)
		good &= memcmp(out->data + i * 20, x + rows[i] * 20, 80) == 0;
	ok(good, "%s: gather", isa);
	rows[1] = 5;
	good = ops->gather(d, &args) == ENGINE_INTERNAL;
	rows[1] = -1;
	ok(good && ops->gather(d, &args) == ENGINE_INTERNAL, "%s: gather beyond the rows", isa);
	ops->free(d, in);
	ops->free(d, out);
}

static void
test_sample(backend_device *d, const char *isa)
{
	enum
	{
		COUNT = 11, VOCAB = 500
	};
	const backend_ops *ops = backend_cpu();
	float	   *x = malloc(sizeof(float) * COUNT * VOCAB);
	float	   *copy = malloc(sizeof(float) * VOCAB);
	sampler_candidate *scratch = malloc(sizeof(*scratch) * VOCAB);
	sampler_params params[COUNT];
	const sampler_params *pointers[COUNT];
	sampler_result results[COUNT],
				alone;
	backend_buffer *logits;
	backend_sample args;
	bool		good;

	test_fill(x, COUNT * VOCAB);
	for (int i = 0; i < COUNT; i++)
	{
		params[i] = (sampler_params) {
			.temperature = (float) (i % 3) * 0.5f, .top_p = 0.9f, .repetition_penalty = 1,
			.seed = (uint64_t) i, .step = (uint64_t) i * 3,
		};
		pointers[i] = &params[i];
	}
	logits = test_buffer(d, x, COUNT * VOCAB);
	args = (backend_sample) {.logits = logits, .params = pointers, .results = results,
							 .count = COUNT, .vocab = VOCAB};
	good = ops->sample(d, &args) == ENGINE_OK && ops->sync(d) == ENGINE_OK;
	for (int i = 0; i < COUNT; i++)
	{
		memcpy(copy, x + i * VOCAB, sizeof(float) * VOCAB);
		good &= sampler_pick(copy, VOCAB, &params[i], scratch, &alone) &&
			alone.token == results[i].token;
	}
	ok(good, "%s: each row's token is the sampler's", isa);
	for (int i = 0; i < VOCAB; i++)
		x[3 * VOCAB + i] = i % 3 == 0 ? NAN : i % 3 == 1 ? INFINITY : -INFINITY;
	good = ops->upload(d, logits, 0, x, COUNT * VOCAB) == ENGINE_OK &&
		ops->sample(d, &args) == ENGINE_OK && ops->sync(d) == ENGINE_OK;
	for (int i = 0; i < COUNT; i++)
	{
		memcpy(copy, x + i * VOCAB, sizeof(float) * VOCAB);
		good &= sampler_pick(copy, VOCAB, &params[i], scratch, &alone) == (i != 3) &&
			results[i].token == (i != 3 ? alone.token : BACKEND_NO_TOKEN);
	}
	ok(good, "%s: a row without a finite logit has no token, the others theirs", isa);
	args.count++;
	ok(ops->sample(d, &args) == ENGINE_INTERNAL, "%s: more rows than logits", isa);
	ops->free(d, logits);
	free(x);
	free(copy);
	free(scratch);
}

static void
test_buffers(backend_device *d, const char *isa)
{
	const backend_ops *ops = backend_cpu();
	backend_buffer *b = ops->alloc(d, BACKEND_F32, 10);
	float		x[10] = {1, 2, 3};
	float		y[10];
	backend_info info;

	ok(b != NULL && ops->upload(d, b, 4, x, 3) == ENGINE_OK &&
	   ops->download(d, b, 5, y, 2) == ENGINE_OK && y[0] == 2 && y[1] == 3,
	   "%s: upload and download a part", isa);
	ok(ops->upload(d, b, 8, x, 3) == ENGINE_INTERNAL && ops->upload(d, b, 11, x, 0) ==
	   ENGINE_INTERNAL && ops->download(d, b, SIZE_MAX, y, 2) == ENGINE_INTERNAL,
	   "%s: ranges beyond the buffer", isa);
	ok(ops->alloc(d, BACKEND_ACTIVATION, SIZE_MAX / 4) == NULL, "%s: more memory than there is",
	   isa);
	ops->info(d, &info);
	ok(strncmp(info.device, "CPU (", 5) == 0 && info.memory_free > 0 && info.kv_bytes == 2,
	   "%s: %s", isa, info.device);
	ops->free(d, b);
	ops->free(d, NULL);
}

static void
test_all(backend_device *d, const char *isa)
{
	test_norm(d, isa);
	test_gate(d, isa);
	test_epilogues(d, isa);
	test_pool(d, isa);
	test_gather(d, isa);
	test_sample(d, isa);
	test_buffers(d, isa);
}

int
main(void)
{
	test_each_isa(test_all);
	return tap_done();
}
