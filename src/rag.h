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

/*
 * Called once by _PG_init. RagServeInit asks for shared memory and registers the
 * model worker when the library is being preloaded; in any other case it only
 * defines the settings.
 */
extern void RagServeInit(void);

#endif							/* RAG_H */
