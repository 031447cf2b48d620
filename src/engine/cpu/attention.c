/*
 * attention.c: rotary positions, writing the cache, and attention, cut into pieces for
 * the threads.
 */
#include <string.h>

#include "engine/cpu/device.h"
#include "simd/half.h"

typedef struct rope_job
{
	backend_device *d;
	const backend_rope *args;
} rope_job;

static void
rotate_head(float *x, const float *cosines, const float *sines, int half, bool interleaved)
{
	for (int i = 0; i < half; i++)
	{
		float	   *a = interleaved ? x + 2 * i : x + i;
		float	   *b = interleaved ? a + 1 : a + half;
		float		before = *a;

		*a = before * cosines[i] - *b * sines[i];
		*b = before * sines[i] + *b * cosines[i];
	}
}

/* f32 to what the cache holds; a number beyond its range becomes the greatest one, not infinity. */
static uint16_t
cached(float x)
{
	return half_from_float(x > 65504.0f ? 65504.0f : x < -65504.0f ? -65504.0f : x);
}

static void
store_cached(const backend_kv *kv, size_t at, float x)
{
	if (kv->config.f32)
		((float *) kv->data)[at] = x;
	else
		((uint16_t *) kv->data)[at] = cached(x);
}

static void
write_cache(const backend_rope *args, const backend_batch *batch, int row, int sequence,
			const float *keys, const float *values)
{
	const backend_kv *kv = batch->kv;
	size_t		head_size = (size_t) args->head_size;
	size_t		block_size = (size_t) kv->config.block_size;
	size_t		position = (size_t) batch->positions[row];
	size_t		slot = position % block_size;
	int32_t		block = batch->block_tables[(size_t) sequence * (size_t) batch->table_stride +
											position / block_size];
	size_t		to = (size_t) args->layer * kv->layer_stride + (size_t) block * kv->block_stride;

	for (int h = 0; h < args->kv_heads; h++, to += kv->head_stride)
	{
		size_t		key = to + slot / 16 * 16 * head_size + slot % 16;
		size_t		value = to + (block_size + slot) * head_size;

		for (size_t e = 0; e < head_size; e++)
		{
			store_cached(kv, key + e * 16, keys[(size_t) h * head_size + e]);
			store_cached(kv, value + e, values[(size_t) h * head_size + e]);
		}
	}
}

static void
rope_rows(void *arg, int begin, int end, int thread)
{
	const rope_job *job = arg;
	const backend_rope *args = job->args;
	const device_batch *step = &job->d->step;
	size_t		width = (size_t) ((args->heads + 2 * args->kv_heads) * args->head_size);
	int			half = args->rope_dims / 2;

	(void) thread;
	for (int r = begin; r < end; r++)
	{
		float	   *row = args->qkv->data + (size_t) r * width;
		float	   *keys = row + args->heads * args->head_size;
		const float *table = args->table->data +
			(size_t) step->batch.positions[r] * (size_t) args->rope_dims;

		for (int h = 0; h < args->heads + args->kv_heads; h++)
			rotate_head(row + h * args->head_size, table, table + half, half, args->interleaved);
		if (step->batch.kv != NULL)
			write_cache(args, &step->batch, r, step->row_sequence[r], keys,
						keys + args->kv_heads * args->head_size);
	}
}

/* Heads that make sense, a row of qkv that fits, and the cache of this shape if there is one. */
static bool
heads_fit(const backend_device *d, const backend_buffer *qkv, int layer, int heads, int kv_heads,
		  int head_size)
{
	const backend_kv *kv = d->step.batch.kv;

	if (!d->in_step || heads < 1 || kv_heads < 1 || head_size < 1 || heads % kv_heads != 0 ||
		heads > COLUMNS_MAX / ATTENTION_HEAD_MAX || head_size > ATTENTION_HEAD_MAX)
		return false;
	if (kv != NULL && (layer < 0 || layer >= kv->config.layers ||
					   kv_heads != kv->config.kv_heads || head_size != kv->config.head_size))
		return false;
	return device_fits(qkv, d->step.batch.rows, (heads + 2 * kv_heads) * head_size);
}

engine_code
attention_rope(backend_device *d, const backend_rope *args)
{
	const backend_batch *batch = &d->step.batch;
	rope_job	job = {d, args};
	int			last = 0;

	if (!heads_fit(d, args->qkv, args->layer, args->heads, args->kv_heads, args->head_size) ||
		args->rope_dims < 0 || args->rope_dims % 2 != 0 || args->rope_dims > args->head_size)
		return device_fail(d, ENGINE_INTERNAL, "rope: %d + %d heads of %d do not fit", args->heads,
						   args->kv_heads, args->head_size);
	for (int r = 0; r < batch->rows; r++)
	{
		if (batch->positions[r] < 0)
			return device_fail(d, ENGINE_INTERNAL, "rope: position %d", (int) batch->positions[r]);
		last = batch->positions[r] > last ? batch->positions[r] : last;
	}
	if (!device_fits(args->table, last + 1, args->rope_dims))
		return device_fail(d, ENGINE_INTERNAL, "rope: position %d is beyond the table", last);
	threads_run(d->pool, rope_rows, &job, batch->rows, 8);
	return ENGINE_OK;
}

