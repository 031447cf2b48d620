/*
 * attention_stage_body.h: what attention works on, in the thread's scratch memory: queries in tiles,
 * keys and values of one tile of keys in panels of f32, written once over `vec`.
 */
#ifndef RAG_ENGINE_CPU_ATTENTION_STAGE_BODY_H
#define RAG_ENGINE_CPU_ATTENTION_STAGE_BODY_H

#include "engine/cpu/kernels.h"

#define KEY_PANELS (ATTENTION_KEYS / PANEL_OUTPUTS)

/* The parts of the scratch memory. head_pad: head_size rounded up to whole panels. */
typedef struct attention_state
{
	int			head_pad;
	float	   *keys;			/* [KEY_PANELS][head_size][32] */
	float	   *values;			/* [head_pad / 32][ATTENTION_KEYS][32] */
	float	   *queries;		/* [rows / 12] tiles of head_size columns */
	float	   *out;			/* [rows / 12][head_pad / 32][12][32] */
	float	   *scores;			/* [KEY_PANELS][12][32] */
	float	   *weights;		/* [12][ATTENTION_KEYS] */
	float	   *sums;			/* [rows][16]: to be added up at the end */
	float	   *maxima;			/* [rows] */
} attention_state;

VEC_INLINE void
attention_layout(attention_state *s, const attention_args *args)
{
	size_t		head_pad = (size_t) (args->head_size + PANEL_OUTPUTS - 1) / PANEL_OUTPUTS *
		PANEL_OUTPUTS;

	s->head_pad = (int) head_pad;
	s->keys = args->scratch;
	s->values = s->keys + ATTENTION_KEYS * head_pad;
	s->queries = s->values + ATTENTION_KEYS * head_pad;
	s->out = s->queries + ATTENTION_ROWS * head_pad;
	s->scores = s->out + ATTENTION_ROWS * head_pad;
	s->weights = s->scores + FLOAT_TILE * ATTENTION_KEYS;
	s->sums = s->weights + FLOAT_TILE * ATTENTION_KEYS;
	s->maxima = s->sums + ATTENTION_ROWS * 16;
}

/* 16 floats from i on of an array of n, zeros beyond. */
VEC_INLINE vec
attention_load(const float *x, int i, int n)
{
	if (n - i >= 16)
		return vec_load(x + i);
	return n > i ? vec_load_first(x + i, n - i) : vec_zero();
}

/* Keys and values [first, first + count). What is beyond in the last panel of keys is of no account. */
static void
stage_rows(const attention_state *s, const attention_args *args, int first, int count)
{
	const attention_source *source = args->source;
	size_t		head_size = (size_t) args->head_size;

	for (int k = 0; k < count; k += 16)
	{
		float	   *panel = s->keys + (size_t) (k / PANEL_OUTPUTS) * head_size * PANEL_OUTPUTS +
			k % PANEL_OUTPUTS;
		const float *row = source->keys + (size_t) (first + k) * source->row_stride;
		size_t		e = 0;

		if (count - k >= 16)
		{
			for (; e + 16 <= head_size; e += 16)
				vec_transpose(panel + e * PANEL_OUTPUTS, PANEL_OUTPUTS, row + e,
							  source->row_stride, 16);
		}
		for (; e < head_size; e++)
		{
			for (int i = 0; i < 16; i++)
				panel[e * PANEL_OUTPUTS + (size_t) i] =
					k + i < count ? row[(size_t) i * source->row_stride + e] : 0.0f;
		}
	}
	for (int k = 0; k < count; k++)
	{
		const float *row = source->values + (size_t) (first + k) * source->row_stride;

		for (int e = 0; e < s->head_pad; e += 16)
			vec_store(s->values + (size_t) (e / PANEL_OUTPUTS * ATTENTION_KEYS + k) * PANEL_OUTPUTS +
					  e % PANEL_OUTPUTS,
					  attention_load(row, e, args->head_size));
	}
}

