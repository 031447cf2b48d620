/*
 * operations.c: the operations of a step, checked and noted.
 */
#include "cuda/device.h"

#include <stdint.h>
#include <string.h>

/* b has room for the rows; notes whether also for those of the bucket. */
static bool
fits(backend_device *d, const backend_buffer *b, backend_element element, int rows, int columns)
{
	if (rows == d->step.rows && d->step.bucket > rows &&
		!gpu_fits(b, element, d->step.bucket, columns))
		d->step.paddable = false;
	return gpu_fits(b, element, rows, columns);
}

/* Of which of the two kinds all activations of an operation are that b is one of. */
static backend_element
kind_of(const backend_buffer *b)
{
	return b->element == BACKEND_BF16 ? BACKEND_BF16 : BACKEND_ACTIVATION;
}

static bool
vector_fits(const backend_buffer *b, int columns)
{
	return b == NULL || gpu_fits(b, BACKEND_F32, 1, columns);
}

static engine_code
noted(const command *c)
{
	return c != NULL ? ENGINE_OK : ENGINE_NO_MEMORY;
}

static engine_code
not_in_step(const char *what)
{
	return gpu_fail(ENGINE_INTERNAL, "%s: no step has begun", what);
}

static table_view
table_of(const backend_weight *w)
{
	return (table_view) {w->segments[0].half, w->segments[0].quant};
}

engine_code
gpu_embed(backend_device *d, const backend_embed *args)
{
	const backend_weight *weights[3] = {args->tokens, args->positions, args->types};
	int			top[3] = {d->step.top_token, d->step.last_position, d->step.top_type};
	int			columns = args->tokens->columns;
	backend_element kind = kind_of(args->out);
	command    *c;

	if (!d->step.open)
		return not_in_step("embed");
	if (!fits(d, args->out, kind, d->step.rows, columns))
		return gpu_fail(ENGINE_INTERNAL, "embed: %d rows of %d do not fit", d->step.rows,
						   columns);
	for (int i = 0; i < 3; i++)
	{
		if (weights[i] != NULL && weights[i]->bf16 != (kind == BACKEND_BF16))
			return gpu_fail(ENGINE_INTERNAL, "embed: a table for other activations");
		if (weights[i] != NULL &&
			(weights[i]->columns != columns || weights[i]->n_segments != 1 || d->step.negative ||
			 top[i] >= weights[i]->rows))
			return gpu_fail(ENGINE_INTERNAL, "embed: an id is out of range");
	}
	c = gpu_step_note(d, COMMAND_EMBED, d->step.rows);
	if (c == NULL)
		return noted(c);
	c->embed.out = args->out->data;
	c->embed.columns = columns;
	c->embed.bf16 = kind == BACKEND_BF16;
	for (int i = 0; i < 3; i++)
	{
		c->embed.has[i] = weights[i] != NULL;
		if (weights[i] != NULL)
			c->embed.tables[i] = table_of(weights[i]);
	}
	return ENGINE_OK;
}

engine_code
gpu_norm(backend_device *d, const backend_norm *args)
{
	int			rows = args->rows;
	int			n = args->columns;
	backend_element kind = kind_of(args->out);
	command    *c;

	if (!d->step.open)
		return not_in_step("norm");
	if (n < 1 || n > COLUMNS_MAX || !fits(d, args->out, kind, rows, n) ||
		!fits(d, args->in, kind, rows, n) ||
		(args->delta != NULL && !fits(d, args->delta, kind, rows, n)) ||
		(args->sum != NULL && !fits(d, args->sum, kind, rows, n)) ||
		args->weight == NULL || !vector_fits(args->weight, n) || !vector_fits(args->bias, n))
		return gpu_fail(ENGINE_INTERNAL, "norm: %d rows of %d do not fit", rows, n);
	c = gpu_step_note(d, COMMAND_NORM, rows);
	if (c == NULL)
		return noted(c);
	c->norm.out = args->out->data;
	c->norm.in = args->in->data;
	c->norm.delta = args->delta != NULL ? args->delta->data : NULL;
	c->norm.sum = args->sum != NULL ? args->sum->data : NULL;
	c->norm.weight = args->weight->data;
	c->norm.bias = args->bias != NULL ? args->bias->data : NULL;
	c->norm.columns = n;
	c->norm.epsilon = args->epsilon;
	c->norm.layer = args->kind == NORM_LAYER;
	c->norm.bf16 = kind == BACKEND_BF16;
	return ENGINE_OK;
}

