/*
 * page_change.c: adding a node to the pages of an index, and changing links.
 *
 * A node is a tuple on a page of nodes, which has what a walk reads, and another one with
 * its links; of a code what is left is a third one. Links change far more often than the
 * rest, and are small, so a change of the graph writes few and dense pages.
 */
#include "postgres.h"

#include "hnsw/store_page.h"

/* ---- a new node ---- */

/* One WAL record: the node and all its parts. */
typedef struct Addition
{
	PageStore  *store;
	const HnswInsertion *insertion;
	HnswShape	shape;
	HnswPlace	place;
	HnswNodeTuple *node;		/* as it will be */
	HnswNode	name;
	HnswNode	before;			/* who had the place */
	HnswEdit	edit;
	BlockNumber fresh[HNSW_PAGE_KINDS];	/* pages that are of this kind now */
} Addition;

/* The node without its parts, which are those of the node before, if there was one. */
static void
FormNode(Addition *addition)
{
	const HnswInsertion *insertion = addition->insertion;
	BlockNumber block = BufferGetBlockNumber(addition->place.buffer);
	OffsetNumber taken = addition->place.taken;
	HnswNodeTuple *node = palloc0(addition->shape.node_size);

	HnswFormNode(node, &addition->shape, insertion->level, insertion->form.value, insertion->form.size);
	node->row_count = 1;
	node->u.rows[0] = insertion->row;
	addition->node = node;
	addition->before = HNSW_NO_NODE;
	if (taken != InvalidOffsetNumber)
	{
		const HnswNodeTuple *old = HnswPageNodeAt(BufferGetPage(addition->place.buffer), taken);

		addition->before = HnswRefMake(block, taken, old->version);
		node->version = old->version + 1;
		node->room_level = Max(old->room_level, insertion->level);
		node->links = old->links;
		node->fine = old->fine;
		memcpy(node->value_block, old->value_block, sizeof(node->value_block));
	}
}

/* Puts the node into its place, from which its name comes. */
static HnswNodeTuple *
PutNode(Addition *addition)
{
	Buffer		buffer = addition->place.buffer;
	Page		page = HnswEditPage(&addition->edit, buffer);
	OffsetNumber offset = addition->place.taken;
	Size		size = addition->shape.node_size;
	HnswNodeTuple *node;

	if (offset == InvalidOffsetNumber)
	{
		if (!HnswPageIs(page, HNSW_PAGE_NODES))
		{
			HnswPageInit(page, HNSW_PAGE_NODES);
			addition->fresh[HNSW_PAGE_NODES] = BufferGetBlockNumber(buffer);
		}
		offset = PageAddItem(page, (Item) addition->node, size, InvalidOffsetNumber, false, false);
		if (offset == InvalidOffsetNumber)
			elog(ERROR, "failed to add a node to hnsw index \"%s\"",
				 RelationGetRelationName(addition->edit.index));
	}
	else
		memcpy(HnswPageNodeAt(page, offset), addition->node, size);
	addition->name = HnswRefMake(BufferGetBlockNumber(buffer), offset, addition->node->version);
	node = HnswPageNodeAt(page, offset);
	node->stamp = HnswStamp(addition->store->salt, addition->name);
	return node;
}

/* Writes a part where the node before had its; false when that has too little room, and is
 * given up, with its page held. */
static bool
PutOver(Addition *addition, HnswPageKind kind, ItemPointerData at, const void *part, Size size,
		Buffer *held)
{
	PageStore  *store = addition->store;
	OffsetNumber offset = ItemPointerGetOffsetNumberNoCheck(&at);
	Buffer		buffer;
	Page		page;
	bool		enough;

	if (!ItemPointerIsValid(&at) || !HnswBlockExists(store, ItemPointerGetBlockNumber(&at)))
		return false;
	buffer = HnswReadBuffer(store, ItemPointerGetBlockNumber(&at));
	LockBuffer(buffer, BUFFER_LOCK_EXCLUSIVE);
	if (!HnswPageOwnerIs(BufferGetPage(buffer), kind, offset, addition->before, 0))
	{
		UnlockReleaseBuffer(buffer);
		return false;
	}
	*held = buffer;
	page = HnswEditPage(&addition->edit, buffer);
	enough = ItemIdGetLength(PageGetItemId(page, offset)) >= size;
	if (enough)
		memcpy(PageGetItem(page, PageGetItemId(page, offset)), part, size);
	else
	{
		PageIndexTupleDeleteNoCompact(page, offset);
		PageSetHasFreeLinePointers(page);
	}
	return enough;
}

