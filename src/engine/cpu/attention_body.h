/*
 * attention_body.h: softmax(q . K^T) . V with running maxima and sums (Milakov and
 * Gimelshein 2018; Dao et al. 2022), written once over `vec`.
 *
 * A row visits the tiles of keys in order, and in a tile all keys that some row sees, those
 * that it may not see itself with weight 0. A tile that it does not see at all changes
 * nothing: its maximum and sum stay, and its output is multiplied by 1 and increased by 0. So
 * a row gets the same bits whichever rows keep it company. But 0 times what is no finite
 * number is none: where values that a row may not see hold such, each row takes only those
 * that it may.
 */
#ifndef RAG_ENGINE_CPU_ATTENTION_BODY_H
#define RAG_ENGINE_CPU_ATTENTION_BODY_H

#include <math.h>
#include <string.h>

#include "engine/cpu/attention_stage_body.h"
#include "engine/cpu/float_body.h"

/* 16 scores of row r of a tile; -infinity for keys that it may not see. */
VEC_INLINE vec
score_load(const attention_state *s, int r, int key, int visible)
{
	vec			x = vec_load(s->scores + (key / PANEL_OUTPUTS * FLOAT_TILE + r) * PANEL_OUTPUTS +
							 key % PANEL_OUTPUTS);

	if (visible < key + 16)
		x = vec_keep_first(x, visible > key ? visible - key : 0, vec_set(-INFINITY));
	return x;
}

/*
 * The scores of a tile to weights e^(score - maximum), and what became of the maximum and sum of
 * each row from `row` on. Keys from `seen` on are of no account: no row sees them. factors: for what
 * was summed before.
 */
VEC_INLINE void
soften_tile(const attention_state *s, int row, int rows, const int *visible, int seen,
			float *factors)
{
	float		change[16] = {0};

	for (int r = 0; r < rows; r++)
	{
		float		before = s->maxima[row + r];
		vec			greatest = score_load(s, r, 0, visible[r]);

		for (int k = 16; k < seen; k += 16)
			greatest = vec_max(greatest, score_load(s, r, k, visible[r]));
		s->maxima[row + r] = vec_greatest(greatest);
		if (!(s->maxima[row + r] > before))
			s->maxima[row + r] = before;
		change[r] = before - s->maxima[row + r];
	}
	vec_store(factors, math_exp(vec_load(change)));
	for (int r = 0; r < rows; r++)
	{
		float	   *sums = s->sums + (row + r) * 16;
		vec			sum = vec_zero();

		for (int k = 0; k < seen; k += 16)
		{
			vec			x = math_exp(vec_sub(score_load(s, r, k, visible[r]),
											 vec_set(s->maxima[row + r])));

			vec_store(s->weights + r * ATTENTION_KEYS + k, x);
			sum = vec_add(sum, x);
		}
		vec_store(sums, vec_fma(vec_load(sums), vec_set(factors[r]), sum));
	}
}

/* The output of a tile of queries, by the factor of each row. */
static void
scale_tile(const attention_state *s, float *out, int rows, const float *factors)
{
	for (int r = 0; r < rows; r++)
	{
		for (int e = 0; e < s->head_pad && factors[r] != 1.0f; e += 16)
		{
			float	   *o = out + (e / PANEL_OUTPUTS * FLOAT_TILE + r) * PANEL_OUTPUTS +
				e % PANEL_OUTPUTS;

			vec_store(o, vec_fma(vec_load(o), vec_set(factors[r]), vec_zero()));
		}
	}
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
weigh_values(const attention_state *s, float *out, int rows, const int *visible, int seen,
			 bool fresh)
{
	int			least = seen;
	bool		apart;

	for (int r = 0; r < rows; r++)
		least = visible[r] < least ? visible[r] : least;
	apart = !values_finite(s, least, seen);
	for (int p = 0; p < s->head_pad / PANEL_OUTPUTS; p++)
	{
		product		all = {
			.sums = out + p * FLOAT_TILE * PANEL_OUTPUTS,
			.a = s->weights,
			.row_stride = ATTENTION_KEYS,
			.column_stride = 1,
			.b = s->values + p * ATTENTION_KEYS * PANEL_OUTPUTS,
			.columns = seen,
			.fresh = fresh,
			.ahead = s->values,
		};

		if (!apart)
			multiply_tile(&all, rows, TYPE_F32, false);
		for (int r = 0; apart && r < rows; r++)
		{
			product		one = all;

			one.sums += r * PANEL_OUTPUTS;
			one.a += r * ATTENTION_KEYS;
			one.columns = visible[r];
			multiply_tile(&one, 1, TYPE_F32, false);
		}
	}
}

/* One tile of queries meets one tile of keys, those from position `first` on. */
static void
attend_tile(const attention_state *s, const attention_args *args, int tile, int first)
{
	int			row = tile * FLOAT_TILE;
	int			rows = args->rows - row < FLOAT_TILE ? args->rows - row : FLOAT_TILE;
	int			stride = args->rows < FLOAT_TILE ? args->rows : FLOAT_TILE;
	int			visible[FLOAT_TILE];
	float		factors[16];
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

	for (int p = 0; p * PANEL_OUTPUTS < seen; p++)
		multiply_tile(&(product)
		{
			.sums = s->scores + p * FLOAT_TILE * PANEL_OUTPUTS,
			.a = s->queries + row * args->head_size,
			.row_stride = 1,
			.column_stride = (size_t) stride,
			.b = s->keys + p * args->head_size * PANEL_OUTPUTS,
			.columns = args->head_size,
			.fresh = true,
			.ahead = s->keys,
		}, rows, TYPE_F32, false);
	/* where all is seen the loops have a known end */
	if (seen == ATTENTION_KEYS)
		soften_tile(s, row, rows, visible, ATTENTION_KEYS, factors);
	else
		soften_tile(s, row, rows, visible, seen, factors);
	if (first > 0)
		scale_tile(s, out, rows, factors);
	weigh_values(s, out, rows, visible, seen, first == 0);
}

static void
attention_start(const attention_state *s, const attention_args *args)
{
	for (int row = 0; row < args->rows; row += FLOAT_TILE)
		stage_queries(s, args, row, args->rows - row < FLOAT_TILE ? args->rows - row : FLOAT_TILE);
	for (int row = 0; row < args->rows; row++)
	{
		s->maxima[row] = -INFINITY;
		for (int e = 0; e < args->head_size; e += 16)
			__builtin_prefetch(args->out[row] + e, 1);
	}
	memset(s->sums, 0, sizeof(float) * 16 * (size_t) args->rows);
}

static void
attention_finish(const attention_state *s, const attention_args *args)
{
	for (int row = 0; row < args->rows; row++)
	{
		const float *out = s->out + row / FLOAT_TILE * FLOAT_TILE * s->head_pad;
		vec			factor = vec_set(1.0f / vec_sum(vec_load(s->sums + row * 16)));

		for (int e = 0; e < args->head_size; e += 16)
		{
			vec			o = vec_mul(factor, vec_load(out + (e / PANEL_OUTPUTS * FLOAT_TILE +
															row % FLOAT_TILE) * PANEL_OUTPUTS +
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
		for (int tile = 0; tile * FLOAT_TILE < args->rows; tile++)
			attend_tile(&s, args, tile, first);
	}
	attention_finish(&s, args);
}

#endif							/* RAG_ENGINE_CPU_ATTENTION_BODY_H */
