/*
 * bulk.c: writing a finished graph to an index that has its metapage only, without WAL.
 *
 * Nodes link to later ones, so all are placed before the first is written. Both passes
 * hand out places in the same order, a block at a time, by the same function.
 */
#include "postgres.h"

#include "miscadmin.h"

#include "hnsw/pages.h"

/* Where the next item of a kind goes. */
typedef struct Stream
{
	HnswPageKind kind;
	BlockNumber block;
	OffsetNumber offset;		/* of the last item there */
	Size		room;
	Buffer		buffer;			/* of the block, once it is written */
} Stream;

typedef struct Places
{
	BlockNumber next;			/* the first block that is not in use yet */
	Stream		nodes;
	Stream		links;
	Stream		fine;
} Places;

struct HnswBulk
{
	Relation	index;
	HnswSupport support;
	int			m;
	uint64		salt;
	Places		placed;
	Places		written;
};

static void
StartPlaces(Places *places)
{
	memset(places, 0, sizeof(*places));
	places->next = HNSW_META_BLOCK + 1;
	places->nodes.kind = HNSW_PAGE_NODES;
	places->links.kind = HNSW_PAGE_LINKS;
	places->fine.kind = HNSW_PAGE_FINE;
}

HnswBulk *
HnswBulkBegin(Relation index, int m)
{
	HnswBulk   *bulk = palloc0(sizeof(HnswBulk));
	HnswMeta	meta;

	HnswReadMeta(index, &meta);
	bulk->salt = meta.salt;
	bulk->index = index;
	bulk->m = m;
	HnswInitSupport(&bulk->support, index);
	StartPlaces(&bulk->placed);
	StartPlaces(&bulk->written);
	return bulk;
}

/* Steps to the place of one item more. */
static void
TakePlace(Places *places, Stream *stream, Size size)
{
	Size		need = MAXALIGN(size) + sizeof(ItemIdData);

	if (need > stream->room)
	{
		stream->block = places->next++;
		stream->offset = InvalidOffsetNumber;
		stream->room = HNSW_PAGE_ROOM + sizeof(ItemIdData);
	}
	stream->room -= need;
	stream->offset = OffsetNumberNext(stream->offset);
}

/* Those of a node and its parts; the pages of its value are the last before next. */
static HnswNode
TakePlaces(Places *places, const HnswShape *shape)
{
	TakePlace(places, &places->nodes, shape->node_size);
	TakePlace(places, &places->links, shape->links_size);
	if (shape->fine_tuple_size > 0)
		TakePlace(places, &places->fine, shape->fine_tuple_size);
	places->next += shape->value_pages;
	return HnswRefMake(places->nodes.block, places->nodes.offset, 0);
}

HnswNode
HnswBulkPlace(HnswBulk *bulk, int level, Size value_size)
{
	HnswShape	shape = HnswNodeShape(&bulk->support, bulk->m, level, value_size);

	return TakePlaces(&bulk->placed, &shape);
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

/* Writes the item of the place that was taken last. */
static void
WriteItem(HnswBulk *bulk, Stream *stream, const void *item, Size size)
{
	if (stream->offset == FirstOffsetNumber)
	{
		FinishBuffer(stream->buffer);
		stream->buffer = NextBuffer(bulk, stream->block);
		HnswPageInit(BufferGetPage(stream->buffer), stream->kind);
	}
	if (PageAddItem(BufferGetPage(stream->buffer), (Item) item, size, InvalidOffsetNumber, false,
					false) != stream->offset)
		elog(ERROR, "hnsw item is not where it was to be");
}

static ItemPointerData
PlaceOf(const Stream *stream)
{
	ItemPointerData at;

	ItemPointerSet(&at, stream->block, stream->offset);
	return at;
}

/* The tuple of a node whose places were taken last. */
static void
WriteNode(HnswBulk *bulk, HnswNode name, const HnswBulkNode *node, const HnswShape *shape)
{
	HnswNodeTuple *tuple = palloc0(shape->node_size);

	HnswFormNode(tuple, shape, node->level, node->value, node->value_size);
	tuple->stamp = HnswStamp(bulk->salt, name);
	tuple->links = PlaceOf(&bulk->written.links);
	if (shape->fine_tuple_size > 0)
		tuple->fine = PlaceOf(&bulk->written.fine);
	tuple->row_count = Min(node->row_count, HNSW_INLINE_ROWS);
	memcpy(tuple->u.rows, node->rows, tuple->row_count * sizeof(ItemPointerData));
	for (int i = 0; i < shape->value_pages; i++)
		tuple->value_block[i] = bulk->written.next - shape->value_pages + i;
	WriteItem(bulk, &bulk->written.nodes, tuple, shape->node_size);
	pfree(tuple);
}

static void
WriteLinks(HnswBulk *bulk, HnswNode name, const HnswBulkNode *node, const HnswShape *shape)
{
	HnswLinksTuple *tuple = palloc0(shape->links_size);

	tuple->owner = name;
	tuple->level = node->level;
	memcpy(tuple->links, node->links, shape->links * sizeof(HnswNode));
	WriteItem(bulk, &bulk->written.links, tuple, shape->links_size);
	pfree(tuple);
}

static void
WriteValue(HnswBulk *bulk, HnswNode name, const HnswBulkNode *node, const HnswShape *shape)
{
	if (shape->fine_tuple_size > 0)
	{
		HnswFineTuple *fine = HnswFormFine(shape, name, node->value, node->value_size);

		WriteItem(bulk, &bulk->written.fine, fine, shape->fine_tuple_size);
		pfree(fine);
	}
	for (int part = 0; part < shape->value_pages; part++)
	{
		Buffer		buffer = NextBuffer(bulk, bulk->written.next - shape->value_pages + part);

		HnswValuePageFill(BufferGetPage(buffer), name, shape, node->value, node->value_size, part);
		FinishBuffer(buffer);
	}
}

void
HnswBulkWrite(HnswBulk *bulk, const HnswBulkNode *node)
{
	HnswShape	shape = HnswNodeShape(&bulk->support, bulk->m, node->level, node->value_size);
	HnswNode	name = TakePlaces(&bulk->written, &shape);

	WriteNode(bulk, name, node, &shape);
	WriteLinks(bulk, name, node, &shape);
	WriteValue(bulk, name, node, &shape);
}

static void
FinishStreams(HnswBulk *bulk)
{
	Stream	   *streams[] = {&bulk->written.nodes, &bulk->written.links, &bulk->written.fine};

	for (int i = 0; i < (int) lengthof(streams); i++)
	{
		if (streams[i]->buffer == InvalidBuffer)
			continue;
		FinishBuffer(streams[i]->buffer);
		streams[i]->buffer = InvalidBuffer;
		HnswWriteLast(bulk->index, streams[i]->kind, streams[i]->block, true);
	}
}

void
HnswBulkAddRows(HnswBulk *bulk, HnswNode name, const ItemPointerData *rows, int count)
{
	Buffer		buffer;

	FinishStreams(bulk);
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
	FinishStreams(bulk);
	if (entry != HNSW_NO_NODE)
		HnswWriteEntry(bulk->index, entry, entry_level, true);
	pfree(bulk);
}
