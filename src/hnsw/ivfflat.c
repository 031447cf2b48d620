/*
 * ivfflat.c: the access method ivfflat, a second name of hnsw.
 *
 * Databases of pgvector have ivfflat indexes, and so do their dumps and the migrations of
 * applications. Under this name the same graph is built: it needs no rows to be there
 * before, no number of lists, and is searched faster at the same recall. The option lists
 * and the ivfflat.* settings are checked as pgvector checks them and have no effect but its
 * notice; m, ef_construction and the hnsw.* settings do what they do for hnsw.
 */
#include "postgres.h"

#include "access/xact.h"
#include "utils/guc.h"

#include "hnsw/hnsw.h"

#define DEFAULT_LISTS 100
#define MAX_LISTS 32768

typedef struct IvfflatOptions
{
	HnswOptions hnsw;
	int			lists;
} IvfflatOptions;

static relopt_kind option_kind;

static void
DefineOptions(void)
{
	static bool defined = false;

	if (defined)
		return;
	option_kind = add_reloption_kind();
	HnswAddOptions(option_kind);
	add_int_reloption(option_kind, "lists", "Number of inverted lists, which a graph does not have",
					  DEFAULT_LISTS, 1, MAX_LISTS, AccessExclusiveLock);
	defined = true;
}

static bytea *
ivfflatoptions(Datum options, bool validate)
{
	static const relopt_parse_elt table[] = {
		{"m", RELOPT_TYPE_INT, offsetof(IvfflatOptions, hnsw.m)},
		{"ef_construction", RELOPT_TYPE_INT, offsetof(IvfflatOptions, hnsw.ef_construction)},
		{"lists", RELOPT_TYPE_INT, offsetof(IvfflatOptions, lists)},
	};

	return (bytea *) build_reloptions(options, validate, option_kind, sizeof(IvfflatOptions), table,
									  lengthof(table));
}

/* Says what pgvector says of fewer rows than lists, for whoever compares what scripts print.
 * A graph's recall does not suffer. */
static IndexBuildResult *
ivfflatbuild(Relation heap, Relation index, IndexInfo *info)
{
	const IvfflatOptions *options = (const IvfflatOptions *) index->rd_options;
	IndexBuildResult *result = hnswbuild(heap, index, info);

	if (result->index_tuples < (options == NULL ? DEFAULT_LISTS : options->lists))
		ereport(NOTICE,
				(errmsg("ivfflat index created with little data"),
				 errdetail("This will cause low recall."),
				 errhint("Drop the index until the table has more data.")));
	return result;
}

static void
DefineCount(const char *name, const char *description, int *variable, int value)
{
	*variable = value;
	if (!RagSettingIsDefined(name))
		DefineCustomIntVariable(name, description, "It has no effect: the index is a graph.", variable,
								value, 1, MAX_LISTS, PGC_USERSET, 0, NULL, NULL, NULL);
}

/* As settings.c does it with those of hnsw, and at the same time. */
static void
DefineSettings(void)
{
	static const struct config_enum_entry modes[] = {
		{"off", HNSW_ITERATIVE_OFF, false},
		{"relaxed_order", HNSW_ITERATIVE_RELAXED, false},
		{NULL, 0, false}
	};
	static bool defined = false;
	static int	probes;
	static int	max_probes;
	static int	iterative_scan = HNSW_ITERATIVE_OFF;

	if (defined || IsInParallelMode())
		return;
	DefineCount("ivfflat.probes", "Sets the number of probes", &probes, 1);
	DefineCount("ivfflat.max_probes", "Sets the max number of probes for iterative scans",
				&max_probes, MAX_LISTS);
	if (!RagSettingIsDefined("ivfflat.iterative_scan"))
		DefineCustomEnumVariable("ivfflat.iterative_scan", "Sets the mode for iterative scans",
								 "It has no effect: see hnsw.iterative_scan.", &iterative_scan,
								 HNSW_ITERATIVE_OFF, modes, PGC_USERSET, 0, NULL, NULL, NULL);
	RagReserveSettings("ivfflat");
	defined = true;
}

PG_FUNCTION_INFO_V1(rag_ivfflat_handler);
Datum
rag_ivfflat_handler(PG_FUNCTION_ARGS)
{
	IndexAmRoutine *routine = HnswMakeRoutine();

	HnswDefineSettings();
	DefineSettings();
	DefineOptions();
	routine->amsupport = IVFFLAT_PROCS;
	routine->amoptions = ivfflatoptions;
	routine->ambuild = ivfflatbuild;
	PG_RETURN_POINTER(routine);
}
