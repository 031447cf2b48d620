/*
 * attention_body.h: softmax(q . K^T) . V with running maxima and sums (Milakov and
 * Gimelshein 2018; Dao et al. 2022), written once over `vec`.
 *
 * A row visits the tiles of keys in order, and in a tile all lanes, keys that it may not
 * see with weight 0. A tile that it does not see at all changes nothing: its maximum and
 * sum stay, and its output is multiplied by 1 and increased by 0. So a row gets the same
 * bits whichever rows keep it company. But 0 times what is no finite number is none: where
 * values that a row may not see hold such, each row takes only those that it may.
 */
#ifndef RAG_ENGINE_CPU_ATTENTION_BODY_H
#define RAG_ENGINE_CPU_ATTENTION_BODY_H

#include <math.h>
#include <string.h>

#include "engine/cpu/float_body.h"

#define KEY_PANELS (ATTENTION_KEYS / PANEL_OUTPUTS)

/* The parts of the scratch memory. head_pad: head_size rounded up to whole panels. */
typedef struct attention_state
{
	int			head_pad;
	float	   *keys;			/* [KEY_PANELS][head_size][32] */
	float	   *values;			/* [head_pad / 32][ATTENTION_KEYS][32] */
	float	   *queries;		/* [rows / 16] tiles of head_size columns */
	float	   *out;			/* [rows / 16][head_pad / 32][16][32] */
	float	   *scores;			/* [KEY_PANELS][16][32] */
	float	   *weights;		/* [16][ATTENTION_KEYS] */
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
	s->weights = s->scores + TILE_ROWS * ATTENTION_KEYS;
	s->sums = s->weights + TILE_ROWS * ATTENTION_KEYS;
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

static void
stage_rows(const attention_state *s, const attention_args *args, int first, int count)
{
	const attention_source *source = args->source;
	size_t		head_size = (size_t) args->head_size;

	for (int k = 0; k < ATTENTION_KEYS; k += 16)
	{
		float	   *panel = s->keys + (size_t) (k / PANEL_OUTPUTS) * head_size * PANEL_OUTPUTS +
			k % PANEL_OUTPUTS;
		const float *row = source->keys + (size_t) (first + k) * source->row_stride;
		size_t		e = 0;

		if (count - k >= 16)
		{
			for (; e + 16 <= head_size; e += 16)
				vec_transpose(panel + e * PANEL_OUTPUTS, PANEL_OUTPUTS, row + e,
							  source->row_stride);
		}
		for (; e < head_size; e++)
		{
			for (int i = 0; i < 16; i++)
				panel[e * PANEL_OUTPUTS + (size_t) i] =
					k + i < count ? row[(size_t) i * source->row_stride + e] : 0.0f;
		}
	}
	for (int k = 0; k < ATTENTION_KEYS; k++)
	{
		const float *row = source->values + (size_t) (first + k) * source->row_stride;

		for (int e = 0; e < s->head_pad; e += 16)
			vec_store(s->values + (size_t) (e / PANEL_OUTPUTS * ATTENTION_KEYS + k) * PANEL_OUTPUTS +
					  e % PANEL_OUTPUTS,
					  k < count ? attention_load(row, e, args->head_size) : vec_zero());
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

	for (int k = 0; k < ATTENTION_KEYS; k += 16)
	{
		float	   *panel = s->keys + k / PANEL_OUTPUTS * head_size * PANEL_OUTPUTS +
			k % PANEL_OUTPUTS;
		int			known = count - k < 16 ? count - k : 16;	/* of these 16 keys */
		size_t		values = 0;
		size_t		keys = 0;

		if (known > 0)
		{
			prefetch_cache(args, first + k + 16, f32);
			keys = cached_keys(args, first + k, &values);
		}
		for (int e = 0; e < head_size; e++)
			vec_store(panel + e * PANEL_OUTPUTS,
					  cached_load(source, keys + (size_t) e * 16, known > 0 ? 16 : 0, f32));
		for (int i = 0; i < 16; i++, values += (size_t) head_size)
		{
			float	   *to = s->values + (k + i) * PANEL_OUTPUTS;

			for (int e = 0; e < s->head_pad; e += 16)
				vec_store(to + e / PANEL_OUTPUTS * PANEL_OUTPUTS * ATTENTION_KEYS +
						  e % PANEL_OUTPUTS,
						  cached_load(source, values + (size_t) e, i < known ? head_size - e : 0,
									  f32));
		}
	}
}

/*
 * One row of scores to weights e^(score - maximum), and what became of its maximum and
 * sum. Returns the factor for what was summed before.
 */
VEC_INLINE float
soften_row(const attention_state *s, int row, int r, int visible)
{
	vec			x[ATTENTION_KEYS / 16];
	vec			greatest;
	vec			maximum;
	vec			sum = vec_zero();
	float		before = s->maxima[row];
	float		after;
	float		factor = 1.0f;

#pragma GCC unroll 4
	for (int i = 0; i < ATTENTION_KEYS / 16; i++)
	{
		x[i] = vec_load(s->scores + (i / 2 * TILE_ROWS + r) * PANEL_OUTPUTS + i % 2 * 16);
		if (visible < (i + 1) * 16)
			x[i] = vec_keep_first(x[i], visible > i * 16 ? visible - i * 16 : 0,
								  vec_set(-INFINITY));
	}
	greatest = vec_max(vec_max(x[0], x[1]), vec_max(x[2], x[3]));
	after = vec_greatest(greatest);
	after = after > before ? after : before;
	maximum = vec_set(after);
#pragma GCC unroll 4
	for (int i = 0; i < ATTENTION_KEYS / 16; i++)
	{
		x[i] = math_exp(vec_sub(x[i], maximum));
		vec_store(s->weights + r * ATTENTION_KEYS + i * 16, x[i]);
		sum = vec_add(sum, x[i]);
	}
	if (after != before)
	{
		float		lanes[16];

		vec_store(lanes, math_exp(vec_set(before - after)));
		factor = lanes[0];
		s->maxima[row] = after;
	}
	vec_store(s->sums + row * 16, vec_fma(vec_load(s->sums + row * 16), vec_set(factor), sum));
	return factor;
}

/* Are the values of these keys of the staged tile finite? */
static bool
values_finite(const attention_state *s, int begin, int end)
{
	vec			sum = vec_zero();

	for (int p = 0; p < s->head_pad / PANEL_OUTPUTS; p++)
	{
		const float *values = s->values + p * ATTENTION_KEYS * PANEL_OUTPUTS;

		for (int i = begin * PANEL_OUTPUTS; i < end * PANEL_OUTPUTS; i += 16)
			sum = vec_fma(vec_load(values + i), vec_zero(), sum);
	}
	return vec_sum(sum) == 0.0f;
}

/* Adds the weighted sums of the values to the output of a tile of queries. visible: of each row, in
 * this tile of keys; at most seen. */
static void
weigh_values(const attention_state *s, float *out, int rows, const int *visible, int seen)
{
	int			least = seen;
	bool		apart;

	for (int r = 0; r < rows; r++)
		least = visible[r] < least ? visible[r] : least;
	apart = !values_finite(s, least, seen);
	for (int p = 0; p < s->head_pad / PANEL_OUTPUTS; p++)
	{
		float	   *sums = out + p * TILE_ROWS * PANEL_OUTPUTS;
		const float *values = s->values + p * ATTENTION_KEYS * PANEL_OUTPUTS;

		if (!apart)
			multiply_tile(sums, s->weights, ATTENTION_KEYS, 1, values, seen, rows, false);
		for (int r = 0; apart && r < rows; r++)
			multiply_tile(sums + r * PANEL_OUTPUTS, s->weights + r * ATTENTION_KEYS, ATTENTION_KEYS,
						  1, values, visible[r], 1, false);
	}
}

/* One tile of queries meets one tile of keys, those from position `first` on. */
static void
attend_tile(const attention_state *s, const attention_args *args, int tile, int first)
{
	int			row = tile * TILE_ROWS;
	int			rows = args->rows - row < TILE_ROWS ? args->rows - row : TILE_ROWS;
	int			stride = args->rows < TILE_ROWS ? args->rows : TILE_ROWS;
	int			visible[TILE_ROWS];
	int			seen = 0;
	float	   *out = s->out + row * s->head_pad;

	for (int r = 0; r < rows; r++)
	{
		int			keys = args->visible[row + r] - first;

		visible[r] = keys < 0 ? 0 : keys < ATTENTION_KEYS ? keys : ATTENTION_KEYS;
		seen = visible[r] > seen ? visible[r] : seen;
	}
	if (seen == 0)
		return;

	memset(s->scores, 0, sizeof(float) * TILE_ROWS * ATTENTION_KEYS);
	for (int p = 0; p * PANEL_OUTPUTS < seen; p++)
		multiply_tile(s->scores + p * TILE_ROWS * PANEL_OUTPUTS,
					  s->queries + row * args->head_size, 1, (size_t) stride,
					  s->keys + p * args->head_size * PANEL_OUTPUTS, args->head_size, rows, false);
	for (int r = 0; r < rows; r++)
	{
		float		factor = soften_row(s, row + r, r, visible[r]);

		if (factor != 1.0f)
		{
			for (int e = 0; e < s->head_pad; e += 16)
			{
				float	   *o = out + (e / PANEL_OUTPUTS * TILE_ROWS + r) * PANEL_OUTPUTS +
					e % PANEL_OUTPUTS;

				vec_store(o, vec_fma(vec_load(o), vec_set(factor), vec_zero()));
			}
		}
	}
	weigh_values(s, out, rows, visible, seen);
}

static void
attention_start(const attention_state *s, const attention_args *args)
{
	int			stride = args->rows < TILE_ROWS ? args->rows : TILE_ROWS;

	for (int row = 0; row < args->rows; row++)
	{
		float	   *tile = s->queries + row / TILE_ROWS * TILE_ROWS * args->head_size +
			row % TILE_ROWS;

		for (int e = 0; e < args->head_size; e++)
			tile[e * stride] = args->queries[row][e] * args->scale;
		s->maxima[row] = -INFINITY;
	}
	memset(s->sums, 0, sizeof(float) * 16 * (size_t) args->rows);
	memset(s->out, 0, sizeof(float) * (size_t) ((args->rows + TILE_ROWS - 1) / TILE_ROWS *
												TILE_ROWS * s->head_pad));
}

static void
attention_finish(const attention_state *s, const attention_args *args)
{
	for (int row = 0; row < args->rows; row++)
	{
		const float *out = s->out + row / TILE_ROWS * TILE_ROWS * s->head_pad;
		vec			factor = vec_set(1.0f / vec_sum(vec_load(s->sums + row * 16)));

		for (int e = 0; e < args->head_size; e += 16)
		{
			vec			o = vec_mul(factor, vec_load(out + (e / PANEL_OUTPUTS * TILE_ROWS +
															row % TILE_ROWS) * PANEL_OUTPUTS +
													 e % PANEL_OUTPUTS));

			if (args->head_size - e >= 16)
				vec_store(args->out[row] + e, o);
			else
				vec_store_first(args->out[row] + e, o, args->head_size - e);
		}
	}
}

static void
attention_attend(const attention_args *args)
{
	attention_state s;
	int			end = 0;

	attention_layout(&s, args);
	attention_start(&s, args);
	for (int r = 0; r < args->rows; r++)
		end = args->visible[r] > end ? args->visible[r] : end;
	for (int first = 0; first < end; first += ATTENTION_KEYS)
	{
		int			count = args->keys - first < ATTENTION_KEYS ? args->keys - first :
			ATTENTION_KEYS;

		if (args->source->cache != NULL && args->source->f32)
			stage_cache(&s, args, first, count, true);
		else if (args->source->cache != NULL)
			stage_cache(&s, args, first, count, false);
		else
			stage_rows(&s, args, first, count);
		for (int tile = 0; tile * TILE_ROWS < args->rows; tile++)
			attend_tile(&s, args, tile, first);
	}
	attention_finish(&s, args);
}

#endif							/* RAG_ENGINE_CPU_ATTENTION_BODY_H */
