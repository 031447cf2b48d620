/*
 * memory_flush.c: a graph in memory that is complete, or has outgrown it, goes to pages.
 */
#include "postgres.h"

#include "miscadmin.h"
#include "utils/memutils.h"

#include "hnsw/memory_nodes.h"

static void
ReadEntry(MemoryStore *store)
{
	store->base.entry = store->graph->entry;
	store->base.entry_level = store->graph->entry_level;
}

/* All rows of a node, in memory that is used again for the next one. */
static void
ReadRows(const MemoryStore *store, const MemoryNode *node, HnswRows *rows)
{
	rows->count = 0;
	HnswRowsAdd(rows, &node->row, 1);
	for (Size at = node->rows; at != 0;)
	{
		const MemoryRows *more = (const MemoryRows *) (store->area + at);

		HnswRowsAdd(rows, more->rows, more->count);
		at = more->next;
	}
}

static void
WriteNode(const MemoryStore *store, HnswBulk *bulk, HnswNode name, HnswRows *rows)
{
	const MemoryNode *node = NodeOf(store, name);
	uint64		links[(HNSW_MAX_LEVEL + 2) * HNSW_MAX_M];
	HnswBulkNode form = {
		.value = ValueOf(store, name),
		.value_size = node->value_size,
		.level = node->level,
		.links = links
	};

	for (int level = 0; level <= node->level; level++)
	{
		MemoryLinks *list = LinksOf(store, name, level);
		uint64	   *slots = links + HnswLinkStart(store->base.m, level);
		int			count = (int) pg_atomic_read_u32(&list->count);

		for (int i = 0; i < HnswLevelLinks(store->base.m, level); i++)
		{
			HnswCandidate link;

			slots[i] = HNSW_EMPTY_SLOT;
			if (i >= count)
				continue;
			link = UnpackLink(pg_atomic_read_u64(&list->links[i]));
			slots[i] = HnswSlotMake(NodeOf(store, link.node)->name, link.firm);
		}
	}
	ReadRows(store, node, rows);
	form.rows = rows->rows;
	form.row_count = rows->count;
	HnswBulkWrite(bulk, &form);
}

/* ---- the order of nodes on pages ---- */

#define PLACED UINT8_MAX		/* more than nodes fit a page */

typedef struct Order
{
	const MemoryStore *store;
	uint32	   *nodes;
	uint32		count;
	uint8	   *links;			/* of each node: from how many of the page's, or PLACED */
	uint32	   *near;			/* nodes that the page's link to, and that had no place then */
	uint32		near_count;
	uint32		linking;		/* of the order: those before link to none without a place */
	uint32		unlinked;		/* nodes before this one are placed */
} Order;

static void
PlaceNode(Order *order, uint32 node)
{
	MemoryLinks *list = LinksOf(order->store, node, 0);
	uint32		count = pg_atomic_read_u32(&list->count);

	order->links[node] = PLACED;
	order->nodes[order->count++] = node;
	for (uint32 i = 0; i < count; i++)
	{
		uint32		to = (uint32) UnpackLink(pg_atomic_read_u64(&list->links[i])).node;

		if (order->links[to] != PLACED && order->links[to]++ == 0)
			order->near[order->near_count++] = to;
	}
}

/* Takes the node that most of the page's link to, if they link to any. */
static bool
TakeNearest(Order *order, uint32 *node)
{
	uint32		nearest = 0;

	if (order->near_count == 0)
		return false;
	for (uint32 i = 1; i < order->near_count; i++)
	{
		if (order->links[order->near[i]] > order->links[order->near[nearest]])
			nearest = i;
	}
	*node = order->near[nearest];
	order->near[nearest] = order->near[--order->near_count];
	return true;
}

/* Takes a node that one which has a place links to, or else the first that has none. */
static uint32
TakeNext(Order *order)
{
	for (; order->linking < order->count; order->linking++)
	{
		MemoryLinks *list = LinksOf(order->store, order->nodes[order->linking], 0);
		uint32		count = pg_atomic_read_u32(&list->count);

		for (uint32 i = 0; i < count; i++)
		{
			uint32		to = (uint32) UnpackLink(pg_atomic_read_u64(&list->links[i])).node;

			if (order->links[to] != PLACED)
				return to;
		}
	}
	while (order->links[order->unlinked] == PLACED)
		order->unlinked++;
	return order->unlinked;
}

/* A new page: the links of the nodes before it do not count any more. */
static void
ForgetLinks(Order *order)
{
	for (uint32 i = 0; i < order->near_count; i++)
		order->links[order->near[i]] = 0;
	order->near_count = 0;
}

/* How many nodes of the usual level fit a page. */
static uint32
NodesPerPage(const MemoryStore *store)
{
	HnswShape	shape = HnswNodeShape(store->base.support, store->base.m, 0,
									  NodeOf(store, 0)->value_size);

	return Max(HNSW_PAGE_ROOM / (shape.node_size + sizeof(ItemIdData)), 1);
}

/*
 * Neighbours lie side by side, so that a walk meets the same pages again: a page takes the node
 * that most of those which it has already link to, and begins with one that the page before
 * links to.
 */
static uint32 *
OrderNodes(const MemoryStore *store)
{
	uint32		total = store->graph->count;
	uint32		page = NodesPerPage(store);
	Order		order = {.store = store};

	order.nodes = MemoryContextAllocHuge(CurrentMemoryContext, total * sizeof(uint32));
	order.links = MemoryContextAllocExtended(CurrentMemoryContext, total, MCXT_ALLOC_HUGE | MCXT_ALLOC_ZERO);
	order.near = palloc(page * HNSW_MAX_LINKS * sizeof(uint32));
	while (order.count < total)
	{
		uint32		node;
		bool		near = TakeNearest(&order, &node);

		CHECK_FOR_INTERRUPTS();
		if (order.count % page == 0)
			ForgetLinks(&order);
		PlaceNode(&order, near ? node : TakeNext(&order));
	}
	pfree(order.links);
	pfree(order.near);
	return order.nodes;
}

void
HnswMemoryFlush(HnswStore *base, Relation index)
{
	MemoryStore *store = (MemoryStore *) base;
	HnswBulk   *bulk = HnswBulkBegin(index, base->m);
	HnswRows	rows = {.context = CurrentMemoryContext};
	uint32		count = store->graph->count;
	uint32	   *order = count > 0 ? OrderNodes(store) : NULL;

	ReadEntry(store);
	for (uint32 i = 0; i < count; i++)
	{
		MemoryNode *node = NodeOf(store, order[i]);

		node->name = HnswBulkPlace(bulk, node->level, node->value_size);
	}
	for (uint32 i = 0; i < count; i++)
		WriteNode(store, bulk, order[i], &rows);
	for (uint32 i = 0; i < count; i++)
	{
		if (NodeOf(store, i)->rows == 0)
			continue;
		ReadRows(store, NodeOf(store, i), &rows);
		HnswBulkAddRows(bulk, NodeOf(store, i)->name, rows.rows, rows.count);
	}
	HnswBulkEnd(bulk, base->entry == HNSW_NO_NODE ? HNSW_NO_NODE : NodeOf(store, base->entry)->name,
				base->entry_level);
	if (order != NULL)
		pfree(order);
}
