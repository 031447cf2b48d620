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

			slots[i] = HNSW_NO_NODE;
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

typedef struct Order
{
	const MemoryStore *store;
	uint32	   *nodes;
	uint32		count;
	bool	   *placed;
} Order;

static void
PlaceNode(Order *order, uint32 node)
{
	order->placed[node] = true;
	order->nodes[order->count++] = node;
}

/* Places what a node links to, until there are so many in all. */
static void
PlaceNeighbours(Order *order, uint32 node, uint32 limit)
{
	MemoryLinks *list = LinksOf(order->store, node, 0);
	uint32		links = pg_atomic_read_u32(&list->count);

	for (uint32 i = 0; i < links && order->count < limit; i++)
	{
		uint32		to = (uint32) UnpackLink(pg_atomic_read_u64(&list->links[i])).node;

		if (!order->placed[to])
			PlaceNode(order, to);
	}
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
 * Neighbours lie side by side, so that a walk meets the same pages again: each page holds
 * what is nearest by links to a node that one of the pages before links to.
 */
static uint32 *
OrderNodes(const MemoryStore *store)
{
	uint32		total = store->graph->count;
	Order		order = {.store = store};
	uint32		page = NodesPerPage(store);
	uint32		linking = 0;	/* of the order: what leads to the next page */
	uint32		unlinked = 0;	/* nodes before this one are placed */

	order.nodes = MemoryContextAllocHuge(CurrentMemoryContext, total * sizeof(uint32));
	order.placed = MemoryContextAllocHuge(CurrentMemoryContext, total * sizeof(bool));
	memset(order.placed, 0, total * sizeof(bool));
	while (order.count < total)
	{
		uint32		first = order.count;
		uint32		limit = (uint32) Min(((uint64) first / page + 1) * page, total);

		CHECK_FOR_INTERRUPTS();
		for (; linking < first; linking++)
		{
			PlaceNeighbours(&order, order.nodes[linking], first + 1);
			if (order.count > first)
				break;
		}
		if (order.count == first)
		{
			while (order.placed[unlinked])
				unlinked++;
			PlaceNode(&order, unlinked);
		}
		for (uint32 i = first; i < order.count && order.count < limit; i++)
			PlaceNeighbours(&order, order.nodes[i], limit);
	}
	pfree(order.placed);
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
