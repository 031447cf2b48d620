/*
 * hnsw.c: the access method's handler and its options.
 */
#include "postgres.h"

#include "access/reloptions.h"
#include "commands/progress.h"
#include "utils/builtins.h"

#include "hnsw/hnsw.h"

static relopt_kind option_kind;

void
HnswAddOptions(relopt_kind kind)
{
	add_int_reloption(kind, "m", "Max number of connections", HNSW_DEFAULT_M, HNSW_MIN_M,
					  HNSW_MAX_M, AccessExclusiveLock);
	add_int_reloption(kind, "ef_construction",
					  "Size of the dynamic candidate list for construction",
					  HNSW_DEFAULT_EF_CONSTRUCTION, HNSW_MIN_EF_CONSTRUCTION,
					  HNSW_MAX_EF_CONSTRUCTION, AccessExclusiveLock);
}

static void
DefineOptions(void)
{
	static bool defined = false;

	if (defined)
		return;
	option_kind = add_reloption_kind();
	HnswAddOptions(option_kind);
	defined = true;
}

static bytea *
hnswoptions(Datum options, bool validate)
{
	static const relopt_parse_elt table[] = {
		{"m", RELOPT_TYPE_INT, offsetof(HnswOptions, m)},
		{"ef_construction", RELOPT_TYPE_INT, offsetof(HnswOptions, ef_construction)},
	};

	return (bytea *) build_reloptions(options, validate, option_kind, sizeof(HnswOptions), table,
									  lengthof(table));
}

int
HnswOptionM(Relation index)
{
	const HnswOptions *options = (const HnswOptions *) index->rd_options;

	return options == NULL ? HNSW_DEFAULT_M : options->m;
}

int
HnswOptionEfConstruction(Relation index)
{
	const HnswOptions *options = (const HnswOptions *) index->rd_options;

	return options == NULL ? HNSW_DEFAULT_EF_CONSTRUCTION : options->ef_construction;
}

static char *
hnswbuildphasename(int64 phase)
{
	switch (phase)
	{
		case PROGRESS_CREATEIDX_SUBPHASE_INITIALIZE:
			return "initializing";
		case HNSW_PROGRESS_LOAD:
			return "loading tuples";
		default:
			return NULL;
	}
}

/* What is not set is false, 0 or NULL: not supported. */
IndexAmRoutine *
HnswMakeRoutine(void)
{
	IndexAmRoutine *routine = makeNode(IndexAmRoutine);

	routine->amstrategies = 1;
	routine->amcanorderbyop = true;
	routine->amoptionalkey = true;
	routine->amparallelvacuumoptions = VACUUM_OPTION_PARALLEL_BULKDEL;
	routine->amkeytype = InvalidOid;
	RagCanBuildParallel(routine);

	routine->ambuild = hnswbuild;
	routine->ambuildempty = hnswbuildempty;
	routine->aminsert = hnswinsert;
	routine->ambulkdelete = hnswbulkdelete;
	routine->amvacuumcleanup = hnswvacuumcleanup;
	routine->amcostestimate = hnswcostestimate;
	routine->ambuildphasename = hnswbuildphasename;
	routine->amvalidate = hnswvalidate;
	routine->ambeginscan = hnswbeginscan;
	routine->amrescan = hnswrescan;
	routine->amgettuple = hnswgettuple;
	routine->amendscan = hnswendscan;
	return routine;
}

/* The first use of the access method in a backend comes through here. */
PG_FUNCTION_INFO_V1(rag_hnsw_handler);
Datum
rag_hnsw_handler(PG_FUNCTION_ARGS)
{
	IndexAmRoutine *routine = HnswMakeRoutine();

	HnswDefineSettings();
	DefineOptions();
	routine->amsupport = HNSW_PROCS;
	routine->amoptions = hnswoptions;
	PG_RETURN_POINTER(routine);
}
