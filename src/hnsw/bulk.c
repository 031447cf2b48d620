/*
 * bulk.c: writing a finished graph to an index that has its metapage only, without WAL.
 *
 * Nodes link to later ones, so all are placed before the first is written. Both passes
 * hand out places in the same order, a block at a time, by the same function.
 */
#include "postgres.h"

#include "miscadmin.h"

#include "hnsw/hnsw.h"

/* Where the next node goes. */
typedef struct Places
{
	BlockNumber next;			/* the first block that is not in use yet */
	BlockNumber block;			/* of nodes */
	OffsetNumber offset;		/* of the last node there */
	Size		room;
} Places;

struct HnswBulk
{
	Relation	index;
	int			m;
	Places		placed;
	Places		written;
	Buffer		buffer;			/* of written.block */
};

HnswBulk *
HnswBulkBegin(Relation index, int m)
{
	HnswBulk   *bulk = palloc0(sizeof(HnswBulk));

	bulk->index = index;
	bulk->m = m;
	bulk->placed.next = HNSW_META_BLOCK + 1;
	bulk->written.next = HNSW_META_BLOCK + 1;
	bulk->buffer = InvalidBuffer;
	return bulk;
}

/* Steps to the place of one more node; its pages of values are the last before next. */
static HnswNode
TakePlace(Places *places, const HnswShape *shape)
{
	Size		need = shape->tuple_size + sizeof(ItemIdData);

	if (need > places->room)
	{
		places->block = places->next++;
		places->offset = InvalidOffsetNumber;
		places->room = HNSW_PAGE_ROOM + sizeof(ItemIdData);
	}
	places->room -= need;
	places->offset = OffsetNumberNext(places->offset);
	places->next += shape->value_pages;
	return HnswRefMake(places->block, places->offset, 0);
}

HnswNode
HnswBulkPlace(HnswBulk *bulk, int level, Size value_size)
{
	HnswShape	shape = HnswNodeShape(bulk->m, level, value_size);

	return TakePlace(&bulk->placed, &shape);
}

static Buffer
NextBuffer(const HnswBulk *bulk, BlockNumber expected)
{
	Buffer		buffer = HnswFreeBuffer(bulk->index, MAIN_FORKNUM);

	CHECK_FOR_INTERRUPTS();
	if (BufferGetBlockNumber(buffer) != expected)
		elog(ERROR, "hnsw index \"%s\" grew while it was built",
			 RelationGetRelationName(bulk->index));
	return buffer;
}

static void
FinishBuffer(Buffer buffer)
{
	if (buffer == InvalidBuffer)
		return;
	MarkBufferDirty(buffer);
	UnlockReleaseBuffer(buffer);
}

/* The tuple of a node, whose pages of values begin at a block. */
static HnswNodeTuple *
FormNode(const HnswBulk *bulk, const HnswBulkNode *node, const HnswShape *shape,
		 BlockNumber value_block)
{
	HnswNodeTuple *tuple = palloc0(shape->tuple_size);
	HnswInsertion form = {
		.form = {.value = node->value, .size = node->value_size},
		.level = node->level
	};

	HnswFormNode(tuple, shape, &form, bulk->m);
	memcpy(tuple->links, node->links, shape->links * sizeof(HnswNode));
	tuple->row_count = Min(node->row_count, HNSW_INLINE_ROWS);
	memcpy(tuple->rows, node->rows, tuple->row_count * sizeof(ItemPointerData));
	for (int i = 0; i < shape->value_pages; i++)
		tuple->value_block[i] = value_block + i;
	return tuple;
}

void
HnswBulkWrite(HnswBulk *bulk, const HnswBulkNode *node)
{
	HnswShape	shape = HnswNodeShape(bulk->m, node->level, node->value_size);
	BlockNumber block = bulk->written.block;
	HnswNode	name = TakePlace(&bulk->written, &shape);
	BlockNumber value_block = bulk->written.next - shape.value_pages;
	HnswNodeTuple *tuple = FormNode(bulk, node, &shape, value_block);

	if (bulk->buffer == InvalidBuffer || HnswRefBlock(name) != block)
	{
		FinishBuffer(bulk->buffer);
		bulk->buffer = NextBuffer(bulk, HnswRefBlock(name));
		HnswPageInit(BufferGetPage(bulk->buffer), HNSW_PAGE_NODES);
	}
	if (PageAddItem(BufferGetPage(bulk->buffer), (Item) tuple, shape.tuple_size,
					InvalidOffsetNumber, false, false) != HnswRefOffset(name))
		elog(ERROR, "hnsw node is not where it was to be");
	pfree(tuple);
	for (int part = 0; part < shape.value_pages; part++)
	{
		Buffer		buffer = NextBuffer(bulk, value_block + part);

		HnswValuePageFill(BufferGetPage(buffer), name, &shape, node->value, node->value_size, part);
		FinishBuffer(buffer);
	}
}

void
HnswBulkAddRows(HnswBulk *bulk, HnswNode name, const ItemPointerData *rows, int count)
{
	Buffer		buffer;

	FinishBuffer(bulk->buffer);
	bulk->buffer = InvalidBuffer;
	CHECK_FOR_INTERRUPTS();
	if (count <= HNSW_INLINE_ROWS)
		return;
	buffer = ReadBuffer(bulk->index, HnswRefBlock(name));
	LockBuffer(buffer, BUFFER_LOCK_EXCLUSIVE);
	HnswPageNodeAt(BufferGetPage(buffer), HnswRefOffset(name))->more_rows =
		HnswWriteRows(bulk->index, rows + HNSW_INLINE_ROWS, count - HNSW_INLINE_ROWS);
	FinishBuffer(buffer);
}

void
HnswBulkEnd(HnswBulk *bulk, HnswNode entry, int entry_level)
{
	FinishBuffer(bulk->buffer);
	if (entry != HNSW_NO_NODE)
		HnswWriteEntry(bulk->index, entry, entry_level, true);
	pfree(bulk);
}
