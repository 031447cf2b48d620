/*
 * check_attention.c: rope, the paged cache and attention, of prompts in chunks, of single rows and of
 * encoders, against double precision; blocks lie in random order.
 */
#include "emulated.h"

#define SEQUENCES 5
#define LONGEST 320

typedef struct shape
{
	int			heads;
	int			kv_heads;
	int			head_size;
	int			rope_dims;
	bool		interleaved;
	bool		f32;			/* cache */
	int			block_size;
	int			chunk;			/* longest stretch of a step; 0: an encoder, all at once */
	bool		bias;			/* qkv come from linear(), whose bias rope adds */
	int			lengths[SEQUENCES];
} shape;

typedef struct world
{
	shape		s;
	int			width;			/* of qkv */
	float	   *qkv[SEQUENCES]; /* [length, width] before rotation, bias added */
	float	   *raw[SEQUENCES]; /* without it */
	float	   *out[SEQUENCES]; /* what came */
	float	   *bias;
	float	   *table;			/* [LONGEST, rope_dims] */
	int32_t    *blocks;			/* [SEQUENCES][stride] */
	int			stride;
	backend_buffer *table_buffer;
	backend_buffer *bias_buffer;
	backend_weight *identity;
	backend_kv *kv;
} world;

static void
make_identity(backend_device *d, world *w)
{
	uint16_t   *data = calloc((size_t) w->width * (size_t) w->width, sizeof(uint16_t));
	model_tensor t = {"identity", TYPE_F16, w->width, w->width, data,
	(size_t) w->width * (size_t) w->width * sizeof(uint16_t)};
	const model_tensor *part = &t;

	for (int i = 0; i < w->width; i++)
		data[i * w->width + i] = half_from_float(1);
	w->identity = rag_backend()->upload_weight(d, &part, 1, WEIGHT_LINEAR, emulated_kind, NULL);
	free(data);
}

static void
make_world(backend_device *d, world *w, const shape *s)
{
	int			blocks;

	memset(w, 0, sizeof(*w));
	w->s = *s;
	w->width = (s->heads + 2 * s->kv_heads) * s->head_size;
	w->bias = calloc((size_t) w->width, sizeof(float));
	if (s->bias)
		emulated_fill(w->bias, (size_t) w->width, 0.5f);
	for (int i = 0; i < SEQUENCES; i++)
	{
		size_t		n = (size_t) (s->lengths[i] * w->width);

		w->qkv[i] = malloc(n * sizeof(float));
		w->raw[i] = malloc(n * sizeof(float));
		w->out[i] = malloc(n * sizeof(float));
		emulated_fill(w->raw[i], n, 2);
		for (size_t k = 0; k < n; k++)
			w->qkv[i][k] = w->raw[i][k] + w->bias[k % (size_t) w->width];
	}
	w->table = malloc(sizeof(float) * (size_t) (LONGEST * s->rope_dims + 1));
	for (int i = 0; i < LONGEST * s->rope_dims / 2; i++)
	{
		int			row = i / (s->rope_dims / 2);
		int			column = i % (s->rope_dims / 2);
		float		angle = test_float() * 3;

		w->table[row * s->rope_dims + column] = cosf(angle);
		w->table[row * s->rope_dims + s->rope_dims / 2 + column] = sinf(angle);
	}
	w->table_buffer = emulated_buffer(d, BACKEND_F32, w->table, (size_t) (LONGEST * s->rope_dims));
	w->bias_buffer = emulated_buffer(d, BACKEND_F32, w->bias, (size_t) w->width);
	if (s->bias)
		make_identity(d, w);
	if (s->chunk == 0)
		return;
	w->stride = (LONGEST + s->block_size - 1) / s->block_size;
	blocks = SEQUENCES * w->stride;
	w->blocks = malloc(sizeof(int32_t) * (size_t) blocks);
	for (int i = 0; i < blocks; i++)
	{
		int			k = test_below(i + 1);

		w->blocks[i] = w->blocks[k];
		w->blocks[k] = i;
	}
	w->kv = rag_backend()->alloc_kv(d, &(backend_kv_config) {2, s->kv_heads, s->head_size,
															 s->block_size, blocks, s->f32,
															 emulated_kind == BACKEND_BF16}, NULL);
}

static void
free_world(backend_device *d, world *w)
{
	for (int i = 0; i < SEQUENCES; i++)
	{
		free(w->qkv[i]);
		free(w->raw[i]);
		free(w->out[i]);
	}
	free(w->bias);
	free(w->table);
	free(w->blocks);
	rag_backend()->free(d, w->table_buffer);
	rag_backend()->free(d, w->bias_buffer);
	rag_backend()->free_weight(d, w->identity);
	rag_backend()->free_kv(d, w->kv);
}

