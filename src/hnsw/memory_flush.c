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

void
HnswMemoryAttach(HnswStore *base)
{
	MemoryStore *store = (MemoryStore *) base;
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "hnsw reach",
												  ALLOCSET_DEFAULT_SIZES);
	MemoryContext old = MemoryContextSwitchTo(context);
	HnswReach	reach = {.limit = SIZE_MAX};

	ReadEntry(store);
	GraphReach(base, &reach, context);
	for (uint32 node = 0; node < store->graph->count; node++)
		GraphAttach(base, &reach, node);
	MemoryContextSwitchTo(old);
	MemoryContextDelete(context);
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
	HnswNode	links[(HNSW_MAX_LEVEL + 2) * HNSW_MAX_M];
	HnswBulkNode form = {
		.value = ValueOf(store, name),
		.value_size = node->value_size,
		.level = node->level,
		.links = links
	};

	for (int level = 0; level <= node->level; level++)
	{
		MemoryLinks *list = LinksOf(store, name, level);
		HnswNode   *slots = links + HnswLinkStart(store->base.m, level);
		int			count = (int) pg_atomic_read_u32(&list->count);

		for (int i = 0; i < HnswLevelLinks(store->base.m, level); i++)
			slots[i] = i < count
				? NodeOf(store, UnpackLink(pg_atomic_read_u64(&list->links[i])).node)->name
				: HNSW_NO_NODE;
	}
	ReadRows(store, node, rows);
	form.rows = rows->rows;
	form.row_count = rows->count;
	HnswBulkWrite(bulk, &form);
}

void
HnswMemoryFlush(HnswStore *base, Relation index)
{
	MemoryStore *store = (MemoryStore *) base;
	HnswBulk   *bulk = HnswBulkBegin(index, base->m);
	HnswRows	rows = {.context = CurrentMemoryContext};
	uint32		count = store->graph->count;

	ReadEntry(store);
	for (uint32 i = 0; i < count; i++)
	{
		MemoryNode *node = NodeOf(store, i);

		node->name = HnswBulkPlace(bulk, node->level, node->value_size);
	}
	for (uint32 i = 0; i < count; i++)
		WriteNode(store, bulk, i, &rows);
	for (uint32 i = 0; i < count; i++)
	{
		if (NodeOf(store, i)->rows == 0)
			continue;
		ReadRows(store, NodeOf(store, i), &rows);
		HnswBulkAddRows(bulk, NodeOf(store, i)->name, rows.rows, rows.count);
	}
	HnswBulkEnd(bulk, base->entry == HNSW_NO_NODE ? HNSW_NO_NODE : NodeOf(store, base->entry)->name,
				base->entry_level);
}