/* n elements of the cache from `at` on, at most 16, zeros beyond. */
VEC_INLINE vec
cached_load(const attention_source *source, size_t at, int n, const bool f32)
{
	const uint16_t *halves = source->cache;
	uint16_t	padded[16] = {0};

	if (n <= 0)
		return vec_zero();
	if (f32)
		return n >= 16 ? vec_load((const float *) source->cache + at) :
			vec_load_first((const float *) source->cache + at, n);
	if (n >= 16)
		return vec_load_half(halves + at);
	for (int j = 0; j < n; j++)
		padded[j] = halves[at + (size_t) j];
	return vec_load_half(padded);
}

/* Where the 16 keys from position on are in the cache, and their values, in elements. */
VEC_INLINE size_t
cached_keys(const attention_args *args, int position, size_t *values)
{
	const attention_source *source = args->source;
	size_t		slot = (size_t) (position % source->block_size);
	size_t		block = (size_t) source->blocks[position / source->block_size] *
		source->block_stride;

	*values = block + ((size_t) source->block_size + slot) * (size_t) args->head_size;
	return block + slot * (size_t) args->head_size;
}

/* Asks for 16 keys and values ahead: blocks lie anywhere, so that hardware cannot foresee them. */
VEC_INLINE void
prefetch_cache(const attention_args *args, int position, const bool f32)
{
	const char *cache = args->source->cache;
	size_t		size = f32 ? sizeof(float) : sizeof(uint16_t);
	size_t		values;
	size_t		keys;

	if (position >= args->keys)
		return;
	keys = cached_keys(args, position, &values);
	for (size_t i = 0; i < 16 * (size_t) args->head_size * size; i += 64)
	{
		__builtin_prefetch(cache + keys * size + i);
		__builtin_prefetch(cache + values * size + i);
	}
}

/* f32 is a constant at every call. */
VEC_INLINE void
stage_cache(const attention_state *s, const attention_args *args, int first, int count,
			const bool f32)
{
	const attention_source *source = args->source;
	int			head_size = args->head_size;

	for (int k = 0; k < count; k += 16)
	{
		float	   *panel = s->keys + k / PANEL_OUTPUTS * head_size * PANEL_OUTPUTS +
			k % PANEL_OUTPUTS;
		size_t		values;
		size_t		keys = cached_keys(args, first + k, &values);

		prefetch_cache(args, first + k + 16, f32);
		for (int e = 0; e < head_size; e++)
			vec_store(panel + e * PANEL_OUTPUTS, cached_load(source, keys + (size_t) e * 16, 16, f32));
		for (int i = k; i < k + 16 && i < count; i++, values += (size_t) head_size)
		{
			float	   *to = s->values + i * PANEL_OUTPUTS;

			for (int e = 0; e < s->head_pad; e += 16)
				vec_store(to + e / PANEL_OUTPUTS * PANEL_OUTPUTS * ATTENTION_KEYS +
						  e % PANEL_OUTPUTS,
						  cached_load(source, values + (size_t) e, head_size - e, f32));
		}
	}
}

/* Queries [row, row + rows), scaled, to a tile of their own. */
static void
stage_queries(const attention_state *s, const attention_args *args, int row, int rows)
{
	int			stride = args->rows < FLOAT_TILE ? args->rows : FLOAT_TILE;
	float	   *tile = s->queries + row * args->head_size;
	int			e = 0;

	for (; e + 16 <= args->head_size; e += 16)
	{
		float		block[FLOAT_TILE * 16];

		for (int r = 0; r < rows; r++)
			vec_store(block + r * 16, vec_mul(vec_load(args->queries[row + r] + e), vec_set(args->scale)));
		vec_transpose(tile + e * stride, (size_t) stride, block, 16, rows);
	}
	for (; e < args->head_size; e++)
	{
		for (int r = 0; r < rows; r++)
			tile[e * stride + r] = args->queries[row + r][e] * args->scale;
	}
}

#endif							/* RAG_ENGINE_CPU_ATTENTION_STAGE_BODY_H */