engine_code
gpu_linear(backend_device *d, const backend_linear *args)
{
	const backend_weight *w = args->weight;
	backend_element kind = kind_of(args->in);
	bool		f32 = args->out->element == BACKEND_F32;
	command    *c;

	if (!d->step.open)
		return not_in_step("linear");
	if (w->bf16 != (kind == BACKEND_BF16))
		return gpu_fail(ENGINE_INTERNAL, "linear: a weight for other activations");
	if (!fits(d, args->in, kind, args->rows, w->columns) ||
		!fits(d, args->out, f32 ? BACKEND_F32 : kind, args->rows, w->rows) ||
		args->out == args->in || !vector_fits(args->bias, w->rows))
		return gpu_fail(ENGINE_INTERNAL, "linear: %d rows of %d x %d do not fit", args->rows,
						   w->rows, w->columns);
	c = gpu_step_note(d, COMMAND_LINEAR, args->rows);
	if (c == NULL)
		return noted(c);
	c->linear.weight = w;
	c->linear.in = args->in->data;
	c->linear.out = args->out->data;
	c->linear.out_f32 = f32;
	c->linear.bf16 = kind == BACKEND_BF16;
	c->linear.bias = args->bias != NULL ? args->bias->data : NULL;
	c->linear.epilogue = args->epilogue;
	return ENGINE_OK;
}

/* Heads that make sense, a row of qkv that fits, and the cache of this shape if there is one. */
static bool
heads_fit(backend_device *d, const backend_buffer *qkv, int layer, int heads, int kv_heads,
		  int head_size)
{
	const backend_kv *kv = d->step.kv;
	backend_element kind = kind_of(qkv);

	if (heads < 1 || kv_heads < 1 || head_size < 1 || heads % kv_heads != 0 ||
		heads > COLUMNS_MAX / ATTENTION_HEAD_MAX_CUDA || head_size > ATTENTION_HEAD_MAX_CUDA)
		return false;
	if (kv != NULL && (layer < 0 || layer >= kv->config.layers ||
					   kv_heads != kv->config.kv_heads || head_size != kv->config.head_size ||
					   (!kv->config.f32 && kv->config.bf16 != (kind == BACKEND_BF16))))
		return false;
	return fits(d, qkv, kind, d->step.rows, (heads + 2 * kv_heads) * head_size);
}

static cache_view
cache_of(const backend_kv *kv, int layer)
{
	if (kv == NULL)
		return (cache_view) {0};
	return (cache_view) {kv->data + (size_t) layer * kv->layer_bytes, kv->config.f32,
						 kv->config.block_size, kv->config.kv_heads, kv->config.head_size};
}

engine_code
gpu_rope(backend_device *d, const backend_rope *args)
{
	command    *c;

	if (!d->step.open)
		return not_in_step("rope");
	if (!heads_fit(d, args->qkv, args->layer, args->heads, args->kv_heads, args->head_size) ||
		args->rope_dims < 0 || args->rope_dims % 2 != 0 || args->rope_dims > args->head_size)
		return gpu_fail(ENGINE_INTERNAL, "rope: %d + %d heads of %d do not fit", args->heads,
						   args->kv_heads, args->head_size);
	if (d->step.negative ||
		!gpu_fits(args->table, BACKEND_F32, d->step.last_position + 1, args->rope_dims))
		return gpu_fail(ENGINE_INTERNAL, "rope: position %d is beyond the table",
						   d->step.last_position);
	c = gpu_step_note(d, COMMAND_ROPE, d->step.rows);
	if (c == NULL)
		return noted(c);
	c->rope.qkv = args->qkv->data;
	c->rope.table = args->table->data;
	c->rope.cache = cache_of(d->step.kv, args->layer);
	c->rope.heads = args->heads;
	c->rope.kv_heads = args->kv_heads;
	c->rope.head_size = args->head_size;
	c->rope.rope_dims = args->rope_dims;
	c->rope.interleaved = args->interleaved;
	c->rope.bf16 = args->qkv->element == BACKEND_BF16;
	return ENGINE_OK;
}

