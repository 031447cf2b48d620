/*
 * page_walk.c: what a walk reads of an index: the values of a whole hop, and links.
 *
 * Pages are looked at (peek.h) in rounds over all nodes of a hop, each of which asks for
 * the memory that the next one needs: buffers, then the pointers of items, then nodes and
 * their values. What a look cannot tell is read under a lock.
 */
#include "postgres.h"

#include "utils/spccache.h"

#include "hnsw/store_page.h"

#define CACHE_LINE 64

/* A node under a look. */
typedef struct Glimpse
{
	HnswLook	look;
	const HnswNodeTuple *tuple; /* NULL: to be read under a lock */
	Size		length;
} Glimpse;

static inline const ItemIdData *
ItemPointerOf(const HnswLook *look, HnswNode node)
{
	return PageGetItemId(look->page, HnswRefOffset(node));
}

/* First round: where are the pages? */
static void
LookForPages(const PageStore *store, const HnswCandidate *candidates, Glimpse *glimpses, int n)
{
	for (int i = 0; i < n; i++)
		HnswLookPrefetch(&store->peek, HnswRefBlock(candidates[i].node));
	for (int i = 0; i < n; i++)
	{
		HnswNode	node = candidates[i].node;
		HnswLook   *look = &glimpses[i].look;

		if (!HnswLookBegin(&store->peek, HnswRefBlock(node), look))
			continue;
		__builtin_prefetch(ItemPointerOf(look, node));
	}
}

/* Where an item lies, if that is within the page; any bytes may be there. */
static const HnswNodeTuple *
ItemAt(const HnswLook *look, HnswNode node, Size *length)
{
	const HnswPageTail *tail = (const HnswPageTail *) (look->page + BLCKSZ - MAXALIGN(sizeof(HnswPageTail)));
	Size		items = Min(((PageHeader) look->page)->pd_lower, BLCKSZ);
	OffsetNumber offset = HnswRefOffset(node);
	ItemIdData	item;

	if (tail->kind != HNSW_PAGE_NODES || tail->page_id != HNSW_PAGE_ID ||
		offset < FirstOffsetNumber || SizeOfPageHeaderData + offset * sizeof(ItemIdData) > items)
		return NULL;
	item = *(volatile const ItemIdData *) ItemPointerOf(look, node);
	*length = ItemIdGetLength(&item);
	if (!ItemIdIsNormal(&item) || ItemIdGetOffset(&item) != MAXALIGN(ItemIdGetOffset(&item)) ||
		ItemIdGetOffset(&item) + *length > BLCKSZ - MAXALIGN(sizeof(HnswPageTail)) ||
		*length < offsetof(HnswNodeTuple, links))
		return NULL;
	return (const HnswNodeTuple *) (look->page + ItemIdGetOffset(&item));
}

/* Second round: where on them are the nodes? Most are of level 0, and so is this guess of
 * where their values are. */
static void
LookForNodes(const PageStore *store, const HnswCandidate *candidates, Glimpse *glimpses, int n)
{
	Size		value = MAXALIGN(offsetof(HnswNodeTuple, links) + sizeof(HnswNode) * 2 * store->base.m);

	for (int i = 0; i < n; i++)
	{
		Glimpse    *glimpse = &glimpses[i];

		glimpse->tuple = NULL;
		if (glimpse->look.page == NULL)
			continue;
		glimpse->tuple = ItemAt(&glimpse->look, candidates[i].node, &glimpse->length);
		if (glimpse->tuple == NULL)
			continue;
		__builtin_prefetch(glimpse->tuple);
		__builtin_prefetch((const char *) glimpse->tuple + value);
		__builtin_prefetch((const char *) glimpse->tuple + value + CACHE_LINE);
	}
}

/* A copy of the value of a node, if it is all there. A look has to have ended before the
 * copy is taken for a value. */
static const void *
CopyValue(PageStore *store, HnswNode node, const Glimpse *glimpse, Size *size)
{
	HnswNodeTuple *tuple = unconstify(HnswNodeTuple *, glimpse->tuple);
	const char *value = HnswNodeValue(tuple, store->base.m);
	Size		before = value - (const char *) tuple;

	*size = *(volatile uint32 *) &tuple->value_size;
	if (tuple->version != HnswRefVersion(node) || tuple->value_pages != 0 ||
		before > glimpse->length || *size > glimpse->length - before)
		return NULL;
	return memcpy(HnswValueRoom(store), value, *size);
}

static bool
MeasureGlimpse(PageStore *store, const void *query, HnswCandidate *candidate, const Glimpse *glimpse)
{
	const HnswSupport *support = store->base.support;
	Size		size;
	const void *value = CopyValue(store, candidate->node, glimpse, &size);

	if (value == NULL)
		return false;
	candidate->state = HnswNodeHasRows(glimpse->tuple) ? HNSW_LIVE : HNSW_DEAD;
	if (!HnswLookEnd(&store->peek, &glimpse->look) ||
		!support->type->matches(value, size, support->dimensions))
		return false;
	candidate->distance = HnswDistance(support, query, value);
	return true;
}

