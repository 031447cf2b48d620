/*
 * vector_cast.c: arrays of numbers to vectors, vectors to float4 arrays, and the
 * length coercion that enforces a column's type modifier.
 */
#include "postgres.h"

#include "catalog/pg_type.h"

#include "type/vector.h"

PG_FUNCTION_INFO_V1(rag_vector);
Datum
rag_vector(PG_FUNCTION_ARGS)
{
	Vector	   *vector = PG_GETARG_VECTOR_P(0);

	DenseCheckExpectedDim(PG_GETARG_INT32(1), vector->dim, NULL);
	PG_RETURN_VECTOR_P(vector);
}

PG_FUNCTION_INFO_V1(rag_array_to_vector);
Datum
rag_array_to_vector(PG_FUNCTION_ARGS)
{
	float	   *values;
	int			dim = DenseFromArray(&VectorDense, PG_GETARG_ARRAYTYPE_P(0), PG_GETARG_INT32(1),
									 &values);
	Vector	   *result = VectorFromFloats(values, dim);

	pfree(values);
	PG_RETURN_VECTOR_P(result);
}

PG_FUNCTION_INFO_V1(rag_vector_to_float4);
Datum
rag_vector_to_float4(PG_FUNCTION_ARGS)
{
	Vector	   *vector = PG_GETARG_VECTOR_P(0);
	Datum	   *elements = palloc(sizeof(Datum) * vector->dim);
	ArrayType  *result;

	for (int i = 0; i < vector->dim; i++)
		elements[i] = Float4GetDatum(vector->x[i]);
	result = construct_array(elements, vector->dim, FLOAT4OID, sizeof(float4), true,
							 TYPALIGN_INT);
	pfree(elements);
	PG_RETURN_ARRAYTYPE_P(result);
}
