/*
 * activity.h: what the sessions of this server ask of models, for the statistics views.
 */
#ifndef RAG_SERVE_ACTIVITY_H
#define RAG_SERVE_ACTIVITY_H

#include "datatype/timestamp.h"
#include "utils/palloc.h"

#include "engine/protocol.h"

/* What requests have cost so far. */
typedef struct ActivityUsage
{
	uint64		prompt_tokens;
	uint64		cached_tokens;
	uint64		generated_tokens;
	uint64		queue_us;
	uint64		compute_us;
} ActivityUsage;

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
	TimestampTz last_sent;
	ActivityUsage finished_usage;	/* of the finished ones; the backend's */
	int			running;		/* requests that the engine has begun; the worker's, as the next */
	ActivityUsage running_usage;
} Activity;

typedef struct ActivityList
{
	int			count;
	Activity	activity[FLEXIBLE_ARRAY_MEMBER];
} ActivityList;

/* The sessions that are open, each as it was at one moment; none if the module was not preloaded. */
extern ActivityList *ActivityCollect(void);

extern void ActivityAdd(ActivityUsage *sum, const protocol_usage *usage);

/* "generate", "embed" ... */
extern const char *ActivityRequestName(uint32 type);

/* Process numbers of worker and engine, 0 for one that is not there. */
extern void ActivityProcesses(int *worker, int *engine);

#endif							/* RAG_SERVE_ACTIVITY_H */
