/*
 * distances.c: which functions are distances.
 *
 * Their SQL names are no proof: pgvector, in another database of the same server, has the
 * same ones. So it is looked up which C function is called.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/pg_language.h"
#include "catalog/pg_proc.h"
#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/syscache.h"

#include "type/distances.h"

#define DISTANCES_OF(type) \
	rag_##type##_l2_distance, rag_##type##_negative_inner_product, rag_##type##_cosine_distance, \
	rag_##type##_l1_distance
#define DECLARE_DISTANCES_OF(type) \
	extern Datum rag_##type##_l2_distance(PG_FUNCTION_ARGS); \
	extern Datum rag_##type##_negative_inner_product(PG_FUNCTION_ARGS); \
	extern Datum rag_##type##_cosine_distance(PG_FUNCTION_ARGS); \
	extern Datum rag_##type##_l1_distance(PG_FUNCTION_ARGS)

DECLARE_DISTANCES_OF(vector);
DECLARE_DISTANCES_OF(halfvec);
DECLARE_DISTANCES_OF(sparsevec);
extern Datum rag_hamming_distance(PG_FUNCTION_ARGS);
extern Datum rag_jaccard_distance(PG_FUNCTION_ARGS);

static const PGFunction distances[] = {
	DISTANCES_OF(vector), DISTANCES_OF(halfvec), DISTANCES_OF(sparsevec),
	rag_hamming_distance, rag_jaccard_distance
};

/* In C, under a name that only functions of this library should have. */
static bool
MayBeOurs(Oid function)
{
	HeapTuple	tuple = SearchSysCache1(PROCOID, ObjectIdGetDatum(function));
	Datum		source;
	bool		is_null;
	bool		ours = false;

	if (!HeapTupleIsValid(tuple))
		return false;
	if (((Form_pg_proc) GETSTRUCT(tuple))->prolang == ClanguageId)
	{
		source = SysCacheGetAttr(PROCOID, tuple, Anum_pg_proc_prosrc, &is_null);
		ours = !is_null && strncmp(TextDatumGetCString(source), "rag_", 4) == 0;
	}
	ReleaseSysCache(tuple);
	return ours;
}

bool
IsDistanceFunction(Oid function)
{
	FmgrInfo	info;

	if (!MayBeOurs(function))
		return false;
	fmgr_info(function, &info);
	for (int i = 0; i < lengthof(distances); i++)
	{
		if (info.fn_addr == distances[i])
			return true;
	}
	return false;
}
