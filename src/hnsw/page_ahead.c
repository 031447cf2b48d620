/*
 * page_ahead.c: reading pages, and asking for those that are going to be read.
 *
 * What is in shared buffers is asked for from memory. What is not costs a copy, if the kernel
 * has it, and then asking for it ahead would be one more system call for nothing. So how long
 * a read took decides: after one that went to a disk, the next pages that are missing are asked
 * for before the first of them is read, all those of a hop at once.
 */
#include "postgres.h"

#include "executor/instrument.h"
#include "portability/instr_time.h"

#include "hnsw/store_page.h"

#define CACHE_LINE 64
#define MAX_EXPECTED 320		/* bytes of links to ask for: those of level 0, with the usual m */

#define DISK_MICROSECONDS 40	/* a copy takes a few */
#define AHEAD 32				/* misses to ask for after a slow one */

/* Blocks that are asked for together: what is near lies near, and a disk gives so many in about
 * the time of two. */
#define RANGE 8

/* Reads a page that the memo does not lead to. How it goes tells what to expect of the next. */
static Buffer
ReadPage(PageStore *store, BlockNumber block)
{
	int64		reads = pgBufferUsage.shared_blks_read;
	Buffer		buffer;
	instr_time	start;
	instr_time	took;

	INSTR_TIME_SET_CURRENT(start);
	buffer = ReadBuffer(store->index, block);
	if (pgBufferUsage.shared_blks_read == reads)
		return buffer;
	INSTR_TIME_SET_CURRENT(took);
	INSTR_TIME_SUBTRACT(took, start);
	store->outgrown = true;
	if (INSTR_TIME_GET_MICROSEC(took) >= DISK_MICROSECONDS)
		store->ahead = AHEAD;
	else if (store->ahead > 0)
		store->ahead--;
	return buffer;
}

Buffer
HnswReadBuffer(PageStore *store, BlockNumber block)
{
	Buffer		buffer;

	if (store->peek.memo != NULL)
	{
		buffer = *HnswPeekPlace(&store->peek, block) + 1;
		if (RagReadRecentBuffer(store->index, block, buffer))
		{
			RagCountUse(GetBufferDescriptor(buffer - 1));
			return buffer;
		}
	}
	buffer = ReadPage(store, block);
	HnswPeekRemember(&store->peek, block, buffer);
	return buffer;
}

void
HnswAskFor(PageStore *store, BlockNumber block)
{
	BlockNumber first = block - block % RANGE;
	BlockNumber *asked = &store->asked[first / RANGE % HNSW_ASKED];

	if (store->ahead == 0 || !store->prefetch || *asked == first + 1 || !HnswBlockExists(store, block))
		return;
	*asked = first + 1;
	RagPrefetchBlocks(store->index, first, Min(RANGE, store->blocks - first));
}

/* An item of another page, by what is in memory of it already. */
static void
ExpectItem(PageStore *store, HnswPageKind kind, ItemPointerData at, Size most)
{
	HnswLook	look;
	Size		length;
	const char *item;

	if (!HnswLookBegin(&store->peek, ItemPointerGetBlockNumberNoCheck(&at), &look))
	{
		HnswAskFor(store, ItemPointerGetBlockNumberNoCheck(&at));
		return;
	}
	item = HnswLookItem(&look, kind, ItemPointerGetOffsetNumberNoCheck(&at), &length);
	for (Size line = 0; item != NULL && line < Min(length, most); line += CACHE_LINE)
		__builtin_prefetch(item + line);
}

/* The nearest node's links are read next: their page was asked for a hop ago. */
void
HnswPageExpect(HnswStore *base, const HnswNode *nodes, int n)
{
	PageStore  *store = (PageStore *) base;

	for (int i = 0; i < n; i++)
	{
		const HnswNodeTuple *node = HnswGlimpseNode(store, nodes[i]);
		ItemPointerData at;

		if (node == NULL)
			continue;
		at = node->links;
		if (i == 0 || store->ahead > 0)
			ExpectItem(store, HNSW_PAGE_LINKS, at, MAX_EXPECTED);
		else
			HnswLookPrefetch(&store->peek, ItemPointerGetBlockNumberNoCheck(&at),
							 ItemPointerGetOffsetNumberNoCheck(&at));
	}
}

void
HnswPageStoreExpectRefine(HnswStore *base, const HnswCandidate *found, int n)
{
	PageStore  *store = (PageStore *) base;
	ItemPointerData places[HNSW_REFINE_AHEAD];
	int			count = 0;

	for (int i = 0; i < Min(n, HNSW_REFINE_AHEAD); i++)
	{
		const HnswNodeTuple *node = HnswGlimpseNode(store, found[i].node);

		if (node == NULL)
		{
			HnswAskFor(store, HnswRefBlock(found[i].node));
			continue;
		}
		places[count] = node->fine;
		HnswLookPrefetch(&store->peek, ItemPointerGetBlockNumberNoCheck(&places[count]),
						 ItemPointerGetOffsetNumberNoCheck(&places[count]));
		count++;
	}
	for (int i = 0; i < count; i++)
		ExpectItem(store, HNSW_PAGE_FINE, places[i], HnswFineSize(base->support));
}

void
HnswPageStoreSawRow(IndexScanDesc scan)
{
	Buffer		buffer = RagFetchedBuffer(scan);
	HnswPeek	peek;

	if (!BufferIsValid(buffer))
		return;
	HnswPeekInit(&peek, scan->heapRelation);
	HnswPeekRemember(&peek, BufferGetBlockNumber(buffer), buffer);
}

/* Where the memo guesses a row of the table, whose line pointer has been asked for. */
static const char *
GuessRow(const HnswPeek *peek, ItemPointer row)
{
	Page		page = BufferGetPage(*HnswPeekPlace(peek, ItemPointerGetBlockNumber(row)) + 1);
	OffsetNumber offset = Min(ItemPointerGetOffsetNumber(row), MaxHeapTuplesPerPage);
	ItemIdData	item = *(volatile const ItemIdData *) PageGetItemId(page, offset);

	return (const char *) page + ItemIdGetOffset(&item) % BLCKSZ;
}

void
HnswPageStoreExpectRows(HnswStore *base, Relation heap, ItemPointer rows, int n)
{
	PageStore  *store = (PageStore *) base;
	HnswPeek	peek;

	for (int i = 0; i < n && store->ahead > 0 && store->prefetch; i++)
		PrefetchBuffer(heap, MAIN_FORKNUM, ItemPointerGetBlockNumber(&rows[i]));
	HnswPeekInit(&peek, heap);
	if (peek.memo == NULL)
		return;
	for (int i = 0; i < n; i++)
		HnswLookPrefetch(&peek, ItemPointerGetBlockNumber(&rows[i]), ItemPointerGetOffsetNumber(&rows[i]));
	for (int i = 0; i < n; i++)
		__builtin_prefetch(GuessRow(&peek, &rows[i]));
}
