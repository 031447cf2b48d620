/*
 * settings.c: the settings "rag.*".
 */
#include "postgres.h"

#include <dlfcn.h>
#include <limits.h>

#include "miscadmin.h"
#include "storage/latch.h"
#include "utils/guc.h"

#include "rag.h"
#include "engine/protocol.h"
#include "serve/channel.h"
#include "serve/settings.h"

RagSettings rag_settings;

/* The words that rag-engine's --device takes, in the order of this enumeration. */
static const struct config_enum_entry device_choices[] = {
	{"auto", DEVICE_AUTO, false},
	{"cpu", DEVICE_CPU, false},
	{"cuda", DEVICE_CUDA, false},
	{NULL, 0, false}
};

const char *
SettingsDeviceName(int device)
{
	return device_choices[device].name;
}

static bool
SettingsCheckSlowdown(double *value, void **extra, GucSource source)
{
	if (*value == 0 || *value >= 1)
		return true;
	GUC_check_errdetail("It must be 0, or at least 1.");
	return false;
}

/* Read by the worker when it starts an engine: in postgresql.conf only. */
static void
SettingsDefineEngine(void)
{
	const char *when = "Takes effect when the model engine starts; rag.restart_engine() restarts it.";

	DefineCustomIntVariable("rag.threads", "Threads that compute in the model engine, 0 for one per core.",
							when, &rag_settings.threads, 0, 0, 1024, PGC_SIGHUP, 0, NULL, NULL, NULL);
	DefineCustomIntVariable("rag.max_num_batched_tokens",
							"Tokens that one step of the model engine computes at most, 0 for its own choice.",
							when, &rag_settings.max_batched_tokens, 0, 0, 65536, PGC_SIGHUP, 0, NULL, NULL,
							NULL);
	DefineCustomRealVariable("rag.max_prompt_slowdown",
							 "How many times as long a step of the model engine may take as without the prompts in it, 0 for any.",
							 "While sequences generate, prompts are read in pieces as large as this allows. "
							 "Takes effect when the model engine starts; rag.restart_engine() restarts it.",
							 &rag_settings.max_slowdown, 2.5, 0, 1000, PGC_SIGHUP, 0, SettingsCheckSlowdown, NULL,
							 NULL);
	DefineCustomIntVariable("rag.max_queue",
							"Requests that may wait for the model engine, 0 for its own choice.",
							"One role has at most half of the places that the others leave. "
							"Takes effect when the model engine starts; rag.restart_engine() restarts it.",
							&rag_settings.max_queue, 0, 0, 1000000, PGC_SIGHUP, 0, NULL, NULL, NULL);
	DefineCustomIntVariable("rag.engine_timeout",
							"Time after which a model engine that says nothing is ended and started again.",
							"It must be longer than any step that the engine computes. 0 waits for ever.",
							&rag_settings.engine_timeout, 600000, 0, INT_MAX, PGC_SIGHUP, GUC_UNIT_MS, NULL,
							NULL, NULL);
	DefineCustomEnumVariable("rag.device", "Device that models run on.", when, &rag_settings.device,
							 DEVICE_AUTO, device_choices, PGC_SIGHUP, 0, NULL, NULL, NULL);
	DefineCustomIntVariable("rag.cuda_device", "Number of the CUDA device that models run on.", when,
							&rag_settings.cuda_device, 0, 0, 1023, PGC_SIGHUP, 0, NULL, NULL, NULL);
	DefineCustomRealVariable("rag.gpu_memory_utilization",
							 "Share of the CUDA device's memory that models may use.", when,
							 &rag_settings.gpu_memory_utilization, 0.5, 0.01, 1.0, PGC_SIGHUP, 0, NULL, NULL,
							 NULL);
	DefineCustomStringVariable("rag.engine_path", "Program that holds the models.",
							   "Empty means rag-engine beside the library of the extension.",
							   &rag_settings.engine_path, "", PGC_SIGHUP, GUC_SUPERUSER_ONLY, NULL, NULL,
							   NULL);
	DefineCustomStringVariable("rag.preload_models", "Models to load when the model engine starts.",
							   "A list of paths separated by commas; the options of a model follow its path as a JSON object.",
							   &rag_settings.preload_models, "", PGC_SIGHUP, GUC_SUPERUSER_ONLY, NULL,
							   NULL, NULL);
}

/*
 * What a session's role may have at a time: for ALTER ROLE ... SET by a superuser, whose changes
 * the role itself cannot undo.
 */
