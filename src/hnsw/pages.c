/*
 * pages.c: what lies on a page.
 */
#include "postgres.h"

#include "hnsw/pages.h"

/* Keeps the position in WAL of a page that was in use before: looks go by it. */
void
HnswPageInit(Page page, HnswPageKind kind)
{
	XLogRecPtr	position = PageGetLSN(page);

	PageInit(page, BLCKSZ, sizeof(HnswPageTail));
	PageSetLSN(page, position);
	*HnswPageGetTail(page) = (HnswPageTail) {.kind = kind, .page_id = HNSW_PAGE_ID};
}

bool
HnswPageIs(Page page, HnswPageKind kind)
{
	const PageHeaderData *header = (const PageHeaderData *) page;

	return !PageIsNew(page) && PageGetSpecialSize(page) == MAXALIGN(sizeof(HnswPageTail)) &&
		header->pd_lower >= SizeOfPageHeaderData && header->pd_lower <= header->pd_upper &&
		header->pd_upper <= header->pd_special &&
		HnswPageGetTail(page)->page_id == HNSW_PAGE_ID && HnswPageGetTail(page)->kind == kind;
}

bool
HnswPageHasItems(Page page)
{
	for (OffsetNumber offset = FirstOffsetNumber; offset <= PageGetMaxOffsetNumber(page); offset++)
	{
		if (ItemIdIsNormal(PageGetItemId(page, offset)))
			return true;
	}
	return false;
}

/* ---- nodes ---- */

/* A value that is too large for the node's page fills pages of its own, and what is left
 * over lies in the node, where there is room for it. */
HnswShape
HnswNodeShape(const HnswSupport *support, int m, int level, Size value_size)
{
	HnswShape	shape = {.links = (level + 2) * m};

	shape.fine_size = HnswFineSize(support);
	shape.inline_size = value_size - shape.fine_size;
	if (shape.inline_size > HNSW_INLINE_ROOM)
	{
		shape.value_pages = shape.inline_size / HNSW_VALUE_PAGE_ROOM;
		shape.inline_size %= HNSW_VALUE_PAGE_ROOM;
	}
	if (shape.inline_size > HNSW_INLINE_ROOM)
	{
		shape.value_pages++;
		shape.inline_size = 0;
	}
	if (shape.value_pages > HNSW_MAX_VALUE_PAGES || value_size > HNSW_MAX_VALUE_SIZE + shape.fine_size ||
		level > HnswMaxLevel(m))
		elog(ERROR, "hnsw value of %zu bytes is too large", value_size);
	shape.node_size = MAXALIGN(HNSW_NODE_HEAD + shape.inline_size);
	shape.links_size = offsetof(HnswLinksTuple, links) + shape.links * sizeof(HnswNode);
	if (shape.fine_size > 0)
		shape.fine_tuple_size = MAXALIGN(offsetof(HnswFineTuple, bytes) + shape.fine_size);
	return shape;
}

/* The links of all levels must fit a page. */
int
HnswMaxLevel(int m)
{
	int			links = (HNSW_PAGE_ROOM - offsetof(HnswLinksTuple, links)) / sizeof(HnswNode);

	return Min(links / m - 2, HNSW_MAX_LEVEL);
}

void
HnswFormNode(HnswNodeTuple *tuple, const HnswShape *shape, int level, const void *value,
			 Size value_size)
{
	tuple->level = level;
	tuple->room_level = level;
	tuple->inline_size = shape->inline_size;
	tuple->value_size = value_size - shape->fine_size;
	for (int i = 0; i < HNSW_MAX_VALUE_PAGES; i++)
		tuple->value_block[i] = InvalidBlockNumber;
	memcpy(HnswNodeValue(tuple), value, shape->inline_size);
}

HnswFineTuple *
HnswFormFine(const HnswShape *shape, HnswNode owner, const void *value, Size value_size)
{
	HnswFineTuple *tuple = palloc0(shape->fine_tuple_size);

	tuple->owner = owner;
	memcpy(tuple->bytes, (const char *) value + value_size - shape->fine_size, shape->fine_size);
	return tuple;
}

/* An item of a page of this kind, with its length; NULL when there is none. */
static void *
ItemAt(Page page, HnswPageKind kind, OffsetNumber offset, Size *length)
{
	ItemId		item;

	if (!HnswPageIs(page, kind) || offset < FirstOffsetNumber ||
		offset > PageGetMaxOffsetNumber(page))
		return NULL;
	item = PageGetItemId(page, offset);
	*length = ItemIdGetLength(item);
	if (!ItemIdIsNormal(item) || ItemIdGetOffset(item) != MAXALIGN(ItemIdGetOffset(item)) ||
		ItemIdGetOffset(item) + *length > ((PageHeader) page)->pd_special)
		return NULL;
	return PageGetItem(page, item);
}

/* What says of itself that it is larger than its item is no node. */
HnswNodeTuple *
HnswPageNodeAt(Page page, OffsetNumber offset)
{
	Size		length;
	HnswNodeTuple *tuple = ItemAt(page, HNSW_PAGE_NODES, offset, &length);

	return tuple != NULL && length >= HNSW_NODE_HEAD && tuple->inline_size <= length - HNSW_NODE_HEAD
		? tuple
		: NULL;
}

HnswNodeTuple *
HnswPageGetNode(Page page, HnswNode node)
{
	HnswNodeTuple *tuple = HnswPageNodeAt(page, HnswRefOffset(node));

	return tuple != NULL && tuple->version == HnswRefVersion(node) ? tuple : NULL;
}

