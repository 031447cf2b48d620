/*
 * edit.c: changes of pages, and the WAL records of them.
 *
 * The records are generic ones, which core replays, whether this library is loaded or not.
 * Core's own interface for making them copies each page twice and compares all of its bytes,
 * which costs more than all else that an insert does to pages. Here pages are changed in
 * place, in a critical section, and who changes bytes says which; the records are the same.
 */
#include "postgres.h"

#include "access/xloginsert.h"
#include "miscadmin.h"

#include "hnsw/pages.h"

/*
 * What a generic record has of a page is a list of fragments: offset on the page, length,
 * bytes. Replay writes them over the page, and zeroes what lies between its lower and upper
 * end; see core's generic_xlog.c.
 */
typedef struct Fragment
{
	uint16		offset;
	uint16		length;
} Fragment;

void
HnswEditBegin(HnswEdit *edit, Relation index, bool building)
{
	edit->logged = !building && RelationNeedsWAL(index);
	edit->keep = InvalidBuffer;
	edit->count = 0;
	START_CRIT_SECTION();
}

HnswEditedPage *
HnswEditPage(HnswEdit *edit, Buffer buffer)
{
	HnswEditedPage *page;

	for (int i = 0; i < edit->count; i++)
	{
		if (edit->pages[i].buffer == buffer)
			return &edit->pages[i];
	}
	Assert(edit->count < MAX_GENERIC_XLOG_PAGES);
	page = &edit->pages[edit->count++];
	page->buffer = buffer;
	page->page = BufferGetPage(buffer);
	page->size = 0;
	/* nothing is kept of what is not logged, and what is begun anew differs all over */
	page->whole = !edit->logged;
	return page;
}

/* ---- fragments ---- */

static void
AddFragment(HnswEditedPage *page, Size offset, const char *bytes, Size length)
{
	Fragment	fragment = {.offset = offset, .length = length};

	if (page->size + sizeof(fragment) + length > sizeof(page->fragments))
		page->whole = true;
	if (page->whole)
		return;
	memcpy(page->fragments + page->size, &fragment, sizeof(fragment));
	memcpy(page->fragments + page->size + sizeof(fragment), bytes, length);
	page->size += sizeof(fragment) + length;
}

/* Logs those of the bytes that differ from the old ones. A gap is left out only where it is longer
 * than what a fragment costs. */
static void
AddDifference(HnswEditedPage *page, Size offset, const char *old, const char *bytes, Size length)
{
	Size		at = 0;

	while (at < length && !page->whole)
	{
		Size		start;
		Size		end;

		while (at < length && bytes[at] == old[at])
			at++;
		start = at;
		end = at;
		while (at < length && at - end <= sizeof(Fragment))
		{
			if (bytes[at] != old[at])
				end = at + 1;
			at++;
		}
		if (end > start)
			AddFragment(page, offset + start, bytes + start, end - start);
	}
}

void
HnswEditBytes(HnswEditedPage *page, void *at, const void *bytes, Size length)
{
	if (!page->whole)
		AddDifference(page, (char *) at - page->page, at, bytes, length);
	memcpy(at, bytes, length);
}

/* Of the room for a new item it is certain that replay finds it zeroed. */
OffsetNumber
HnswEditAddItem(HnswEditedPage *page, const void *item, Size size)
{
	static const PGAlignedBlock zeros = {{0}};
	PageHeaderData before = *(PageHeader) page->page;
	Size		header = offsetof(PageHeaderData, pd_flags);
	OffsetNumber offset = PageAddItem(page->page, (Item) item, size, InvalidOffsetNumber, false, false);
	ItemId		id;

	if (offset == InvalidOffsetNumber)
		elog(ERROR, "no room for an item of %zu bytes on an hnsw page", size);
	if (page->whole)
		return offset;
	id = PageGetItemId(page->page, offset);
	AddDifference(page, header, (char *) &before + header, page->page + header,
				  offsetof(PageHeaderData, pd_special) - header);
	AddFragment(page, (char *) id - page->page, (char *) id, sizeof(ItemIdData));
	AddDifference(page, ItemIdGetOffset(id), zeros.data, item, size);
	return offset;
}

void
HnswEditInit(HnswEditedPage *page, HnswPageKind kind)
{
	HnswPageInit(page->page, kind);
	page->whole = true;
}

/* An item that overlaps what it must not only loses its line pointer: an error here would be a PANIC. */
void
HnswEditDeleteItem(HnswEditedPage *page, OffsetNumber offset)
{
	PageHeader	header = (PageHeader) page->page;
	ItemId		id = PageGetItemId(page->page, offset);

	if (ItemIdGetOffset(id) >= header->pd_upper &&
		ItemIdGetOffset(id) + ItemIdGetLength(id) <= header->pd_special &&
		ItemIdGetOffset(id) == MAXALIGN(ItemIdGetOffset(id)))
		PageIndexTupleDeleteNoCompact(page->page, offset);
	else
		ItemIdSetUnused(id);
	PageSetHasFreeLinePointers(page->page);
	memset(page->page + header->pd_lower, 0, header->pd_upper - header->pd_lower);
	page->whole = true;
}

/* ---- the record ---- */

static void
LogPages(HnswEdit *edit)
{
	XLogRecPtr	end;

	XLogBeginInsert();
	for (int i = 0; i < edit->count; i++)
	{
		HnswEditedPage *page = &edit->pages[i];

		XLogRegisterBuffer(i, page->buffer, REGBUF_STANDARD | (page->whole ? REGBUF_FORCE_IMAGE : 0));
		if (!page->whole)
			XLogRegisterBufData(i, page->fragments, page->size);
	}
	end = XLogInsert(RM_GENERIC_ID, 0);
	for (int i = 0; i < edit->count; i++)
		PageSetLSN(edit->pages[i].page, end);
}

/* What is not logged has no position in WAL, but looks go by that it moves. */
static void
MovePages(HnswEdit *edit)
{
	for (int i = 0; i < edit->count; i++)
	{
		Page		page = edit->pages[i].page;

		PageSetLSN(page, PageGetLSN(page) + 1);
	}
}

void
HnswEditEnd(HnswEdit *edit)
{
	for (int i = 0; i < edit->count; i++)
		MarkBufferDirty(edit->pages[i].buffer);
	if (!edit->logged)
		MovePages(edit);
	else if (edit->count > 0)
		LogPages(edit);
	END_CRIT_SECTION();
	for (int i = 0; i < edit->count; i++)
	{
		if (edit->pages[i].buffer != edit->keep)
			UnlockReleaseBuffer(edit->pages[i].buffer);
	}
}
