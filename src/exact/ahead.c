/*
 * ahead.c: see ahead.h. Nothing is read here but the buffer table: a prefetch of memory
 * neither fails nor tells anything, so no pin or lock is needed on the next page.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/tableam.h"
#include "storage/buf_internals.h"
#include "storage/bufmgr.h"

#include "exact/ahead.h"
#include "type/resident.h"

#define CACHE_LINE 64

void
AheadInit(Ahead *ahead, PlanState *child)
{
	TupleTableSlot *slot;

	memset(ahead, 0, sizeof(Ahead));
	if (!IsA(child, SeqScanState))
		return;
	slot = ((ScanState *) child)->ss_ScanTupleSlot;
	ahead->relation = ((ScanState *) child)->ss_currentRelation;
	if (TTS_IS_BUFFERTUPLE(slot) && !RelationUsesLocalBuffers(ahead->relation))
		ahead->slot = slot;
}

static void
FindNextPage(Ahead *ahead, Buffer buffer, BlockNumber block)
{
	Buffer		next = ResidentBuffer(ahead->relation, block + 1, buffer + 1);

	ahead->buffer = buffer;
	ahead->page = next > 0 ? (const char *) BufferGetPage(next) : NULL;
	if (next > 0)
	{
		__builtin_prefetch(GetBufferDescriptor(next - 1));
		for (int line = 0; line < 4; line++)
			__builtin_prefetch(ahead->page + line * CACHE_LINE);
	}
}

void
AheadLoad(Ahead *ahead)
{
	const BufferHeapTupleTableSlot *slot = (const BufferHeapTupleTableSlot *) ahead->slot;
	const HeapTupleData *tuple;
	Size		start;

	if (slot == NULL || !BufferIsValid(slot->buffer))
		return;
	tuple = slot->base.tuple;
	if (slot->buffer != ahead->buffer)
		FindNextPage(ahead, slot->buffer, ItemPointerGetBlockNumber(&tuple->t_self));
	if (ahead->page == NULL)
		return;
	start = (const char *) tuple->t_data - (const char *) BufferGetPage(slot->buffer);
	for (Size at = start; at < start + tuple->t_len; at += CACHE_LINE)
		__builtin_prefetch(ahead->page + at, 0, 2); /* into the second-level cache: see type/fetch.h */
}
