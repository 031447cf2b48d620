/*
 * page_add.c: adding a node to the pages of an index.
 *
 * A node is a tuple on a page of nodes, which has what a walk reads, and another one with
 * its links; of a code what is left is a third one. All pages are locked before the first
 * is changed.
 */
#include "postgres.h"

#include "hnsw/store_page.h"

/* Where a part of the node goes, on a locked page: over that of the node before, or into a new
 * item, if that has too little room or there was none. */
typedef struct PartPlace
{
	Buffer		buffer;
	OffsetNumber taken;			/* InvalidOffsetNumber: a new item */
	Buffer		left_buffer;	/* what has too little room, and is given up; or invalid */
	OffsetNumber left;
} PartPlace;

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
	PartPlace	links;
	PartPlace	fine;
	Buffer		value[HNSW_MAX_VALUE_PAGES];
	BlockNumber fresh[HNSW_PAGE_KINDS];	/* pages that are of this kind now */
} Addition;

/* The node without its parts, which are those of the node before, if there was one. */
static void
FormNode(Addition *addition)
{
	const HnswInsertion *insertion = addition->insertion;
	Page		page = BufferGetPage(addition->place.buffer);
	BlockNumber block = BufferGetBlockNumber(addition->place.buffer);
	OffsetNumber offset = addition->place.taken;
	HnswNodeTuple *node = palloc0(addition->shape.node_size);

	HnswFormNode(node, &addition->shape, insertion->level, insertion->form.value, insertion->form.size);
	node->row_count = 1;
	node->u.rows[0] = insertion->row;
	addition->before = HNSW_NO_NODE;
	if (offset != InvalidOffsetNumber)
	{
		const HnswNodeTuple *old = HnswPageNodeAt(page, offset);

		addition->before = HnswRefMake(block, offset, old->version);
		node->version = old->version + 1;
		node->room_level = Max(old->room_level, insertion->level);
		node->links = old->links;
		node->fine = old->fine;
		memcpy(node->value_block, old->value_block, sizeof(node->value_block));
	}
	else if (HnswPageIs(page, HNSW_PAGE_NODES) && PageHasFreeLinePointers(page))
		ereport(ERROR,
				(errcode(ERRCODE_INDEX_CORRUPTED),
				 errmsg("index \"%s\" has a page of nodes with a removed item, block %u",
						RelationGetRelationName(addition->store->index), block)));
	else
		/* no item of a page of nodes is ever removed */
		offset = HnswPageIs(page, HNSW_PAGE_NODES)
			? OffsetNumberNext(PageGetMaxOffsetNumber(page))
			: FirstOffsetNumber;
	addition->node = node;
	addition->name = HnswRefMake(block, offset, node->version);
	node->stamp = HnswStamp(addition->store->salt, addition->name);
}

static HnswLinksTuple *
FormLinks(const Addition *addition)
{
	const HnswInsertion *insertion = addition->insertion;
	HnswLinksTuple *tuple = palloc0(addition->shape.links_size);

	tuple->owner = addition->name;
	tuple->level = insertion->level;
	for (int level = 0; level <= insertion->level; level++)
	{
		uint64	   *slots = tuple->links + HnswLinkStart(addition->store->base.m, level);

		for (int i = 0; i < insertion->links[level].count; i++)
			slots[i] = HnswSlotMake(insertion->links[level].items[i].node, HNSW_LOOSE);
	}
	return tuple;
}

/* Locks the page where the node before has its part; false when there is none. */
static bool
LockOldPart(Addition *addition, HnswPageKind kind, ItemPointerData at, Buffer *buffer)
{
	PageStore  *store = addition->store;
	OffsetNumber offset = ItemPointerGetOffsetNumberNoCheck(&at);

	if (!ItemPointerIsValid(&at) || !HnswBlockExists(store, ItemPointerGetBlockNumber(&at)))
		return false;
	*buffer = HnswReadBuffer(store, ItemPointerGetBlockNumber(&at));
	LockBuffer(*buffer, BUFFER_LOCK_EXCLUSIVE);
	if (HnswPageOwnerIs(BufferGetPage(*buffer), kind, offset, addition->before, 0))
		return true;
	UnlockReleaseBuffer(*buffer);
	return false;
}

static void
FindPart(Addition *addition, HnswPageKind kind, ItemPointerData at, Size size, PartPlace *place)
{
	OffsetNumber offset = ItemPointerGetOffsetNumberNoCheck(&at);
	Buffer		old;

	*place = (PartPlace) {.left_buffer = InvalidBuffer};
	if (LockOldPart(addition, kind, at, &old))
	{
		if (ItemIdGetLength(PageGetItemId(BufferGetPage(old), offset)) >= size)
		{
			place->buffer = old;
			place->taken = offset;
			return;
		}
		place->left_buffer = old;
		place->left = offset;
	}
	place->buffer = HnswBufferForItem(addition->store->index, kind, size, place->left_buffer);
}