bool
HnswPageOwnerIs(Page page, HnswPageKind kind, OffsetNumber offset, HnswNode owner, Size size)
{
	Size		length;
	const HnswNode *part = ItemAt(page, kind, offset, &length);

	return part != NULL && length >= Max(size, sizeof(HnswNode)) && *part == owner;
}

HnswLinksTuple *
HnswPageGetLinks(Page page, OffsetNumber offset, HnswNode owner, int m)
{
	Size		length;
	HnswLinksTuple *tuple = ItemAt(page, HNSW_PAGE_LINKS, offset, &length);

	return tuple != NULL && length > offsetof(HnswLinksTuple, links) && tuple->owner == owner &&
		offsetof(HnswLinksTuple, links) + (tuple->level + 2) * m * sizeof(HnswNode) <= length
		? tuple
		: NULL;
}

HnswFineTuple *
HnswPageGetFine(Page page, OffsetNumber offset, HnswNode owner, Size size)
{
	Size		length;
	HnswFineTuple *tuple = ItemAt(page, HNSW_PAGE_FINE, offset, &length);

	return tuple != NULL && length >= offsetof(HnswFineTuple, bytes) + size && tuple->owner == owner
		? tuple
		: NULL;
}

void
HnswValuePageFill(Page page, HnswNode owner, const HnswShape *shape, const void *value, Size size,
				  int i)
{
	HnswValuePage *part;
	Size		start = shape->inline_size + i * HNSW_VALUE_PAGE_ROOM;
	Size		length = Min(size - start, HNSW_VALUE_PAGE_ROOM);

	HnswPageInit(page, HNSW_PAGE_VALUE);
	part = HnswPageGetValue(page);
	part->owner = owner;
	memcpy(part->bytes, (const char *) value + start, length);
	/* a generic WAL record leaves out what lies between lower and upper */
	((PageHeader) page)->pd_lower = (part->bytes + length) - (char *) page;
}

/* ---- the metapage ---- */

void
HnswInitMeta(Relation index, ForkNumber fork, const HnswMeta *meta)
{
	Buffer		buffer = HnswFreeBuffer(index, fork);
	Page		page = BufferGetPage(buffer);

	Assert(BufferGetBlockNumber(buffer) == HNSW_META_BLOCK);
	HnswPageInit(page, HNSW_PAGE_META);
	*HnswPageGetMeta(page) = *meta;
	((PageHeader) page)->pd_lower = (char *) (HnswPageGetMeta(page) + 1) - (char *) page;
	MarkBufferDirty(buffer);
	UnlockReleaseBuffer(buffer);
}

/* Is it the metapage of an hnsw or ivfflat index of pgvector, in a database that was moved? */
static bool
IsForeignMeta(Page page)
{
	return !PageIsNew(page) &&
		(*(uint32 *) PageGetContents(page) == PGVECTOR_HNSW_MAGIC ||
		 *(uint32 *) PageGetContents(page) == PGVECTOR_IVFFLAT_MAGIC);
}

void
HnswReadMeta(Relation index, HnswMeta *meta)
{
	Buffer		buffer = ReadBuffer(index, HNSW_META_BLOCK);
	Page		page;

	LockBuffer(buffer, BUFFER_LOCK_SHARE);
	page = BufferGetPage(buffer);
	if (IsForeignMeta(page))
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("index \"%s\" was built by pgvector", RelationGetRelationName(index)),
				 errdetail("Its pages are laid out in another way."),
				 errhint("REINDEX the index.")));
	if (!HnswPageIs(page, HNSW_PAGE_META) || HnswPageGetMeta(page)->magic != HNSW_MAGIC)
		ereport(ERROR,
				(errcode(ERRCODE_INDEX_CORRUPTED),
				 errmsg("index \"%s\" has no hnsw metapage", RelationGetRelationName(index))));
	*meta = *HnswPageGetMeta(page);
	UnlockReleaseBuffer(buffer);
	if (meta->layout != HNSW_VERSION)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("index \"%s\" has page layout %u, not %u", RelationGetRelationName(index),
						meta->layout, HNSW_VERSION),
				 errhint("REINDEX the index.")));
}

void
HnswWriteEntry(Relation index, HnswNode entry, int level, bool building)
{
	Buffer		buffer = ReadBuffer(index, HNSW_META_BLOCK);
	HnswMeta   *meta = HnswPageGetMeta(BufferGetPage(buffer));
	int32		entry_level = level;
	HnswEdit	edit;
	HnswEditedPage *page;

	LockBuffer(buffer, BUFFER_LOCK_EXCLUSIVE);
	HnswEditBegin(&edit, index, building);
	page = HnswEditPage(&edit, buffer);
	HnswEditBytes(page, &meta->entry, &entry, sizeof(entry));
	HnswEditBytes(page, &meta->entry_level, &entry_level, sizeof(entry_level));
	HnswEditEnd(&edit);
}

void
HnswWriteLast(Relation index, HnswPageKind kind, BlockNumber block, bool building)
{
	Buffer		buffer = ReadBuffer(index, HNSW_META_BLOCK);
	HnswMeta   *meta = HnswPageGetMeta(BufferGetPage(buffer));
	HnswEdit	edit;

	LockBuffer(buffer, BUFFER_LOCK_EXCLUSIVE);
	HnswEditBegin(&edit, index, building);
	HnswEditBytes(HnswEditPage(&edit, buffer), &meta->last[kind], &block, sizeof(block));
	HnswEditEnd(&edit);
}
