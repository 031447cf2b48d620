/*
 * report.c: an engine's error as PostgreSQL's.
 */
#include "postgres.h"

#include "mb/pg_wchar.h"

#include "serve/report.h"

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
