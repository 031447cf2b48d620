/*
 * test_cpu_attention.c: rope and attention on every instruction set, against double
 * precision; and bit by bit the same however prompts are cut into chunks, whatever else is
 * in the batch and wherever the blocks are.
 */
#include "cpu_test.h"

#define SEQUENCES 4
#define LONGEST 200

typedef struct shape
{
	int			heads;
	int			kv_heads;
	int			head_size;
	int			rope_dims;
	bool		interleaved;
	int			block_size;
	bool		f32;			/* cache in full precision */
} shape;

static int
width_of(const shape *s)
{
	return (s->heads + 2 * s->kv_heads) * s->head_size;
}

/* What all runs share: the projections of every token, and the rotation table. */
typedef struct world
{
	shape		s;
	int			length[SEQUENCES];
	float	   *qkv[SEQUENCES];	/* [length][width] */
	float	   *table;			/* [LONGEST][rope_dims] */
	backend_buffer *table_buffer;
} world;

/* The results of a run. */
typedef struct result
{
	float	   *out[SEQUENCES]; /* [length][heads * head_size] */
	float	   *rotated[SEQUENCES]; /* [length][width] */
} result;

static void
make_world(backend_device *d, world *w, const shape *s)
{
	w->s = *s;
	w->table = malloc(sizeof(float) * (size_t) (LONGEST * s->rope_dims + 1));
	for (int p = 0; p < LONGEST; p++)
	{
		for (int i = 0; i < s->rope_dims / 2; i++)
		{
			double		angle = p * pow(10000, -2.0 * i / s->rope_dims);

			w->table[p * s->rope_dims + i] = (float) cos(angle);
			w->table[p * s->rope_dims + s->rope_dims / 2 + i] = (float) sin(angle);
		}
	}
	w->table_buffer = test_buffer(d, w->table, (size_t) (LONGEST * s->rope_dims));
	for (int i = 0; i < SEQUENCES; i++)
	{
		size_t		n;

		w->length[i] = i == 0 ? 1 : i == 1 ? LONGEST : 1 + test_below(LONGEST);
		n = (size_t) (w->length[i] * width_of(s));
		w->qkv[i] = malloc(sizeof(float) * n);
		test_fill(w->qkv[i], n);
		for (size_t j = 0; j < n; j++)
			w->qkv[i][j] *= 4;
	}
}

static void
free_world(backend_device *d, world *w)
{
	for (int i = 0; i < SEQUENCES; i++)
		free(w->qkv[i]);
	free(w->table);
	backend_cpu()->free(d, w->table_buffer);
}

static void
make_result(const world *w, result *r)
{
	for (int i = 0; i < SEQUENCES; i++)
	{
		r->out[i] = malloc(sizeof(float) * (size_t) (w->length[i] * w->s.heads * w->s.head_size));
		r->rotated[i] = malloc(sizeof(float) * (size_t) (w->length[i] * width_of(&w->s)));
	}
}

static void
free_result(result *r)
{
	for (int i = 0; i < SEQUENCES; i++)
	{
		free(r->out[i]);
		free(r->rotated[i]);
	}
}

