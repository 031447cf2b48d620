/*
 * store_memory.c: the graph in memory, while an index is built.
 *
 * All of it lies in one area, in ordinary memory or in a segment that the processes of a
 * parallel build share, each at an address of its own; hence there are offsets in it
 * and no pointers. Nodes are numbered and of one size, and fill the area from its start; the
 * links of level 0 and the value are a part of the node. What not every node has (links
 * of upper levels, further rows, a value of another size than the first one) is taken
 * from the end of the area.
 *
 * A node is changed under its lock, one of a few spinlocks. Links are read without one: a
 * link is 64 bits, and is written after what it leads to.
 */
#include "postgres.h"

#include "miscadmin.h"
#include "utils/memutils.h"

#include "hnsw/memory_nodes.h"

#define FIRST_ROWS 4
#define MOST_ROWS 256			/* in one of them, each of which is twice the one before */
#define FIRST_ROOM (1024 * 1024)	/* for what chance adds to a small graph */

/* ---- room ---- */

static Size
RowsSize(int room)
{
	return MAXALIGN(offsetof(MemoryRows, rows) + room * sizeof(ItemPointerData));
}

/* Bytes of a node beside those that all nodes have. */
static Size
ExtraSize(const MemoryStore *store, const HnswInsertion *insertion)
{
	Size		value_size = insertion->form.size;

	return insertion->level * LinksSize(store->base.m, 1) +
		(value_size == store->graph->value_size ? 0 : MAXALIGN(value_size));
}

/* Promises the most that the insertion can need, so that it never fails halfway. */
static bool
Reserve(MemoryStore *store, const HnswInsertion *insertion)
{
	HnswMemoryGraph *graph = store->graph;
	Size		need = graph->node_size + ExtraSize(store, insertion) + RowsSize(MOST_ROWS);
	bool		fits;

	SpinLockAcquire(&graph->mutex);
	fits = graph->count * graph->node_size + graph->extra + graph->reserved + need <= graph->size &&
		graph->count < MEMORY_MAX_NODES;
	if (fits)
		graph->reserved += need;
	SpinLockRelease(&graph->mutex);
	store->reserved = fits ? need : 0;
	return fits;
}

static void
GiveBack(MemoryStore *store)
{
	SpinLockAcquire(&store->graph->mutex);
	store->graph->reserved -= store->reserved;
	SpinLockRelease(&store->graph->mutex);
	store->reserved = 0;
}

/* Takes what was reserved: a node, or HNSW_NO_NODE, and bytes from the end, whose offset is set. */
static HnswNode
Take(MemoryStore *store, bool node, Size extra, Size *offset)
{
	HnswMemoryGraph *graph = store->graph;
	Size		size = extra + (node ? graph->node_size : 0);
	HnswNode	taken = HNSW_NO_NODE;

	Assert(size <= store->reserved);
	SpinLockAcquire(&graph->mutex);
	if (node)
		taken = graph->count++;
	graph->extra += extra;
	*offset = graph->size - graph->extra;
	graph->reserved -= size;
	SpinLockRelease(&graph->mutex);
	store->reserved -= size;
	return taken;
}

/* ---- the methods of the store ---- */

/* All values of a hop at once, each loaded while those before it are compared. */
static void
EstimateCodes(const MemoryStore *store, const code_query *query, HnswCandidate *candidates, int n,
			  float limit)
{
	const code_head *heads[HNSW_MAX_LINKS];
	float		distances[HNSW_MAX_LINKS];
	bool		rough[HNSW_MAX_LINKS];

	if (n <= 0)
		return;
	for (int i = 0; i < n; i++)
		heads[i] = ValueOf(store, candidates[i].node);
	code_estimate_many(query, n, heads, limit, distances, rough);
	for (int i = 0; i < n; i++)
		candidates[i].distance = distances[i];
}

static void
MemoryDistances(HnswStore *base, const HnswForm *query, HnswCandidate *candidates, int n, float limit)
{
	MemoryStore *store = (MemoryStore *) base;

	for (int i = 0; i < n; i++)
		candidates[i].state = HNSW_LIVE;
	if (query != NULL && query->query != NULL)
	{
		EstimateCodes(store, query->query, candidates, n, limit);
		return;
	}
	for (int i = 0; i < n; i++)
		candidates[i].distance = HnswMeasure(base->support, query, ValueOf(store, candidates[i].node));
}