typedef struct attention_job
{
	backend_device *d;
	const backend_attention *args;
	int			group;			/* query heads of a kv head */
	int			tokens;			/* of a piece, at most */
} attention_job;

/* The pieces of sequence s: stretches of its tokens. */
static int
pieces_of(const attention_job *job, int s)
{
	const int32_t *start = job->d->step.batch.start;

	return (start[s + 1] - start[s] + job->tokens - 1) / job->tokens;
}

static void
attend_piece(const attention_job *job, int s, int head, int piece, float *scratch)
{
	const backend_attention *a = job->args;
	const backend_batch *batch = &job->d->step.batch;
	const backend_kv *kv = batch->kv;
	size_t		head_size = (size_t) a->head_size;
	size_t		width = (size_t) (a->heads + 2 * a->kv_heads) * head_size;
	int			length = batch->start[s + 1] - batch->start[s];
	int			pieces = pieces_of(job, s);
	int			first = batch->start[s] + (int) ((int64_t) length * piece / pieces);
	int			end = batch->start[s] + (int) ((int64_t) length * (piece + 1) / pieces);
	const float *queries[ATTENTION_ROWS];
	float	   *out[ATTENTION_ROWS];
	int			visible[ATTENTION_ROWS];
	attention_source source = {0};
	int			rows = 0;

	for (int r = first; r < end; r++)
	{
		for (int g = 0; g < job->group; g++, rows++)
		{
			size_t		column = (size_t) (head * job->group + g) * head_size;

			queries[rows] = a->qkv->data + (size_t) r * width + column;
			out[rows] = a->out->data + (size_t) r * (size_t) a->heads * head_size + column;
			visible[rows] = a->causal ? batch->positions[r] + 1 : length;
		}
	}
	if (a->causal)
	{
		size_t		at = (size_t) a->layer * kv->layer_stride + (size_t) head * kv->head_stride;

		source.f32 = kv->config.f32;
		source.cache = kv->config.f32 ? (const void *) ((const float *) kv->data + at) :
			(const void *) ((const uint16_t *) kv->data + at);
		source.block_stride = kv->block_stride;
		source.blocks = batch->block_tables + (size_t) s * (size_t) batch->table_stride;
		source.block_size = kv->config.block_size;
	}
	else
	{
		source.keys = a->qkv->data + (size_t) batch->start[s] * width +
			(size_t) (a->heads + head) * head_size;
		source.values = source.keys + (size_t) a->kv_heads * head_size;
		source.row_stride = width;
	}
	job->d->kernels.real->attend(&(attention_args)
	{
		.source = &source,
		.keys = a->causal ? batch->context[s] : length,
		.queries = queries,
		.out = out,
		.visible = visible,
		.rows = rows,
		.head_size = a->head_size,
		.scale = a->scale,
		.scratch = scratch,
	});
}

/* Items are the pieces of the first sequence's heads, then those of the next sequence. */
static void
attend_pieces(void *arg, int begin, int end, int thread)
{
	const attention_job *job = arg;
	int			heads = job->args->kv_heads;
	int			s = 0;
	int			before = 0;

	for (int item = begin; item < end; item++)
	{
		int			pieces;

		while (item >= before + pieces_of(job, s) * heads)
			before += pieces_of(job, s++) * heads;
		pieces = pieces_of(job, s);
		/* the last piece of a causal sequence has most to do: it goes first */
		attend_piece(job, s, (item - before) / pieces,
					 pieces - 1 - (item - before) % pieces,
					 job->d->thread[thread].scratch);
	}
}

engine_code
attention_run(backend_device *d, const backend_attention *args)
{
	const backend_batch *batch = &d->step.batch;
	attention_job job = {.d = d, .args = args};
	int			items = 0;

	if (!heads_fit(d, args->qkv, args->layer, args->heads, args->kv_heads, args->head_size) ||
		args->heads / args->kv_heads > ATTENTION_ROWS || (args->causal && batch->kv == NULL) ||
		!device_fits(args->out, batch->rows, args->heads * args->head_size))
		return device_fail(d, ENGINE_INTERNAL, "attention: %d heads of %d over %d do not fit",
						   args->heads, args->head_size, args->kv_heads);
	job.group = args->heads / args->kv_heads;
	job.tokens = ATTENTION_ROWS / job.group;
	for (int s = 0; s < batch->sequences; s++)
		items += pieces_of(&job, s) * args->kv_heads;
	threads_run(d->pool, attend_pieces, &job, items, 1);
	return ENGINE_OK;
}