/* One step over count[i] tokens from done[i] on of each sequence; with a cache or without. */
static bool
run_step(backend_device *d, const world *w, backend_kv *kv, const int32_t *tables, int stride,
		 const int *done, const int *count, result *r)
{
	const backend_ops *ops = backend_cpu();
	const shape *s = &w->s;
	int32_t		tokens[SEQUENCES * LONGEST] = {0},
				positions[SEQUENCES * LONGEST],
				start[SEQUENCES + 1],
				context[SEQUENCES],
				block_tables[SEQUENCES * LONGEST];
	backend_batch batch = {.tokens = tokens, .positions = positions, .start = start,
	.context = kv != NULL ? context : NULL, .block_tables = kv != NULL ? block_tables : NULL,
	.table_stride = stride, .kv = kv};
	size_t		width = (size_t) width_of(s);
	size_t		out_width = (size_t) (s->heads * s->head_size);
	float	   *qkv = malloc(sizeof(float) * SEQUENCES * LONGEST * width);
	backend_buffer *in,
			   *out;
	backend_rope rope;
	backend_attention attention;
	bool		good;

	for (int i = 0; i < SEQUENCES; i++)
	{
		if (count[i] == 0)
			continue;
		start[batch.sequences] = batch.rows;
		context[batch.sequences] = done[i] + count[i];
		if (kv != NULL)
			memcpy(block_tables + batch.sequences * stride, tables + i * stride,
				   sizeof(int32_t) * (size_t) stride);
		memcpy(qkv + (size_t) batch.rows * width, w->qkv[i] + (size_t) done[i] * width,
			   sizeof(float) * (size_t) count[i] * width);
		for (int t = 0; t < count[i]; t++)
			positions[batch.rows++] = done[i] + t;
		start[++batch.sequences] = batch.rows;
	}
	in = test_buffer(d, qkv, (size_t) batch.rows * width);
	out = test_buffer(d, NULL, (size_t) batch.rows * out_width);
	rope = (backend_rope) {.qkv = in, .table = w->table_buffer, .layer = 1, .heads = s->heads,
						   .kv_heads = s->kv_heads, .head_size = s->head_size,
						   .rope_dims = s->rope_dims, .interleaved = s->interleaved};
	attention = (backend_attention) {.out = out, .qkv = in, .layer = 1, .heads = s->heads,
									 .kv_heads = s->kv_heads, .head_size = s->head_size,
									 .scale = 1 / sqrtf((float) s->head_size),
									 .causal = kv != NULL};
	good = ops->begin_step(d, &batch) == ENGINE_OK;
	/* the arrays of the batch are the caller's again */
	memset(positions, 0xFF, sizeof(positions));
	memset(start, 0xFF, sizeof(start));
	memset(block_tables, 0xFF, sizeof(block_tables));
	good = good && (kv == NULL || ops->rope(d, &rope) == ENGINE_OK) &&
		ops->attention(d, &attention) == ENGINE_OK && ops->end_step(d) == ENGINE_OK;
	for (int i = 0, row = 0; i < SEQUENCES; row += count[i++])
	{
		memcpy(r->out[i] + (size_t) done[i] * out_width, out->data + (size_t) row * out_width,
			   sizeof(float) * (size_t) count[i] * out_width);
		memcpy(r->rotated[i] + (size_t) done[i] * width, in->data + (size_t) row * width,
			   sizeof(float) * (size_t) count[i] * width);
	}
	ops->free(d, in);
	ops->free(d, out);
	free(qkv);
	return good;
}

/* Blocks in random order, none twice. */
static void
shuffle_tables(int32_t *tables, int n)
{
	for (int i = 0; i < n; i++)
		tables[i] = i;
	for (int i = n - 1; i > 0; i--)
	{
		int			j = test_below(i + 1);
		int32_t		t = tables[i];

		tables[i] = tables[j];
		tables[j] = t;
	}
}

/* All sequences; together or one by one; prompts whole or in chunks of at most chunk tokens. */
static bool
run_causal(backend_device *d, const world *w, bool together, int chunk, result *r)
{
	const backend_ops *ops = backend_cpu();
	int			stride = (LONGEST + w->s.block_size - 1) / w->s.block_size;
	int32_t		tables[SEQUENCES * LONGEST];
	backend_kv_config config = {2, w->s.kv_heads, w->s.head_size, w->s.block_size,
	SEQUENCES * stride, w->s.f32, false};
	backend_kv *kv = ops->alloc_kv(d, &config, NULL);
	int			done[SEQUENCES] = {0};
	bool		good = kv != NULL;
	bool		more = true;

	shuffle_tables(tables, SEQUENCES * stride);
	/* what a block held before must not matter */
	if (good)
		memset(kv->data, 0xFF, kv->layer_stride * 2 * (w->s.f32 ? 4 : 2));
	while (good && more)
	{
		int			count[SEQUENCES] = {0};

		more = false;
		for (int i = 0; i < SEQUENCES; i++)
		{
			int			left = w->length[i] - done[i];

			if (left == 0 || (!together && more))
				continue;
			count[i] = chunk == 0 || left < 2 ? left : 1 + test_below(chunk < left ? chunk : left);
			more = true;
		}
		if (!more)
			break;
		good = run_step(d, w, kv, tables, stride, done, count, r);
		for (int i = 0; i < SEQUENCES; i++)
			done[i] += count[i];
	}
	ops->free_kv(d, kv);
	return good;
}