static int
MemoryReadLinks(HnswStore *base, HnswNode node, int level, HnswCandidate *links)
{
	MemoryLinks *list = LinksOf((MemoryStore *) base, node, level);
	int			count;

	if (list == NULL)
		return 0;
	count = (int) pg_atomic_read_u32(&list->count);
	pg_read_barrier();
	for (int i = 0; i < count; i++)
		links[i] = UnpackLink(pg_atomic_read_u64(&list->links[i]));
	return count;
}

/* The lists of level 0, where a search spends its time. */
static void
MemoryExpect(HnswStore *base, const HnswNode *nodes, int n)
{
	MemoryStore *store = (MemoryStore *) base;
	Size		size = sizeof(MemoryNode) + LinksSize(base->m, 0);

	for (int i = 0; i < n; i++)
	{
		const char *node = (const char *) NodeOf(store, nodes[i]);

		for (Size at = 0; at < size; at += NODE_ALIGNMENT)
			__builtin_prefetch(node + at, 0, 2);
	}
}

static const void *
MemoryValue(HnswStore *base, HnswNode node)
{
	return ValueOf((MemoryStore *) base, node);
}

static void
InitLinks(MemoryLinks *list, const HnswQueue *chosen, int room)
{
	pg_atomic_init_u32(&list->count, chosen->count);
	for (int i = 0; i < room; i++)
		pg_atomic_init_u64(&list->links[i],
						   i < chosen->count ? PackLink(chosen->items[i].node, chosen->items[i].distance, HNSW_LOOSE) : 0);
}

static bool
MemoryCovered(HnswStore *base, const HnswCandidate *candidate, const HnswCandidate *others, int n)
{
	MemoryStore *store = (MemoryStore *) base;
	const void *value = ValueOf(store, candidate->node);

	for (int i = 0; i < n; i++)
	{
		if (HnswDistance(base->support, value, ValueOf(store, others[i].node)) <= candidate->distance)
			return true;
	}
	return false;
}

static HnswNode
MemoryAddNode(HnswStore *base, const HnswInsertion *insertion)
{
	MemoryStore *store = (MemoryStore *) base;
	bool		inside = insertion->form.size == store->graph->value_size;
	Size		extra;
	HnswNode	name = Take(store, true, ExtraSize(store, insertion), &extra);
	MemoryNode *node = NodeOf(store, name);

	node->name = HNSW_NO_NODE;
	node->upper = extra;
	node->value = inside
		? (Size) ((char *) node - store->area) + store->value_start
		: extra + insertion->level * LinksSize(base->m, 1);
	node->rows = 0;
	node->value_size = insertion->form.size;
	node->level = insertion->level;
	node->row = insertion->row;
	memcpy(store->area + node->value, insertion->form.value, insertion->form.size);
	for (int level = 0; level <= insertion->level; level++)
		InitLinks(LinksOf(store, name, level), &insertion->links[level], HnswLevelLinks(base->m, level));
	/* whoever finds a link to the node finds all of it */
	pg_write_barrier();
	return name;
}

/* Puts a row where there is room for it already. */
static bool
PutRow(const MemoryStore *store, const MemoryNode *node, const ItemPointerData *row)
{
	MemoryRows *rows = (MemoryRows *) (store->area + node->rows);

	if (node->rows == 0 || rows->count == rows->room)
		return false;
	rows->rows[rows->count++] = *row;
	return true;
}