/* Puts a part into the place that it had before, or a new one. */
static void
PutPart(Addition *addition, HnswPageKind kind, ItemPointerData *at, const void *part, Size size)
{
	Relation	index = addition->store->index;
	Buffer		held = InvalidBuffer;
	Buffer		buffer;
	bool		fresh;

	if (PutOver(addition, kind, *at, part, size, &held))
		return;
	buffer = HnswBufferForItem(index, kind, size, held);
	*at = HnswPutItem(&addition->edit, buffer, kind, part, size, &fresh);
	if (fresh)
		addition->fresh[kind] = BufferGetBlockNumber(buffer);
}

static void
PutLinks(Addition *addition, ItemPointerData *at)
{
	const HnswInsertion *insertion = addition->insertion;
	int			m = addition->store->base.m;
	HnswLinksTuple *tuple = palloc0(addition->shape.links_size);

	tuple->owner = addition->name;
	tuple->level = insertion->level;
	for (int i = 0; i < addition->shape.links; i++)
		tuple->links[i] = HNSW_NO_NODE;
	for (int level = 0; level <= insertion->level; level++)
	{
		uint64	   *links = tuple->links + HnswLinkStart(m, level);

		for (int i = 0; i < insertion->links[level].count; i++)
			links[i] = insertion->links[level].items[i].node;
	}
	PutPart(addition, HNSW_PAGE_LINKS, at, tuple, addition->shape.links_size);
	pfree(tuple);
}

/* A page for a part of the value: the one of the node before, or a free one. */
static Buffer
ValueBuffer(Addition *addition, BlockNumber block)
{
	if (block != InvalidBlockNumber && HnswBlockExists(addition->store, block))
	{
		Buffer		buffer = HnswReadBuffer(addition->store, block);
		Page		page = BufferGetPage(buffer);

		LockBuffer(buffer, BUFFER_LOCK_EXCLUSIVE);
		if (HnswPageIs(page, HNSW_PAGE_VALUE) && HnswPageGetValue(page)->owner == addition->before)
			return buffer;
		UnlockReleaseBuffer(buffer);
	}
	return HnswFreeBuffer(addition->store->index, MAIN_FORKNUM);
}

static void
PutValue(Addition *addition, HnswNodeTuple *node)
{
	const HnswForm *form = &addition->insertion->form;
	const HnswShape *shape = &addition->shape;

	if (shape->fine_size > 0)
	{
		HnswFineTuple *fine = HnswFormFine(shape, addition->name, form->value, form->size);

		PutPart(addition, HNSW_PAGE_FINE, &node->fine, fine, shape->fine_tuple_size);
		pfree(fine);
	}
	for (int i = 0; i < shape->value_pages; i++)
	{
		Buffer		buffer = ValueBuffer(addition, node->value_block[i]);

		node->value_block[i] = BufferGetBlockNumber(buffer);
		HnswValuePageFill(HnswEditPage(&addition->edit, buffer), addition->name, shape, form->value,
						  form->size, i);
	}
}

HnswNode
HnswPageAddNode(HnswStore *base, const HnswInsertion *insertion)
{
	PageStore  *store = (PageStore *) base;
	Addition	addition = {.store = store, .insertion = insertion};
	HnswNodeTuple *node;

	memset(addition.fresh, 0xFF, sizeof(addition.fresh));
	addition.shape = HnswNodeShape(base->support, base->m, insertion->level, insertion->form.size);
	addition.place = HnswFindPlace(store->index, &addition.shape, insertion->level);
	FormNode(&addition);
	HnswEditBegin(&addition.edit, store->index, base->building);
	node = PutNode(&addition);
	PutLinks(&addition, &node->links);
	PutValue(&addition, node);
	HnswEditEnd(&addition.edit);
	pfree(addition.node);
	for (int kind = 0; kind < HNSW_PAGE_KINDS; kind++)
	{
		if (addition.fresh[kind] != InvalidBlockNumber)
			HnswWriteLast(store->index, kind, addition.fresh[kind], base->building);
	}
	return addition.name;
}

/* ---- links ---- */

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

/* The same tuple on the page to change. */
static HnswLinksTuple *
EditLinks(HnswEdit *edit, Buffer buffer, const HnswLinksTuple *tuple)
{
	Size		start = (const char *) tuple - (const char *) BufferGetPage(buffer);

	return (HnswLinksTuple *) ((char *) HnswEditPage(edit, buffer) + start);
}

