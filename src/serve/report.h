/*
 * report.h: an engine's error as PostgreSQL's.
 */
#ifndef RAG_SERVE_REPORT_H
#define RAG_SERVE_REPORT_H

#include "engine/error.h"

/* message is UTF-8, not NUL-terminated; model may be empty. */
_Noreturn extern void ReportEngineError(uint32 code, const char *message, Size length,
										const char *model);

#endif							/* RAG_SERVE_REPORT_H */