static bool
MemoryAddRow(HnswStore *base, HnswNode name, const ItemPointerData *row)
{
	MemoryStore *store = (MemoryStore *) base;
	MemoryNode *node = NodeOf(store, name);
	MemoryRows *rows;
	uint32		room;
	Size		offset;
	bool		done;

	SpinLockAcquire(LockOf(store, name));
	done = PutRow(store, node, row);
	room = node->rows == 0 ? 0 : ((MemoryRows *) (store->area + node->rows))->room;
	SpinLockRelease(LockOf(store, name));
	if (done)
		return true;

	room = Max(FIRST_ROWS, Min(MOST_ROWS, 2 * room));
	Take(store, false, RowsSize(room), &offset);
	rows = (MemoryRows *) (store->area + offset);
	rows->count = 1;
	rows->room = room;
	rows->rows[0] = *row;
	SpinLockAcquire(LockOf(store, name));
	rows->next = node->rows;
	node->rows = offset;
	SpinLockRelease(LockOf(store, name));
	return true;
}

/* The place of a link in a list that is locked, or -1. */
static int
FindLink(MemoryLinks *list, HnswNode node)
{
	int			count = (int) pg_atomic_read_u32(&list->count);

	for (int i = 0; i < count; i++)
	{
		if (UnpackLink(pg_atomic_read_u64(&list->links[i])).node == node)
			return i;
	}
	return -1;
}

/* May the link be put into it, as far as firm ones are counted? */
static bool
MayHold(const HnswStore *base, int level, MemoryLinks *list, const HnswCandidate *to)
{
	int			count = to->firm == HNSW_FIRM ? (int) pg_atomic_read_u32(&list->count) : 0;
	int			firm = 0;

	for (int i = 0; i < count; i++)
		firm += UnpackLink(pg_atomic_read_u64(&list->links[i])).firm != HNSW_LOOSE;
	return firm < HnswFirmLinks(base->m, level);
}

static bool
MemoryAddLink(HnswStore *base, HnswNode from, int level, HnswCandidate to)
{
	MemoryStore *store = (MemoryStore *) base;
	MemoryLinks *list = LinksOf(store, from, level);
	int			room = HnswLevelLinks(base->m, level);
	int			slot = -1;

	SpinLockAcquire(LockOf(store, from));
	if (MayHold(base, level, list, &to))
	{
		/* a new node is linked to once, but who holds it may have been linked to before */
		if (to.firm != HNSW_LOOSE)
			slot = FindLink(list, to.node);
		if (slot < 0)
			slot = (int) pg_atomic_read_u32(&list->count);
		if (slot < room)
		{
			pg_atomic_write_u64(&list->links[slot], PackLink(to.node, to.distance, to.firm));
			pg_write_barrier();
			if (slot == (int) pg_atomic_read_u32(&list->count))
				pg_atomic_write_u32(&list->count, slot + 1);
		}
	}
	SpinLockRelease(LockOf(store, from));
	return slot >= 0 && slot < room;
}

static bool
MemoryReplaceLink(HnswStore *base, HnswNode from, int level, HnswNode old, HnswCandidate to)
{
	MemoryStore *store = (MemoryStore *) base;
	MemoryLinks *list = LinksOf(store, from, level);
	int			slot;

	SpinLockAcquire(LockOf(store, from));
	slot = MayHold(base, level, list, &to) ? FindLink(list, old) : -1;
	if (slot >= 0 && UnpackLink(pg_atomic_read_u64(&list->links[slot])).firm != HNSW_LOOSE)
		slot = -1;
	if (slot >= 0)
		pg_atomic_write_u64(&list->links[slot], PackLink(to.node, to.distance, to.firm));
	SpinLockRelease(LockOf(store, from));
	return slot >= 0;
}

static const HnswStoreMethods memory_methods = {
	.distances = MemoryDistances,
	.links = MemoryReadLinks,
	.expect = MemoryExpect,
	.value = MemoryValue,
	.covered = MemoryCovered,
	.add_node = MemoryAddNode,
	.add_row = MemoryAddRow,
	.add_link = MemoryAddLink,
	.replace_link = MemoryReplaceLink,
};

/* A value begins with a line of the cache, as its node does: as few lines as can be are read of it. */
static Size
ValueStart(int m)
{
	return TYPEALIGN(NODE_ALIGNMENT, sizeof(MemoryNode) + LinksSize(m, 0));
}

static Size
NodeSize(int m, Size value_size)
{
	return TYPEALIGN(NODE_ALIGNMENT, ValueStart(m) + value_size);
}

