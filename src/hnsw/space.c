/*
 * space.c: room for nodes and their parts.
 *
 * A deleted node is not removed. Its place, its value and the places of its parts stay as
 * they are until a new node takes all of them over at once, with one version more. So
 * nothing but the deleted mark says what is free, and pages of links and of fine parts
 * only ever fill up.
 *
 * The free space map tells pages with deleted nodes and free pages from all others. It is
 * only a hint: what is on a page is looked at under its lock.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/xact.h"
#include "miscadmin.h"
#include "storage/freespace.h"
#include "storage/indexfsm.h"
#include "storage/lmgr.h"

#include "hnsw/pages.h"

/* Only a page that is all free is recorded with so much room. */
#define WHOLE_PAGE MaxHeapTupleSize
/* A page with deleted nodes, whatever their size. */
#define SOME_DELETED (BLCKSZ / 2)

/* Pages to look at for a place, before the index grows. */
#define MAX_TRIES 8

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

/* ---- items ---- */

Buffer
HnswBufferForItem(Relation index, HnswPageKind kind, Size size, Buffer held)
{
	HnswMeta	meta;
	Buffer		buffer;

	HnswReadMeta(index, &meta);
	if (meta.last[kind] == InvalidBlockNumber)
		return HnswFreeBuffer(index, MAIN_FORKNUM);
	buffer = ReadBuffer(index, meta.last[kind]);
	/* who holds a page of a kind must not wait for another one */
	if (held == InvalidBuffer)
		LockBuffer(buffer, BUFFER_LOCK_EXCLUSIVE);
	else if (buffer == held || !ConditionalLockBuffer(buffer))
	{
		ReleaseBuffer(buffer);
		return HnswFreeBuffer(index, MAIN_FORKNUM);
	}
	if (HnswPageIs(BufferGetPage(buffer), kind) &&
		PageGetFreeSpace(BufferGetPage(buffer)) >= MAXALIGN(size))
		return buffer;
	UnlockReleaseBuffer(buffer);
	return HnswFreeBuffer(index, MAIN_FORKNUM);
}

ItemPointerData
HnswPutItem(HnswEdit *edit, Buffer buffer, HnswPageKind kind, const void *item, Size size, bool *fresh)
{
	HnswEditedPage *page = HnswEditPage(edit, buffer);
	ItemPointerData at;

	*fresh = !HnswPageIs(page->page, kind);
	if (*fresh)
		HnswEditInit(page, kind);
	ItemPointerSet(&at, BufferGetBlockNumber(buffer), HnswEditAddItem(page, item, size));
	return at;
}

/* ---- places of nodes ---- */

/* Is there a node that no scan can be at, whose place has room for the new one? */
static bool
MayTake(Page page, OffsetNumber offset, const HnswShape *shape)
{
	const HnswNodeTuple *node = HnswPageNodeAt(page, offset);

	return node != NULL && node->deleted && HnswNodeValuePages(node) == shape->value_pages &&
		ItemIdGetLength(PageGetItemId(page, offset)) >= shape->node_size &&
		RagXidIsPast(node->u.deleted_at);
}

/* The one with the least room for links that is enough; or else any, which then gets another
 * item for them, as long as one WAL record can hold both. */
static OffsetNumber
DeletedPlace(Page page, const HnswShape *shape, int level)
{
	OffsetNumber best = InvalidOffsetNumber;
	int			best_level = 0;

	for (OffsetNumber offset = FirstOffsetNumber; offset <= PageGetMaxOffsetNumber(page); offset++)
	{
		int			room;

		if (!MayTake(page, offset, shape))
			continue;
		room = HnswPageNodeAt(page, offset)->room_level;
		if (room < level && shape->value_pages >= HNSW_MAX_VALUE_PAGES)
			continue;
		/* places with too little room come last */
		if (room < level)
			room += HNSW_MAX_LEVEL + 1;
		if (best != InvalidOffsetNumber && room >= best_level)
			continue;
		best = offset;
		best_level = room;
	}
	return best;
}

static bool
HasDeleted(Page page)
{
	for (OffsetNumber offset = FirstOffsetNumber; offset <= PageGetMaxOffsetNumber(page); offset++)
	{
		const HnswNodeTuple *node = HnswPageNodeAt(page, offset);

		if (node != NULL && node->deleted)
			return true;
	}
	return false;
}

/* Locks the page, and keeps it so if there is a place; otherwise tells whether it still has
 * deleted nodes. */
static bool
TryPage(Relation index, BlockNumber block, const HnswShape *shape, int level, HnswPlace *place,
		bool *deleted)
{
	Page		page;

	CHECK_FOR_INTERRUPTS();
	place->buffer = ReadBuffer(index, block);
	place->taken = InvalidOffsetNumber;
	LockBuffer(place->buffer, BUFFER_LOCK_EXCLUSIVE);
	page = BufferGetPage(place->buffer);
	*deleted = false;
	if (PageIsFree(page))
		return true;
	if (HnswPageIs(page, HNSW_PAGE_NODES))
	{
		place->taken = DeletedPlace(page, shape, level);
		if (place->taken != InvalidOffsetNumber || PageGetFreeSpace(page) >= shape->node_size)
			return true;
		*deleted = HasDeleted(page);
	}
	UnlockReleaseBuffer(place->buffer);
	return false;
}

/* First where the last node went, then where the map says, then where nodes are added. */
HnswPlace
HnswFindPlace(Relation index, const HnswShape *shape, int level)
{
	BlockNumber block = RelationGetTargetBlock(index);
	HnswPlace	place;
	bool		deleted;
	bool		any_deleted = false;

	if (block != InvalidBlockNumber && TryPage(index, block, shape, level, &place, &deleted))
		return place;
	block = GetPageWithFreeSpace(index, SOME_DELETED);
	for (int tries = 0; block != InvalidBlockNumber && tries < MAX_TRIES; tries++)
	{
		if (TryPage(index, block, shape, level, &place, &deleted))
		{
			RelationSetTargetBlock(index, block);
			return place;
		}
		any_deleted |= deleted;
		block = RecordAndGetPageWithFreeSpace(index, block, deleted ? SOME_DELETED : 0, SOME_DELETED);
	}
	place.buffer = HnswBufferForItem(index, HNSW_PAGE_NODES, shape->node_size, InvalidBuffer);
	place.taken = InvalidOffsetNumber;
	/* a node of a rare level that fits no place does not keep the next ones from theirs */
	if (!any_deleted)
		RelationSetTargetBlock(index, BufferGetBlockNumber(place.buffer));
	return place;
}

void
HnswRecordRoom(Relation index, Buffer buffer)
{
	RecordPageWithFreeSpace(index, BufferGetBlockNumber(buffer),
							HasDeleted(BufferGetPage(buffer)) ? SOME_DELETED : 0);
}
