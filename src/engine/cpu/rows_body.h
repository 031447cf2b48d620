/*
 * rows_body.h: the operations on single rows of activations, written once over `vec`.
 */
#ifndef RAG_ENGINE_CPU_ROWS_BODY_H
#define RAG_ENGINE_CPU_ROWS_BODY_H

#include <math.h>

#include "engine/cpu/kernels.h"
#include "engine/cpu/math_body.h"

/* the 16 floats from i on, zeros beyond the last of n */
VEC_INLINE vec
row_load(const float *x, int i, int n)
{
	return n - i >= 16 ? vec_load(x + i) : vec_load_first(x + i, n - i);
}

VEC_INLINE void
row_store(float *x, vec v, int i, int n)
{
	if (n - i >= 16)
		vec_store(x + i, v);
	else
		vec_store_first(x + i, v, n - i);
}

/* The sum of in and delta; zeros beyond the last column. */
VEC_INLINE vec
norm_input(const norm_args *args, int i)
{
	vec			x = row_load(args->in, i, args->columns);

	return args->delta ? vec_add(x, row_load(args->delta, i, args->columns)) : x;
}

static void
rows_norm(const norm_args *args)
{
	int			n = args->columns;
	vec			total = vec_zero();
	vec			mean = vec_zero();
	vec			squares = vec_zero();
	vec			factor;

	if (args->kind == NORM_LAYER)
	{
		for (int i = 0; i < n; i += 16)
			total = vec_add(total, norm_input(args, i));
		mean = vec_set(vec_sum(total) / (float) n);
	}
	for (int i = 0; i < n; i += 16)
	{
		vec			d = vec_sub(norm_input(args, i), mean);

		if (n - i < 16)
			d = vec_keep_first(d, n - i, vec_zero());
		squares = vec_fma(d, d, squares);
	}
	factor = vec_set(1.0f / sqrtf(vec_sum(squares) / (float) n + args->epsilon));
	/* any of the outputs may be any of the inputs: all of column i is read before it is written */
	for (int i = 0; i < n; i += 16)
	{
		vec			x = norm_input(args, i);
		vec			y = vec_mul(vec_mul(vec_sub(x, mean), factor), row_load(args->weight, i, n));

		if (args->bias != NULL)
			y = vec_add(y, row_load(args->bias, i, n));
		if (args->sum != NULL)
			row_store(args->sum, x, i, n);
		row_store(args->out, y, i, n);
	}
}

static void
rows_gate(float *out, const float *in, int columns)
{
	for (int i = 0; i < columns; i += 16)
	{
		vec			gate = row_load(in, i, columns);
		vec			up = row_load(in + columns, i, columns);

		row_store(out, vec_mul(math_silu(gate), up), i, columns);
	}
}

static void
rows_add(float *to, const float *from, int columns)
{
	for (int i = 0; i < columns; i += 16)
		row_store(to, vec_add(row_load(to, i, columns), row_load(from, i, columns)), i, columns);
}

static void
rows_scale(float *x, float factor, int columns)
{
	for (int i = 0; i < columns; i += 16)
		row_store(x, vec_mul(row_load(x, i, columns), vec_set(factor)), i, columns);
}

static float
rows_squares(const float *x, int columns)
{
	vec			sum = vec_zero();

	for (int i = 0; i < columns; i += 16)
	{
		vec			v = row_load(x, i, columns);

		sum = vec_fma(v, v, sum);
	}
	return vec_sum(sum);
}

#endif							/* RAG_ENGINE_CPU_ROWS_BODY_H */