double
HnswMemoryNeed(int m, Size value_size, double rows)
{
	/* a node is on 1 / (m - 1) levels above 0 */
	double		upper = (double) LinksSize(m, 1) / (m - 1);

	return sizeof(HnswMemoryGraph) + NODE_ALIGNMENT + FIRST_ROOM +
		rows * (NodeSize(m, value_size) + upper);
}

void
HnswMemoryInit(HnswMemoryGraph *graph, Size size)
{
	memset(graph, 0, sizeof(HnswMemoryGraph));
	graph->size = MAXALIGN_DOWN((char *) graph + size - AreaOf(graph));
	graph->entry = HNSW_NO_NODE;
	SpinLockInit(&graph->mutex);
	ConditionVariableInit(&graph->entry_changed);
	for (int i = 0; i < HNSW_MEMORY_LOCKS; i++)
		SpinLockInit(&graph->locks[i].mutex);
}

HnswStore *
HnswMemoryStore(HnswMemoryGraph *graph, const HnswSupport *support, int m, int ef_construction,
				MemoryContext context)
{
	MemoryStore *store = MemoryContextAllocZero(context, sizeof(MemoryStore));

	store->base.methods = &memory_methods;
	store->base.support = support;
	store->base.m = m;
	/* what a hop costs less than one over pages is spent on the graph */
	store->base.ef_construction = ef_construction + ef_construction / 2;
	store->base.max_level = HnswMaxLevel(m);
	store->base.keeps_distances = true;
	store->base.visited = &store->visited;
	store->base.entry = HNSW_NO_NODE;
	store->graph = graph;
	store->area = AreaOf(graph);
	store->value_start = ValueStart(m);
	HnswNodeSetInitDense(&store->visited, context);
	return &store->base;
}

/* ---- inserting ---- */

/* Reads the entry point. True when the insertion is to become it: nobody else does then,
 * until LeaveEntry. */
static bool
TakeEntry(MemoryStore *store, int level)
{
	HnswMemoryGraph *graph = store->graph;
	bool		higher;
	bool		wait;

	for (;;)
	{
		SpinLockAcquire(&graph->mutex);
		higher = graph->entry == HNSW_NO_NODE || level > graph->entry_level;
		wait = higher && graph->entry_taken;
		if (higher)
			graph->entry_taken = true;
		store->base.entry = graph->entry;
		store->base.entry_level = graph->entry_level;
		SpinLockRelease(&graph->mutex);
		if (!wait)
			break;
		ConditionVariableSleep(&graph->entry_changed, PG_WAIT_EXTENSION);
	}
	ConditionVariableCancelSleep();
	return higher;
}

/* The node is the entry point from now on, unless it is HNSW_NO_NODE. */
static void
LeaveEntry(MemoryStore *store, HnswNode node, int level)
{
	HnswMemoryGraph *graph = store->graph;

	SpinLockAcquire(&graph->mutex);
	if (node != HNSW_NO_NODE)
	{
		graph->entry = node;
		graph->entry_level = level;
	}
	graph->entry_taken = false;
	SpinLockRelease(&graph->mutex);
	ConditionVariableBroadcast(&graph->entry_changed);
}

bool
HnswMemoryInsert(HnswStore *base, HnswInsertion *insertion)
{
	MemoryStore *store = (MemoryStore *) base;
	HnswMemoryGraph *graph = store->graph;
	bool		becomes_entry = TakeEntry(store, insertion->level);
	bool		fits;

	/* before there is a first node, nobody else gets here */
	if (graph->node_size == 0)
	{
		graph->value_size = insertion->form.size;
		graph->node_size = NodeSize(base->m, graph->value_size);
	}
	fits = Reserve(store, insertion);
	if (fits)
	{
		HnswNode	node;

		GraphChooseLinks(base, insertion, CurrentMemoryContext);
		node = GraphPlace(base, insertion);
		insertion->node = node;
		GiveBack(store);
		if (becomes_entry && node != HNSW_NO_NODE)
			GraphSucceedEntry(base, node, insertion->level);
		if (becomes_entry)
			LeaveEntry(store, node, insertion->level);
	}
	else if (becomes_entry)
		LeaveEntry(store, HNSW_NO_NODE, 0);
	return fits;
}
