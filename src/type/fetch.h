/*
 * fetch.h: a value as an argument of a distance function: read where it lies, without
 * a copy for each row where that is possible.
 *
 *     FetchRoom   room;
 *     const Dense *a = FetchArgument(fcinfo, 0, &room);
 *
 * What is returned is for reading, and stays as it is until the function returns.
 */
#ifndef RAG_TYPE_FETCH_H
#define RAG_TYPE_FETCH_H

#include "fmgr.h"

#include "rag.h"

/* Where a value with a short header is put, since what follows that is not aligned. */
typedef union FetchRoom
{
	char		bytes[VARATT_SHORT_MAX + VARHDRSZ];
	int64		alignment;
} FetchRoom;

extern const struct varlena *FetchOutOfLine(FunctionCallInfo fcinfo, int n);

/*
 * Loads the memory in front of a value into the second-level cache: the tuples of a heap page
 * lie there in the order of a scan, but the last one first, which no hardware expects. (Of what
 * goes to the first level less can be on its way at a time.)
 */
static inline void
FetchAhead(const char *value, Size size)
{
	for (Size offset = 64; offset < size + 128; offset += 64)
		__builtin_prefetch(value - offset, 0, 2);
}

static inline const void *
FetchArgument(FunctionCallInfo fcinfo, int n, FetchRoom *room)
{
	struct varlena *value = (struct varlena *) DatumGetPointer(PG_GETARG_DATUM(n));

	if (!VARATT_IS_EXTENDED(value))
	{
		if (VARSIZE(value) < BLCKSZ)
			FetchAhead((const char *) value, VARSIZE(value));
		return value;
	}
	/* first: a pointer to a value has a short header too */
	if (VARATT_IS_EXTERNAL(value))
		return VARATT_IS_EXTERNAL_ONDISK(value) && fcinfo->flinfo != NULL ?
			FetchOutOfLine(fcinfo, n) : pg_detoast_datum(value);
	if (VARATT_IS_SHORT(value))
	{
		Size		size = VARSIZE_SHORT(value) - VARHDRSZ_SHORT;

		SET_VARSIZE(room->bytes, size + VARHDRSZ);
		memcpy(room->bytes + VARHDRSZ, VARDATA_SHORT(value), size);
		return room->bytes;
	}
	return pg_detoast_datum(value);
}

#endif							/* RAG_TYPE_FETCH_H */