engine_code
gpu_attention(backend_device *d, const backend_attention *args)
{
	command    *c;

	if (!d->step.open)
		return not_in_step("attention");
	if (!heads_fit(d, args->qkv, args->layer, args->heads, args->kv_heads, args->head_size) ||
		(args->causal && d->step.kv == NULL) ||
		!fits(d, args->out, kind_of(args->qkv), d->step.rows, args->heads * args->head_size))
		return gpu_fail(ENGINE_INTERNAL, "attention: %d heads of %d over %d do not fit",
						   args->heads, args->head_size, args->kv_heads);
	c = gpu_step_note(d, COMMAND_ATTENTION, d->step.rows);
	if (c == NULL)
		return noted(c);
	c->attention.out = args->out->data;
	c->attention.qkv = args->qkv->data;
	c->attention.cache = cache_of(d->step.kv, args->layer);
	c->attention.heads = args->heads;
	c->attention.kv_heads = args->kv_heads;
	c->attention.head_size = args->head_size;
	c->attention.scale = args->scale;
	c->attention.causal = args->causal;
	c->attention.bf16 = args->qkv->element == BACKEND_BF16;
	return ENGINE_OK;
}

engine_code
gpu_gate(backend_device *d, const backend_gate *args)
{
	command    *c;

	if (!d->step.open)
		return not_in_step("gate");
	if (args->columns < 1 || args->columns > COLUMNS_MAX ||
		!fits(d, args->out, kind_of(args->in), args->rows, args->columns) ||
		!fits(d, args->in, kind_of(args->in), args->rows, 2 * args->columns))
		return gpu_fail(ENGINE_INTERNAL, "gate: %d rows of %d do not fit", args->rows,
						   args->columns);
	c = gpu_step_note(d, COMMAND_GATE, args->rows);
	if (c == NULL)
		return noted(c);
	c->gate.out = args->out->data;
	c->gate.in = args->in->data;
	c->gate.columns = args->columns;
	c->gate.bf16 = args->in->element == BACKEND_BF16;
	return ENGINE_OK;
}

/* Entries of a list for `rows` rows: where the batch may be padded to a bucket, as many as that. */
static int
padded(const backend_device *d, int rows)
{
	return rows == d->step.rows && d->step.bucket > rows ? d->step.bucket : rows;
}

engine_code
gpu_gather(backend_device *d, const backend_gather *args)
{
	int			count = padded(d, args->count);
	size_t		list;
	int32_t    *rows;
	command    *c;

	if (!d->step.open)
		return not_in_step("gather");
	if (!fits(d, args->out, kind_of(args->in), args->count, args->columns))
		return gpu_fail(ENGINE_INTERNAL, "gather: %d rows of %d do not fit", args->count,
						   args->columns);
	for (int i = 0; i < args->count; i++)
	{
		if (args->rows[i] < 0 || args->rows[i] >= ROWS_MAX ||
			!gpu_fits(args->in, kind_of(args->in), args->rows[i] + 1, args->columns))
			return gpu_fail(ENGINE_INTERNAL, "gather: row %d is out of range",
							   (int) args->rows[i]);
	}
	list = gpu_step_reserve(d, (size_t) count * sizeof(int32_t));
	c = list == SIZE_MAX ? NULL : gpu_step_note(d, COMMAND_GATHER, args->count);
	if (c == NULL)
		return noted(c);
	rows = (int32_t *) (void *) (d->step.numbers.host + list);
	for (int i = 0; i < count; i++)
		rows[i] = i < args->count ? args->rows[i] : -1;
	c->gather.out = args->out->data;
	c->gather.in = args->in->data;
	c->gather.columns = args->columns;
	c->gather.list = list;
	return ENGINE_OK;
}