/* The slot that holds a link (or, for HNSW_NO_NODE, is free), or -1. */
static int
FindLink(const uint64 *slots, int max, HnswNode node)
{
	for (int i = 0; i < max; i++)
	{
		if (HnswSlotNode(slots[i]) == node)
			return i;
		if (slots[i] == HNSW_NO_NODE)
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
SlotFor(PageStore *store, const HnswLinksTuple *tuple, HnswLinkChange *change)
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
	EditLinks(&edit, buffer, tuple)->links[slot] = HnswSlotMake(to.node, to.firm);
	HnswEditEnd(&edit);
	return true;
}

/* ---- several links at once ---- */

typedef struct PlacedChange
{
	ItemPointerData at;			/* of the links to change */
	HnswLinkChange *change;
} PlacedChange;

static int
ComparePlaces(const void *a, const void *b)
{
	return ItemPointerCompare(unconstify(ItemPointerData *, &((const PlacedChange *) a)->at),
							  unconstify(ItemPointerData *, &((const PlacedChange *) b)->at));
}

/* Makes those changes of a locked page that still can be made; is the page in the edit now? */
static bool
ChangePage(PageStore *store, HnswEdit *edit, Buffer buffer, const PlacedChange *places, int n)
{
	bool		changed = false;

	for (int i = 0; i < n; i++)
	{
		HnswLinkChange *change = places[i].change;
		Page		page = changed ? HnswEditPage(edit, buffer) : BufferGetPage(buffer);
		HnswLinksTuple *tuple = HnswPageGetLinks(page, ItemPointerGetOffsetNumber(&places[i].at),
												 change->from, store->base.m);
		int			slot = tuple == NULL ? -1 : SlotFor(store, tuple, change);

		if (slot < 0)
			continue;
		if (!changed)
			tuple = EditLinks(edit, buffer, tuple);
		tuple->links[slot] = HnswSlotMake(change->to.node, change->to.firm);
		change->done = true;
		changed = true;
	}
	return changed;
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

/*
 * The first of the changes, of as many pages as one WAL record can hold; how many. Pages are
 * locked in the order of their blocks.
 */
static int
ChangePages(PageStore *store, const PlacedChange *places, int n)
{
	int			done = 0;
	HnswEdit	edit;

	HnswEditBegin(&edit, store->index, store->base.building);
	while (done < n && edit.count < MAX_GENERIC_XLOG_PAGES)
	{
		int			same = SamePage(places + done, n - done);
		BlockNumber block = ItemPointerGetBlockNumber(&places[done].at);

		if (HnswBlockExists(store, block))
		{
			Buffer		buffer = HnswReadBuffer(store, block);

			LockBuffer(buffer, BUFFER_LOCK_EXCLUSIVE);
			if (!ChangePage(store, &edit, buffer, places + done, same))
				UnlockReleaseBuffer(buffer);
		}
		done += same;
	}
	HnswEditEnd(&edit);
	return done;
}

void
HnswPageChangeLinks(HnswStore *base, HnswLinkChange *changes, int n)
{
	PageStore  *store = (PageStore *) base;
	PlacedChange places[HNSW_MAX_LINKS];
	int			count = 0;

	Assert(n <= HNSW_MAX_LINKS);
	for (int i = 0; i < n; i++)
	{
		changes[i].done = false;
		places[count].change = &changes[i];
		if (HnswLinksPlace(store, changes[i].from, &places[count].at))
			count++;
	}
	qsort(places, count, sizeof(PlacedChange), ComparePlaces);
	for (int done = 0; done < count;)
		done += ChangePages(store, places + done, count - done);
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
	for (int i = 0; i < max && links[i] != HNSW_NO_NODE; i++)
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
	uint64	   *links;
	HnswLinksTuple *tuple = LockLinks(store, from, &buffer);

	if (tuple == NULL)
		return;
	if (level > tuple->level ||
		(added->count == 0 && !AnyDeleted(tuple->links + start, max, deleted)))
	{
		UnlockReleaseBuffer(buffer);
		return;
	}
	HnswEditBegin(&edit, store->index, base->building);
	links = EditLinks(&edit, buffer, tuple)->links + start;
	for (int i = 0; i < max && links[i] != HNSW_NO_NODE; i++)
	{
		if (!HnswNodeSetHas(deleted, HnswSlotNode(links[i])))
			links[count++] = links[i];
	}
	for (int i = count; i < max; i++)
		links[i] = HNSW_NO_NODE;
	for (int i = 0; i < added->count; i++)
	{
		const HnswCandidate *to = &added->items[i];
		int			slot = FindLink(links, max, to->node);

		if (slot < 0 && count < max)
			links[count++] = HnswSlotMake(to->node, to->firm);
		else if (slot >= 0 && to->firm != HNSW_LOOSE)
			links[slot] |= HNSW_SLOT_FIRM;
	}
	HnswEditEnd(&edit);
}