static bool
same_output(const world *w, const result *a, const result *b)
{
	for (int i = 0; i < SEQUENCES; i++)
	{
		if (memcmp(a->out[i], b->out[i],
				   sizeof(float) * (size_t) (w->length[i] * w->s.heads * w->s.head_size)) != 0)
			return false;
	}
	return true;
}

/* The greatest error of the rotation against the untouched input. */
static double
rope_error(const world *w, const result *r)
{
	const shape *s = &w->s;
	int			width = width_of(s);
	double		worst = 0;

	for (int i = 0; i < SEQUENCES; i++)
	{
		for (int t = 0; t < w->length[i]; t++)
		{
			for (int h = 0; h < s->heads + 2 * s->kv_heads; h++)
			{
				const float *x = w->qkv[i] + t * width + h * s->head_size;
				const float *y = r->rotated[i] + t * width + h * s->head_size;

				for (int e = 0; e < s->head_size; e++)
				{
					int			half = s->rope_dims / 2;
					int			pair = s->interleaved ? e / 2 : e % (half > 0 ? half : 1);
					bool		second = s->interleaved ? e % 2 == 1 : e >= half;
					double		c,
								sn;
					double		expected = x[e];

					if (e < s->rope_dims && h < s->heads + s->kv_heads)
					{
						int			other = s->interleaved ? e ^ 1 : second ? e - half : e + half;

						c = w->table[t * s->rope_dims + pair];
						sn = w->table[t * s->rope_dims + half + pair];
						expected = second ? x[other] * sn + x[e] * c : x[e] * c - x[other] * sn;
					}
					worst = fmax(worst, fabs(expected - y[e]));
				}
			}
		}
	}
	return worst;
}

/* The error of one row's head, given all rows of its sequence and how many it sees. */
static double
head_error(const shape *s, const float *rows, int t, int visible, int head, bool cached,
		   const float *out)
{
	int			width = width_of(s);
	const float *q = rows + t * width + head * s->head_size;
	int			kv_head = head / (s->heads / s->kv_heads);
	double		weight[LONGEST];
	double		sum = 0,
				worst = 0,
				greatest = -INFINITY;

	for (int k = 0; k < visible; k++)
	{
		const float *key = rows + k * width + (s->heads + kv_head) * s->head_size;

		weight[k] = 0;
		for (int e = 0; e < s->head_size; e++)
			weight[k] += (double) q[e] *
				(double) (cached ? half_to_float(half_from_float(key[e])) : key[e]);
		weight[k] /= sqrt(s->head_size);
		greatest = fmax(greatest, weight[k]);
	}
	for (int k = 0; k < visible; k++)
		sum += weight[k] = exp(weight[k] - greatest);
	for (int e = 0; e < s->head_size; e++)
	{
		double		expected = 0;

		for (int k = 0; k < visible; k++)
		{
			float		value = rows[k * width + (s->heads + s->kv_heads + kv_head) * s->head_size +
									 e];

			expected += weight[k] / sum *
				(double) (cached ? half_to_float(half_from_float(value)) : value);
		}
		worst = fmax(worst, fabs(expected - out[e]));
		if (isnan(out[e]))
			return NAN;
	}
	return worst;
}

static double
attention_error(const world *w, const result *r, bool causal)
{
	double		worst = 0;

	for (int i = 0; i < SEQUENCES; i++)
	{
		for (int t = 0; t < w->length[i]; t += 1 + t / 8)
		{
			for (int h = 0; h < w->s.heads; h++)
			{
				double		error = head_error(&w->s, r->rotated[i], t,
											   causal ? t + 1 : w->length[i], h,
											   causal && !w->s.f32,
											   r->out[i] + (t * w->s.heads + h) * w->s.head_size);

				worst = error > worst || isnan(error) ? error : worst;
			}
		}
	}
	return worst;
}

