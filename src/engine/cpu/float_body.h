/*
 * float_body.h: the f32 matrix product, and what surrounds it, written once over `vec`.
 *
 * A file that includes this has included one of the vec_*.h and defined
 *     FLOAT_ROWS      rows that are multiplied at a time
 *     FLOAT_VECS      1 or 2: vectors of a panel's 32 outputs that are held for each
 * so that FLOAT_ROWS * FLOAT_VECS running sums, the panel's vectors and one input fit
 * the register file.
 */
#ifndef RAG_ENGINE_CPU_FLOAT_BODY_H
#define RAG_ENGINE_CPU_FLOAT_BODY_H

#include <math.h>

#include "engine/cpu/kernels.h"
#include "engine/cpu/math_body.h"

VEC_INLINE size_t
element_bytes(const tensor_type type)
{
	return type == TYPE_F32 ? sizeof(float) : sizeof(uint16_t);
}

VEC_INLINE vec
load_elements(const char *b, const tensor_type type)
{
	if (type == TYPE_F16)
		return vec_load_half((const uint16_t *) (const void *) b);
	if (type == TYPE_BF16)
		return vec_load_bfloat((const uint16_t *) (const void *) b);
	return vec_load((const float *) (const void *) b);
}

/* c += column k of rows of a . row k of b. */
VEC_INLINE void
multiply_column(vec c[FLOAT_ROWS][FLOAT_VECS], const float *a, size_t row_stride, const char *b,
				const int rows, const tensor_type type, const bool fetch)
{
	vec			w[FLOAT_VECS];

#pragma GCC unroll 2
	for (int v = 0; v < FLOAT_VECS; v++)
	{
		const char *elements = b + (size_t) v * 16 * element_bytes(type);

		if (fetch)
			__builtin_prefetch(elements + PREFETCH_BYTES);
		w[v] = load_elements(elements, type);
	}
#pragma GCC unroll 16
	for (int r = 0; r < rows; r++)
	{
		vec			x = vec_set(a[(size_t) r * row_stride]);

#pragma GCC unroll 2
		for (int v = 0; v < FLOAT_VECS; v++)
			c[r][v] = vec_fma(x, w[v], c[r][v]);
	}
}

/* sums[r][0..32) += sum over k of a[r * row_stride + k * column_stride] * b[k][0..32); what fresh
 * and ahead are, multiply_args says, but ahead is never NULL. */
typedef struct product
{
	float	   *sums;
	const float *a;
	size_t		row_stride;
	size_t		column_stride;
	const void *b;
	int			columns;
	bool		fresh;
	const float *ahead;
} product;

/* The first FLOAT_VECS vectors of `rows` rows. rows, type and fetch are constants at every call, so
 * the loops over rows disappear. */
VEC_INLINE void
multiply_rows(const product *p, const int rows, const tensor_type type, const bool fetch)
{
	const size_t panel_stride = PANEL_OUTPUTS * element_bytes(type);
	const size_t row_stride = p->row_stride;
	const size_t column_stride = p->column_stride;
	const float *a = p->a;
	const char *b = p->b;
	float	   *sums = p->sums;
	const float *ahead = p->ahead;
	int			columns = p->columns;
	vec			c[FLOAT_ROWS][FLOAT_VECS];
	int			k = 0;

#pragma GCC unroll 16
	for (int r = 0; r < rows; r++)
	{
#pragma GCC unroll 2
		for (int v = 0; v < FLOAT_VECS; v++)
			c[r][v] = p->fresh ? vec_zero() : vec_load(sums + r * PANEL_OUTPUTS + v * 16);
	}
	for (; !fetch && k + 4 <= columns; k += 4, ahead += 16)
	{
		__builtin_prefetch(ahead, 0, 2);
#pragma GCC unroll 4
		for (int i = 0; i < 4; i++, a += column_stride, b += panel_stride)
			multiply_column(c, a, row_stride, b, rows, type, fetch);
	}
	for (; k < columns; k++, a += column_stride, b += panel_stride)
		multiply_column(c, a, row_stride, b, rows, type, fetch);
#pragma GCC unroll 16
	for (int r = 0; r < rows; r++)
	{
#pragma GCC unroll 2
		for (int v = 0; v < FLOAT_VECS; v++)
			vec_store(sums + r * PANEL_OUTPUTS + v * 16, c[r][v]);
	}
}

/* All vectors of all rows of a tile, the rows as evenly cut as FLOAT_ROWS allows; most: how many there
 * can be, a constant. */
