/*
 * vector_io.c: vectors made, and their text and binary forms.
 *
 * The binary form, that of COPY BINARY and of drivers, is the stored one in network
 * byte order: int16 dim, int16 unused = 0, float4 for each dimension.
 */
#include "postgres.h"

#include "libpq/pqformat.h"

#include "type/vector.h"

const DenseType VectorDense = {
	.name = "vector",
	.max_dim = VECTOR_MAX_DIM,
};

Vector *
VectorMake(int dim)
{
	Vector	   *result;
	Size		size;

	DenseCheckDim(&VectorDense, dim, NULL);
	size = VECTOR_SIZE(dim);
	result = palloc0(size);
	SET_VARSIZE(result, size);
	result->dim = dim;
	return result;
}

Vector *
VectorFromFloats(const float *values, int dim)
{
	Vector	   *result = VectorMake(dim);

	for (int i = 0; i < dim; i++)
	{
		DenseCheckElement(&VectorDense, values[i], NULL);
		result->x[i] = values[i];
	}
	return result;
}

void
VectorCheckSameDim(const Vector *a, const Vector *b)
{
	DenseCheckSameDim(&VectorDense, a->dim, b->dim);
}

PG_FUNCTION_INFO_V1(rag_vector_in);
Datum
rag_vector_in(PG_FUNCTION_ARGS)
{
	const char *input = PG_GETARG_CSTRING(0);
	int32		typmod = PG_GETARG_INT32(2);
	Node	   *escontext = fcinfo->context;
	float	   *values;
	int			dim = DenseParse(&VectorDense, input, &values, escontext);
	Vector	   *result;

	if (dim < 0 || !DenseCheckExpectedDim(typmod, dim, escontext))
		PG_RETURN_NULL();
	result = VectorMake(dim);
	memcpy(result->x, values, sizeof(float) * dim);
	pfree(values);
	PG_RETURN_VECTOR_P(result);
}

PG_FUNCTION_INFO_V1(rag_vector_out);
Datum
rag_vector_out(PG_FUNCTION_ARGS)
{
	Vector	   *vector = PG_GETARG_VECTOR_P(0);

	PG_RETURN_CSTRING(DenseFormat(vector->x, vector->dim));
}

PG_FUNCTION_INFO_V1(rag_vector_typmod_in);
Datum
rag_vector_typmod_in(PG_FUNCTION_ARGS)
{
	PG_RETURN_INT32(DenseTypmodIn(&VectorDense, PG_GETARG_ARRAYTYPE_P(0)));
}

PG_FUNCTION_INFO_V1(rag_vector_recv);
Datum
rag_vector_recv(PG_FUNCTION_ARGS)
{
	StringInfo	buffer = (StringInfo) PG_GETARG_POINTER(0);
	int32		typmod = PG_GETARG_INT32(2);
	int16		dim = (int16) pq_getmsgint(buffer, sizeof(int16));
	int16		unused = (int16) pq_getmsgint(buffer, sizeof(int16));
	Vector	   *result;

	DenseCheckDim(&VectorDense, dim, NULL);
	DenseCheckExpectedDim(typmod, dim, NULL);
	if (unused != 0)
		ereport(ERROR,
				(errcode(ERRCODE_DATA_EXCEPTION),
				 errmsg("expected unused to be 0, not %d", unused)));

	result = VectorMake(dim);
	for (int i = 0; i < dim; i++)
	{
		result->x[i] = pq_getmsgfloat4(buffer);
		DenseCheckElement(&VectorDense, result->x[i], NULL);
	}
	PG_RETURN_VECTOR_P(result);
}

PG_FUNCTION_INFO_V1(rag_vector_send);
Datum
rag_vector_send(PG_FUNCTION_ARGS)
{
	Vector	   *vector = PG_GETARG_VECTOR_P(0);
	StringInfoData buffer;

	pq_begintypsend(&buffer);
	enlargeStringInfo(&buffer, VECTOR_SIZE(vector->dim));
	pq_sendint16(&buffer, vector->dim);
	pq_sendint16(&buffer, vector->unused);
	for (int i = 0; i < vector->dim; i++)
		pq_sendfloat4(&buffer, vector->x[i]);
	PG_RETURN_BYTEA_P(pq_endtypsend(&buffer));
}
