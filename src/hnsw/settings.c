/*
 * settings.c: the hnsw.* settings.
 *
 * They become real when the access method is first used in a backend, not when the
 * library is loaded: pgvector, in another database of a server that preloads this
 * library, defines settings of the same names, and a name can be defined only once in
 * a backend. A value that was set before (SET, ALTER ROLE ... SET) waits in the
 * server's placeholder of that name and is checked and taken over here.
 *
 * Should the other library have been first, in this very backend, its setting is used:
 * the names, ranges and meanings are the same.
 */
#include "postgres.h"

#include "access/xact.h"
#include "utils/guc.h"

#include "hnsw/hnsw.h"

static const struct config_enum_entry iterative_scan_options[] = {
	{"off", HNSW_ITERATIVE_OFF, false},
	{"relaxed_order", HNSW_ITERATIVE_RELAXED, false},
	{"strict_order", HNSW_ITERATIVE_STRICT, false},
	{NULL, 0, false}
};

#define NAME_EF_SEARCH "hnsw.ef_search"
#define NAME_ITERATIVE_SCAN "hnsw.iterative_scan"
#define NAME_MAX_SCAN_TUPLES "hnsw.max_scan_tuples"
#define NAME_SCAN_MEM_MULTIPLIER "hnsw.scan_mem_multiplier"

#define DEFAULT_EF_SEARCH 40
#define DEFAULT_ITERATIVE_SCAN HNSW_ITERATIVE_STRICT
#define DEFAULT_MAX_SCAN_TUPLES 20000
#define MAX_SCAN_MEM_MULTIPLIER 1000

static HnswSettings settings = {
	.ef_search = DEFAULT_EF_SEARCH,
	.iterative_scan = DEFAULT_ITERATIVE_SCAN,
	.max_scan_tuples = DEFAULT_MAX_SCAN_TUPLES,
	.scan_mem_multiplier = 1
};

/* Which of the settings are variables of ours; the others are read as text. */
static struct
{
	bool		ef_search;
	bool		iterative_scan;
	bool		max_scan_tuples;
	bool		scan_mem_multiplier;
} ours;

static void
DefineEfSearch(void)
{
	if (RagSettingIsDefined(NAME_EF_SEARCH))
		return;
	DefineCustomIntVariable(NAME_EF_SEARCH,
							"Sets the size of the dynamic candidate list for search",
							"Valid range is 1..1000.", &settings.ef_search, DEFAULT_EF_SEARCH, 1,
							HNSW_MAX_EF_SEARCH, PGC_USERSET, 0, NULL, NULL, NULL);
	ours.ef_search = true;
}

static void
DefineIterativeScan(void)
{
	if (RagSettingIsDefined(NAME_ITERATIVE_SCAN))
		return;
	DefineCustomEnumVariable(NAME_ITERATIVE_SCAN, "Sets the mode for iterative scans",
							 "A scan whose rows were filtered away goes on with further ones: not at "
							 "all, without, or with regard to their order.",
							 &settings.iterative_scan, DEFAULT_ITERATIVE_SCAN, iterative_scan_options,
							 PGC_USERSET, 0, NULL, NULL, NULL);
	ours.iterative_scan = true;
}

static void
DefineMaxScanTuples(void)
{
	if (RagSettingIsDefined(NAME_MAX_SCAN_TUPLES))
		return;
	DefineCustomIntVariable(NAME_MAX_SCAN_TUPLES,
							"Sets the max number of tuples to visit for iterative scans", NULL,
							&settings.max_scan_tuples, DEFAULT_MAX_SCAN_TUPLES, 1, INT_MAX,
							PGC_USERSET, 0, NULL, NULL, NULL);
	ours.max_scan_tuples = true;
}

static void
DefineScanMemMultiplier(void)
{
	if (RagSettingIsDefined(NAME_SCAN_MEM_MULTIPLIER))
		return;
	DefineCustomRealVariable(NAME_SCAN_MEM_MULTIPLIER,
							 "Sets the multiple of work_mem to use for iterative scans", NULL,
							 &settings.scan_mem_multiplier, 1, 1, MAX_SCAN_MEM_MULTIPLIER,
							 PGC_USERSET, 0, NULL, NULL, NULL);
	ours.scan_mem_multiplier = true;
}

/* In a parallel worker a placeholder cannot be taken over, since that would be a change of
 * a setting: the text of its value, which the leader has checked, is read instead. */
void
HnswDefineSettings(void)
{
	static bool defined = false;

	if (defined || IsInParallelMode())
		return;
	DefineEfSearch();
	DefineIterativeScan();
	DefineMaxScanTuples();
	DefineScanMemMultiplier();
	RagReserveSettings("hnsw");
	defined = true;
}

/* The text of a setting as a number, if it is one in range. */
static double
ReadNumber(const char *name, double fallback, double max)
{
	const char *set = GetConfigOption(name, true, false);
	double		value;

	return set != NULL && parse_real(set, &value, 0, NULL) && value >= 1 && value <= max
		? value
		: fallback;
}

static int
ReadIterativeScan(void)
{
	const char *set = GetConfigOption(NAME_ITERATIVE_SCAN, true, false);

	for (const struct config_enum_entry *option = iterative_scan_options; option->name; option++)
	{
		if (set != NULL && pg_strcasecmp(option->name, set) == 0)
			return option->val;
	}
	return DEFAULT_ITERATIVE_SCAN;
}

void
HnswReadSettings(HnswSettings *read)
{
	*read = settings;
	if (!ours.ef_search)
		read->ef_search = (int) ReadNumber(NAME_EF_SEARCH, DEFAULT_EF_SEARCH, HNSW_MAX_EF_SEARCH);
	if (!ours.iterative_scan)
		read->iterative_scan = ReadIterativeScan();
	if (!ours.max_scan_tuples)
		read->max_scan_tuples = (int) ReadNumber(NAME_MAX_SCAN_TUPLES, DEFAULT_MAX_SCAN_TUPLES, INT_MAX);
	if (!ours.scan_mem_multiplier)
		read->scan_mem_multiplier = ReadNumber(NAME_SCAN_MEM_MULTIPLIER, 1, MAX_SCAN_MEM_MULTIPLIER);
}