VEC_INLINE void
multiply_any(const product *whole, int rows, const int most, const tensor_type type,
			 const bool fetch)
{
	int			passes = (rows + FLOAT_ROWS - 1) / FLOAT_ROWS;

	for (int pass = 0, first = 0; pass < passes; pass++)
	{
		int			count = (rows - first + passes - pass - 1) / (passes - pass);

		for (int v = 0; v < PANEL_OUTPUTS; v += 16 * FLOAT_VECS)
		{
			product		p = *whole;

			p.sums += first * PANEL_OUTPUTS + v;
			p.a += (size_t) first * p.row_stride;
			p.b = (const char *) p.b + (size_t) v * element_bytes(type);
			switch (count)
			{
#define MULTIPLY_CASE(n) \
				case n: \
					if (n <= FLOAT_ROWS && n <= most) \
						multiply_rows(&p, n <= FLOAT_ROWS ? n : 1, type, fetch); \
					break
				MULTIPLY_CASE(1);
				MULTIPLY_CASE(2);
				MULTIPLY_CASE(3);
				MULTIPLY_CASE(4);
				MULTIPLY_CASE(5);
				MULTIPLY_CASE(6);
				MULTIPLY_CASE(7);
				MULTIPLY_CASE(8);
				MULTIPLY_CASE(9);
				MULTIPLY_CASE(10);
				MULTIPLY_CASE(11);
				MULTIPLY_CASE(12);
#undef MULTIPLY_CASE
			}
		}
		first += count;
	}
}

/* Rows of a tile; of 16-bit floats no more than few. */
VEC_INLINE void
multiply_tile(const product *p, int rows, const tensor_type type, bool fetch)
{
	const int	most = type == TYPE_F32 ? FLOAT_TILE : FLOAT_FEW;

	if (fetch)
		multiply_any(p, rows, most, type, true);
	else
		multiply_any(p, rows, most, type, false);
}

static void
float_multiply(const multiply_args *args)
{
	product		p = {
		.sums = args->sums,
		.a = args->tile,
		.row_stride = args->row_stride,
		.column_stride = args->column_stride,
		.b = args->panel,
		.columns = args->columns,
		.fresh = args->fresh,
		.ahead = args->ahead != NULL ? args->ahead : args->panel,
	};

	if (args->type == TYPE_F16)
		multiply_tile(&p, args->rows, TYPE_F16, args->fetch);
	else if (args->type == TYPE_BF16)
		multiply_tile(&p, args->rows, TYPE_BF16, args->fetch);
	else
		multiply_tile(&p, args->rows, TYPE_F32, args->fetch);
}

static void
float_pack(float *tile, int stride, const float *in, int columns, int rows)
{
	int			k = 0;

	/* rows are far apart and the tile was last used by another product: neither is near */
	for (; k + 16 <= columns; k += 16)
	{
		const float *ahead = tile + (size_t) (k + 32) * (size_t) stride;

		for (int r = 0; r < rows; r++)
		{
			__builtin_prefetch(in + k + 64 + (size_t) r * (size_t) columns);
			__builtin_prefetch(ahead + r * 16, 1);
		}
		vec_transpose(tile + (size_t) k * (size_t) stride, (size_t) stride, in + k,
					  (size_t) columns, rows);
	}
	for (; k < columns; k++)
	{
		for (int r = 0; r < rows; r++)
			tile[(size_t) k * (size_t) stride + (size_t) r] =
				in[(size_t) r * (size_t) columns + (size_t) k];
	}
}

VEC_INLINE void
expand_elements(float *out, const uint16_t *in, size_t count, const tensor_type type, bool fetch)
{
	for (size_t i = 0; i < count; i += 16)
	{
		const char *elements = (const char *) (in + i);

		if (fetch)
			__builtin_prefetch(elements + PREFETCH_BYTES);
		vec_store(out + i, load_elements(elements, type));
	}
}

static void
float_expand(float *out, const uint16_t *in, size_t count, tensor_type type, bool fetch)
{
	if (type == TYPE_F16)
		expand_elements(out, in, count, TYPE_F16, fetch);
	else
		expand_elements(out, in, count, TYPE_BF16, fetch);
}

VEC_INLINE vec
apply_epilogue(vec x, const backend_epilogue epilogue)
{
	if (epilogue == EPILOGUE_GELU)
		return math_gelu(x);
	if (epilogue == EPILOGUE_TANH)
		return math_tanh(x);
	return x;
}

VEC_INLINE void
finish_rows(const finish_args *args, const backend_epilogue epilogue)
{
	float		padded[PANEL_OUTPUTS] = {0};

	for (int i = 0; args->bias != NULL && i < args->width; i++)
		padded[i] = args->bias[i];
	for (int r = 0; r < args->rows; r++)
	{
		float	   *out = args->out + (size_t) r * args->out_stride;

		for (int i = 0; i < args->width; i += 16)
		{
			vec			x = vec_load(args->sums + r * PANEL_OUTPUTS + i);

			if (args->bias != NULL)
				x = vec_add(x, vec_load(padded + i));
			x = apply_epilogue(x, epilogue);
			if (args->width - i >= 16)
				vec_store(out + i, x);
			else
				vec_store_first(out + i, x, args->width - i);
		}
	}
}

static void
float_finish(const finish_args *args)
{
	switch (args->epilogue)
	{
		case EPILOGUE_NONE:
			finish_rows(args, EPILOGUE_NONE);
			break;
		case EPILOGUE_GELU:
			finish_rows(args, EPILOGUE_GELU);
			break;
		case EPILOGUE_TANH:
			finish_rows(args, EPILOGUE_TANH);
			break;
	}
}

#endif							/* RAG_ENGINE_CPU_FLOAT_BODY_H */
