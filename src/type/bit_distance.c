/*
 * bit_distance.c: distances of PostgreSQL's own bit strings, over the kernels of
 * src/simd. The bits that fill up the last byte are 0 in every bit string.
 */
#include "postgres.h"

#include "rag.h"
#include "simd/simd.h"
#include "type/bit_distance.h"
#include "type/fetch.h"

void
BitCheckSameLength(const VarBit *a, int length)
{
	if (VARBITLEN(a) != length)
		ereport(ERROR,
				(errcode(ERRCODE_DATA_EXCEPTION),
				 errmsg("different bit lengths %u and %u", VARBITLEN(a), length)));
}

uint64
BitHamming(const VarBit *a, const VarBit *b)
{
	return simd_get()->hamming(VARBITS(a), VARBITS(b), VARBITBYTES(a));
}

/* Nothing in common is as far as it goes, even of two that have nothing at all. */
double
BitJaccard(const VarBit *a, const VarBit *b)
{
	uint64_t	parts[2];

	simd_get()->jaccard_parts(VARBITS(a), VARBITS(b), VARBITBYTES(a), parts);
	return parts[0] == 0 ? 1 : 1 - (double) parts[0] / parts[1];
}

PG_FUNCTION_INFO_V1(rag_hamming_distance);
Datum
rag_hamming_distance(PG_FUNCTION_ARGS)
{
	FetchRoom	rooms[2];
	const VarBit *a = FetchArgument(fcinfo, 0, &rooms[0]);
	const VarBit *b = FetchArgument(fcinfo, 1, &rooms[1]);

	BitCheckSameLength(a, VARBITLEN(b));
	PG_RETURN_FLOAT8(BitHamming(a, b));
}

PG_FUNCTION_INFO_V1(rag_jaccard_distance);
Datum
rag_jaccard_distance(PG_FUNCTION_ARGS)
{
	FetchRoom	rooms[2];
	const VarBit *a = FetchArgument(fcinfo, 0, &rooms[0]);
	const VarBit *b = FetchArgument(fcinfo, 1, &rooms[1]);

	BitCheckSameLength(a, VARBITLEN(b));
	PG_RETURN_FLOAT8(BitJaccard(a, b));
}
