/*
 * dense_arith.c: values from values: element-wise arithmetic, norm, parts, signs.
 *
 * All is computed in float. The result of an operation on two halves, rounded to float
 * and then to half, is what a half of its own arithmetic would give: a float has more
 * than twice the bits.
 *
 * Where it matters, loops over elements are such that the compiler makes vector
 * instructions of them: no way out in the middle, a bound that no store can change.
 */
#include "postgres.h"

#include <math.h>

#include "utils/float.h"
#include "utils/varbit.h"

#include "type/dense.h"

static Datum
dense_dims(FunctionCallInfo fcinfo, const DenseType *type)
{
	PG_RETURN_INT32(PG_GETARG_DENSE_P(0)->dim);
}
DENSE_FUNCTION(dims)

static Datum
dense_norm(FunctionCallInfo fcinfo, const DenseType *type)
{
	PG_RETURN_FLOAT8(DenseNorm(type, PG_GETARG_DENSE_P(0)));
}
DENSE_FUNCTION(norm)

static Datum
dense_l2_normalize(FunctionCallInfo fcinfo, const DenseType *type)
{
	PG_RETURN_POINTER(DenseL2Normalize(type, PG_GETARG_DENSE_P(0)));
}
DENSE_FUNCTION(l2_normalize)

/* The arguments of an operator, and room for its result of the same dimension. */
typedef struct ArithArgs
{
	const float *a;
	const float *b;
	DenseResult result;
	int			dim;
} ArithArgs;

static ArithArgs
arith_args(FunctionCallInfo fcinfo, const DenseType *type)
{
	Dense	   *a = PG_GETARG_DENSE_P(0);
	Dense	   *b = PG_GETARG_DENSE_P(1);
	ArithArgs	args;

	DenseCheckSameDim(type, a->dim, b->dim);
	args.a = DenseFloats(type, a);
	args.b = DenseFloats(type, b);
	args.dim = a->dim;
	args.result = DenseResultBegin(type, args.dim);
	return args;
}

/* Arguments are finite, so what is infinite now has overflowed. */
static Datum
checked_result(const DenseType *type, ArithArgs *args)
{
	Dense	   *value = DenseResultEnd(type, &args->result);
	int			overflows = 0;

	for (int i = 0; i < args->dim; i++)
		overflows |= isinf(DenseElement(type, value, i)) != 0;
	if (unlikely(overflows))
		float_overflow_error();
	PG_RETURN_POINTER(value);
}

static Datum
dense_add(FunctionCallInfo fcinfo, const DenseType *type)
{
	ArithArgs	args = arith_args(fcinfo, type);

	for (int i = 0; i < args.dim; i++)
		args.result.x[i] = args.a[i] + args.b[i];
	return checked_result(type, &args);
}
DENSE_FUNCTION(add)

static Datum
dense_sub(FunctionCallInfo fcinfo, const DenseType *type)
{
	ArithArgs	args = arith_args(fcinfo, type);

	for (int i = 0; i < args.dim; i++)
		args.result.x[i] = args.a[i] - args.b[i];
	return checked_result(type, &args);
}
DENSE_FUNCTION(sub)

static Datum
dense_mul(FunctionCallInfo fcinfo, const DenseType *type)
{
	ArithArgs	args = arith_args(fcinfo, type);
	Dense	   *value;

	for (int i = 0; i < args.dim; i++)
		args.result.x[i] = args.a[i] * args.b[i];
	value = DenseResultEnd(type, &args.result);
	for (int i = 0; i < args.dim; i++)
	{
		float		product = DenseElement(type, value, i);

		if (unlikely(isinf(product)))
			float_overflow_error();
		if (unlikely(product == 0) && args.a[i] != 0 && args.b[i] != 0)
			float_underflow_error();
	}
	PG_RETURN_POINTER(value);
}
DENSE_FUNCTION(mul)

static Datum
dense_concat(FunctionCallInfo fcinfo, const DenseType *type)
{
	Dense	   *a = PG_GETARG_DENSE_P(0);
	Dense	   *b = PG_GETARG_DENSE_P(1);
	Dense	   *result = DenseMake(type, (int) a->dim + b->dim);
	Size		size = type->element_size;

	memcpy(result->elements, a->elements, size * a->dim);
	memcpy(result->elements + size * a->dim, b->elements, size * b->dim);
	PG_RETURN_POINTER(result);
}
DENSE_FUNCTION(concat)

/*
 * Elements start .. start + count - 1, counted from 1, as far as there are any, in
 * the manner of substring(); in 64 bits, where no start and count overflow.
 */
static Datum
dense_subvector(FunctionCallInfo fcinfo, const DenseType *type)
{
	Dense	   *value = PG_GETARG_DENSE_P(0);
	int64		start = PG_GETARG_INT32(1);
	int64		end = start + PG_GETARG_INT32(2);
	Size		size = type->element_size;
	Dense	   *result;

	start = Max(start, 1);
	end = Min(end, (int64) value->dim + 1);
	/* none left is DenseMake's error of a value without dimensions */
	result = DenseMake(type, (int) Max(end - start, 0));
	memcpy(result->elements, value->elements + size * (start - 1), size * result->dim);
	PG_RETURN_POINTER(result);
}
DENSE_FUNCTION(subvector)

/* A bit for each dimension, the first one in the highest bit: 1 where positive. */
static Datum
dense_binary_quantize(FunctionCallInfo fcinfo, const DenseType *type)
{
	Dense	   *value = PG_GETARG_DENSE_P(0);
	const float *x = DenseFloats(type, value);
	int			dim = value->dim;
	int			size = VARBITTOTALLEN(dim);
	VarBit	   *result = palloc0(size);
	bits8	   *bits = VARBITS(result);

	SET_VARSIZE(result, size);
	VARBITLEN(result) = dim;
	for (int i = 0; i < dim; i++)
		bits[i / BITS_PER_BYTE] |= (x[i] > 0) << (BITS_PER_BYTE - 1 - i % BITS_PER_BYTE);
	PG_RETURN_VARBIT_P(result);
}
DENSE_FUNCTION(binary_quantize)
