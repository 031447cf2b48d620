/*
 * activity.c: what the sessions of this server ask of models.
 */
#include "postgres.h"

#include "serve/activity.h"
#include "serve/channel.h"
#include "serve/client.h"

ActivityList *
ActivityCollect(void)
{
	int			limit = channels ? channels->count : 0;
	ActivityList *list = palloc(offsetof(ActivityList, activity) + sizeof(Activity) * limit);

	list->count = 0;
	for (int i = 0; i < limit; i++)
	{
		Channel    *channel = &channels->channel[i];

		if (pg_atomic_read_u32(&channel->state) != CHANNEL_OPEN)
			continue;
		SpinLockAcquire(&channel->mutex);
		list->activity[list->count++] = channel->activity;
		SpinLockRelease(&channel->mutex);
	}
	return list;
}

void
ActivityAdd(ActivityUsage *sum, const protocol_usage *usage)
{
	sum->prompt_tokens += usage->prompt_tokens;
	sum->cached_tokens += usage->cached_tokens;
	sum->generated_tokens += usage->completion_tokens;
	sum->queue_us += usage->queue_us;
	sum->compute_us += usage->compute_us;
}

const char *
ActivityRequestName(uint32 type)
{
	switch (type)
	{
		case PROTOCOL_LOAD:
			return "load";
		case PROTOCOL_UNLOAD:
			return "unload";
		case PROTOCOL_EMBED:
			return "embed";
		case PROTOCOL_RERANK:
			return "rerank";
		case PROTOCOL_COUNT:
			return "token_count";
		case PROTOCOL_GENERATE:
			return "generate";
		case PROTOCOL_VECTORS:
			return "index";
		default:
			return "statistics";
	}
}

void
ActivityProcesses(int *worker, int *engine)
{
	ClientCheckPreloaded();
	SpinLockAcquire(&channels->mutex);
	*worker = channels->worker_pid;
	*engine = channels->engine_pid;
	SpinLockRelease(&channels->mutex);
}
