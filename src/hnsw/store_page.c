/*
 * store_page.c: the graph on the pages of an index.
 *
 * Every method locks one page of nodes at a time (and with it, one after the other,
 * the pages that hold the rest of a value) and keeps neither lock nor pin. A node can
 * be removed between two calls; its name then leads nowhere, which every method takes.
 */
#include "postgres.h"

#include "utils/spccache.h"

#include "hnsw/store_page.h"

typedef struct ValueEntry
{
	HnswNode	node;
	const void *value;
	char		status;
} ValueEntry;

#define SH_PREFIX value_map
#define SH_ELEMENT_TYPE ValueEntry
#define SH_KEY_TYPE HnswNode
#define SH_KEY node
#define SH_HASH_KEY(table, key) ((uint32) (((key) * UINT64CONST(0x9E3779B97F4A7C15)) >> 32))
#define SH_EQUAL(table, a, b) ((a) == (b))
#define SH_SCOPE static inline
#define SH_DEFINE
#define SH_DECLARE
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wshadow"
#include "lib/simplehash.h"
#pragma GCC diagnostic pop

bool
HnswBlockExists(PageStore *store, BlockNumber block)
{
	if (block >= store->blocks)
		store->blocks = RelationGetNumberOfBlocks(store->index);
	return block < store->blocks;
}

void *
HnswValueRoom(PageStore *store)
{
	if (store->room == NULL)
		store->room = MemoryContextAlloc(store->context, HNSW_MAX_VALUE_SIZE);
	return store->room;
}

/* Locks the page of a node; NULL, and no lock, when it is gone. */
static HnswNodeTuple *
LockNode(PageStore *store, HnswNode node, int mode, Buffer *buffer)
{
	HnswNodeTuple *tuple;

	if (!HnswBlockExists(store, HnswRefBlock(node)))
		return NULL;
	*buffer = ReadBuffer(store->index, HnswRefBlock(node));
	LockBuffer(*buffer, mode);
	tuple = HnswPageGetNode(BufferGetPage(*buffer), node);
	if (tuple == NULL)
		UnlockReleaseBuffer(*buffer);
	return tuple;
}

/* Puts a value together that lies on pages of its own; false when one is not there. */
static bool
AssembleValue(PageStore *store, HnswNode node, HnswNodeTuple *tuple, char *into)
{
	Size		done = tuple->inline_size;

	memcpy(into, HnswNodeValue(tuple, store->base.m), done);
	for (int i = 0; i < tuple->value_pages; i++)
	{
		Buffer		buffer = ReadBuffer(store->index, tuple->value_block[i]);
		Page		page = BufferGetPage(buffer);
		Size		length = Min(tuple->value_size - done, HNSW_VALUE_PAGE_ROOM);
		bool		ours;

		LockBuffer(buffer, BUFFER_LOCK_SHARE);
		ours = HnswPageIs(page, HNSW_PAGE_VALUE) && HnswPageGetValue(page)->owner == node;
		if (ours)
			memcpy(into + done, HnswPageGetValue(page)->bytes, length);
		UnlockReleaseBuffer(buffer);
		if (!ours)
			return false;
		done += length;
	}
	return done == tuple->value_size;
}

const void *
HnswLockedValue(PageStore *store, HnswNode node, HnswNodeTuple *tuple)
{
	const HnswSupport *support = store->base.support;
	const void *value = HnswNodeValue(tuple, store->base.m);

	if (tuple->value_pages > 0)
	{
		value = HnswValueRoom(store);
		if (tuple->value_pages > HNSW_MAX_VALUE_PAGES ||
			tuple->value_size > HNSW_MAX_VALUE_SIZE ||
			tuple->inline_size > tuple->value_size ||
			!AssembleValue(store, node, tuple, unconstify(void *, value)))
			return NULL;
	}
	return HnswIsStored(support, value, tuple->value_size) ? value : NULL;
}

static const void *
PageValue(HnswStore *base, HnswNode node)
{
	PageStore  *store = (PageStore *) base;
	bool		found;
	ValueEntry *entry;
	HnswNodeTuple *tuple;
	Buffer		buffer;

	if (store->value_map == NULL)
	{
		store->values = AllocSetContextCreate(store->context, "hnsw values", ALLOCSET_DEFAULT_SIZES);
		store->value_map = value_map_create(store->context, 1024, NULL);
	}
	entry = value_map_insert(store->value_map, node, &found);
	if (found)
		return entry->value;
	entry->value = NULL;
	tuple = LockNode(store, node, BUFFER_LOCK_SHARE, &buffer);
	if (tuple != NULL)
	{
		const void *value = HnswLockedValue(store, node, tuple);

		if (value != NULL)
			entry->value = memcpy(MemoryContextAlloc(store->values, tuple->value_size), value,
								  tuple->value_size);
		UnlockReleaseBuffer(buffer);
	}
	return entry->value;
}

