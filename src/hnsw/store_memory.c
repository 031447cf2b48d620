/*
 * store_memory.c: the graph in memory, while an index is built.
 *
 * A node's name is its number. Its record, its links of all levels and its value are
 * carved from large blocks and never move or grow; only the rows of duplicates do.
 */
#include "postgres.h"

#include "miscadmin.h"
#include "utils/memutils.h"

#include "hnsw/hnsw.h"

/* Blocks grow with the graph between these, so that a small limit is not overshot. */
#define MIN_ARENA_BLOCK (16 * 1024)
#define MAX_ARENA_BLOCK (1024 * 1024)
#define FIRST_NODES 1024

typedef struct MemoryLink
{
	uint32		node;
	float		distance;
} MemoryLink;

/* The links of one level, nearest first only by chance. */
typedef struct MemoryLinks
{
	uint32		count;
	MemoryLink	links[FLEXIBLE_ARRAY_MEMBER];
} MemoryLinks;

typedef struct MemoryNode
{
	const void *value;
	uint32		value_size;
	uint8		level;
	BlockNumber block;			/* where the node will lie, from the flush on */
	OffsetNumber offset;
	ItemPointerData row;		/* the first row; more has all once there are several */
	HnswRows   *more;
	MemoryLinks *links[FLEXIBLE_ARRAY_MEMBER];	/* by level */
} MemoryNode;

typedef struct MemoryStore
{
	HnswStore	base;
	MemoryContext context;
	MemoryNode **nodes;
	uint32		count;
	uint32		room;
	char	   *arena;			/* what is left of the current block */
	Size		arena_left;
	Size		used;
} MemoryStore;

static void *
Carve(MemoryStore *store, Size size)
{
	void	   *piece;

	size = MAXALIGN(size);
	if (size > store->arena_left)
	{
		store->arena_left = Max(Max(store->used / 8, MIN_ARENA_BLOCK), size);
		if (size < MAX_ARENA_BLOCK)
			store->arena_left = Min(store->arena_left, MAX_ARENA_BLOCK);
		store->arena = MemoryContextAllocHuge(store->context, store->arena_left);
		store->used += store->arena_left;
	}
	piece = store->arena;
	store->arena += size;
	store->arena_left -= size;
	return piece;
}

static inline MemoryNode *
NodeOf(HnswStore *base, HnswNode node)
{
	return ((MemoryStore *) base)->nodes[node];
}

static void
MemoryDistances(HnswStore *base, const void *query, HnswCandidate *candidates, int n)
{
	for (int i = 0; i < n; i++)
	{
		candidates[i].distance = HnswDistance(base->support, query,
											  NodeOf(base, candidates[i].node)->value);
		candidates[i].state = HNSW_LIVE;
	}
}

static int
MemoryReadLinks(HnswStore *base, HnswNode node, int level, HnswCandidate *links)
{
	const MemoryNode *from = NodeOf(base, node);
	const MemoryLinks *list;

	if (level > from->level)
		return 0;
	list = from->links[level];
	for (uint32 i = 0; i < list->count; i++)
	{
		links[i].node = list->links[i].node;
		links[i].distance = list->links[i].distance;
	}
	return list->count;
}

static const void *
MemoryValue(HnswStore *base, HnswNode node)
{
	return NodeOf(base, node)->value;
}

static void
GrowNodes(MemoryStore *store)
{
	uint32		room = store->room == 0 ? FIRST_NODES : store->room * 2;
	Size		size = room * sizeof(MemoryNode *);

	store->nodes = store->nodes == NULL
		? MemoryContextAllocHuge(store->context, size)
		: repalloc_huge(store->nodes, size);
	store->used += (room - store->room) * sizeof(MemoryNode *);
	store->room = room;
}

static MemoryNode *
MakeNode(MemoryStore *store, const HnswInsertion *insertion)
{
	int			levels = insertion->level + 1;
	MemoryNode *node = Carve(store, offsetof(MemoryNode, links) + levels * sizeof(MemoryLinks *));
	void	   *value = Carve(store, insertion->value_size);

	memcpy(value, insertion->value, insertion->value_size);
	node->value = value;
	node->value_size = insertion->value_size;
	node->level = insertion->level;
	node->block = InvalidBlockNumber;
	node->offset = InvalidOffsetNumber;
	node->row = insertion->row;
	node->more = NULL;
	for (int level = 0; level < levels; level++)
	{
		int			max = HnswLevelLinks(store->base.m, level);
		const HnswQueue *chosen = &insertion->links[level];
		MemoryLinks *list = Carve(store, offsetof(MemoryLinks, links) + max * sizeof(MemoryLink));

		list->count = chosen->count;
		for (int i = 0; i < chosen->count; i++)
		{
			list->links[i].node = (uint32) chosen->items[i].node;
			list->links[i].distance = chosen->items[i].distance;
		}
		node->links[level] = list;
	}
	return node;
}

