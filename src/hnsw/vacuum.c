/*
 * vacuum.c: removing the rows that the heap has lost.
 *
 * Three passes over the pages: rows are removed from their nodes; nodes that have lost
 * all their rows are taken out of the links of the others; then they are deleted. What
 * was deleted can still be read by the scans of that time; when they have ended, a new node
 * may take its place.
 */
#include "postgres.h"

#include "access/xact.h"
#include "commands/vacuum.h"
#include "miscadmin.h"
#include "storage/indexfsm.h"
#include "storage/lmgr.h"
#include "utils/memutils.h"

#include "hnsw/pages.h"

/* Nodes in the order of their pages. */
typedef struct NodeList
{
	HnswNode   *nodes;
	int64		count;
	int64		room;
	bool		complete;		/* false: maintenance_work_mem does not hold all */
} NodeList;

typedef struct Vacuum
{
	Relation	index;
	BufferAccessStrategy strategy;
	HnswSupport support;
	HnswStore  *store;
	HnswRowFilter filter;
	HnswNodeSet deleted;		/* nodes without rows */
	NodeList	staying;		/* the others */
	MemoryContext page_context; /* reset after each page */
} Vacuum;

/* Pins and locks a page. */
static Buffer
LockBlock(const Vacuum *vacuum, BlockNumber block, int mode)
{
	Buffer		buffer;

	RagVacuumDelay();
	buffer = ReadBufferExtended(vacuum->index, MAIN_FORKNUM, block, RBM_NORMAL, vacuum->strategy);
	LockBuffer(buffer, mode);
	return buffer;
}

static inline HnswNode
NodeName(Buffer buffer, OffsetNumber offset, const HnswNodeTuple *node)
{
	return HnswRefMake(BufferGetBlockNumber(buffer), offset, node->version);
}

/* ---- first pass: rows ---- */

static void
RemoveRowsOfPage(Vacuum *vacuum, Buffer buffer)
{
	Page		page = BufferGetPage(buffer);

	for (OffsetNumber offset = FirstOffsetNumber; offset <= PageGetMaxOffsetNumber(page); offset++)
	{
		HnswNodeTuple *node = HnswPageNodeAt(page, offset);

		if (node == NULL || node->deleted)
			continue;
		if (!HnswFilterRows(vacuum->index, buffer, offset, &vacuum->filter))
			HnswNodeSetAdd(&vacuum->deleted, NodeName(buffer, offset, node));
	}
}

static void
RemoveRows(Vacuum *vacuum, BlockNumber blocks)
{
	for (BlockNumber block = HNSW_META_BLOCK + 1; block < blocks; block++)
	{
		Buffer		buffer = LockBlock(vacuum, block, BUFFER_LOCK_EXCLUSIVE);

		if (HnswPageIs(BufferGetPage(buffer), HNSW_PAGE_NODES))
			RemoveRowsOfPage(vacuum, buffer);
		UnlockReleaseBuffer(buffer);
	}
}

/* ---- second pass: links ---- */

/* An insert that began before now may still link to a node that had rows when it was
 * found; one that begins later never does. */
static void
WaitForInserts(Relation index)
{
	LockPage(index, HNSW_UPDATE_LOCK, ExclusiveLock);
	UnlockPage(index, HNSW_UPDATE_LOCK, ExclusiveLock);
}

/* Another entry point, which leads to whatever the deleted one does. */
static void
RepairEntry(const Vacuum *vacuum)
{
	HnswStore  *store = vacuum->store;
	MemoryContext old = MemoryContextSwitchTo(vacuum->page_context);

	LockPage(vacuum->index, HNSW_UPDATE_LOCK, ExclusiveLock);
	HnswPageStoreReset(store);
	if (store->entry != HNSW_NO_NODE && HnswNodeSetHas(&vacuum->deleted, store->entry))
	{
		int			level;
		HnswNode	successor = GraphFindSuccessor(store, &level);

		if (successor != HNSW_NO_NODE)
			GraphSucceedEntry(store, successor, level);
		HnswWriteEntry(vacuum->index, successor, level, false);
	}
	UnlockPage(vacuum->index, HNSW_UPDATE_LOCK, ExclusiveLock);
	HnswPageStoreReset(store);
	MemoryContextSwitchTo(old);
	MemoryContextReset(vacuum->page_context);
}

