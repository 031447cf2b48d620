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

#include <float.h>

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

static HnswSettings settings = {
	.ef_search = 40,
	.iterative_scan = HNSW_ITERATIVE_STRICT,
	.max_scan_tuples = 20000,
	.scan_mem_multiplier = 1.0
};

/* Which of the settings another library has defined. */
static struct
{
	bool		ef_search;
	bool		iterative_scan;
	bool		max_scan_tuples;
	bool		scan_mem_multiplier;
} foreign;

static void
DefineEfSearch(void)
{
	foreign.ef_search = RagSettingIsDefined(NAME_EF_SEARCH);
	if (!foreign.ef_search)
		DefineCustomIntVariable(NAME_EF_SEARCH,
								"Sets the size of the dynamic candidate list for search.",
								"Valid range is 1..1000.", &settings.ef_search, 40, 1,
								HNSW_MAX_EF_SEARCH, PGC_USERSET, 0, NULL, NULL, NULL);
}

static void
DefineIterativeScan(void)
{
	foreign.iterative_scan = RagSettingIsDefined(NAME_ITERATIVE_SCAN);
	if (!foreign.iterative_scan)
		DefineCustomEnumVariable(NAME_ITERATIVE_SCAN, "Sets the mode for iterative scans.",
								 "A scan whose rows were filtered away goes on with further ones: not at "
								 "all, without, or with regard to their order.",
								 &settings.iterative_scan, HNSW_ITERATIVE_STRICT,
								 iterative_scan_options, PGC_USERSET, 0, NULL, NULL, NULL);
}

static void
DefineScanLimits(void)
{
	foreign.max_scan_tuples = RagSettingIsDefined(NAME_MAX_SCAN_TUPLES);
	if (!foreign.max_scan_tuples)
		DefineCustomIntVariable(NAME_MAX_SCAN_TUPLES,
								"Sets the max number of tuples to visit for iterative scans.", NULL,
								&settings.max_scan_tuples, 20000, 1, INT_MAX, PGC_USERSET, 0, NULL,
								NULL, NULL);

	foreign.scan_mem_multiplier = RagSettingIsDefined(NAME_SCAN_MEM_MULTIPLIER);
	if (!foreign.scan_mem_multiplier)
		DefineCustomRealVariable(NAME_SCAN_MEM_MULTIPLIER,
								 "Sets the multiple of work_mem to use for iterative scans.", NULL,
								 &settings.scan_mem_multiplier, 1, 1, 1000, PGC_USERSET, 0, NULL, NULL,
								 NULL);
}

void
HnswDefineSettings(void)
{
	static bool defined = false;

	if (defined)
		return;
	DefineEfSearch();
	DefineIterativeScan();
	DefineScanLimits();
	defined = true;
}

static int
IterativeScanByName(const char *name)
{
	for (const struct config_enum_entry *option = iterative_scan_options; option->name; option++)
	{
		if (strcmp(option->name, name) == 0)
			return option->val;
	}
	return HNSW_ITERATIVE_OFF;
}

/* The value of a setting of another library, as text. */
static const char *
ForeignSetting(const char *name)
{
	return GetConfigOption(name, false, false);
}

void
HnswReadSettings(HnswSettings *read)
{
	*read = settings;
	if (foreign.ef_search)
		read->ef_search = Min(Max(atoi(ForeignSetting(NAME_EF_SEARCH)), 1), HNSW_MAX_EF_SEARCH);
	if (foreign.iterative_scan)
		read->iterative_scan = IterativeScanByName(ForeignSetting(NAME_ITERATIVE_SCAN));
	if (foreign.max_scan_tuples)
		read->max_scan_tuples = Max(atoi(ForeignSetting(NAME_MAX_SCAN_TUPLES)), 1);
	if (foreign.scan_mem_multiplier)
		read->scan_mem_multiplier = Max(strtod(ForeignSetting(NAME_SCAN_MEM_MULTIPLIER), NULL), 1.0);
}
