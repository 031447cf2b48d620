/*
 * serve.c: the room's part of _PG_init.
 */
#include "postgres.h"

#include "miscadmin.h"

#include "rag.h"
#include "serve/channel.h"
#include "serve/settings.h"
#include "serve/worker.h"

void
RagServeInit(void)
{
	bool		preloading = process_shared_preload_libraries_in_progress;

	SettingsDefine(preloading);
	if (!preloading)
		return;
	ChannelRequestShmem();
	WorkerRegister();
}
