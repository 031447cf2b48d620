/*
 * report.c: an engine's error as PostgreSQL's.
 */
#include "postgres.h"

#include "mb/pg_wchar.h"

#include "serve/activity.h"
#include "serve/report.h"
#include "serve/settings.h"

static int
ReportCode(uint32 code)
{
	switch (code)
	{
		case ENGINE_INVALID:
			return ERRCODE_INVALID_PARAMETER_VALUE;
		case ENGINE_NOT_FOUND:
			return ERRCODE_UNDEFINED_FILE;
		case ENGINE_CORRUPT:
			return ERRCODE_INVALID_BINARY_REPRESENTATION;
		case ENGINE_UNSUPPORTED:
			return ERRCODE_FEATURE_NOT_SUPPORTED;
		case ENGINE_NO_MEMORY:
			return ERRCODE_OUT_OF_MEMORY;
		case ENGINE_TOO_LONG:
			return ERRCODE_PROGRAM_LIMIT_EXCEEDED;
		case ENGINE_FULL:
			return ERRCODE_CONFIGURATION_LIMIT_EXCEEDED;
		case ENGINE_CANCELED:
			return ERRCODE_QUERY_CANCELED;
		case ENGINE_IO:
			return ERRCODE_IO_ERROR;
		case ENGINE_PROTOCOL:
			return ERRCODE_PROTOCOL_VIOLATION;
		case ENGINE_DIED:
			return ERRCODE_SYSTEM_ERROR;
		case ENGINE_DENIED:
			return ERRCODE_INSUFFICIENT_PRIVILEGE;
		default:
			return ERRCODE_INTERNAL_ERROR;
	}
}

static const char *
ReportHint(uint32 code)
{
	switch (code)
	{
		case ENGINE_DIED:
			return "Try again: a new engine is started, with a wait if it ends again and again. The server's log says how the old one ended.";
		case ENGINE_FULL:
			return "Try again later, or raise rag.max_queue.";
		default:
			return NULL;
	}
}

void
ReportSlowRequest(protocol_type type, const char *model, const protocol_usage *usage)
{
	uint64		total = usage->queue_us + usage->compute_us;

	if (rag_settings.log_min_duration < 0 || total < (uint64) rag_settings.log_min_duration * 1000)
		return;
	ereport(LOG,
			(errmsg("request to model \"%s\" took %.3f ms: %s", model, total / 1000.0, ActivityRequestName(type)),
			 type == PROTOCOL_GENERATE ?
			 errdetail("Queue: %.3f ms; prompt: %.3f ms, %u tokens, %u of them cached; answer: %.3f ms, %u tokens.",
					   usage->queue_us / 1000.0, usage->prompt_us / 1000.0, usage->prompt_tokens,
					   usage->cached_tokens, (usage->compute_us - usage->prompt_us) / 1000.0,
					   usage->completion_tokens) :
			 errdetail("Queue: %.3f ms; compute: %.3f ms, %u tokens.", usage->queue_us / 1000.0,
					   usage->compute_us / 1000.0, usage->prompt_tokens)));
}

void
ReportEngineError(uint32 code, const char *message, Size length, const char *model)
{
	char	   *utf8 = pnstrdup(message, length);
	char	   *string = pg_any_to_server(utf8, strlen(utf8), PG_UTF8);
	const char *hint = ReportHint(code);

	ereport(ERROR,
			(errcode(ReportCode(code)),
			 errmsg("%s", string),
			 hint ? errhint("%s", hint) : 0,
			 model[0] != '\0' ? errcontext("model \"%s\"", model) : 0));
	pg_unreachable();
}
