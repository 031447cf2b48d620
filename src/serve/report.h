/*
 * report.h: an engine's error as PostgreSQL's, and what is logged of requests.
 */
#ifndef RAG_SERVE_REPORT_H
#define RAG_SERVE_REPORT_H

#include "engine/error.h"
#include "engine/protocol.h"

/* message is UTF-8, not NUL-terminated; model may be empty. */
_Noreturn extern void ReportEngineError(uint32 code, const char *message, Size length,
										const char *model);

/* To the server's log, if the request took as long as rag.log_min_duration. */
extern void ReportSlowRequest(protocol_type type, const char *model, const protocol_usage *usage);

#endif							/* RAG_SERVE_REPORT_H */