static void
SettingsDefineRole(void)
{
	DefineCustomIntVariable("rag.role_max_requests",
							"Requests of the session's role that models work on at the same time, 0 for any number.",
							"Further ones wait, those of other roles do not. It counts all sessions of the role.",
							&rag_settings.role_max_requests, 0, 0, INT_MAX, PGC_SUSET, 0, NULL, NULL, NULL);
	DefineCustomIntVariable("rag.role_max_tokens",
							"Tokens that requests of the session's role may hold in models at the same time, 0 for any number.",
							"A request to generate() holds those of its prompt and of the longest answer that it may have.",
							&rag_settings.role_max_tokens, 0, 0, INT_MAX, PGC_SUSET, 0, NULL, NULL, NULL);
}

/* The log is the administrator's. */
static void
SettingsDefineLog(void)
{
	DefineCustomIntVariable("rag.log_min_duration",
							"Logs requests to models that take as long as this, with their phases.",
							"-1 logs none, 0 all.", &rag_settings.log_min_duration, -1, -1, INT_MAX, PGC_SUSET,
							GUC_UNIT_MS, NULL, NULL, NULL);
}

/* What a session may choose. */
static void
SettingsDefineSession(void)
{
	DefineCustomStringVariable("rag.embedding_model", "Model of embed() when a call names none.", NULL,
							   &rag_settings.embedding_model, "", PGC_USERSET, 0, NULL, NULL, NULL);
	DefineCustomStringVariable("rag.generation_model", "Model of generate() when a call names none.", NULL,
							   &rag_settings.generation_model, "", PGC_USERSET, 0, NULL, NULL, NULL);
	DefineCustomIntVariable("rag.max_tokens",
							"Tokens that a call of generate() makes at most, 0 for as many as the model can.",
							NULL, &rag_settings.max_tokens, 1024, 0, INT_MAX, PGC_USERSET, 0, NULL, NULL,
							NULL);
	DefineCustomRealVariable("rag.temperature", "Randomness of generate(), 0 for the likeliest token always.",
							 NULL, &rag_settings.temperature, 0.7, 0.0, 100.0, PGC_USERSET, 0, NULL, NULL,
							 NULL);
	DefineCustomRealVariable("rag.top_p", "Share of the probability that generate() draws from.", NULL,
							 &rag_settings.top_p, 1.0, 1e-6, 1.0, PGC_USERSET, 0, NULL, NULL, NULL);
	DefineCustomIntVariable("rag.top_k", "Number of likeliest tokens that generate() draws from, 0 for all.",
							NULL, &rag_settings.top_k, 0, 0, INT_MAX, PGC_USERSET, 0, NULL, NULL, NULL);
	DefineCustomRealVariable("rag.min_p",
							 "Probability, as a share of the likeliest token's, below which generate() draws no token.",
							 NULL, &rag_settings.min_p, 0.0, 0.0, 1.0, PGC_USERSET, 0, NULL, NULL, NULL);
	DefineCustomIntVariable("rag.priority", "Priority of the session's requests to models; lower runs first.",
							"A level is worth 256 steps of the model to those that wait.",
							&rag_settings.priority, 0, -PROTOCOL_MAX_PRIORITY, PROTOCOL_MAX_PRIORITY, PGC_USERSET, 0,
							NULL, NULL, NULL);
	DefineCustomBoolVariable("rag.gpu_index_build",
							 "Has the model engine's GPU find the neighbours of rows while an hnsw index is built.",
							 "Without a GPU, or when it fails, the index is built as ever.",
							 &rag_settings.gpu_index_build, false, PGC_USERSET, 0, NULL, NULL, NULL);
	DefineCustomIntVariable("rag.channel_timeout", "Time to wait for a free channel to the model worker.",
							"0 means not to wait.", &rag_settings.channel_timeout, 60000, 0, INT_MAX,
							PGC_USERSET, GUC_UNIT_MS, NULL, NULL, NULL);
}

void
SettingsDefine(bool preloading)
{
	SettingsDefineEngine();
	SettingsDefineRole();
	SettingsDefineLog();
	SettingsDefineSession();
	if (!preloading)
		return;
	DefineCustomIntVariable("rag.max_channels", "Sessions that can use models at the same time.",
							"Each takes 64 kB of shared memory.", &rag_settings.max_channels, 64, 1,
							CHANNEL_LIMIT, PGC_POSTMASTER, 0, NULL, NULL, NULL);
	RagReserveSettings("rag");
}

/*
 * The module's own file names the folder: with a staged extension that is not
 * pkglibdir.
 */
char *
SettingsEnginePath(void)
{
	Dl_info		module;
	char	   *path;

	if (rag_settings.engine_path[0] != '\0')
		return pstrdup(rag_settings.engine_path);
	if (dladdr((void *) &rag_settings, &module) == 0 || module.dli_fname == NULL)
		return psprintf("%s/rag-engine", pkglib_path);
	path = pstrdup(module.dli_fname);
	get_parent_directory(path);
	return psprintf("%s/rag-engine", path);
}