/* The operations of a step, as a graph calls them. */
static bool
operations(backend_device *d, const world *w, const backend_batch *batch, backend_buffer *raw,
		   backend_buffer *qkv, backend_buffer *out)
{
	const backend_ops *ops = rag_backend();
	const shape *s = &w->s;
	backend_linear linear = {.out = qkv,.in = raw,.weight = w->identity,.bias = w->bias_buffer,
	.rows = batch->rows};
	backend_rope rope = {.qkv = s->bias ? qkv : raw,.table = w->table_buffer,.layer = 1,
		.heads = s->heads,.kv_heads = s->kv_heads,.head_size = s->head_size,
	.rope_dims = s->rope_dims,.interleaved = s->interleaved};
	backend_attention attention = {.out = out,.qkv = rope.qkv,.layer = 1,.heads = s->heads,
		.kv_heads = s->kv_heads,.head_size = s->head_size,.scale = 1 / sqrtf((float) s->head_size),
	.causal = w->kv != NULL};

	return ops->begin_step(d, batch) == ENGINE_OK &&
		(!s->bias || ops->linear(d, &linear) == ENGINE_OK) &&
		(w->kv == NULL || ops->rope(d, &rope) == ENGINE_OK) &&
		ops->attention(d, &attention) == ENGINE_OK && emulated_end(d);
}

/* One step over count[i] tokens from done[i] on of each sequence. */
static bool
run_step(backend_device *d, world *w, const int *done, const int *count)
{
	static int32_t tokens[SEQUENCES * LONGEST];
	int32_t		positions[SEQUENCES * LONGEST];
	int32_t		start[SEQUENCES + 1];
	int32_t		context[SEQUENCES];
	int32_t		tables[SEQUENCES * LONGEST];
	backend_batch batch = {.tokens = tokens,.positions = positions,.start = start,
		.context = w->kv != NULL ? context : NULL,.block_tables = w->kv != NULL ? tables : NULL,
	.table_stride = w->stride,.kv = w->kv};
	size_t		width = (size_t) w->width;
	size_t		out_width = (size_t) (w->s.heads * w->s.head_size);
	float	   *host = malloc(sizeof(float) * SEQUENCES * LONGEST * width);
	backend_buffer *raw,
			   *qkv,
			   *out;
	bool		good;

	for (int i = 0; i < SEQUENCES; i++)
	{
		if (count[i] == 0)
			continue;
		start[batch.sequences] = batch.rows;
		context[batch.sequences] = done[i] + count[i];
		if (w->kv != NULL)
			memcpy(tables + batch.sequences * w->stride, w->blocks + i * w->stride,
				   sizeof(int32_t) * (size_t) w->stride);
		memcpy(host + (size_t) batch.rows * width, w->raw[i] + (size_t) done[i] * width,
			   sizeof(float) * (size_t) count[i] * width);
		for (int t = 0; t < count[i]; t++)
			positions[batch.rows++] = done[i] + t;
		start[++batch.sequences] = batch.rows;
	}
	raw = emulated_buffer(d, emulated_kind, host, (size_t) batch.rows * width);
	qkv = emulated_buffer(d, emulated_kind, NULL, (size_t) batch.rows * width);
	out = emulated_buffer(d, emulated_kind, NULL, (size_t) batch.rows * out_width);
	good = operations(d, w, &batch, raw, qkv, out);
	emulated_get(d, out, host, (size_t) batch.rows * out_width);
	for (int i = 0, row = 0; i < SEQUENCES; row += count[i++])
		memcpy(w->out[i] + (size_t) done[i] * out_width, host + (size_t) row * out_width,
			   sizeof(float) * (size_t) count[i] * out_width);
	rag_backend()->free(d, raw);
	rag_backend()->free(d, qkv);
	rag_backend()->free(d, out);
	free(host);
	return good;
}

/* All tokens: prompts in stretches of random length, the last three one by one. */
static bool
run_world(backend_device *d, world *w)
{
	int			done[SEQUENCES] = {0};
	bool		good = true;
	bool		more = true;

	while (good && more)
	{
		int			count[SEQUENCES] = {0};

		more = false;
		for (int i = 0; i < SEQUENCES; i++)
		{
			int			left = w->s.lengths[i] - done[i];

			if (left > 3 && w->s.chunk > 0)
				left = left - 3 < w->s.chunk ? left - 3 : 1 + test_below(w->s.chunk);
			else if (left > 0 && w->s.chunk > 0)
				left = 1;
			count[i] = left;
			more |= left > 0;
		}
		good = !more || run_step(d, w, done, count);
		for (int i = 0; i < SEQUENCES; i++)
			done[i] += count[i];
	}
	return good;
}

/* Element e of head h of a row, turned as far as the position says, in the precision of the cache. */
static double
turned(const world *w, int i, int row, int h, int e)
{
	const shape *s = &w->s;
	const float *x = w->qkv[i] + (size_t) row * (size_t) w->width + (size_t) (h * s->head_size);
	const float *table = w->table + row * s->rope_dims;
	int			half = s->rope_dims / 2;
	int			pair = s->interleaved ? e / 2 : e % (half > 0 ? half : 1);
	bool		second = s->interleaved ? e % 2 == 1 : e >= half;
	double		a,
				b;

	if (s->chunk == 0 || h >= s->heads + s->kv_heads || e >= s->rope_dims)
		return x[e];
	a = x[s->interleaved ? 2 * pair : pair];
	b = x[s->interleaved ? 2 * pair + 1 : pair + half];
	a = second ? a * table[half + pair] + b * table[pair] : a * table[pair] - b * table[half + pair];
	return s->f32 && h >= s->heads ? a : emulated_round((float) a);
}

