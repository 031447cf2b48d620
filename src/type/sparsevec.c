/*
 * sparsevec.c: sparsevecs made and checked, and their binary form.
 *
 * The binary form, that of COPY BINARY and of drivers, is the stored one in network
 * byte order: int32 dim, nnz, unused = 0, the indices, the values.
 */
#include "postgres.h"

#include <float.h>
#include <math.h>

#include "libpq/pqformat.h"

#include "type/sparsevec.h"

const DenseType SparsevecType = {
	.name = "sparsevec",
	.max_dim = SPARSEVEC_MAX_DIM,
	.element_size = sizeof(float),
	.largest = FLT_MAX,
};

void
SparsevecCheckNnz(int nnz, int dim)
{
	if (nnz < 0)
		ereport(ERROR,
				(errcode(ERRCODE_DATA_EXCEPTION),
				 errmsg("sparsevec cannot have negative number of elements")));
	if (nnz > SPARSEVEC_MAX_NNZ)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("sparsevec cannot have more than %d non-zero elements",
						SPARSEVEC_MAX_NNZ)));
	if (nnz > dim)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("sparsevec cannot have more elements than dimensions")));
}

Sparsevec *
SparsevecMake(int dim, int nnz)
{
	Sparsevec  *result;
	Size		size;

	DenseCheckDim(&SparsevecType, dim, NULL);
	SparsevecCheckNnz(nnz, dim);
	size = SPARSEVEC_SIZE(nnz);
	result = palloc0(size);
	SET_VARSIZE(result, size);
	result->dim = dim;
	result->nnz = nnz;
	return result;
}

Sparsevec *
SparsevecFromFloats(const float *values, int dim)
{
	Sparsevec  *result;
	int			nnz = 0;

	for (int i = 0; i < dim; i++)
		nnz += values[i] != 0;
	result = SparsevecMake(dim, nnz);
	nnz = 0;
	for (int i = 0; i < dim; i++)
	{
		DenseCheckElement(&SparsevecType, values[i], NULL);
		if (values[i] == 0)
			continue;
		result->indices[nnz] = i;
		SPARSEVEC_VALUES(result)[nnz++] = values[i];
	}
	return result;
}

double
SparsevecNorm(const Sparsevec *value)
{
	double		sum = 0;

	for (int i = 0; i < value->nnz; i++)
		sum += (double) SPARSEVEC_VALUES(value)[i] * (double) SPARSEVEC_VALUES(value)[i];
	return sqrt(sum);
}

/* What becomes too small for a float is left out, as every zero is. */
Sparsevec *
SparsevecL2Normalize(const Sparsevec *value)
{
	const float *values = SPARSEVEC_VALUES(value);
	double		norm = SparsevecNorm(value);
	Sparsevec  *result;
	int			nnz = 0;

	for (int i = 0; i < value->nnz; i++)
		nnz += (float) (values[i] / norm) != 0;
	result = SparsevecMake(value->dim, nnz);
	nnz = 0;
	for (int i = 0; i < value->nnz; i++)
	{
		float		quotient = (float) (values[i] / norm);

		if (quotient == 0)
			continue;
		result->indices[nnz] = value->indices[i];
		SPARSEVEC_VALUES(result)[nnz++] = quotient;
	}
	return result;
}

PG_FUNCTION_INFO_V1(rag_sparsevec_typmod_in);
Datum
rag_sparsevec_typmod_in(PG_FUNCTION_ARGS)
{
	PG_RETURN_INT32(DenseTypmodIn(&SparsevecType, PG_GETARG_ARRAYTYPE_P(0)));
}

static void
check_index(const int32 *indices, int i, int dim)
{
	if (indices[i] < 0 || indices[i] >= dim)
		ereport(ERROR,
				(errcode(ERRCODE_DATA_EXCEPTION),
				 errmsg("sparsevec index out of bounds")));
	if (i > 0 && indices[i] < indices[i - 1])
		ereport(ERROR,
				(errcode(ERRCODE_DATA_EXCEPTION),
				 errmsg("sparsevec indices must be in ascending order")));
	if (i > 0 && indices[i] == indices[i - 1])
		ereport(ERROR,
				(errcode(ERRCODE_DATA_EXCEPTION),
				 errmsg("sparsevec indices must not contain duplicates")));
}

PG_FUNCTION_INFO_V1(rag_sparsevec_recv);
Datum
rag_sparsevec_recv(PG_FUNCTION_ARGS)
{
	StringInfo	buffer = (StringInfo) PG_GETARG_POINTER(0);
	int32		typmod = PG_GETARG_INT32(2);
	int32		dim = (int32) pq_getmsgint(buffer, sizeof(int32));
	int32		nnz = (int32) pq_getmsgint(buffer, sizeof(int32));
	int32		unused = (int32) pq_getmsgint(buffer, sizeof(int32));
	Sparsevec  *result;

	DenseCheckDim(&SparsevecType, dim, NULL);
	SparsevecCheckNnz(nnz, dim);
	DenseCheckExpectedDim(typmod, dim, NULL);
	if (unused != 0)
		ereport(ERROR,
				(errcode(ERRCODE_DATA_EXCEPTION),
				 errmsg("expected unused to be 0, not %d", unused)));

	result = SparsevecMake(dim, nnz);
	for (int i = 0; i < nnz; i++)
	{
		result->indices[i] = (int32) pq_getmsgint(buffer, sizeof(int32));
		check_index(result->indices, i, dim);
	}
	for (int i = 0; i < nnz; i++)
	{
		float		value = pq_getmsgfloat4(buffer);

		DenseCheckElement(&SparsevecType, value, NULL);
		if (value == 0)
			ereport(ERROR,
					(errcode(ERRCODE_DATA_EXCEPTION),
					 errmsg("binary representation of sparsevec cannot contain zero values")));
		SPARSEVEC_VALUES(result)[i] = value;
	}
	PG_RETURN_POINTER(result);
}

PG_FUNCTION_INFO_V1(rag_sparsevec_send);
Datum
rag_sparsevec_send(PG_FUNCTION_ARGS)
{
	Sparsevec  *value = PG_GETARG_SPARSEVEC_P(0);
	StringInfoData buffer;

	pq_begintypsend(&buffer);
	enlargeStringInfo(&buffer, SPARSEVEC_SIZE(value->nnz));
	pq_sendint32(&buffer, value->dim);
	pq_sendint32(&buffer, value->nnz);
	pq_sendint32(&buffer, value->unused);
	for (int i = 0; i < value->nnz; i++)
		pq_sendint32(&buffer, value->indices[i]);
	for (int i = 0; i < value->nnz; i++)
		pq_sendfloat4(&buffer, SPARSEVEC_VALUES(value)[i]);
	PG_RETURN_BYTEA_P(pq_endtypsend(&buffer));
}