/* The tuple of a new node, with its links and its one row. */
static HnswNodeTuple *
FormNode(HnswStore *base, const HnswShape *shape, const HnswInsertion *insertion)
{
	HnswNodeTuple *tuple = palloc0(shape->tuple_size);

	HnswFormNode(tuple, shape, insertion, base->m);
	tuple->row_count = 1;
	tuple->rows[0] = insertion->row;
	for (int level = 0; level <= insertion->level; level++)
	{
		HnswNode   *links = tuple->links + HnswLinkStart(base->m, level);

		for (int i = 0; i < insertion->links[level].count; i++)
			links[i] = insertion->links[level].items[i].node;
	}
	return tuple;
}

/* One WAL record: the node, and the pages of its value. */
static HnswNode
PageAddNode(HnswStore *base, const HnswInsertion *insertion)
{
	PageStore  *store = (PageStore *) base;
	HnswShape	shape = HnswNodeShape(base->m, insertion->level, insertion->form.size);
	HnswNodeTuple *tuple = FormNode(base, &shape, insertion);
	Buffer		value_buffer[HNSW_MAX_VALUE_PAGES];
	Buffer		buffer;
	HnswEdit	edit;
	Page		page;
	OffsetNumber offset;
	HnswNode	node;

	buffer = HnswBufferWithRoom(store->index, shape.tuple_size);
	for (int i = 0; i < shape.value_pages; i++)
	{
		value_buffer[i] = HnswFreeBuffer(store->index, MAIN_FORKNUM);
		tuple->value_block[i] = BufferGetBlockNumber(value_buffer[i]);
	}
	HnswEditBegin(&edit, store->index, store->base.building);
	page = HnswEditPage(&edit, buffer);
	if (!HnswPageIs(page, HNSW_PAGE_NODES))
		HnswPageInit(page, HNSW_PAGE_NODES);
	tuple->version = HnswPageGetTail(page)->version;
	offset = PageAddItem(page, (Item) tuple, shape.tuple_size, InvalidOffsetNumber, false, false);
	if (offset == InvalidOffsetNumber)
		elog(ERROR, "failed to add a node to hnsw index \"%s\"",
			 RelationGetRelationName(store->index));
	node = HnswRefMake(BufferGetBlockNumber(buffer), offset, tuple->version);
	for (int i = 0; i < shape.value_pages; i++)
		HnswValuePageFill(HnswEditPage(&edit, value_buffer[i]), node, &shape, insertion->form.value,
						  insertion->form.size, i);
	HnswEditEnd(&edit);
	pfree(tuple);
	return node;
}

static bool
PageAddRow(HnswStore *base, HnswNode node, const ItemPointerData *row)
{
	PageStore  *store = (PageStore *) base;

	return HnswAddRow(store->index, node, row, store->base.building);
}

/* The slot that holds a link (or, for HNSW_NO_NODE, is free), or -1. */
static int
FindLink(const HnswNode *links, int max, HnswNode node)
{
	for (int i = 0; i < max; i++)
	{
		if (links[i] == node)
			return i;
		if (links[i] == HNSW_NO_NODE)
			break;
	}
	return -1;
}

/* Puts a link into the slot that holds old, unless it is there already. */
static bool
PutLink(PageStore *store, HnswNode from, int level, HnswNode old, HnswNode to)
{
	int			max = HnswLevelLinks(store->base.m, level);
	int			start = HnswLinkStart(store->base.m, level);
	Buffer		buffer;
	HnswEdit	edit;
	HnswNodeTuple *tuple = LockNode(store, from, BUFFER_LOCK_EXCLUSIVE, &buffer);
	int			slot;

	if (tuple == NULL)
		return false;
	if (level > tuple->level || FindLink(tuple->links + start, max, to) >= 0)
	{
		UnlockReleaseBuffer(buffer);
		return level <= tuple->level;
	}
	slot = FindLink(tuple->links + start, max, old);
	if (slot < 0)
	{
		UnlockReleaseBuffer(buffer);
		return false;
	}
	HnswEditBegin(&edit, store->index, store->base.building);
	tuple = HnswPageGetNode(HnswEditPage(&edit, buffer), from);
	tuple->links[start + slot] = to;
	HnswEditEnd(&edit);
	return true;
}

static bool
PageAddLink(HnswStore *base, HnswNode from, int level, HnswCandidate to)
{
	return PutLink((PageStore *) base, from, level, HNSW_NO_NODE, to.node);
}