static HnswNode
MemoryAddNode(HnswStore *base, const HnswInsertion *insertion)
{
	MemoryStore *store = (MemoryStore *) base;

	if (store->count == PG_UINT32_MAX)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("hnsw graph has too many nodes")));
	if (store->count == store->room)
		GrowNodes(store);
	store->nodes[store->count] = MakeNode(store, insertion);
	return store->count++;
}

static bool
MemoryAddRow(HnswStore *base, HnswNode name, const ItemPointerData *row)
{
	MemoryStore *store = (MemoryStore *) base;
	MemoryNode *node = NodeOf(base, name);
	int			room;

	if (node->more == NULL)
	{
		node->more = Carve(store, sizeof(HnswRows));
		memset(node->more, 0, sizeof(HnswRows));
		node->more->context = store->context;
		HnswRowsAdd(node->more, &node->row, 1);
		store->used += node->more->room * sizeof(ItemPointerData);
	}
	room = node->more->room;
	HnswRowsAdd(node->more, row, 1);
	store->used += (node->more->room - room) * sizeof(ItemPointerData);
	return true;
}

static bool
MemoryAddLink(HnswStore *base, HnswNode from, int level, HnswCandidate to)
{
	MemoryLinks *list = NodeOf(base, from)->links[level];

	if (list->count == HnswLevelLinks(base->m, level))
		return false;
	list->links[list->count++] = (MemoryLink) {(uint32) to.node, to.distance};
	return true;
}

static bool
MemoryReplaceLink(HnswStore *base, HnswNode from, int level, HnswNode old, HnswCandidate to)
{
	MemoryLinks *list = NodeOf(base, from)->links[level];

	for (uint32 i = 0; i < list->count; i++)
	{
		if (list->links[i].node == old)
		{
			list->links[i] = (MemoryLink) {(uint32) to.node, to.distance};
			return true;
		}
	}
	return false;
}

static const HnswStoreMethods memory_methods = {
	.distances = MemoryDistances,
	.links = MemoryReadLinks,
	.value = MemoryValue,
	.add_node = MemoryAddNode,
	.add_row = MemoryAddRow,
	.add_link = MemoryAddLink,
	.replace_link = MemoryReplaceLink,
};

HnswStore *
HnswMemoryStore(const HnswSupport *support, int m, int ef_construction, MemoryContext context)
{
	MemoryStore *store = MemoryContextAllocZero(context, sizeof(MemoryStore));

	store->base.methods = &memory_methods;
	store->base.support = support;
	store->base.m = m;
	store->base.ef_construction = ef_construction;
	store->base.max_level = HnswMaxLevel(m);
	store->base.keeps_distances = true;
	store->base.entry = HNSW_NO_NODE;
	store->context = context;
	return &store->base;
}

Size
HnswMemoryStoreUsed(HnswStore *store)
{
	return ((MemoryStore *) store)->used;
}

void
HnswMemoryStoreAttach(HnswStore *base)
{
	MemoryStore *store = (MemoryStore *) base;
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "hnsw reach",
												  ALLOCSET_DEFAULT_SIZES);
	MemoryContext old = MemoryContextSwitchTo(context);
	HnswReach	reach = {.limit = SIZE_MAX};

	GraphReach(base, &reach, context);
	for (uint32 node = 0; node < store->count; node++)
		GraphAttach(base, &reach, node);
	MemoryContextSwitchTo(old);
	MemoryContextDelete(context);
}

/* ---- writing the graph to pages ---- */

/*
 * Block by block: first the pages of nodes, filled in the order of the nodes, then the
 * pages of large values in the same order, then the rows that nodes have no room for.
 * Where everything will lie is known before anything is written, since nodes link to
 * later ones.
 */
typedef struct Flush
{
	MemoryStore *store;
	Relation	index;
	BlockNumber node_block;		/* the first ones */
	BlockNumber value_block;
} Flush;

static HnswShape
ShapeOf(const Flush *flush, const MemoryNode *node)
{
	return HnswNodeShape(flush->store->base.m, node->level, node->value_size);
}

/* Gives each node its block and offset. */
static void
PlaceNodes(Flush *flush)
{
	const Size	empty = HNSW_PAGE_ROOM + sizeof(ItemIdData);
	BlockNumber block = flush->node_block - 1;
	OffsetNumber offset = InvalidOffsetNumber;
	Size		room = 0;

	for (uint32 i = 0; i < flush->store->count; i++)
	{
		MemoryNode *node = flush->store->nodes[i];
		Size		need = ShapeOf(flush, node).tuple_size + sizeof(ItemIdData);

		if (need > room)
		{
			block++;
			offset = InvalidOffsetNumber;
			room = empty;
		}
		room -= need;
		node->block = block;
		node->offset = OffsetNumberNext(offset);
		offset = node->offset;
	}
	flush->value_block = block + 1;
}