typedef struct PageNode
{
	HnswNode	node;
	int			level;
} PageNode;

/* The nodes of a page that stay; their number. */
static int
ListNodes(const Vacuum *vacuum, BlockNumber block, PageNode *list)
{
	Buffer		buffer = LockBlock(vacuum, block, BUFFER_LOCK_SHARE);
	Page		page = BufferGetPage(buffer);
	int			count = 0;

	for (OffsetNumber offset = FirstOffsetNumber; offset <= PageGetMaxOffsetNumber(page); offset++)
	{
		const HnswNodeTuple *node = HnswPageNodeAt(page, offset);

		if (node == NULL || node->deleted ||
			HnswNodeSetHas(&vacuum->deleted, NodeName(buffer, offset, node)))
			continue;
		list[count++] = (PageNode) {NodeName(buffer, offset, node), node->level};
	}
	UnlockReleaseBuffer(buffer);
	return count;
}

static void
AddStaying(NodeList *list, HnswNode node)
{
	if (list->count == list->room && list->complete)
	{
		Size		size = (Size) list->room * 2 * sizeof(HnswNode);

		list->complete = size <= (Size) maintenance_work_mem * 1024 / 2;
		if (list->complete)
		{
			list->nodes = repalloc_huge(list->nodes, size);
			list->room *= 2;
		}
	}
	if (list->complete)
		list->nodes[list->count++] = node;
}

static void
RepairPage(Vacuum *vacuum, BlockNumber block)
{
	PageNode	list[MaxIndexTuplesPerPage];
	int			count = ListNodes(vacuum, block, list);

	for (int i = 0; i < count; i++)
	{
		RagVacuumDelay();
		AddStaying(&vacuum->staying, list[i].node);
		for (int level = list[i].level; level >= 0; level--)
			GraphRepair(vacuum->store, list[i].node, level, &vacuum->deleted);
		MemoryContextReset(CurrentMemoryContext);
	}
	HnswPageStoreReset(vacuum->store);
}

static void
RepairLinks(Vacuum *vacuum, BlockNumber blocks)
{
	MemoryContext old = MemoryContextSwitchTo(vacuum->page_context);

	for (BlockNumber block = HNSW_META_BLOCK + 1; block < blocks; block++)
		RepairPage(vacuum, block);
	MemoryContextSwitchTo(old);
}

/* Every node that was there before is to be reached, as far as maintenance_work_mem tells. */
static void
AttachNodes(const Vacuum *vacuum)
{
	HnswReach	reach = {.limit = (Size) maintenance_work_mem * 1024 / 2};
	MemoryContext context;
	MemoryContext old;

	if (!vacuum->staying.complete)
		return;
	context = AllocSetContextCreate(CurrentMemoryContext, "hnsw reach", ALLOCSET_DEFAULT_SIZES);
	old = MemoryContextSwitchTo(vacuum->page_context);
	HnswPageStoreReset(vacuum->store);
	GraphReach(vacuum->store, &reach, context);
	for (int64 i = 0; i < vacuum->staying.count && reach.complete; i++)
	{
		CHECK_FOR_INTERRUPTS();
		if (HnswNodeSetHas(&reach.set, vacuum->staying.nodes[i]))
			continue;
		GraphAttach(vacuum->store, &reach, vacuum->staying.nodes[i]);
		HnswPageStoreReset(vacuum->store);
		MemoryContextReset(vacuum->page_context);
	}
	MemoryContextSwitchTo(old);
	MemoryContextDelete(context);
}

/* ---- third pass: nodes ---- */

static bool
HasDoomed(const Vacuum *vacuum, Buffer buffer)
{
	Page		page = BufferGetPage(buffer);

	for (OffsetNumber offset = FirstOffsetNumber; offset <= PageGetMaxOffsetNumber(page); offset++)
	{
		const HnswNodeTuple *node = HnswPageNodeAt(page, offset);

		if (node != NULL && !node->deleted &&
			HnswNodeSetHas(&vacuum->deleted, NodeName(buffer, offset, node)))
			return true;
	}
	return false;
}