static bool
PageReplaceLink(HnswStore *base, HnswNode from, int level, HnswNode old, HnswCandidate to)
{
	return PutLink((PageStore *) base, from, level, old, to.node);
}

static bool
AnyDeleted(const HnswNode *links, int max, const HnswNodeSet *deleted)
{
	for (int i = 0; i < max && links[i] != HNSW_NO_NODE; i++)
	{
		if (HnswNodeSetHas(deleted, links[i]))
			return true;
	}
	return false;
}

static void
PageRepairLinks(HnswStore *base, HnswNode from, int level, const HnswNodeSet *deleted,
				const HnswQueue *added)
{
	PageStore  *store = (PageStore *) base;
	int			max = HnswLevelLinks(base->m, level);
	int			start = HnswLinkStart(base->m, level);
	int			count = 0;
	Buffer		buffer;
	HnswEdit	edit;
	HnswNode   *links;
	HnswNodeTuple *tuple = LockNode(store, from, BUFFER_LOCK_EXCLUSIVE, &buffer);

	if (tuple == NULL)
		return;
	if (level > tuple->level ||
		(added->count == 0 && !AnyDeleted(tuple->links + start, max, deleted)))
	{
		UnlockReleaseBuffer(buffer);
		return;
	}
	HnswEditBegin(&edit, store->index, base->building);
	links = HnswPageGetNode(HnswEditPage(&edit, buffer), from)->links + start;
	for (int i = 0; i < max && links[i] != HNSW_NO_NODE; i++)
	{
		if (!HnswNodeSetHas(deleted, links[i]))
			links[count++] = links[i];
	}
	for (int i = count; i < max; i++)
		links[i] = HNSW_NO_NODE;
	for (int i = 0; i < added->count && count < max; i++)
	{
		if (FindLink(links, max, added->items[i].node) < 0)
			links[count++] = added->items[i].node;
	}
	HnswEditEnd(&edit);
}

void
HnswPageStoreRows(HnswStore *base, HnswNode node, HnswRows *rows)
{
	PageStore  *store = (PageStore *) base;
	Buffer		buffer;
	HnswNodeTuple *tuple = LockNode(store, node, BUFFER_LOCK_SHARE, &buffer);

	if (tuple == NULL)
		return;
	HnswReadRows(store->index, tuple, rows);
	UnlockReleaseBuffer(buffer);
}

bool
HnswPageStoreRefine(HnswStore *base, HnswNode node, const HnswForm *query, HnswRows *rows,
					HnswInterval *interval, double *distance)
{
	PageStore  *store = (PageStore *) base;
	Buffer		buffer;
	HnswNodeTuple *tuple = LockNode(store, node, BUFFER_LOCK_SHARE, &buffer);
	const void *value;

	if (tuple == NULL)
		return false;
	value = HnswLockedValue(store, node, tuple);
	if (value != NULL)
	{
		*interval = HnswRefine(base->support, query, value, distance);
		HnswReadRows(store->index, tuple, rows);
	}
	UnlockReleaseBuffer(buffer);
	return value != NULL;
}

static const HnswStoreMethods page_methods = {
	.distances = HnswPageDistances,
	.links = HnswPageLinks,
	.value = PageValue,
	.add_node = PageAddNode,
	.add_row = PageAddRow,
	.add_link = PageAddLink,
	.replace_link = PageReplaceLink,
	.repair_links = PageRepairLinks,
};

HnswStore *
HnswPageStore(Relation index, const HnswSupport *support, bool building, MemoryContext context)
{
	PageStore  *store = MemoryContextAllocZero(context, sizeof(PageStore));
	HnswMeta	meta;

	HnswReadMeta(index, &meta);
	store->base.methods = &page_methods;
	store->base.support = support;
	store->base.m = meta.m;
	store->base.ef_construction = meta.ef_construction;
	store->base.max_level = HnswMaxLevel(meta.m);
	store->base.entry = meta.entry;
	store->base.entry_level = meta.entry_level;
	store->index = index;
	store->prefetch = get_tablespace_io_concurrency(index->rd_rel->reltablespace) > 0;
	HnswPeekInit(&store->peek, index);
	store->base.building = building;
	store->context = context;
	return &store->base;
}

void
HnswPageStoreReset(HnswStore *base)
{
	PageStore  *store = (PageStore *) base;
	HnswMeta	meta;

	if (store->value_map != NULL)
	{
		MemoryContextReset(store->values);
		value_map_reset(store->value_map);
	}
	HnswReadMeta(store->index, &meta);
	base->entry = meta.entry;
	base->entry_level = meta.entry_level;
}
