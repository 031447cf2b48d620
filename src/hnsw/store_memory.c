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
	HnswNode	name;			/* on pages, from the flush on */
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
MemoryDistances(HnswStore *base, const HnswForm *query, HnswCandidate *candidates, int n)
{
	for (int i = 0; i < n; i++)
	{
		candidates[i].distance = HnswMeasure(base->support, query,
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
	void	   *value = Carve(store, insertion->form.size);

	memcpy(value, insertion->form.value, insertion->form.size);
	node->value = value;
	node->value_size = insertion->form.size;
	node->level = insertion->level;
	node->name = HNSW_NO_NODE;
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

static void
WriteNode(const MemoryStore *store, HnswBulk *bulk, const MemoryNode *node)
{
	int			m = store->base.m;
	HnswNode	links[(HNSW_MAX_LEVEL + 2) * HNSW_MAX_M];
	HnswBulkNode form = {
		.value = node->value,
		.value_size = node->value_size,
		.level = node->level,
		.links = links,
		.rows = node->more == NULL ? &node->row : node->more->rows,
		.row_count = node->more == NULL ? 1 : node->more->count
	};

	for (int level = 0; level <= node->level; level++)
	{
		const MemoryLinks *list = node->links[level];
		HnswNode   *slots = links + HnswLinkStart(m, level);

		for (int i = 0; i < HnswLevelLinks(m, level); i++)
			slots[i] = i < (int) list->count
				? store->nodes[list->links[i].node]->name
				: HNSW_NO_NODE;
	}
	HnswBulkWrite(bulk, &form);
}

void
HnswMemoryStoreFlush(HnswStore *base, Relation index)
{
	MemoryStore *store = (MemoryStore *) base;
	HnswBulk   *bulk = HnswBulkBegin(index, base->m);
	MemoryNode **nodes = store->nodes;

	for (uint32 i = 0; i < store->count; i++)
		nodes[i]->name = HnswBulkPlace(bulk, nodes[i]->level, nodes[i]->value_size);
	for (uint32 i = 0; i < store->count; i++)
		WriteNode(store, bulk, nodes[i]);
	for (uint32 i = 0; i < store->count; i++)
	{
		if (nodes[i]->more != NULL)
			HnswBulkAddRows(bulk, nodes[i]->name, nodes[i]->more->rows, nodes[i]->more->count);
	}
	HnswBulkEnd(bulk, base->entry == HNSW_NO_NODE ? HNSW_NO_NODE : NodeOf(base, base->entry)->name,
				base->entry_level);
}
