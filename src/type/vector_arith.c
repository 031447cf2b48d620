/*
 * vector_arith.c: vectors from vectors: element-wise arithmetic, norm, parts, signs.
 *
 * Where it matters, loops over elements are such that the compiler makes vector
 * instructions of them: no way out in the middle, a bound that no store can change.
 */
#include "postgres.h"

#include <math.h>

#include "utils/float.h"
#include "utils/varbit.h"

#include "type/vector.h"

PG_FUNCTION_INFO_V1(rag_vector_dims);
Datum
rag_vector_dims(PG_FUNCTION_ARGS)
{
	PG_RETURN_INT32(PG_GETARG_VECTOR_P(0)->dim);
}

/*
 * In double even the square of the largest float is finite. Four sums, since each
 * addition waits for the one before it.
 */
double
VectorNorm(const Vector *v)
{
	double		sums[4] = {0};
	int			i = 0;

	for (; i + 4 <= v->dim; i += 4)
	{
		for (int j = 0; j < 4; j++)
			sums[j] += (double) v->x[i + j] * (double) v->x[i + j];
	}
	for (; i < v->dim; i++)
		sums[0] += (double) v->x[i] * (double) v->x[i];
	return sqrt((sums[0] + sums[1]) + (sums[2] + sums[3]));
}

PG_FUNCTION_INFO_V1(rag_vector_norm);
Datum
rag_vector_norm(PG_FUNCTION_ARGS)
{
	PG_RETURN_FLOAT8(VectorNorm(PG_GETARG_VECTOR_P(0)));
}

Vector *
VectorL2Normalize(const Vector *v)
{
	int			dim = v->dim;
	Vector	   *result = VectorMake(dim);
	double		norm = VectorNorm(v);

	if (norm == 0)
		return result;
	/* no element exceeds the norm, so no quotient exceeds 1 */
	for (int i = 0; i < dim; i++)
		result->x[i] = (float) (v->x[i] / norm);
	return result;
}

PG_FUNCTION_INFO_V1(rag_l2_normalize);
Datum
rag_l2_normalize(PG_FUNCTION_ARGS)
{
	PG_RETURN_VECTOR_P(VectorL2Normalize(PG_GETARG_VECTOR_P(0)));
}

/* Arguments are finite, so what is infinite now has overflowed. */
static void
check_overflow(const Vector *result)
{
	int			dim = result->dim;
	int			overflows = 0;

	for (int i = 0; i < dim; i++)
		overflows |= isinf(result->x[i]) != 0;
	if (unlikely(overflows))
		float_overflow_error();
}

/* The arguments of an operator, and room for its result of the same dimension. */
typedef struct ArithArgs
{
	const Vector *a;
	const Vector *b;
	Vector	   *result;
	int			dim;
} ArithArgs;

static inline ArithArgs
arith_args(FunctionCallInfo fcinfo)
{
	ArithArgs	args = {.a = PG_GETARG_VECTOR_P(0), .b = PG_GETARG_VECTOR_P(1)};

	VectorCheckSameDim(args.a, args.b);
	args.dim = args.a->dim;
	args.result = VectorMake(args.dim);
	return args;
}

PG_FUNCTION_INFO_V1(rag_vector_add);
Datum
rag_vector_add(PG_FUNCTION_ARGS)
{
	ArithArgs	args = arith_args(fcinfo);

	for (int i = 0; i < args.dim; i++)
		args.result->x[i] = args.a->x[i] + args.b->x[i];
	check_overflow(args.result);
	PG_RETURN_VECTOR_P(args.result);
}

PG_FUNCTION_INFO_V1(rag_vector_sub);
Datum
rag_vector_sub(PG_FUNCTION_ARGS)
{
	ArithArgs	args = arith_args(fcinfo);

	for (int i = 0; i < args.dim; i++)
		args.result->x[i] = args.a->x[i] - args.b->x[i];
	check_overflow(args.result);
	PG_RETURN_VECTOR_P(args.result);
}

PG_FUNCTION_INFO_V1(rag_vector_mul);
Datum
rag_vector_mul(PG_FUNCTION_ARGS)
{
	ArithArgs	args = arith_args(fcinfo);

	for (int i = 0; i < args.dim; i++)
	{
		float		product = args.a->x[i] * args.b->x[i];

		if (unlikely(isinf(product)))
			float_overflow_error();
		if (unlikely(product == 0) && args.a->x[i] != 0 && args.b->x[i] != 0)
			float_underflow_error();
		args.result->x[i] = product;
	}
	PG_RETURN_VECTOR_P(args.result);
}

PG_FUNCTION_INFO_V1(rag_vector_concat);
Datum
rag_vector_concat(PG_FUNCTION_ARGS)
{
	Vector	   *a = PG_GETARG_VECTOR_P(0);
	Vector	   *b = PG_GETARG_VECTOR_P(1);
	Vector	   *result = VectorMake((int) a->dim + b->dim);

	memcpy(result->x, a->x, sizeof(float) * a->dim);
	memcpy(result->x + a->dim, b->x, sizeof(float) * b->dim);
	PG_RETURN_VECTOR_P(result);
}

/*
 * Elements start .. start + count - 1, counted from 1, as far as there are any, in
 * the manner of substring(); in 64 bits, where no start and count overflow.
 */
PG_FUNCTION_INFO_V1(rag_subvector);
Datum
rag_subvector(PG_FUNCTION_ARGS)
{
	Vector	   *v = PG_GETARG_VECTOR_P(0);
	int64		start = PG_GETARG_INT32(1);
	int64		end = start + PG_GETARG_INT32(2);
	Vector	   *result;

	start = Max(start, 1);
	end = Min(end, (int64) v->dim + 1);
	/* none left is VectorMake's error of a vector without dimensions */
	result = VectorMake((int) Max(end - start, 0));
	memcpy(result->x, v->x + start - 1, sizeof(float) * result->dim);
	PG_RETURN_VECTOR_P(result);
}

/* A bit for each dimension, the first one in the highest bit: 1 where positive. */
PG_FUNCTION_INFO_V1(rag_binary_quantize);
Datum
rag_binary_quantize(PG_FUNCTION_ARGS)
{
	Vector	   *v = PG_GETARG_VECTOR_P(0);
	int			size = VARBITTOTALLEN(v->dim);
	VarBit	   *result = palloc0(size);
	bits8	   *bits = VARBITS(result);

	SET_VARSIZE(result, size);
	VARBITLEN(result) = v->dim;
	for (int i = 0; i < v->dim; i++)
		bits[i / BITS_PER_BYTE] |= (v->x[i] > 0) << (BITS_PER_BYTE - 1 - i % BITS_PER_BYTE);
	PG_RETURN_VARBIT_P(result);
}