static void
PutPart(Addition *addition, HnswEdit *edit, HnswPageKind kind, const PartPlace *place,
		const void *part, Size size, ItemPointerData *at)
{
	bool		fresh;

	if (place->left_buffer != InvalidBuffer)
		HnswEditDeleteItem(HnswEditPage(edit, place->left_buffer), place->left);
	if (place->taken != InvalidOffsetNumber)
	{
		Page		page = BufferGetPage(place->buffer);

		HnswEditBytes(HnswEditPage(edit, place->buffer),
					  PageGetItem(page, PageGetItemId(page, place->taken)), part, size);
		return;
	}
	*at = HnswPutItem(edit, place->buffer, kind, part, size, &fresh);
	if (fresh)
		addition->fresh[kind] = BufferGetBlockNumber(place->buffer);
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

/* Locks all pages that the node's parts go to. */
static void
FindParts(Addition *addition)
{
	const HnswShape *shape = &addition->shape;
	HnswNodeTuple *node = addition->node;

	FindPart(addition, HNSW_PAGE_LINKS, node->links, shape->links_size, &addition->links);
	if (shape->fine_size > 0)
		FindPart(addition, HNSW_PAGE_FINE, node->fine, shape->fine_tuple_size, &addition->fine);
	for (int i = 0; i < shape->value_pages; i++)
	{
		addition->value[i] = ValueBuffer(addition, node->value_block[i]);
		node->value_block[i] = BufferGetBlockNumber(addition->value[i]);
	}
}

/* The node itself, into the place that its name tells. */
static void
PutNode(Addition *addition, HnswEdit *edit)
{
	HnswEditedPage *page = HnswEditPage(edit, addition->place.buffer);
	Size		size = addition->shape.node_size;

	if (addition->place.taken != InvalidOffsetNumber)
	{
		HnswEditBytes(page, HnswPageNodeAt(page->page, addition->place.taken), addition->node, size);
		return;
	}
	if (!HnswPageIs(page->page, HNSW_PAGE_NODES))
	{
		HnswEditInit(page, HNSW_PAGE_NODES);
		addition->fresh[HNSW_PAGE_NODES] = BufferGetBlockNumber(page->buffer);
	}
	if (HnswEditAddItem(page, addition->node, size) != HnswRefOffset(addition->name))
		elog(ERROR, "hnsw node is not where it was to be");
}

static void
PutParts(Addition *addition, HnswEdit *edit, const HnswLinksTuple *links, const HnswFineTuple *fine)
{
	const HnswShape *shape = &addition->shape;
	const HnswForm *form = &addition->insertion->form;
	HnswNodeTuple *node = addition->node;

	PutPart(addition, edit, HNSW_PAGE_LINKS, &addition->links, links, shape->links_size, &node->links);
	if (shape->fine_size > 0)
		PutPart(addition, edit, HNSW_PAGE_FINE, &addition->fine, fine, shape->fine_tuple_size,
				&node->fine);
	for (int i = 0; i < shape->value_pages; i++)
	{
		HnswEditedPage *page = HnswEditPage(edit, addition->value[i]);

		HnswEditInit(page, HNSW_PAGE_VALUE);
		HnswValuePageFill(page->page, addition->name, shape, form->value, form->size, i);
	}
}

HnswNode
HnswPageAddNode(HnswStore *base, const HnswInsertion *insertion)
{
	PageStore  *store = (PageStore *) base;
	const HnswForm *form = &insertion->form;
	Addition	addition = {.store = store, .insertion = insertion};
	HnswLinksTuple *links;
	HnswFineTuple *fine = NULL;
	HnswEdit	edit;

	memset(addition.fresh, 0xFF, sizeof(addition.fresh));
	addition.shape = HnswNodeShape(base->support, base->m, insertion->level, form->size);
	addition.place = HnswFindPlace(store->index, &addition.shape, insertion->level);
	FormNode(&addition);
	FindParts(&addition);
	links = FormLinks(&addition);
	if (addition.shape.fine_size > 0)
		fine = HnswFormFine(&addition.shape, addition.name, form->value, form->size);
	HnswEditBegin(&edit, store->index, base->building);
	PutParts(&addition, &edit, links, fine);
	PutNode(&addition, &edit);
	HnswEditEnd(&edit);
	for (int kind = 0; kind < HNSW_PAGE_KINDS; kind++)
	{
		if (addition.fresh[kind] != InvalidBlockNumber)
			HnswWriteLast(store->index, kind, addition.fresh[kind], base->building);
	}
	return addition.name;
}
