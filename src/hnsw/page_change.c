/*
 * page_change.c: changing links on the pages of an index.
 *
 * Links change far more often than the rest of a node, and are small, so a change of the
 * graph writes few and dense pages.
 */
#include "postgres.h"

#include "hnsw/store_page.h"

/* ---- slots ---- */

/* Locks the links of a node; NULL, and no lock, when it is gone. */
static HnswLinksTuple *
LockLinks(PageStore *store, HnswNode node, Buffer *buffer)
{
	ItemPointerData at;
	HnswLinksTuple *tuple;

	if (!HnswLinksPlace(store, node, &at) || !HnswBlockExists(store, ItemPointerGetBlockNumber(&at)))
		return NULL;
	*buffer = HnswReadBuffer(store, ItemPointerGetBlockNumber(&at));
	LockBuffer(*buffer, BUFFER_LOCK_EXCLUSIVE);
	tuple = HnswPageGetLinks(BufferGetPage(*buffer), ItemPointerGetOffsetNumber(&at), node,
							 store->base.m);
	if (tuple == NULL)
		UnlockReleaseBuffer(*buffer);
	return tuple;
}

/* The slot that holds a link (or, for HNSW_NO_NODE, is free), or -1. */
static int
FindLink(const uint64 *slots, int max, HnswNode node)
{
	for (int i = 0; i < max; i++)
	{
		if (HnswSlotNode(slots[i]) == node)
			return i;
		if (slots[i] == HNSW_EMPTY_SLOT)
			break;
	}
	return -1;
}

static int
CountFirm(const uint64 *slots, int max)
{
	int			count = 0;

	for (int i = 0; i < max; i++)
		count += HnswSlotIsFirm(slots[i]);
	return count;
}

/* The slot that the new link goes into; -1 when it has none, or is there already, which
 * makes it done. */
static int
SlotFor(const PageStore *store, const HnswLinksTuple *tuple, HnswLinkChange *change)
{
	int			max = HnswLevelLinks(store->base.m, change->level);
	int			start = HnswLinkStart(store->base.m, change->level);
	const uint64 *slots = tuple->links + start;
	int			slot;

	if (change->level > tuple->level)
		return -1;
	slot = FindLink(slots, max, change->to.node);
	change->done = slot >= 0 && (HnswSlotIsFirm(slots[slot]) || change->to.firm == HNSW_LOOSE);
	if (change->done ||
		(change->to.firm == HNSW_FIRM && CountFirm(slots, max) >= HnswFirmLinks(store->base.m, change->level)))
		return -1;
	if (slot < 0)
		slot = FindLink(slots, max, change->old);
	return slot < 0 || HnswSlotIsFirm(slots[slot]) ? -1 : start + slot;
}

static void
PutSlot(HnswEditedPage *page, HnswLinksTuple *tuple, int slot, HnswCandidate to)
{
	uint64		link = HnswSlotMake(to.node, to.firm);

	HnswEditBytes(page, &tuple->links[slot], &link, sizeof(link));
}

static bool
PutLink(PageStore *store, HnswNode from, int level, HnswNode old, HnswCandidate to)
{
	HnswLinkChange change = {.from = from, .level = level, .old = old, .to = to};
	Buffer		buffer;
	HnswEdit	edit;
	HnswLinksTuple *tuple = LockLinks(store, from, &buffer);
	int			slot;

	if (tuple == NULL)
		return false;
	slot = SlotFor(store, tuple, &change);
	if (slot < 0)
	{
		UnlockReleaseBuffer(buffer);
		return change.done;
	}
	HnswEditBegin(&edit, store->index, store->base.building);
	PutSlot(HnswEditPage(&edit, buffer), tuple, slot, to);
	HnswEditEnd(&edit);
	return true;
}

/* ---- several links at once ---- */

typedef struct PlacedChange
{
	ItemPointerData at;			/* of the links to change */
	HnswLinkChange *change;
	HnswLinksTuple *tuple;		/* on a locked page */
	int			slot;			/* -1: it cannot be made any more, or is there already */
} PlacedChange;