/* One WAL record for the page. */
static void
MarkDeleted(const Vacuum *vacuum, Buffer buffer, FullTransactionId now)
{
	Page		page = BufferGetPage(buffer);
	const uint8 deleted = 1;
	HnswEdit	edit;
	HnswEditedPage *edited;

	HnswEditBegin(&edit, vacuum->index, false);
	edit.keep = buffer;
	edited = HnswEditPage(&edit, buffer);
	for (OffsetNumber offset = FirstOffsetNumber; offset <= PageGetMaxOffsetNumber(page); offset++)
	{
		HnswNodeTuple *node = HnswPageNodeAt(page, offset);

		if (node != NULL && !node->deleted &&
			HnswNodeSetHas(&vacuum->deleted, NodeName(buffer, offset, node)))
		{
			HnswEditBytes(edited, &node->deleted, &deleted, sizeof(deleted));
			HnswEditBytes(edited, &node->u.deleted_at, &now, sizeof(now));
		}
	}
	HnswEditEnd(&edit);
}

static void
DeleteNodes(const Vacuum *vacuum, BlockNumber blocks)
{
	/* no scan that begins from here on can find a way to the deleted nodes */
	FullTransactionId now = ReadNextFullTransactionId();

	for (BlockNumber block = HNSW_META_BLOCK + 1; block < blocks; block++)
	{
		Buffer		buffer = LockBlock(vacuum, block, BUFFER_LOCK_EXCLUSIVE);
		Page		page = BufferGetPage(buffer);

		if (HnswPageIs(page, HNSW_PAGE_NODES))
		{
			if (HasDoomed(vacuum, buffer))
				MarkDeleted(vacuum, buffer, now);
			HnswRecordRoom(vacuum->index, buffer);
		}
		else if (PageIsNew(page) || HnswPageIs(page, HNSW_PAGE_FREE))
			RecordFreeIndexPage(vacuum->index, block);
		UnlockReleaseBuffer(buffer);
	}
	IndexFreeSpaceMapVacuum(vacuum->index);

	/*
	 * The room is free for transactions whose snapshots come after the present next id.
	 * Using that id up makes this so for the next one already. A parallel vacuum may not;
	 * there, some other transaction has to come first.
	 */
	if (!IsInParallelMode())
		(void) GetCurrentTransactionId();
}

IndexBulkDeleteResult *
hnswbulkdelete(IndexVacuumInfo *info, IndexBulkDeleteResult *stats,
			   IndexBulkDeleteCallback callback, void *state)
{
	Vacuum		vacuum = {.index = info->index, .strategy = info->strategy};
	BlockNumber blocks = RelationGetNumberOfBlocks(info->index);
	MemoryContext context;
	MemoryContext old;

	if (stats == NULL)
		stats = palloc0(sizeof(IndexBulkDeleteResult));
	context = AllocSetContextCreate(CurrentMemoryContext, "hnsw vacuum", ALLOCSET_DEFAULT_SIZES);
	old = MemoryContextSwitchTo(context);
	stats->num_index_tuples = 0;
	vacuum.filter = (HnswRowFilter) {callback, state, &stats->tuples_removed, &stats->num_index_tuples};
	HnswInitSupport(&vacuum.support, info->index);
	HnswNodeSetInit(&vacuum.deleted, context);
	vacuum.staying = (NodeList) {.room = 1024, .complete = true};
	vacuum.staying.nodes = palloc(vacuum.staying.room * sizeof(HnswNode));
	vacuum.page_context = AllocSetContextCreate(context, "hnsw vacuum page", ALLOCSET_DEFAULT_SIZES);

	RemoveRows(&vacuum, blocks);
	if (vacuum.deleted.count > 0)
	{
		WaitForInserts(info->index);
		vacuum.store = HnswPageStore(info->index, &vacuum.support, HNSW_TO_CHANGE, context);
		RepairEntry(&vacuum);
		/* a page that has come meanwhile may link to a node that had rows at that time */
		blocks = RelationGetNumberOfBlocks(info->index);
		RepairLinks(&vacuum, blocks);
		AttachNodes(&vacuum);
		DeleteNodes(&vacuum, blocks);
	}
	MemoryContextSwitchTo(old);
	MemoryContextDelete(context);
	return stats;
}

IndexBulkDeleteResult *
hnswvacuumcleanup(IndexVacuumInfo *info, IndexBulkDeleteResult *stats)
{
	if (info->analyze_only || stats == NULL)
		return stats;
	stats->num_pages = RelationGetNumberOfBlocks(info->index);
	return stats;
}
