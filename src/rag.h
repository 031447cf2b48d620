/*
 * rag.h: what every PostgreSQL room of the extension shares.
 *
 * The settings, and the only tests of PG_VERSION_NUM in the tree. Rooms include
 * this after "postgres.h".
 */
#ifndef RAG_H
#define RAG_H

#if PG_VERSION_NUM < 130000
#error "rag needs PostgreSQL 13 or later"
#endif

/* Errors of type input that the caller may want saved, not raised: since 16. */
#if PG_VERSION_NUM < 160000
#define ereturn(context, value, ...) \
	do \
	{ \
		(void) (context); \
		ereport(ERROR, __VA_ARGS__); \
	} while (0)
#endif

/* Asking for shared memory: in a hook of its own since 15, in _PG_init before. */
#if PG_VERSION_NUM >= 150000
#define RAG_SHMEM_REQUEST_HOOK 1
#endif

/* The owner of a set of wait events: a resource owner since 17, a memory context before. */
#if PG_VERSION_NUM >= 170000
#define RagCreateWaitEventSet(count) CreateWaitEventSet(NULL, (count))
#define RagWaitEvent(name) WaitEventExtensionNew(name)
#else
#define RagCreateWaitEventSet(count) CreateWaitEventSet(TopMemoryContext, (count))
#define RagWaitEvent(name) PG_WAIT_EXTENSION
#endif

/* Settings below "rag." that nobody has defined are an error, once all are defined. */
#if PG_VERSION_NUM >= 150000
#define RagReserveSettings() MarkGUCPrefixReserved("rag")
#else
#define RagReserveSettings() EmitWarningsOnPlaceholders("rag")
#endif

/* The role of monitors has had its name since 14. */
#if PG_VERSION_NUM < 140000
#define ROLE_PG_READ_ALL_STATS DEFAULT_ROLE_READ_ALL_STATS
#endif

/* Where a worker's SIGHUP handler and its flag are declared. */
#include "postmaster/interrupt.h"

/*
 * Called once by _PG_init. RagServeInit asks for shared memory and registers the
 * model worker when the library is being preloaded; in any other case it only
 * defines the settings.
 */
extern void RagServeInit(void);

#endif							/* RAG_H */
