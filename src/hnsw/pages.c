/*
 * pages.c: what lies on a page, and how pages are changed.
 */
#include "postgres.h"

#include "hnsw/hnsw.h"

/* Keeps the counts of a page that was in use before. */
void
HnswPageInit(Page page, HnswPageKind kind)
{
	HnswPageTail tail = {0};

	if (!PageIsNew(page))
		tail = *HnswPageGetTail(page);
	tail.kind = kind;
	tail.page_id = HNSW_PAGE_ID;
	PageInit(page, BLCKSZ, sizeof(HnswPageTail));
	*HnswPageGetTail(page) = tail;
}

bool
HnswPageIs(Page page, HnswPageKind kind)
{
	return !PageIsNew(page) && PageGetSpecialSize(page) == MAXALIGN(sizeof(HnswPageTail)) &&
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

/* The value lies behind the links where there is room for it; what is left over fills
 * pages of its own, and all of it does when even the rest has no room. */
HnswShape
HnswNodeShape(int m, int level, Size value_size)
{
	HnswShape	shape;
	Size		head;

	shape.links = (level + 2) * m;
	head = MAXALIGN(offsetof(HnswNodeTuple, links) + sizeof(HnswNode) * shape.links);
	shape.value_pages = value_size / HNSW_VALUE_PAGE_ROOM;
	shape.inline_size = value_size % HNSW_VALUE_PAGE_ROOM;
	if (head + shape.inline_size > HNSW_PAGE_ROOM)
	{
		shape.value_pages++;
		shape.inline_size = 0;
	}
	if (shape.value_pages > HNSW_MAX_VALUE_PAGES || head > HNSW_PAGE_ROOM)
		elog(ERROR, "hnsw value of %zu bytes is too large", value_size);
	shape.tuple_size = MAXALIGN(head + shape.inline_size);
	return shape;
}

/* The links of all levels must fit a page. */
int
HnswMaxLevel(int m)
{
	int			links = (HNSW_PAGE_ROOM - offsetof(HnswNodeTuple, links)) / sizeof(HnswNode);

	return Min(links / m - 2, HNSW_MAX_LEVEL);
}

void
HnswFormNode(HnswNodeTuple *tuple, const HnswShape *shape, const HnswInsertion *insertion, int m)
{
	tuple->level = insertion->level;
	tuple->value_pages = shape->value_pages;
	tuple->inline_size = shape->inline_size;
	tuple->value_size = insertion->form.size;
	for (int i = 0; i < HNSW_MAX_VALUE_PAGES; i++)
		tuple->value_block[i] = InvalidBlockNumber;
	ItemPointerSetInvalid(&tuple->more_rows);
	for (int i = 0; i < HNSW_INLINE_ROWS; i++)
		ItemPointerSetInvalid(&tuple->rows[i]);
	for (int i = 0; i < shape->links; i++)
		tuple->links[i] = HNSW_NO_NODE;
	memcpy(HnswNodeValue(tuple, m), insertion->form.value, shape->inline_size);
}

HnswNodeTuple *
HnswPageNodeAt(Page page, OffsetNumber offset)
{
	ItemId		item;

	if (!HnswPageIs(page, HNSW_PAGE_NODES) || offset < FirstOffsetNumber ||
		offset > PageGetMaxOffsetNumber(page))
		return NULL;
	item = PageGetItemId(page, offset);
	return ItemIdIsNormal(item) ? (HnswNodeTuple *) PageGetItem(page, item) : NULL;
}

HnswNodeTuple *
HnswPageGetNode(Page page, HnswNode node)
{
	HnswNodeTuple *tuple = HnswPageNodeAt(page, HnswRefOffset(node));

	return tuple != NULL && tuple->version == HnswRefVersion(node) ? tuple : NULL;
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

/* ---- changes ---- */

void
HnswEditBegin(HnswEdit *edit, Relation index, bool building)
{
	edit->index = index;
	edit->record = building ? NULL : GenericXLogStart(index);
	edit->keep = InvalidBuffer;
	edit->count = 0;
}

Page
HnswEditPage(HnswEdit *edit, Buffer buffer)
{
	Page		page = BufferGetPage(buffer);
	int			flags = HnswPageIs(page, HNSW_PAGE_NODES) || HnswPageIs(page, HNSW_PAGE_ROWS) ||
		HnswPageIs(page, HNSW_PAGE_META) ? 0 : GENERIC_XLOG_FULL_IMAGE;

	Assert(edit->count < MAX_GENERIC_XLOG_PAGES);
	edit->buffers[edit->count++] = buffer;
	if (edit->record != NULL)
		page = GenericXLogRegisterBuffer(edit->record, buffer, flags);
	if (!PageIsNew(page))
		HnswPageGetTail(page)->changes++;
	return page;
}

void
HnswEditEnd(HnswEdit *edit)
{
	if (edit->record != NULL)
		GenericXLogFinish(edit->record);
	else
	{
		for (int i = 0; i < edit->count; i++)
			MarkBufferDirty(edit->buffers[i]);
	}
	for (int i = 0; i < edit->count; i++)
	{
		if (edit->buffers[i] != edit->keep)
			UnlockReleaseBuffer(edit->buffers[i]);
	}
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

/* The metapage to change; the caller ends the edit. */
static HnswMeta *
EditMeta(HnswEdit *edit, Relation index, bool building)
{
	Buffer		buffer = ReadBuffer(index, HNSW_META_BLOCK);

	LockBuffer(buffer, BUFFER_LOCK_EXCLUSIVE);
	HnswEditBegin(edit, index, building);
	return HnswPageGetMeta(HnswEditPage(edit, buffer));
}

void
HnswWriteEntry(Relation index, HnswNode entry, int level, bool building)
{
	HnswEdit	edit;
	HnswMeta   *meta = EditMeta(&edit, index, building);

	meta->entry = entry;
	meta->entry_level = level;
	HnswEditEnd(&edit);
}

void
HnswWriteRowsBlock(Relation index, BlockNumber block, bool building)
{
	HnswEdit	edit;

	EditMeta(&edit, index, building)->rows_block = block;
	HnswEditEnd(&edit);
}