/* Third round. What is left of the candidates has no distance yet; their number. */
static int
MeasureGlimpses(PageStore *store, const void *query, HnswCandidate *candidates, Glimpse *glimpses,
				int n)
{
	int			left = 0;

	for (int i = 0; i < n; i++)
	{
		HnswCandidate candidate = candidates[i];

		if (glimpses[i].tuple != NULL && MeasureGlimpse(store, query, &candidate, &glimpses[i]))
			candidates[i] = candidate;
		else
		{
			/* those that are left move to the front */
			candidates[i] = candidates[left];
			candidates[left++] = candidate;
		}
	}
	return left;
}

/* Under the page's lock, which is kept for neighbours that are also neighbours there. */
static void
MeasureLocked(PageStore *store, const void *query, HnswCandidate *candidates, int n)
{
	Buffer		buffer = InvalidBuffer;

	for (int i = 0; i < n; i++)
	{
		HnswCandidate *candidate = &candidates[i];
		BlockNumber block = HnswRefBlock(candidate->node);
		HnswNodeTuple *tuple;
		const void *value;

		candidate->state = HNSW_GONE;
		if (!HnswBlockExists(store, block))
			continue;
		if (buffer == InvalidBuffer || BufferGetBlockNumber(buffer) != block)
		{
			if (buffer != InvalidBuffer)
				UnlockReleaseBuffer(buffer);
			buffer = ReadBuffer(store->index, block);
			HnswPeekRemember(&store->peek, block, buffer);
			LockBuffer(buffer, BUFFER_LOCK_SHARE);
		}
		tuple = HnswPageGetNode(BufferGetPage(buffer), candidate->node);
		if (tuple == NULL || (value = HnswLockedValue(store, candidate->node, tuple)) == NULL)
			continue;
		candidate->distance = HnswDistance(store->base.support, query, value);
		candidate->state = HnswNodeHasRows(tuple) ? HNSW_LIVE : HNSW_DEAD;
	}
	if (buffer != InvalidBuffer)
		UnlockReleaseBuffer(buffer);
}

static void
MeasureHop(PageStore *store, const void *query, HnswCandidate *candidates, int n)
{
	Glimpse		glimpses[HNSW_MAX_LINKS];
	int			left = n;

	if (store->peek.memo != NULL)
	{
		LookForPages(store, candidates, glimpses, n);
		LookForNodes(store, candidates, glimpses, n);
		left = MeasureGlimpses(store, query, candidates, glimpses, n);
	}
	for (int i = 0; i < left && left > 1 && store->prefetch; i++)
	{
		if (HnswBlockExists(store, HnswRefBlock(candidates[i].node)))
			PrefetchBuffer(store->index, MAIN_FORKNUM, HnswRefBlock(candidates[i].node));
	}
	MeasureLocked(store, query, candidates, left);
}

void
HnswPageDistances(HnswStore *base, const void *query, HnswCandidate *candidates, int n)
{
	for (int i = 0; i < n; i += HNSW_MAX_LINKS)
		MeasureHop((PageStore *) base, query, candidates + i, Min(n - i, HNSW_MAX_LINKS));
}

/* The links of one level; their number. length is that of the node's item. */
static int
CopyLinks(const PageStore *store, const HnswNodeTuple *tuple, Size length, int level,
		  HnswCandidate *links)
{
	int			m = store->base.m;
	const HnswNode *from = tuple->links + HnswLinkStart(m, level);
	int			max = HnswLevelLinks(m, level);
	int			count = 0;

	if (level > tuple->level || (const char *) (from + max) > (const char *) tuple + length)
		return 0;
	while (count < max && from[count] != HNSW_NO_NODE)
	{
		links[count].node = from[count];
		count++;
	}
	return count;
}

static bool
GlimpseLinks(const PageStore *store, HnswNode node, int level, HnswCandidate *links, int *count)
{
	HnswLook	look;
	const HnswNodeTuple *tuple;
	Size		length;

	if (store->peek.memo == NULL || !HnswLookBegin(&store->peek, HnswRefBlock(node), &look))
		return false;
	tuple = ItemAt(&look, node, &length);
	if (tuple == NULL || tuple->version != HnswRefVersion(node))
		return false;
	*count = CopyLinks(store, tuple, length, level, links);
	return HnswLookEnd(&store->peek, &look);
}

int
HnswPageLinks(HnswStore *base, HnswNode node, int level, HnswCandidate *links)
{
	PageStore  *store = (PageStore *) base;
	BlockNumber block = HnswRefBlock(node);
	int			count = 0;
	Buffer		buffer;
	Page		page;
	HnswNodeTuple *tuple;

	if (GlimpseLinks(store, node, level, links, &count))
		return count;
	if (!HnswBlockExists(store, block))
		return 0;
	buffer = ReadBuffer(store->index, block);
	HnswPeekRemember(&store->peek, block, buffer);
	LockBuffer(buffer, BUFFER_LOCK_SHARE);
	page = BufferGetPage(buffer);
	tuple = HnswPageGetNode(page, node);
	count = tuple == NULL ? 0 :
		CopyLinks(store, tuple, ItemIdGetLength(PageGetItemId(page, HnswRefOffset(node))), level, links);
	UnlockReleaseBuffer(buffer);
	return count;
}
