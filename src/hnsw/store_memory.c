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
#include "port/atomics.h"
#include "utils/memutils.h"

#include "hnsw/memory.h"

/* The links of one level, valid ones first: node and distance in one. */
typedef struct MemoryLinks
{
	pg_atomic_uint32 count;
	pg_atomic_uint64 links[FLEXIBLE_ARRAY_MEMBER];
} MemoryLinks;

typedef struct MemoryNode
{
	HnswNode	name;			/* on pages, from the flush on */
	Size		value;
	Size		upper;			/* links of the levels above 0 */
	Size		rows;			/* MemoryRows, the newest; 0: the first row is the only one */
	uint32		value_size;
	uint8		level;
	ItemPointerData row;
} MemoryNode;

/* Further rows of equal value. */
typedef struct MemoryRows
{
	Size		next;			/* 0: none */
	uint32		count;
	uint32		room;
	ItemPointerData rows[FLEXIBLE_ARRAY_MEMBER];
} MemoryRows;

#define FIRST_ROWS 4
#define MOST_ROWS 256			/* in one of them, each of which is twice the one before */
#define NODE_ALIGNMENT 64
#define FIRST_ROOM (1024 * 1024)	/* for what chance adds to a small graph */

typedef struct MemoryStore
{
	HnswStore	base;
	HnswMemoryGraph *graph;
	char	   *area;
	HnswNodeSet visited;
	Size		value_start;	/* of a value that lies in its node */
	Size		reserved;		/* of the insertion under way */
} MemoryStore;

/* ---- places ---- */

static inline char *
AreaOf(HnswMemoryGraph *graph)
{
	return (char *) TYPEALIGN(NODE_ALIGNMENT, (uintptr_t) (graph + 1));
}

static inline MemoryNode *
NodeOf(const MemoryStore *store, HnswNode node)
{
	return (MemoryNode *) (store->area + node * store->graph->node_size);
}

/* Codes are of one size, so all of them are in their nodes, whose heads need not be read. */
static inline const void *
ValueOf(const MemoryStore *store, HnswNode node)
{
	MemoryNode *at = NodeOf(store, node);

	return store->base.support->codes != NULL
		? (char *) at + store->value_start
		: store->area + at->value;
}

static inline Size
LinksSize(int m, int level)
{
	return offsetof(MemoryLinks, links) + HnswLevelLinks(m, level) * sizeof(pg_atomic_uint64);
}

/* NULL when the node is not on this level. */
static inline MemoryLinks *
LinksOf(const MemoryStore *store, HnswNode name, int level)
{
	MemoryNode *node = NodeOf(store, name);

	if (level == 0)
		return (MemoryLinks *) (node + 1);
	if (level > node->level)
		return NULL;
	return (MemoryLinks *) (store->area + node->upper + (level - 1) * LinksSize(store->base.m, 1));
}

static inline uint64
PackLink(HnswNode node, float distance)
{
	uint32		bits;

	memcpy(&bits, &distance, sizeof(bits));
	return (node << 32) | bits;
}

static inline HnswCandidate
UnpackLink(uint64 packed)
{
	HnswCandidate link = {.node = packed >> 32};
	uint32		bits = (uint32) packed;

	memcpy(&link.distance, &bits, sizeof(bits));
	return link;
}

static inline slock_t *
LockOf(const MemoryStore *store, HnswNode node)
{
	return &store->graph->locks[node % HNSW_MEMORY_LOCKS].mutex;
}

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
		graph->count < PG_UINT32_MAX;
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
EstimateCodes(const MemoryStore *store, const code_query *query, HnswCandidate *candidates, int n)
{
	const code_head *heads[HNSW_MAX_LINKS];
	float		distances[HNSW_MAX_LINKS];

	if (n <= 0)
		return;
	for (int i = 0; i < n; i++)
		heads[i] = ValueOf(store, candidates[i].node);
	code_estimate_many(query, n, heads, distances);
	for (int i = 0; i < n; i++)
		candidates[i].distance = distances[i];
}

static void
MemoryDistances(HnswStore *base, const HnswForm *query, HnswCandidate *candidates, int n)
{
	MemoryStore *store = (MemoryStore *) base;

	for (int i = 0; i < n; i++)
		candidates[i].state = HNSW_LIVE;
	if (query != NULL && query->query != NULL)
	{
		EstimateCodes(store, query->query, candidates, n);
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
						   i < chosen->count ? PackLink(chosen->items[i].node, chosen->items[i].distance) : 0);
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

static bool
MemoryAddLink(HnswStore *base, HnswNode from, int level, HnswCandidate to)
{
	MemoryStore *store = (MemoryStore *) base;
	MemoryLinks *list = LinksOf(store, from, level);
	uint32		room = HnswLevelLinks(base->m, level);
	uint32		count;

	SpinLockAcquire(LockOf(store, from));
	count = pg_atomic_read_u32(&list->count);
	if (count < room)
	{
		pg_atomic_write_u64(&list->links[count], PackLink(to.node, to.distance));
		pg_write_barrier();
		pg_atomic_write_u32(&list->count, count + 1);
	}
	SpinLockRelease(LockOf(store, from));
	return count < room;
}

static bool
MemoryReplaceLink(HnswStore *base, HnswNode from, int level, HnswNode old, HnswCandidate to)
{
	MemoryStore *store = (MemoryStore *) base;
	MemoryLinks *list = LinksOf(store, from, level);
	bool		found = false;

	SpinLockAcquire(LockOf(store, from));
	for (uint32 i = 0; i < pg_atomic_read_u32(&list->count) && !found; i++)
	{
		found = pg_atomic_read_u64(&list->links[i]) >> 32 == old;
		if (found)
			pg_atomic_write_u64(&list->links[i], PackLink(to.node, to.distance));
	}
	SpinLockRelease(LockOf(store, from));
	return found;
}

static const HnswStoreMethods memory_methods = {
	.distances = MemoryDistances,
	.links = MemoryReadLinks,
	.value = MemoryValue,
	.covered = MemoryCovered,
	.add_node = MemoryAddNode,
	.add_row = MemoryAddRow,
	.add_link = MemoryAddLink,
	.replace_link = MemoryReplaceLink,
};

static Size
NodeSize(int m, Size value_size)
{
	return TYPEALIGN(NODE_ALIGNMENT, sizeof(MemoryNode) + LinksSize(m, 0) + value_size);
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
	store->base.ef_construction = ef_construction;
	store->base.max_level = HnswMaxLevel(m);
	store->base.keeps_distances = true;
	store->base.visited = &store->visited;
	store->base.entry = HNSW_NO_NODE;
	store->graph = graph;
	store->area = AreaOf(graph);
	store->value_start = sizeof(MemoryNode) + LinksSize(m, 0);
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
		GiveBack(store);
		if (becomes_entry)
			LeaveEntry(store, node, insertion->level);
	}
	else if (becomes_entry)
		LeaveEntry(store, HNSW_NO_NODE, 0);
	return fits;
}

/* ---- when all are inserted ---- */

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