static int
ComparePlaces(const void *a, const void *b)
{
	return ItemPointerCompare(unconstify(ItemPointerData *, &((const PlacedChange *) a)->at),
							  unconstify(ItemPointerData *, &((const PlacedChange *) b)->at));
}

/* Where on a locked page the changes can still be made; can any? */
static bool
FindSlots(const PageStore *store, Page page, PlacedChange *places, int n)
{
	bool		any = false;

	for (int i = 0; i < n; i++)
	{
		PlacedChange *place = &places[i];

		place->tuple = HnswPageGetLinks(page, ItemPointerGetOffsetNumber(&place->at),
										place->change->from, store->base.m);
		place->slot = place->tuple == NULL ? -1 : SlotFor(store, place->tuple, place->change);
		any |= place->slot >= 0;
	}
	return any;
}

static void
PutSlots(HnswEditedPage *page, const PlacedChange *places, int n)
{
	for (int i = 0; i < n; i++)
	{
		if (places[i].slot < 0)
			continue;
		PutSlot(page, places[i].tuple, places[i].slot, places[i].change->to);
		places[i].change->done = true;
	}
}

static int
SamePage(const PlacedChange *places, int n)
{
	int			same = 1;

	while (same < n && ItemPointerGetBlockNumber(&places[same].at) ==
		   ItemPointerGetBlockNumber(&places[0].at))
		same++;
	return same;
}

static PlacedChange *
PlaceOf(PlacedChange *places, int n, const HnswLinkChange *change)
{
	for (int i = 0; i < n; i++)
	{
		if (places[i].change == change)
			return &places[i];
	}
	return NULL;
}

/* Moves the changes of one page to where those of the first record end, whose order stays that of
 * blocks; false when the change is not among them. */
static bool
BringForward(PlacedChange *places, int n, const HnswLinkChange *change)
{
	PlacedChange moved[HNSW_MAX_LINKS];
	int			front = 0;
	int			at = 0;
	int			same = 0;

	for (int pages = 1; pages < MAX_GENERIC_XLOG_PAGES && front < n; pages++)
		front += SamePage(places + front, n - front);
	while (at < n)
	{
		same = SamePage(places + at, n - at);
		if (PlaceOf(places + at, same, change) != NULL)
			break;
		at += same;
	}
	if (at > front && at < n)
	{
		memcpy(moved, places + at, same * sizeof(PlacedChange));
		memmove(places + front + same, places + front, (at - front) * sizeof(PlacedChange));
		memcpy(places + front, moved, same * sizeof(PlacedChange));
	}
	return at < n;
}

typedef struct LockedPages
{
	struct
	{
		Buffer		buffer;
		PlacedChange *places;	/* of the changes on this page */
		int			n;
	}			pages[MAX_GENERIC_XLOG_PAGES];
	int			count;
	int			changes;		/* so many have been looked at */
} LockedPages;

/* Locks the pages of the first changes, in the order of their blocks, and finds the slots. */
static LockedPages
LockPages(PageStore *store, PlacedChange *places, int n)
{
	LockedPages locked = {.count = 0};

	while (locked.changes < n && locked.count < MAX_GENERIC_XLOG_PAGES)
	{
		int			first = locked.changes;
		int			same = SamePage(places + first, n - first);
		BlockNumber block = ItemPointerGetBlockNumber(&places[first].at);
		Buffer		buffer;

		locked.changes += same;
		if (!HnswBlockExists(store, block))
			continue;
		buffer = HnswReadBuffer(store, block);
		LockBuffer(buffer, BUFFER_LOCK_EXCLUSIVE);
		if (!FindSlots(store, BufferGetPage(buffer), places + first, same))
		{
			UnlockReleaseBuffer(buffer);
			continue;
		}
		locked.pages[locked.count].buffer = buffer;
		locked.pages[locked.count].places = places + first;
		locked.pages[locked.count++].n = same;
	}
	return locked;
}