/* The tuple of a node, with links by their places, and the pages that its value will get. */
static HnswNodeTuple *
FormNode(const Flush *flush, const MemoryNode *node, const HnswShape *shape, BlockNumber *value_block)
{
	int			m = flush->store->base.m;
	HnswNodeTuple *tuple = palloc0(shape->tuple_size);
	HnswInsertion form = {
		.value = node->value,
		.value_size = node->value_size,
		.level = node->level
	};

	HnswFormNode(tuple, shape, &form, m);
	tuple->row_count = 1;
	tuple->rows[0] = node->row;
	if (node->more != NULL)
	{
		tuple->row_count = Min(node->more->count, HNSW_INLINE_ROWS);
		memcpy(tuple->rows, node->more->rows, tuple->row_count * sizeof(ItemPointerData));
	}
	for (int i = 0; i < shape->value_pages; i++)
		tuple->value_block[i] = (*value_block)++;
	for (int level = 0; level <= node->level; level++)
	{
		const MemoryLinks *list = node->links[level];
		HnswNode   *links = tuple->links + HnswLinkStart(m, level);

		for (uint32 i = 0; i < list->count; i++)
		{
			const MemoryNode *to = flush->store->nodes[list->links[i].node];

			links[i] = HnswRefMake(to->block, to->offset, 0);
		}
	}
	return tuple;
}

static Buffer
NextBuffer(const Flush *flush, BlockNumber expected)
{
	Buffer		buffer = HnswFreeBuffer(flush->index, MAIN_FORKNUM);

	if (BufferGetBlockNumber(buffer) != expected)
		elog(ERROR, "hnsw index \"%s\" grew while it was built",
			 RelationGetRelationName(flush->index));
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

static void
WriteNodes(const Flush *flush)
{
	Buffer		buffer = InvalidBuffer;
	BlockNumber block = InvalidBlockNumber;
	BlockNumber value_block = flush->value_block;

	for (uint32 i = 0; i < flush->store->count; i++)
	{
		const MemoryNode *node = flush->store->nodes[i];
		HnswShape	shape = ShapeOf(flush, node);
		HnswNodeTuple *tuple = FormNode(flush, node, &shape, &value_block);

		if (node->block != block)
		{
			FinishBuffer(buffer);
			CHECK_FOR_INTERRUPTS();
			block = node->block;
			buffer = NextBuffer(flush, block);
			HnswPageInit(BufferGetPage(buffer), HNSW_PAGE_NODES);
		}
		if (PageAddItem(BufferGetPage(buffer), (Item) tuple, shape.tuple_size, InvalidOffsetNumber,
						false, false) != node->offset)
			elog(ERROR, "hnsw node is not where it was to be");
		pfree(tuple);
	}
	FinishBuffer(buffer);
}

static void
WriteValues(const Flush *flush)
{
	BlockNumber block = flush->value_block;

	for (uint32 i = 0; i < flush->store->count; i++)
	{
		const MemoryNode *node = flush->store->nodes[i];
		HnswShape	shape = ShapeOf(flush, node);

		for (int part = 0; part < shape.value_pages; part++)
		{
			Buffer		buffer = NextBuffer(flush, block++);

			CHECK_FOR_INTERRUPTS();
			HnswValuePageFill(BufferGetPage(buffer), HnswRefMake(node->block, node->offset, 0),
							  &shape, node->value, node->value_size, part);
			FinishBuffer(buffer);
		}
	}
}

static void
WriteRows(const Flush *flush)
{
	for (uint32 i = 0; i < flush->store->count; i++)
	{
		const MemoryNode *node = flush->store->nodes[i];
		Buffer		buffer;

		if (node->more == NULL || node->more->count <= HNSW_INLINE_ROWS)
			continue;
		CHECK_FOR_INTERRUPTS();
		buffer = ReadBuffer(flush->index, node->block);
		LockBuffer(buffer, BUFFER_LOCK_EXCLUSIVE);
		HnswPageNodeAt(BufferGetPage(buffer), node->offset)->more_rows =
			HnswWriteRows(flush->index, node->more->rows + HNSW_INLINE_ROWS,
						  node->more->count - HNSW_INLINE_ROWS);
		FinishBuffer(buffer);
	}
}

void
HnswMemoryStoreFlush(HnswStore *base, Relation index)
{
	MemoryStore *store = (MemoryStore *) base;
	Flush		flush = {.store = store, .index = index, .node_block = HNSW_META_BLOCK + 1};

	PlaceNodes(&flush);
	WriteNodes(&flush);
	WriteValues(&flush);
	WriteRows(&flush);
	if (base->entry != HNSW_NO_NODE)
	{
		const MemoryNode *entry = NodeOf(base, base->entry);

		HnswWriteEntry(index, HnswRefMake(entry->block, entry->offset, 0), base->entry_level, true);
	}
}
