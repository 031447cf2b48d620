/*
 * activity.h: what the sessions of this server ask of models, for the statistics views.
 */
#ifndef RAG_SERVE_ACTIVITY_H
#define RAG_SERVE_ACTIVITY_H

#include "datatype/timestamp.h"
#include "utils/palloc.h"

typedef struct Activity
{
	int			pid;
	Oid			database;
	Oid			role;
	uint32		request;		/* protocol_type */
	char		model[NAMEDATALEN];
	TimestampTz started;
	uint64		sent;			/* requests */
	uint64		finished;
	uint64		prompt_tokens;	/* of the finished ones */
	uint64		generated_tokens;
} Activity;

typedef struct ActivityList
{
	int			count;
	Activity	activity[FLEXIBLE_ARRAY_MEMBER];
} ActivityList;

/* The sessions that are open, each as it was at one moment; none if the module was not preloaded. */
extern ActivityList *ActivityCollect(void);

/* Process numbers of worker and engine, 0 for one that is not there. */
extern void ActivityProcesses(int *worker, int *engine);

#endif							/* RAG_SERVE_ACTIVITY_H */