static void
test_causal(backend_device *d, const char *isa, const shape *s)
{
	world		w;
	result		alone,
				mixed;
	double		rotation,
				error;
	bool		good;

	make_world(d, &w, s);
	make_result(&w, &alone);
	make_result(&w, &mixed);
	good = run_causal(d, &w, false, 0, &alone);
	rotation = rope_error(&w, &alone);
	error = attention_error(&w, &alone, true);
	ok(good && rotation < 1e-6 && error < 2e-5,
	   "%s: causal,%s %d heads over %d of %d, rope %d%s, blocks of %d: errors %.2g, %.2g", isa,
	   s->f32 ? " f32 cache," : "", s->heads, s->kv_heads, s->head_size, s->rope_dims,
	   s->interleaved ? " interleaved" : "", s->block_size, rotation, error);
	good = run_causal(d, &w, true, 0, &mixed) && same_output(&w, &alone, &mixed);
	for (int chunk = 1; chunk < LONGEST; chunk = chunk * 5 + 2)
	{
		good = good && run_causal(d, &w, true, chunk, &mixed) && same_output(&w, &alone, &mixed);
		good = good && run_causal(d, &w, false, chunk, &mixed) && same_output(&w, &alone, &mixed);
	}
	ok(good, "%s: the same bits in chunks, in a batch, in other blocks", isa);
	free_result(&alone);
	free_result(&mixed);
	free_world(d, &w);
}

static void
test_encoder(backend_device *d, const char *isa, const shape *s)
{
	world		w;
	result		alone,
				mixed;
	const int	zero[SEQUENCES] = {0};
	bool		good = true;
	double		error;

	make_world(d, &w, s);
	make_result(&w, &alone);
	make_result(&w, &mixed);
	for (int i = 0; i < SEQUENCES; i++)
	{
		int			count[SEQUENCES] = {0};

		count[i] = w.length[i];
		good &= run_step(d, &w, NULL, NULL, 0, zero, count, &alone);
	}
	good &= run_step(d, &w, NULL, NULL, 0, zero, w.length, &mixed);
	error = attention_error(&w, &mixed, false);
	ok(good && error < 2e-5, "%s: encoder, %d heads of %d: error %.2g", isa, s->heads, s->head_size,
	   error);
	ok(good && same_output(&w, &alone, &mixed), "%s: the same bits alone and in a batch", isa);
	free_result(&alone);
	free_result(&mixed);
	free_world(d, &w);
}

/* Values beyond 16-bit floats are cut, and softmax survives great scores. */
static void
test_extremes(backend_device *d, const char *isa)
{
	const shape s = {2, 1, 16, 0, false, 16, false};
	world		w;
	result		r;
	bool		good;

	make_world(d, &w, &s);
	make_result(&w, &r);
	for (int i = 0; i < SEQUENCES; i++)
	{
		for (int j = 0; j < w.length[i] * width_of(&s); j++)
			w.qkv[i][j] *= 1e5f;
	}
	good = run_causal(d, &w, true, 30, &r);
	for (int i = 0; i < SEQUENCES; i++)
	{
		for (int j = 0; j < w.length[i] * s.heads * s.head_size; j++)
			good &= fabsf(r.out[i][j]) <= 65504.0f;
	}
	ok(good, "%s: huge queries, keys and values give finite results", isa);
	free_result(&r);
	free_world(d, &w);
}

/* What comes after a row does not reach it, even where that is no number. */
static void
test_not_finite(backend_device *d, const char *isa, const shape *s)
{
	static const float bad[] = {NAN, INFINITY, -INFINITY};
	world		w;
	result		sound,
				spoilt;
	size_t		width = (size_t) (s->heads * s->head_size);
	bool		good;

	make_world(d, &w, s);
	make_result(&w, &sound);
	make_result(&w, &spoilt);
	good = run_causal(d, &w, true, 0, &sound);
	for (int i = 0; i < SEQUENCES; i++)
	{
		float	   *row = w.qkv[i] + (size_t) (w.length[i] / 2) * (size_t) width_of(s);

		for (int e = s->heads * s->head_size; e < width_of(s); e++)
			row[e] = bad[e % 3];
	}
	for (int chunk = 0; chunk < LONGEST; chunk = chunk * 5 + 20)
	{
		good = good && run_causal(d, &w, true, chunk, &spoilt);
		for (int i = 0; i < SEQUENCES; i++)
			good = good && memcmp(sound.out[i], spoilt.out[i],
								  sizeof(float) * width * (size_t) (w.length[i] / 2)) == 0;
	}
	ok(good, "%s:%s heads of %d: no number of a later row reaches one before", isa,
	   s->f32 ? " f32 cache," : "", s->head_size);
	free_result(&sound);
	free_result(&spoilt);
	free_world(d, &w);
}

