/*
 * space.c: room for nodes, and getting it back.
 *
 * The free space map holds, for a page of nodes, the room that it has or will have
 * once its deleted nodes can go, and a whole page for a free one. It is only a hint:
 * what is on a page is looked at under its lock.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/xact.h"
#include "miscadmin.h"
#include "storage/freespace.h"
#include "storage/indexfsm.h"
#include "storage/lmgr.h"

#include "hnsw/hnsw.h"

/* Only a page that is all free is recorded with so much room. */
#define WHOLE_PAGE MaxHeapTupleSize

/* The page is locked before anybody else can see it. An index that nobody else knows of yet may
 * still have several processes building it. */
static Buffer
ExtendIndex(Relation index, ForkNumber fork)
{
	Buffer		buffer;
	bool		shared = !RELATION_IS_LOCAL(index) || IsInParallelMode();

	if (shared)
		LockRelationForExtension(index, ExclusiveLock);
	buffer = ReadBufferExtended(index, fork, P_NEW, RBM_ZERO_AND_LOCK, NULL);
	if (shared)
		UnlockRelationForExtension(index, ExclusiveLock);
	return buffer;
}

static bool
PageIsFree(Page page)
{
	return PageIsNew(page) || HnswPageIs(page, HNSW_PAGE_FREE);
}

/*
 * The caller may hold locks on other pages, so this never waits for one: somebody who
 * holds a page that the map calls free is about to use it.
 */
Buffer
HnswFreeBuffer(Relation index, ForkNumber fork)
{
	while (fork == MAIN_FORKNUM)
	{
		BlockNumber block = GetPageWithFreeSpace(index, WHOLE_PAGE);
		Buffer		buffer;

		CHECK_FOR_INTERRUPTS();
		if (block == InvalidBlockNumber)
			break;
		RecordUsedIndexPage(index, block);
		buffer = ReadBuffer(index, block);
		if (ConditionalLockBuffer(buffer))
		{
			if (PageIsFree(BufferGetPage(buffer)))
				return buffer;
			LockBuffer(buffer, BUFFER_LOCK_UNLOCK);
		}
		ReleaseBuffer(buffer);
	}
	return ExtendIndex(index, fork);
}

/* The room that a page has, or will have once its deleted nodes are reclaimed. */
static Size
RoomToCome(Page page)
{
	Size		room = PageGetFreeSpace(page);
	OffsetNumber last = PageGetMaxOffsetNumber(page);

	for (OffsetNumber offset = FirstOffsetNumber; offset <= last; offset++)
	{
		HnswNodeTuple *node = HnswPageNodeAt(page, offset);

		if (node != NULL && node->deleted)
			room += ItemIdGetLength(PageGetItemId(page, offset));
	}
	return room;
}

/* Pages that hold the value of a node that is being removed become free. */
static void
FreeValuePages(HnswEdit *edit, const HnswNodeTuple *node, HnswNode owner)
{
	for (int i = 0; i < node->value_pages; i++)
	{
		Buffer		buffer = ReadBuffer(edit->index, node->value_block[i]);
		Page		page = BufferGetPage(buffer);

		LockBuffer(buffer, BUFFER_LOCK_EXCLUSIVE);
		if (HnswPageIs(page, HNSW_PAGE_VALUE) && HnswPageGetValue(page)->owner == owner)
			HnswPageInit(HnswEditPage(edit, buffer), HNSW_PAGE_FREE);
		else
			UnlockReleaseBuffer(buffer);
	}
}

/* One WAL record: the node goes, and its pages with it. */
static void
RemoveNode(Relation index, Buffer buffer, OffsetNumber offset)
{
	HnswEdit	edit;
	Page		page;
	HnswNodeTuple *node;
	BlockNumber freed[HNSW_MAX_VALUE_PAGES];
	int			freed_count;

	HnswEditBegin(&edit, index, false);
	edit.keep = buffer;
	page = HnswEditPage(&edit, buffer);
	node = HnswPageNodeAt(page, offset);
	freed_count = node->value_pages;
	memcpy(freed, node->value_block, sizeof(freed));
	FreeValuePages(&edit, node,
				   HnswRefMake(BufferGetBlockNumber(buffer), offset, node->version));
	PageIndexTupleDeleteNoCompact(page, offset);
	PageSetHasFreeLinePointers(page);
	HnswPageGetTail(page)->version++;
	HnswEditEnd(&edit);
	for (int i = 0; i < freed_count; i++)
		RecordFreeIndexPage(index, freed[i]);
}

int
HnswReclaimPage(Relation index, Buffer buffer)
{
	Page		page = BufferGetPage(buffer);
	int			removed = 0;

	for (OffsetNumber offset = PageGetMaxOffsetNumber(page); offset >= FirstOffsetNumber; offset--)
	{
		HnswNodeTuple *node = HnswPageNodeAt(page, offset);

		if (node != NULL && node->deleted && RagXidIsPast(node->deleted_at))
		{
			RemoveNode(index, buffer, offset);
			removed++;
		}
	}
	return removed;
}

/* Does the page have the room? Deleted nodes are removed only if it has not. */
static bool
HasRoom(Relation index, Buffer buffer, Size size)
{
	Page		page = BufferGetPage(buffer);

	if (PageIsFree(page))
		return true;
	if (!HnswPageIs(page, HNSW_PAGE_NODES))
		return false;
	return PageGetFreeSpace(page) >= size ||
		(RoomToCome(page) >= size && HnswReclaimPage(index, buffer) > 0 &&
		 PageGetFreeSpace(page) >= size);
}

/* Where to look first: where the last node went, else where the map says, else the end. */
static BlockNumber
FirstBlockToTry(Relation index, Size size)
{
	BlockNumber block = RelationGetTargetBlock(index);

	if (block == InvalidBlockNumber)
		block = GetPageWithFreeSpace(index, size);
	if (block == InvalidBlockNumber)
		block = RelationGetNumberOfBlocks(index) - 1;
	return block;
}

Buffer
HnswBufferWithRoom(Relation index, Size size)
{
	BlockNumber block = FirstBlockToTry(index, size);
	Buffer		buffer;

	while (block != InvalidBlockNumber)
	{
		Page		page;
		Size		room;

		CHECK_FOR_INTERRUPTS();
		buffer = ReadBuffer(index, block);
		LockBuffer(buffer, BUFFER_LOCK_EXCLUSIVE);
		if (HasRoom(index, buffer, size))
		{
			RelationSetTargetBlock(index, block);
			return buffer;
		}
		page = BufferGetPage(buffer);
		room = HnswPageIs(page, HNSW_PAGE_NODES) ? PageGetFreeSpace(page) : 0;
		UnlockReleaseBuffer(buffer);
		block = RecordAndGetPageWithFreeSpace(index, block, room, size);
	}
	buffer = HnswFreeBuffer(index, MAIN_FORKNUM);
	RelationSetTargetBlock(index, BufferGetBlockNumber(buffer));
	return buffer;
}

void
HnswRecordRoom(Relation index, Buffer buffer)
{
	Page		page = BufferGetPage(buffer);
	BlockNumber block = BufferGetBlockNumber(buffer);
	HnswEdit	edit;

	if (HnswPageHasItems(page))
	{
		RecordPageWithFreeSpace(index, block, RoomToCome(page));
		return;
	}
	HnswEditBegin(&edit, index, false);
	edit.keep = buffer;
	HnswPageInit(HnswEditPage(&edit, buffer), HNSW_PAGE_FREE);
	HnswEditEnd(&edit);
	RecordFreeIndexPage(index, block);
}
