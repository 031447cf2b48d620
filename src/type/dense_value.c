/*
 * dense_value.c: values of the dense types from floats, and back; norm.
 */
#include "postgres.h"

#include <math.h>

#include "simd/simd.h"
#include "type/dense.h"

Dense *
DenseMake(const DenseType *type, int dim)
{
	Dense	   *result;
	Size		size;

	DenseCheckDim(type, dim, NULL);
	size = DENSE_SIZE(type, dim);
	result = palloc0(size);
	SET_VARSIZE(result, size);
	result->dim = dim;
	return result;
}

Dense *
DenseFromFloats(const DenseType *type, const float *values, int dim)
{
	DenseResult result = DenseResultBegin(type, dim);
	int			wrong = 0;

	/* no NaN is within limits either; which element it is, the error says */
	for (int i = 0; i < dim; i++)
	{
		wrong |= !(fabsf(values[i]) <= type->largest);
		result.x[i] = values[i];
	}
	for (int i = 0; i < dim && unlikely(wrong); i++)
		DenseCheckElement(type, values[i], NULL);
	return DenseResultEnd(type, &result);
}

const float *
DenseFloats(const DenseType *type, const Dense *value)
{
	float	   *floats;

	if (!DenseIsHalf(type))
		return (const float *) value->elements;
	floats = palloc(sizeof(float) * value->dim);
	simd_get()->f16_to_f32((const uint16 *) value->elements, floats, value->dim);
	return floats;
}

DenseResult
DenseResultBegin(const DenseType *type, int dim)
{
	DenseResult result = {.value = DenseMake(type, dim), .dim = dim};

	result.x = DenseIsHalf(type) ? palloc0(sizeof(float) * dim) : (float *) result.value->elements;
	return result;
}

Dense *
DenseResultEnd(const DenseType *type, DenseResult *result)
{
	if (DenseIsHalf(type))
	{
		simd_get()->f32_to_f16(result->x, (uint16 *) result->value->elements, result->dim);
		pfree(result->x);
	}
	return result->value;
}

/*
 * In double even the square of the largest float is finite. Four sums, since each
 * addition waits for the one before it.
 */
static double
norm_of_floats(const float *x, int dim)
{
	double		sums[4] = {0};
	int			i = 0;

	for (; i + 4 <= dim; i += 4)
	{
		for (int j = 0; j < 4; j++)
			sums[j] += (double) x[i + j] * (double) x[i + j];
	}
	for (; i < dim; i++)
		sums[0] += (double) x[i] * (double) x[i];
	return sqrt((sums[0] + sums[1]) + (sums[2] + sums[3]));
}

double
DenseNorm(const DenseType *type, const Dense *value)
{
	return norm_of_floats(DenseFloats(type, value), value->dim);
}

Dense *
DenseL2Normalize(const DenseType *type, const Dense *value)
{
	DenseResult result = DenseResultBegin(type, value->dim);
	const float *x = DenseFloats(type, value);
	double		norm = norm_of_floats(x, result.dim);

	/* no element exceeds the norm, so no quotient exceeds 1; zeros are there already */
	for (int i = 0; i < result.dim && norm != 0; i++)
		result.x[i] = (float) (x[i] / norm);
	return DenseResultEnd(type, &result);
}
