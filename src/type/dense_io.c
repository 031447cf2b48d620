/*
 * dense_io.c: the text and binary forms of the dense types.
 *
 * The binary form, that of COPY BINARY and of drivers, is the stored one in network
 * byte order: int16 dim, int16 unused = 0, float4 or binary16 for each dimension.
 */
#include "postgres.h"

#include <float.h>
#include <math.h>

#include "libpq/pqformat.h"
#include "port/pg_bswap.h"

#include "type/dense.h"

static Datum
dense_in(FunctionCallInfo fcinfo, const DenseType *type)
{
	const char *input = PG_GETARG_CSTRING(0);
	int32		typmod = PG_GETARG_INT32(2);
	Node	   *escontext = fcinfo->context;
	float	   *values;
	int			dim = DenseParse(type, input, &values, escontext);
	DenseResult result;

	if (dim < 0 || !DenseCheckExpectedDim(typmod, dim, escontext))
		PG_RETURN_NULL();
	result = DenseResultBegin(type, dim);
	memcpy(result.x, values, sizeof(float) * dim);
	pfree(values);
	PG_RETURN_POINTER(DenseResultEnd(type, &result));
}
DENSE_FUNCTION(in)

static Datum
dense_out(FunctionCallInfo fcinfo, const DenseType *type)
{
	Dense	   *value = PG_GETARG_DENSE_P(0);

	PG_RETURN_CSTRING(DenseFormat(DenseFloats(type, value), value->dim));
}
DENSE_FUNCTION(out)

static Datum
dense_typmod_in(FunctionCallInfo fcinfo, const DenseType *type)
{
	PG_RETURN_INT32(DenseTypmodIn(type, PG_GETARG_ARRAYTYPE_P(0)));
}
DENSE_FUNCTION(typmod_in)

/* Elements in network byte order. */
static void
ReadElements(const DenseType *type, const char *bytes, float *x, int dim)
{
	for (int i = 0; i < dim; i++)
	{
		uint32		bits;
		uint16		half_bits;

		if (DenseIsHalf(type))
		{
			memcpy(&half_bits, bytes + i * sizeof(half_bits), sizeof(half_bits));
			x[i] = half_to_float(pg_ntoh16(half_bits));
			continue;
		}
		memcpy(&bits, bytes + i * sizeof(bits), sizeof(bits));
		bits = pg_ntoh32(bits);
		memcpy(&x[i], &bits, sizeof(bits));
	}
}

/* What is not finite is no element of either type, and what is, is one of the type that it was sent
 * as. */
static void
CheckElements(const DenseType *type, const float *x, int dim)
{
	bool		finite = true;

	for (int i = 0; i < dim; i++)
		finite &= fabsf(x[i]) <= FLT_MAX;
	for (int i = 0; i < dim && !finite; i++)
		DenseCheckElement(type, x[i], NULL);
}

static Datum
dense_recv(FunctionCallInfo fcinfo, const DenseType *type)
{
	StringInfo	buffer = (StringInfo) PG_GETARG_POINTER(0);
	int32		typmod = PG_GETARG_INT32(2);
	int16		dim = (int16) pq_getmsgint(buffer, sizeof(int16));
	int16		unused = (int16) pq_getmsgint(buffer, sizeof(int16));
	DenseResult result;

	DenseCheckDim(type, dim, NULL);
	DenseCheckExpectedDim(typmod, dim, NULL);
	if (unused != 0)
		ereport(ERROR,
				(errcode(ERRCODE_DATA_EXCEPTION),
				 errmsg("expected unused to be 0, not %d", unused)));

	result = DenseResultBegin(type, dim);
	ReadElements(type, pq_getmsgbytes(buffer, dim * type->element_size), result.x, dim);
	CheckElements(type, result.x, dim);
	PG_RETURN_POINTER(DenseResultEnd(type, &result));
}
DENSE_FUNCTION(recv)

static Datum
dense_send(FunctionCallInfo fcinfo, const DenseType *type)
{
	Dense	   *value = PG_GETARG_DENSE_P(0);
	StringInfoData buffer;

	pq_begintypsend(&buffer);
	enlargeStringInfo(&buffer, DENSE_SIZE(type, value->dim));
	pq_sendint16(&buffer, value->dim);
	pq_sendint16(&buffer, value->unused);
	for (int i = 0; i < value->dim; i++)
	{
		if (DenseIsHalf(type))
			pq_sendint16(&buffer, ((uint16 *) value->elements)[i]);
		else
			pq_sendfloat4(&buffer, ((float *) value->elements)[i]);
	}
	PG_RETURN_BYTEA_P(pq_endtypsend(&buffer));
}
DENSE_FUNCTION(send)