static void
test_batches(backend_device *d, const char *isa)
{
	const backend_ops *ops = backend_cpu();
	backend_kv_config config = {1, 1, 16, 16, 4, false, false};
	backend_kv *kv = ops->alloc_kv(d, &config, NULL);
	engine_error error;
	int32_t		tokens[3] = {0},
				positions[3] = {0, 1, 2},
				start[3] = {0, 2, 3},
				context[2] = {2, 17},
				tables[4] = {0, 0, 1, 2};
	backend_batch good = {.rows = 3, .tokens = tokens, .positions = positions, .sequences = 2,
	.start = start, .context = context, .block_tables = tables, .table_stride = 2, .kv = kv};
	backend_batch bad = good;
	int			refused = 0;

	ok(kv != NULL && ops->begin_step(d, &good) == ENGINE_OK &&
	   ops->begin_step(d, &good) == ENGINE_INTERNAL && ops->end_step(d) == ENGINE_OK &&
	   ops->end_step(d) == ENGINE_INTERNAL, "%s: steps begin and end once", isa);
	bad.table_stride = 1;		/* 17 tokens need two blocks */
	refused += ops->begin_step(d, &bad) == ENGINE_INTERNAL;
	bad = good;
	bad.rows = 2;
	refused += ops->begin_step(d, &bad) == ENGINE_INTERNAL;
	bad.rows = 4;
	refused += ops->begin_step(d, &bad) == ENGINE_INTERNAL;
	bad = good;
	bad.context = NULL;
	refused += ops->begin_step(d, &bad) == ENGINE_INTERNAL;
	tables[3] = 4;
	refused += ops->begin_step(d, &good) == ENGINE_INTERNAL;
	tables[3] = -1;
	refused += ops->begin_step(d, &good) == ENGINE_INTERNAL;
	tables[3] = 2;
	positions[1] = 2;
	refused += ops->begin_step(d, &good) == ENGINE_INTERNAL;
	positions[1] = -1;
	refused += ops->begin_step(d, &good) == ENGINE_INTERNAL;
	start[1] = 0;
	refused += ops->begin_step(d, &good) == ENGINE_INTERNAL;
	ok(refused == 9, "%s: batches that make no sense are refused (%d of 9)", isa, refused);
	config.block_size = 8;
	ok(ops->alloc_kv(d, &config, &error) == NULL && error.code == ENGINE_UNSUPPORTED,
	   "%s: blocks of 8 tokens are refused", isa);
	config = (backend_kv_config) {1 << 20, 1 << 20, 256, 1 << 20, 1 << 20, false, false};
	ok(ops->alloc_kv(d, &config, &error) == NULL && error.code == ENGINE_NO_MEMORY,
	   "%s: a cache larger than any memory", isa);
	ops->free_kv(d, kv);
}

static void
test_all(backend_device *d, const char *isa)
{
	static const shape shapes[] = {
		{4, 4, 16, 16, true, 16, false}, {9, 3, 64, 64, true, 16, false},
		{8, 2, 80, 20, false, 32, false}, {8, 1, 96, 96, false, 16, false},
		{3, 1, 128, 128, false, 64, false}, {2, 2, 20, 4, true, 16, false},
		{9, 3, 64, 64, true, 16, true}, {2, 2, 20, 4, false, 32, true},
	};

	for (size_t i = 0; i < sizeof(shapes) / sizeof(shapes[0]); i++)
		test_causal(d, isa, &shapes[i]);
	test_encoder(d, isa, &(shape) {12, 12, 32, 0, false, 16, false});
	test_encoder(d, isa, &(shape) {2, 2, 64, 0, false, 16, false});
	test_encoder(d, isa, &(shape) {3, 1, 17, 0, false, 16, false});
	test_extremes(d, isa);
	test_not_finite(d, isa, &(shape) {9, 3, 64, 64, true, 16, false});
	test_not_finite(d, isa, &(shape) {2, 2, 20, 4, false, 32, true});
	test_batches(d, isa);
}

int
main(void)
{
	test_each_isa(test_all);
	return tap_done();
}
