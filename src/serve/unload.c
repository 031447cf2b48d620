/*
 * unload.c: models that the engine lets go of when the transaction that dropped them commits.
 *
 * A commit cannot fail any more and should not wait. So the frames are made before; at the commit
 * they are put into a free channel, which is left to the worker: nobody waits for the answer.
 */
#include "postgres.h"

#include "access/xact.h"
#include "utils/memutils.h"

#include "serve/channel.h"
#include "serve/client.h"
#include "serve/frame.h"

typedef struct PendingUnload
{
	int			level;			/* the nesting of the (sub)transaction that wants it */
	char		model[NAMEDATALEN];
	protocol_writer frame;
} PendingUnload;

/* Of this transaction, in its memory. */
static List *pending_unloads = NIL;
static uint32 pending_count = 0;

static void
UnloadCommitted(void)
{
	Channel    *channel = NULL;
	ListCell   *cell;

	foreach(cell, pending_unloads)
	{
		PendingUnload *pending = (PendingUnload *) lfirst(cell);
		protocol_writer *frame = &pending->frame;

		if (channel && RING_SIZE - RingUsed(&channel->request) < frame->length)
		{
			ChannelLeave(channel);
			channel = NULL;
		}
		if (channel == NULL && frame->length <= RING_SIZE)
			channel = ChannelTryClaim(PROTOCOL_UNLOAD, pending->model);
		if (channel == NULL)
			ereport(WARNING,
					(errmsg("model \"%s\" stays in the memory of the model engine", pending->model),
					 errdetail("All channels to the model worker are in use."),
					 errhint("rag.restart_engine() frees it.")));
		else
			RingWrite(&channel->request, frame->data, frame->length);
	}
	if (channel)
		ChannelLeave(channel);
}

static void
UnloadTransactionEnds(XactEvent event, void *argument)
{
	switch (event)
	{
		case XACT_EVENT_COMMIT:
			UnloadCommitted();
			break;
		case XACT_EVENT_ABORT:
		case XACT_EVENT_PREPARE:
			break;
		default:
			return;
	}
	pending_unloads = NIL;
	pending_count = 0;
}

static void
UnloadSubtransactionEnds(SubXactEvent event, SubTransactionId id, SubTransactionId parent, void *argument)
{
	int			level = GetCurrentTransactionNestLevel();
	ListCell   *cell;

	if (event != SUBXACT_EVENT_COMMIT_SUB && event != SUBXACT_EVENT_ABORT_SUB)
		return;
	foreach(cell, pending_unloads)
	{
		PendingUnload *pending = (PendingUnload *) lfirst(cell);

		if (pending->level < level)
			continue;
		if (event == SUBXACT_EVENT_COMMIT_SUB)
			pending->level = level - 1;
		else
			pending_unloads = foreach_delete_current(pending_unloads, cell);
	}
}

void
ClientUnloadAtCommit(const ClientModel *model)
{
	static bool registered = false;
	MemoryContext before;
	ClientRequest request = {.type = PROTOCOL_UNLOAD,.model = model};
	PendingUnload *pending;

	if (channels == NULL)
		return;					/* there is no engine */
	if (!registered)
	{
		RegisterXactCallback(UnloadTransactionEnds, NULL);
		RegisterSubXactCallback(UnloadSubtransactionEnds, NULL);
		registered = true;
	}
	before = MemoryContextSwitchTo(TopTransactionContext);
	pending = palloc0(sizeof(PendingUnload));
	pending->level = GetCurrentTransactionNestLevel();
	strlcpy(pending->model, model->name, NAMEDATALEN);
	pending->frame.resize = FrameResize;
	FrameWrite(&pending->frame, &request, ++pending_count);
	pending_unloads = lappend(pending_unloads, pending);
	MemoryContextSwitchTo(before);
}
