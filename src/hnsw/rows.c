/*
 * rows.c: the heap TIDs of a node.
 *
 * Rows of the same value share a node. The first few TIDs lie in the node itself,
 * further ones in a chain of tuples on pages of rows, newest tuple first. The chain is
 * guarded by the lock on the node's page: whoever reads it holds that lock shared,
 * whoever changes it exclusively.
 */
#include "postgres.h"

#include "miscadmin.h"
#include "storage/indexfsm.h"

#include "hnsw/pages.h"

void
HnswRowsAdd(HnswRows *rows, const ItemPointerData *from, int count)
{
	if (rows->count + count > rows->room)
	{
		rows->room = Max(rows->room * 2, rows->count + count + HNSW_INLINE_ROWS);
		rows->rows = rows->rows == NULL
			? MemoryContextAlloc(rows->context, rows->room * sizeof(ItemPointerData))
			: repalloc_huge(rows->rows, rows->room * sizeof(ItemPointerData));
	}
	memcpy(rows->rows + rows->count, from, count * sizeof(ItemPointerData));
	rows->count += count;
}

static HnswRowsTuple *
RowsAt(Page page, ItemPointerData at)
{
	return (HnswRowsTuple *) PageGetItem(page,
										 PageGetItemId(page, ItemPointerGetOffsetNumber(&at)));
}

/* Is there a tuple of rows at this place? */
static bool
HasRowsAt(Page page, ItemPointerData at)
{
	OffsetNumber offset = ItemPointerGetOffsetNumber(&at);

	return HnswPageIs(page, HNSW_PAGE_ROWS) && offset <= PageGetMaxOffsetNumber(page) &&
		ItemIdIsNormal(PageGetItemId(page, offset)) &&
		ItemIdGetLength(PageGetItemId(page, offset)) == sizeof(HnswRowsTuple);
}

/* The tuple at a place in a chain; its buffer is locked in the mode that is given. */
static HnswRowsTuple *
LockRowsTuple(Relation index, ItemPointerData at, int mode, Buffer *buffer)
{
	*buffer = ReadBuffer(index, ItemPointerGetBlockNumber(&at));
	LockBuffer(*buffer, mode);
	if (!HasRowsAt(BufferGetPage(*buffer), at))
		ereport(ERROR,
				(errcode(ERRCODE_INDEX_CORRUPTED),
				 errmsg("index \"%s\" has no rows at (%u,%u)", RelationGetRelationName(index),
						ItemPointerGetBlockNumber(&at), ItemPointerGetOffsetNumber(&at))));
	return RowsAt(BufferGetPage(*buffer), at);
}

bool
HnswNextRows(Relation index, ItemPointer at)
{
	Buffer		buffer;
	bool		found;

	if (ItemPointerGetBlockNumber(at) >= RelationGetNumberOfBlocks(index))
		return false;
	buffer = ReadBuffer(index, ItemPointerGetBlockNumber(at));
	LockBuffer(buffer, BUFFER_LOCK_SHARE);
	found = HasRowsAt(BufferGetPage(buffer), *at);
	if (found)
		*at = RowsAt(BufferGetPage(buffer), *at)->next;
	UnlockReleaseBuffer(buffer);
	return found;
}

void
HnswReadRows(Relation index, const HnswNodeTuple *node, HnswRows *rows)
{
	ItemPointerData at = node->more_rows;

	HnswRowsAdd(rows, node->u.rows, Min(node->row_count, HNSW_INLINE_ROWS));
	while (ItemPointerIsValid(&at))
	{
		Buffer		buffer;
		HnswRowsTuple *tuple = LockRowsTuple(index, at, BUFFER_LOCK_SHARE, &buffer);

		HnswRowsAdd(rows, tuple->rows, tuple->count);
		at = tuple->next;
		UnlockReleaseBuffer(buffer);
	}
}

/* The first tuple of a chain, locked, if it has room; or NULL. */
static HnswRowsTuple *
LockRoomInChain(Relation index, ItemPointerData at, Buffer *buffer)
{
	HnswRowsTuple *tuple;

	if (!ItemPointerIsValid(&at))
		return NULL;
	tuple = LockRowsTuple(index, at, BUFFER_LOCK_EXCLUSIVE, buffer);
	if (tuple->count < HNSW_ROWS_PER_TUPLE)
		return tuple;
	UnlockReleaseBuffer(*buffer);
	return NULL;
}