engine_code
gpu_pool(backend_device *d, const backend_pool *args)
{
	command    *c;

	if (!d->step.open)
		return not_in_step("pool");
	if (args->columns < 1 ||
		!gpu_fits(args->in, kind_of(args->in), d->step.rows, args->columns) ||
		!gpu_fits(args->out, BACKEND_F32, d->step.sequences, args->columns))
		return gpu_fail(ENGINE_INTERNAL, "pool: %d sequences of %d do not fit",
						   d->step.sequences, args->columns);
	d->step.bucket = 0;
	c = gpu_step_note(d, COMMAND_POOL, d->step.rows);
	if (c == NULL)
		return noted(c);
	c->pool.out = args->out->data;
	c->pool.in = args->in->data;
	c->pool.sequences = d->step.sequences;
	c->pool.columns = args->columns;
	c->pool.mean = args->pooling == POOLING_MEAN;
	c->pool.normalize = args->normalize;
	c->pool.bf16 = args->in->element == BACKEND_BF16;
	return ENGINE_OK;
}

static sample_row
sample_row_of(const sampler_params *p, size_t seen_first)
{
	return (sample_row)
	{
		.seed = p->seed,
		.step = p->step,
		.temperature = p->temperature,
		.top_p = p->top_p,
		.min_p = p->min_p,
		.repetition = p->repetition_penalty,
		.presence = p->presence_penalty,
		.frequency = p->frequency_penalty,
		.top_k = p->top_k,
		.want_logprob = p->want_logprob,
		.seen_first = (int32_t) seen_first,
		.seen_count = p->seen_count,
		.active = 1,
	};
}

/* The rows' parameters and, one after the other, what was seen, into the step's numbers. */
static void
write_samples(backend_device *d, const backend_sample *args, const command *c, int count)
{
	char	   *host = d->step.numbers.host;
	sample_row *rows = (sample_row *) (void *) (host + c->sample.list);
	int32_t    *pairs = (int32_t *) (void *) (host + c->sample.seen);
	size_t		seen = 0;

	memset(rows, 0, (size_t) count * sizeof(*rows));
	for (int i = 0; i < args->count; i++)
	{
		const sampler_params *p = args->params[i];
		rows[i] = sample_row_of(p, seen);
		for (int k = 0; k < p->seen_count; k++, seen++)
		{
			pairs[2 * seen] = p->seen[k];
			pairs[2 * seen + 1] = p->seen_output_count[k];
		}
	}
}

engine_code
gpu_sample(backend_device *d, const backend_sample *args)
{
	int			count = padded(d, args->count);
	size_t		seen = 0;
	size_t		list;
	size_t		pairs;
	command    *c;

	if (!d->step.open)
		return not_in_step("sample");
	if (args->vocab < 1 || d->step.n_pending == PENDING_SAMPLES ||
		!fits(d, args->logits, BACKEND_F32, args->count, args->vocab))
		return gpu_fail(ENGINE_INTERNAL, "sample: %d rows of %d do not fit", args->count,
						   args->vocab);
	for (int i = 0; i < args->count; i++)
		seen += (size_t) args->params[i]->seen_count;
	if (seen > INT32_MAX / 2)
		return gpu_fail(ENGINE_INTERNAL, "sample: %zu penalties", seen);
	list = gpu_step_reserve(d, (size_t) count * sizeof(sample_row));
	/* last, since no two steps have as many */
	pairs = list == SIZE_MAX ? SIZE_MAX : gpu_step_reserve(d, seen * 2 * sizeof(int32_t));
	c = pairs == SIZE_MAX ? NULL : gpu_step_note(d, COMMAND_SAMPLE, args->count);
	if (c == NULL)
		return noted(c);
	c->sample.logits = args->logits->data;
	c->sample.vocab = args->vocab;
	c->sample.list = list;
	c->sample.seen = pairs;
	c->sample.results = d->step.results.used;
	write_samples(d, args, c, count);
	d->step.pending[d->step.n_pending++] = (pending_sample)
	{
		args->results, d->step.results.used, args->count
	};
	d->step.results.used += (size_t) count * sizeof(sample_result);
	return ENGINE_OK;
}