/* One WAL record. */
static void
ChangePages(PageStore *store, const LockedPages *locked)
{
	HnswEdit	edit;

	if (locked->count == 0)
		return;
	HnswEditBegin(&edit, store->index, store->base.building);
	for (int i = 0; i < locked->count; i++)
		PutSlots(HnswEditPage(&edit, locked->pages[i].buffer), locked->pages[i].places,
				 locked->pages[i].n);
	HnswEditEnd(&edit);
}

static void
UnlockPages(const LockedPages *locked)
{
	for (int i = 0; i < locked->count; i++)
		UnlockReleaseBuffer(locked->pages[i].buffer);
}

/* As many changes at a time as one WAL record can hold the pages of. */
void
HnswPageChangeLinks(HnswStore *base, HnswLinkChange *changes, int n)
{
	PageStore  *store = (PageStore *) base;
	PlacedChange places[HNSW_MAX_LINKS];
	LockedPages locked;
	bool		holds = n > 0 && changes[0].to.firm != HNSW_LOOSE;
	int			count = 0;

	Assert(n <= HNSW_MAX_LINKS);
	for (int i = 0; i < n; i++)
	{
		changes[i].done = false;
		places[count].change = &changes[i];
		places[count].slot = -1;
		if (HnswLinksPlace(store, changes[i].from, &places[count].at))
			count++;
	}
	qsort(places, count, sizeof(PlacedChange), ComparePlaces);
	if (holds && !BringForward(places, count, changes))
		return;
	for (int done = 0; done < count; done += locked.changes)
	{
		locked = LockPages(store, places + done, count - done);
		if (holds && done == 0 && !changes[0].done &&
			PlaceOf(places, locked.changes, changes)->slot < 0)
		{
			UnlockPages(&locked);
			return;
		}
		ChangePages(store, &locked);
	}
}

/* ---- one link ---- */

bool
HnswPageAddLink(HnswStore *base, HnswNode from, int level, HnswCandidate to)
{
	return PutLink((PageStore *) base, from, level, HNSW_NO_NODE, to);
}

bool
HnswPageReplaceLink(HnswStore *base, HnswNode from, int level, HnswNode old, HnswCandidate to)
{
	return PutLink((PageStore *) base, from, level, old, to);
}

static bool
AnyDeleted(const uint64 *links, int max, const HnswNodeSet *deleted)
{
	for (int i = 0; i < max && links[i] != HNSW_EMPTY_SLOT; i++)
	{
		if (HnswNodeSetHas(deleted, HnswSlotNode(links[i])))
			return true;
	}
	return false;
}

void
HnswPageRepairLinks(HnswStore *base, HnswNode from, int level, const HnswNodeSet *deleted,
					const HnswQueue *added)
{
	PageStore  *store = (PageStore *) base;
	int			max = HnswLevelLinks(base->m, level);
	int			start = HnswLinkStart(base->m, level);
	int			count = 0;
	Buffer		buffer;
	HnswEdit	edit;
	uint64		links[HNSW_MAX_LINKS];
	uint64	   *old;
	HnswLinksTuple *tuple = LockLinks(store, from, &buffer);

	if (tuple == NULL)
		return;
	old = tuple->links + start;
	if (level > tuple->level || (added->count == 0 && !AnyDeleted(old, max, deleted)))
	{
		UnlockReleaseBuffer(buffer);
		return;
	}
	memset(links, 0, sizeof(links));
	for (int i = 0; i < max && old[i] != HNSW_EMPTY_SLOT; i++)
	{
		if (!HnswNodeSetHas(deleted, HnswSlotNode(old[i])))
			links[count++] = old[i];
	}
	for (int i = 0; i < added->count; i++)
	{
		const HnswCandidate *to = &added->items[i];
		int			slot = FindLink(links, max, to->node);

		if (slot < 0 && count < max)
			links[count++] = HnswSlotMake(to->node, to->firm);
		else if (slot >= 0 && to->firm != HNSW_LOOSE)
			links[slot] |= HNSW_SLOT_FIRM;
	}
	HnswEditBegin(&edit, store->index, base->building);
	HnswEditBytes(HnswEditPage(&edit, buffer), old, links, max * sizeof(uint64));
	HnswEditEnd(&edit);
}