static void
AddInlineRow(Relation index, Buffer buffer, HnswNodeTuple *tuple, const ItemPointerData *row,
			 bool building)
{
	uint8		count = tuple->row_count + 1;
	HnswEdit	edit;
	HnswEditedPage *page;

	HnswEditBegin(&edit, index, building);
	page = HnswEditPage(&edit, buffer);
	HnswEditBytes(page, &tuple->u.rows[count - 1], row, sizeof(*row));
	HnswEditBytes(page, &tuple->row_count, &count, sizeof(count));
	HnswEditEnd(&edit);
}

/* To the first tuple of the node's chain, or to one before it. */
static void
AddChainedRow(Relation index, Buffer buffer, HnswNodeTuple *tuple, const ItemPointerData *row,
			  bool building)
{
	HnswRowsTuple more = {.next = tuple->more_rows, .count = 1, .rows[0] = *row};
	Buffer		rows_buffer;
	HnswRowsTuple *first = LockRoomInChain(index, tuple->more_rows, &rows_buffer);
	BlockNumber block;
	bool		fresh = false;
	HnswEdit	edit;
	HnswEditedPage *page;

	if (first == NULL)
		rows_buffer = HnswBufferForItem(index, HNSW_PAGE_ROWS, sizeof(more), InvalidBuffer);
	block = BufferGetBlockNumber(rows_buffer);
	HnswEditBegin(&edit, index, building);
	page = HnswEditPage(&edit, buffer);
	if (first != NULL)
	{
		uint16		count = first->count + 1;

		page = HnswEditPage(&edit, rows_buffer);
		HnswEditBytes(page, &first->rows[count - 1], row, sizeof(*row));
		HnswEditBytes(page, &first->count, &count, sizeof(count));
	}
	else
	{
		ItemPointerData at = HnswPutItem(&edit, rows_buffer, HNSW_PAGE_ROWS, &more, sizeof(more), &fresh);

		HnswEditBytes(page, &tuple->more_rows, &at, sizeof(at));
	}
	HnswEditEnd(&edit);
	if (fresh)
		HnswWriteLast(index, HNSW_PAGE_ROWS, block, building);
}

bool
HnswAddRow(Relation index, HnswNode node, const ItemPointerData *row, bool building)
{
	Buffer		buffer = ReadBuffer(index, HnswRefBlock(node));
	HnswNodeTuple *tuple;

	LockBuffer(buffer, BUFFER_LOCK_EXCLUSIVE);
	tuple = HnswPageGetNode(BufferGetPage(buffer), node);
	if (tuple == NULL || !HnswNodeHasRows(tuple))
	{
		UnlockReleaseBuffer(buffer);
		return false;
	}
	if (tuple->row_count < HNSW_INLINE_ROWS)
		AddInlineRow(index, buffer, tuple, row, building);
	else
		AddChainedRow(index, buffer, tuple, row, building);
	return true;
}

ItemPointerData
HnswWriteRows(Relation index, const ItemPointerData *rows, int count)
{
	ItemPointerData first;

	ItemPointerSetInvalid(&first);
	for (int done = 0; done < count;)
	{
		HnswEdit	edit;
		HnswRowsTuple tuple = {.next = first};
		Buffer		buffer = HnswBufferForItem(index, HNSW_PAGE_ROWS, sizeof(tuple), InvalidBuffer);
		BlockNumber block = BufferGetBlockNumber(buffer);
		bool		fresh;

		tuple.count = Min(count - done, HNSW_ROWS_PER_TUPLE);
		memcpy(tuple.rows, rows + done, tuple.count * sizeof(ItemPointerData));
		done += tuple.count;
		HnswEditBegin(&edit, index, true);
		first = HnswPutItem(&edit, buffer, HNSW_PAGE_ROWS, &tuple, sizeof(tuple), &fresh);
		HnswEditEnd(&edit);
		if (fresh)
			HnswWriteLast(index, HNSW_PAGE_ROWS, block, true);
	}
	return first;
}

/* ---- vacuum ---- */

/* Moves the rows that stay to the front; how many stay. */
static int
FilterArray(ItemPointerData *rows, int count, const HnswRowFilter *filter)
{
	int			left = 0;

	for (int i = 0; i < count; i++)
	{
		if (!filter->callback(&rows[i], filter->state))
			rows[left++] = rows[i];
	}
	*filter->removed += count - left;
	*filter->left += left;
	return left;
}

