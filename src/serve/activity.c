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
ActivityProcesses(int *worker, int *engine)
{
	ClientCheckPreloaded();
	SpinLockAcquire(&channels->mutex);
	*worker = channels->worker_pid;
	*engine = channels->engine_pid;
	SpinLockRelease(&channels->mutex);
}
