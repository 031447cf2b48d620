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
HnswNodeTuple *
HnswLockNode(PageStore *store, HnswNode node, int mode, Buffer *buffer)
{
	HnswNodeTuple *tuple;

	if (!HnswBlockExists(store, HnswRefBlock(node)))
		return NULL;
	*buffer = HnswReadBuffer(store, HnswRefBlock(node));
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

	memcpy(into, HnswNodeValue(tuple), done);
	for (int i = 0; i < HnswNodeValuePages(tuple); i++)
	{
		Buffer		buffer = HnswReadBuffer(store, tuple->value_block[i]);
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
	const void *value = HnswNodeValue(tuple);

	if (HnswNodeValuePages(tuple) > 0)
	{
		value = HnswValueRoom(store);
		if (HnswNodeValuePages(tuple) > HNSW_MAX_VALUE_PAGES ||
			tuple->value_size > HNSW_MAX_VALUE_SIZE ||
			!AssembleValue(store, node, tuple, unconstify(void *, value)))
			return NULL;
	}
	return HnswIsStored(support, value, tuple->value_size) ? value : NULL;
}

/* The value and its size, in HnswValueRoom or on a page that is then locked. */
static const void *
FindValue(PageStore *store, HnswNode node, Size *size, Buffer *buffer)
{
	HnswNodeTuple *tuple;
	const void *value;

	*buffer = InvalidBuffer;
	*size = HnswGlimpseValue(store, node);
	if (*size > 0)
		return HnswValueRoom(store);
	tuple = HnswLockNode(store, node, BUFFER_LOCK_SHARE, buffer);
	if (tuple == NULL)
	{
		*buffer = InvalidBuffer;
		return NULL;
	}
	value = HnswLockedValue(store, node, tuple);
	*size = tuple->value_size;
	return value;
}

static const void *
PageValue(HnswStore *base, HnswNode node)
{
	PageStore  *store = (PageStore *) base;
	bool		found;
	ValueEntry *entry;
	const void *value;
	Size		size;
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
	value = FindValue(store, node, &size, &buffer);
	if (value != NULL)
		entry->value = memcpy(MemoryContextAlloc(store->values, size), value, size);
	if (buffer != InvalidBuffer)
		UnlockReleaseBuffer(buffer);
	return entry->value;
}

/* Codes are compared where they lie. A node that is gone may as well be left out. */
static bool
PageCovered(HnswStore *base, const HnswCandidate *candidate, const HnswCandidate *others, int n)
{
	const void *value = NULL;

	for (int i = 0; i < n; i++)
	{
		float		distance;

		if (!HnswStampedDistance((PageStore *) base, candidate->node, others[i].node, &distance))
		{
			const void *other = PageValue(base, others[i].node);

			if (value == NULL)
				value = PageValue(base, candidate->node);
			if (value == NULL)
				return true;
			if (other == NULL)
				continue;
			distance = HnswDistance(base->support, value, other);
		}
		if (distance <= candidate->distance)
			return true;
	}
	return false;
}

/* A copy of what of a value is only for refining, until the next call. */
static const void *
PageFine(HnswStore *base, HnswNode node)
{
	PageStore  *store = (PageStore *) base;
	Buffer		buffer;
	HnswNodeTuple *tuple = HnswLockNode(store, node, BUFFER_LOCK_SHARE, &buffer);
	const void *fine = NULL;

	if (tuple != NULL)
	{
		fine = HnswCopyFine(store, node, tuple);
		UnlockReleaseBuffer(buffer);
	}
	return fine;
}

const void *
HnswCopyFine(PageStore *store, HnswNode node, const HnswNodeTuple *tuple)
{
	Size		size = HnswFineSize(store->base.support);
	Buffer		buffer;
	const HnswFineTuple *fine;
	void	   *copy = NULL;

	if (!ItemPointerIsValid(&tuple->fine) ||
		!HnswBlockExists(store, ItemPointerGetBlockNumber(&tuple->fine)))
		return NULL;
	buffer = HnswReadBuffer(store, ItemPointerGetBlockNumber(&tuple->fine));
	LockBuffer(buffer, BUFFER_LOCK_SHARE);
	fine = HnswPageGetFine(BufferGetPage(buffer), ItemPointerGetOffsetNumber(&tuple->fine), node, size);
	if (fine != NULL)
		copy = memcpy(HnswValueRoom(store), fine->bytes, size);
	UnlockReleaseBuffer(buffer);
	return copy;
}

static bool
PageAddRow(HnswStore *base, HnswNode node, const ItemPointerData *row)
{
	PageStore  *store = (PageStore *) base;

	return HnswAddRow(store->index, node, row, store->base.building);
}

void
HnswPageStoreRows(HnswStore *base, HnswNode node, HnswRows *rows)
{
	PageStore  *store = (PageStore *) base;
	Buffer		buffer;
	HnswNodeTuple *tuple = HnswLockNode(store, node, BUFFER_LOCK_SHARE, &buffer);

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
	HnswNodeTuple *tuple = HnswLockNode(store, node, BUFFER_LOCK_SHARE, &buffer);
	const void *value;
	const void *fine;

	if (tuple == NULL)
		return false;
	value = HnswLockedValue(store, node, tuple);
	fine = value == NULL ? NULL : HnswCopyFine(store, node, tuple);
	if (fine != NULL)
	{
		*interval = HnswRefine(base->support, query, value, fine, distance);
		HnswReadRows(store->index, tuple, rows);
	}
	UnlockReleaseBuffer(buffer);
	return fine != NULL;
}

static const HnswStoreMethods page_methods = {
	.distances = HnswPageDistances,
	.links = HnswPageLinks,
	.expect = HnswPageExpect,
	.value = PageValue,
	.fine = PageFine,
	.covered = PageCovered,
	.add_node = HnswPageAddNode,
	.add_row = PageAddRow,
	.add_link = HnswPageAddLink,
	.replace_link = HnswPageReplaceLink,
	.change_links = HnswPageChangeLinks,
	.repair_links = HnswPageRepairLinks,
};

/* Codes are of one size. */
static Size
NodeSize(const HnswSupport *support)
{
	Size		code = support->codes == NULL ? 0 : code_size(support->dimensions);

	return code == 0 || code > HNSW_INLINE_ROOM ? 0 : MAXALIGN(HNSW_NODE_HEAD + code);
}

HnswStore *
HnswPageStore(Relation index, const HnswSupport *support, HnswUse use, MemoryContext context)
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
	store->salt = meta.salt;
	store->node_size = store->peek.memo == NULL ? 0 : NodeSize(support);
	store->base.building = use == HNSW_TO_BUILD;
	store->sampled = use == HNSW_TO_READ;
	store->context = context;
	if (use != HNSW_TO_READ)
	{
		/* used again by each search, so it need not grow each time */
		HnswNodeSetInit(&store->visited, context);
		store->base.visited = &store->visited;
	}
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