/* Takes an empty tuple out of the chain and off its page: one WAL record, with the
 * link to it, which is in the node or in the tuple before. */
static void
Unlink(Relation index, Buffer node_buffer, OffsetNumber node_offset, ItemPointerData before,
	   ItemPointerData at)
{
	HnswEdit	edit;
	Buffer		buffer;
	Buffer		link_buffer = node_buffer;
	ItemPointerData next = LockRowsTuple(index, at, BUFFER_LOCK_EXCLUSIVE, &buffer)->next;
	ItemPointerData *link = &HnswPageNodeAt(BufferGetPage(node_buffer), node_offset)->more_rows;
	HnswEditedPage *page;
	bool		emptied;

	if (ItemPointerIsValid(&before))
	{
		link_buffer = buffer;
		if (ItemPointerGetBlockNumber(&before) != ItemPointerGetBlockNumber(&at))
			LockRowsTuple(index, before, BUFFER_LOCK_EXCLUSIVE, &link_buffer);
		link = &RowsAt(BufferGetPage(link_buffer), before)->next;
	}
	HnswEditBegin(&edit, index, false);
	edit.keep = node_buffer;
	HnswEditBytes(HnswEditPage(&edit, link_buffer), link, &next, sizeof(next));
	page = HnswEditPage(&edit, buffer);
	HnswEditDeleteItem(page, ItemPointerGetOffsetNumber(&at));
	emptied = !HnswPageHasItems(page->page);
	if (emptied)
		HnswEditInit(page, HNSW_PAGE_FREE);
	HnswEditEnd(&edit);
	if (emptied)
		RecordFreeIndexPage(index, ItemPointerGetBlockNumber(&at));
}

/* Filters the rows that lie in the node itself; how many stay. */
static int
FilterInlineRows(Relation index, Buffer buffer, OffsetNumber offset, const HnswRowFilter *filter)
{
	HnswNodeTuple *stored = HnswPageNodeAt(BufferGetPage(buffer), offset);
	ItemPointerData rows[HNSW_INLINE_ROWS];
	uint8		left;

	memcpy(rows, stored->u.rows, sizeof(rows));
	left = FilterArray(rows, stored->row_count, filter);
	if (left < stored->row_count)
	{
		HnswEdit	edit;
		HnswEditedPage *page;

		HnswEditBegin(&edit, index, false);
		edit.keep = buffer;
		page = HnswEditPage(&edit, buffer);
		HnswEditBytes(page, stored->u.rows, rows, sizeof(rows));
		HnswEditBytes(page, &stored->row_count, &left, sizeof(left));
		HnswEditEnd(&edit);
	}
	return left;
}

/* Filters one tuple of a chain, which it returns as it is now. */
static HnswRowsTuple
FilterChained(Relation index, ItemPointerData at, const HnswRowFilter *filter)
{
	Buffer		buffer;
	HnswRowsTuple *stored = LockRowsTuple(index, at, BUFFER_LOCK_EXCLUSIVE, &buffer);
	HnswRowsTuple tuple = *stored;

	tuple.count = FilterArray(tuple.rows, tuple.count, filter);
	if (tuple.count < stored->count)
	{
		HnswEdit	edit;

		HnswEditBegin(&edit, index, false);
		HnswEditBytes(HnswEditPage(&edit, buffer), stored, &tuple, sizeof(tuple));
		HnswEditEnd(&edit);
	}
	else
		UnlockReleaseBuffer(buffer);
	return tuple;
}

bool
HnswFilterRows(Relation index, Buffer buffer, OffsetNumber offset, const HnswRowFilter *filter)
{
	int			left = FilterInlineRows(index, buffer, offset, filter);
	ItemPointerData at = HnswPageNodeAt(BufferGetPage(buffer), offset)->more_rows;
	ItemPointerData before;

	ItemPointerSetInvalid(&before);
	while (ItemPointerIsValid(&at))
	{
		HnswRowsTuple tuple = FilterChained(index, at, filter);

		if (tuple.count == 0)
			Unlink(index, buffer, offset, before, at);
		else
			before = at;
		left += tuple.count;
		at = tuple.next;
	}
	return left > 0;
}