/* Turned elements of all heads of a sequence: [length][width] */
static double *
turn_all(const world *w, int i)
{
	int			length = w->s.lengths[i];
	double	   *out = malloc(sizeof(double) * (size_t) (length * w->width));

	for (int row = 0; row < length; row++)
	{
		for (int n = 0; n < w->width; n++)
			out[row * w->width + n] = turned(w, i, row, n / w->s.head_size, n % w->s.head_size);
	}
	return out;
}

static void
attend(const world *w, const double *all, int row, int keys, int head, double *out)
{
	const shape *s = &w->s;
	int			size = s->head_size;
	int			kv = s->heads + head / (s->heads / s->kv_heads);
	double		weights[LONGEST];
	double		total = 0;

	for (int k = 0; k < keys; k++)
	{
		double		score = 0;

		for (int e = 0; e < size; e++)
			score += all[row * w->width + head * size + e] * all[k * w->width + kv * size + e];
		weights[k] = exp(score / sqrt(size));
		total += weights[k];
	}
	for (int e = 0; e < size; e++)
	{
		double		sum = 0;

		for (int k = 0; k < keys; k++)
			sum += weights[k] * all[k * w->width + (kv + s->kv_heads) * size + e];
		out[e] = sum / total;
	}
}

/* Of all rows of short sequences, of the first and last ones of long ones. */
static double
world_error(const world *w)
{
	const shape *s = &w->s;
	double		worst = 0;
	double		expected[256];

	for (int i = 0; i < SEQUENCES; i++)
	{
		double	   *all = turn_all(w, i);

		for (int row = 0; row < s->lengths[i]; row++)
		{
			if (row > 20 && row + 20 < s->lengths[i] && row % 16 > 1)
				continue;
			for (int h = 0; h < s->heads; h++)
			{
				attend(w, all, row, s->chunk == 0 ? s->lengths[i] : row + 1, h, expected);
				worst = fmax(worst, emulated_error(w->out[i] + (row * s->heads + h) * s->head_size,
												   expected, (size_t) s->head_size, 2e-3, F16_ERROR));
			}
		}
		free(all);
	}
	return worst;
}

static void
test_shape(backend_device *d, const char *order, const shape *s)
{
	world		w;
	double		error;

	make_world(d, &w, s);
	error = run_world(d, &w) ? world_error(&w) : INFINITY;
	ok(error < 1, "%s: %d heads of %d over %d, %s%s%s (%.2f of the tolerance)", order, s->heads,
	   s->head_size, s->kv_heads, s->chunk > 0 ? "causal" : "encoder", s->f32 ? ", f32" : "",
	   s->bias ? ", bias" : "", error);
	if (!(error < 1))
		tap_note("%s", rag_backend()->message(d));
	free_world(d, &w);
}

static void
test_all(backend_device *d, const char *order)
{
	static const shape shapes[] = {
		/* heads, over, size, rope, interleaved, f32, block, chunk, bias */
		{3, 1, 64, 64, true, false, 16, 33, false, {1, 15, 17, 33, 16}},
		{4, 4, 64, 64, false, false, 16, 70, false, {16, 1, 33, 150, 32}},
		{8, 1, 128, 128, false, false, 16, 16, false, {5, 1, 20, 17, 16}},
		{4, 1, 80, 40, false, false, 32, 17, false, {33, 15, 1, 16, 64}},
		{2, 2, 96, 96, true, false, 16, 15, false, {33, 15, 17, 1, 16}},
		{2, 1, 64, 64, true, false, 16, 100, false, {290, 200, 129, 128, 320}},
		{4, 2, 16, 16, true, false, 16, 20, true, {33, 15, 17, 1, 16}},
		{3, 1, 12, 8, false, false, 16, 17, false, {33, 15, 17, 1, 16}},
		{2, 1, 160, 64, false, false, 16, 9, false, {12, 3, 17, 1, 16}},
		{4, 2, 32, 32, true, true, 16, 20, false, {33, 15, 17, 1, 16}},
		{6, 2, 128, 128, true, true, 16, 9, false, {12, 3, 17, 1, 16}},
		/* encoders */
		{3, 3, 32, 0, false, false, 0, 0, false, {1, 15, 16, 130, 33}},
		{2, 2, 64, 0, false, false, 0, 0, false, {64, 17, 65, 1, 33}},
		{1, 1, 128, 0, false, false, 0, 0, false, {16, 3, 65, 1, 33}},
		{2, 2, 20, 0, false, false, 0, 0, false, {16, 3, 17, 1, 33}},
	};
	size_t		count = sizeof(shapes) / sizeof(shapes[0]);

	for (size_t i = 0; i < count; i += emulated_quick() ? 3 : 1)
		test_shape(d, order, &shapes[i]);
}

int
main(void)
{
	emulated_each_order(test_all);
	return tap_done();
}
