/*
 * dense_cast.c: casts of the dense types to one another, from and to arrays of numbers,
 * and the length coercion that enforces a column's type modifier.
 */
#include "postgres.h"

#include "catalog/pg_type.h"

#include "type/dense.h"

static Datum
dense_enforce_typmod(FunctionCallInfo fcinfo, const DenseType *type)
{
	Dense	   *value = PG_GETARG_DENSE_P(0);

	DenseCheckExpectedDim(PG_GETARG_INT32(1), value->dim, NULL);
	PG_RETURN_POINTER(value);
}
DENSE_FUNCTION(enforce_typmod)

static Datum
dense_from_array(FunctionCallInfo fcinfo, const DenseType *type)
{
	ArrayType  *array = PG_GETARG_ARRAYTYPE_P(0);
	int			dim = ArrayLength(array);
	float	   *values;
	Dense	   *result;

	/* the dimensions first: a huge array must not be taken apart in vain */
	DenseCheckDim(type, dim, NULL);
	DenseCheckExpectedDim(PG_GETARG_INT32(1), dim, NULL);
	ArrayToFloats(type, array, &values);
	result = DenseFromFloats(type, values, dim);
	pfree(values);
	PG_RETURN_POINTER(result);
}
DENSE_FUNCTION(from_array)

static Datum
dense_to_float4(FunctionCallInfo fcinfo, const DenseType *type)
{
	Dense	   *value = PG_GETARG_DENSE_P(0);
	Datum	   *elements = palloc(sizeof(Datum) * value->dim);
	ArrayType  *result;

	for (int i = 0; i < value->dim; i++)
		elements[i] = Float4GetDatum(DenseElement(type, value, i));
	result = construct_array(elements, value->dim, FLOAT4OID, sizeof(float4), true,
							 TYPALIGN_INT);
	pfree(elements);
	PG_RETURN_ARRAYTYPE_P(result);
}
DENSE_FUNCTION(to_float4)

static Datum
convert(FunctionCallInfo fcinfo, const DenseType *from, const DenseType *to)
{
	Dense	   *value = PG_GETARG_DENSE_P(0);

	DenseCheckDim(to, value->dim, NULL);
	DenseCheckExpectedDim(PG_GETARG_INT32(1), value->dim, NULL);
	PG_RETURN_POINTER(DenseFromFloats(to, DenseFloats(from, value), value->dim));
}

PG_FUNCTION_INFO_V1(rag_vector_to_halfvec);
Datum
rag_vector_to_halfvec(PG_FUNCTION_ARGS)
{
	return convert(fcinfo, &VectorDense, &HalfvecDense);
}

PG_FUNCTION_INFO_V1(rag_halfvec_to_vector);
Datum
rag_halfvec_to_vector(PG_FUNCTION_ARGS)
{
	return convert(fcinfo, &HalfvecDense, &VectorDense);
}
