/*
 * rag.c: the module's entry point.
 */
#include "postgres.h"

#include "fmgr.h"

#include "rag.h"

PG_MODULE_MAGIC;

void		_PG_init(void);

void
_PG_init(void)
{
	RagExactInit();
	RagServeInit();
	RagPlanInit();
}
