/*
 * page_walk.c: what a walk reads of an index: the values of a whole hop, and links.
 *
 * Codes are compared where they lie, without a look at the page: all nodes are of one size,
 * so a name tells the address, and the stamp there who it is. What else is read is looked
 * at (peek.h), values in rounds over all nodes of a hop, each of which asks for
 * the memory that the next one needs. What neither can tell is read under a lock.
 */
#include "postgres.h"

#include "hnsw/store_page.h"

#define CACHE_LINE 64
#define SAMPLE 16				/* of so many stamps that a scan reads, one is read with a look */

static inline HnswState
StateOf(const HnswNodeTuple *tuple)
{
	return HnswNodeHasRows(tuple) ? HNSW_LIVE : HNSW_DEAD;
}

/* ---- by stamps ---- */

/* Where a node is if its page is where the memo says, or NULL: within the page, whatever is there. */
static inline const HnswNodeTuple *
AddressOf(const PageStore *store, HnswNode node)
{
	Size		from_end = HnswRefOffset(node) * store->node_size;
	Page		page;

	if (from_end == 0 || from_end > HNSW_PAGE_ROOM)
		return NULL;
	page = BufferGetPage(*HnswPeekPlace(&store->peek, HnswRefBlock(node)) + 1);
	return (const HnswNodeTuple *) ((const char *) page + BLCKSZ - MAXALIGN(sizeof(HnswPageTail)) - from_end);
}

static inline bool
HasStamp(const PageStore *store, const HnswNodeTuple *tuple, HnswNode node)
{
	return *(volatile const uint32 *) &tuple->stamp == HnswStamp(store->salt, node);
}

static inline const HnswNodeTuple *
StampedNode(const PageStore *store, HnswNode node)
{
	const HnswNodeTuple *tuple = AddressOf(store, node);

	return tuple != NULL && HasStamp(store, tuple, node) ? tuple : NULL;
}

/*
 * Stamps do not tell the sweep for victims that a page is in use, nor that the bytes are
 * those of a page that was evicted since, and may have changed. So the page is looked at too:
 * always by who chooses links, of which none may lead to a node that has died, and by a scan
 * now and then, or always where there is a sweep.
 */
static bool
IsHeld(const PageStore *store, HnswNode node)
{
	static uint32 stamps = 0;	/* over all scans: no page is left out for good */
	BlockNumber block = HnswRefBlock(node);
	int32		id = *HnswPeekPlace(&store->peek, block);

	return (store->sampled && !store->outgrown && ++stamps % SAMPLE != 0) ||
		HnswPeekUses(&store->peek, GetBufferDescriptor(id), block);
}

/* Asks for what is read first of a node. */
static inline void
PrefetchNode(const PageStore *store, HnswNode node)
{
	const HnswNodeTuple *tuple = AddressOf(store, node);

	if (tuple == NULL)
	{
		HnswLookPrefetch(&store->peek, HnswRefBlock(node), HnswRefOffset(node));
		return;
	}
	__builtin_prefetch(&tuple->stamp);
	__builtin_prefetch((const char *) &tuple->stamp + CACHE_LINE);
}

/*
 * Asks for what is going to be read of codes, behind the stamps, before the first stamp is waited for.
 * Some of it is asked for again by who reads it: processors drop what they are asked for beyond
 * what can be on its way at a time.
 */
static void
PrefetchCodes(const PageStore *store, const code_query *query, const HnswCandidate *candidates, int n,
			  float limit)
{
	Size		bytes = HNSW_NODE_HEAD + code_estimate_bytes(query, limit);

	for (int i = 0; i < n; i++)
	{
		const char *tuple = (const char *) AddressOf(store, candidates[i].node);

		if (tuple == NULL)
			continue;
		for (Size at = offsetof(HnswNodeTuple, stamp) + 2 * CACHE_LINE; at < bytes; at += CACHE_LINE)
			__builtin_prefetch(tuple + at, 0, 2);
		__builtin_prefetch(tuple + bytes - 1, 0, 2);
	}
}

/* Compares codes where they lie, since whatever bytes are there make some distance. Sets the
 * state of those that it measures. */
static void
EstimateStamped(const PageStore *store, const HnswForm *query, HnswCandidate *candidates, int n,
				float limit)
{
	const HnswNodeTuple *tuples[HNSW_MAX_LINKS];
	const code_head *heads[HNSW_MAX_LINKS];
	float		distances[HNSW_MAX_LINKS];
	bool		rough[HNSW_MAX_LINKS];
	int			which[HNSW_MAX_LINKS];
	int			count = 0;

	PrefetchCodes(store, query->query, candidates, n, limit);
	for (int i = 0; i < n; i++)
	{
		const HnswNodeTuple *tuple = StampedNode(store, candidates[i].node);

		if (tuple == NULL || !IsHeld(store, candidates[i].node))
			continue;
		tuples[count] = tuple;
		heads[count] = (const code_head *) HnswNodeValue(tuple);
		which[count++] = i;
	}
	pg_read_barrier();
	code_estimate_many(query->query, count, heads, limit, distances, rough);
	for (int i = 0; i < count; i++)
	{
		HnswCandidate *candidate = &candidates[which[i]];
		HnswState	state = StateOf(tuples[i]);

		pg_read_barrier();
		if (!HasStamp(store, tuples[i], candidate->node))
			continue;
		candidate->distance = distances[i];
		candidate->rough = rough[i];
		candidate->state = state;
	}
}

/* Of two nodes, whoever is in their places now: names are only asked for by who has read them. */
bool
HnswStampedDistance(const PageStore *store, HnswNode a, HnswNode b, float *distance)
{
	const HnswNodeTuple *first = StampedNode(store, a);
	const HnswNodeTuple *second = StampedNode(store, b);

	if (first == NULL || second == NULL)
		return false;
	pg_read_barrier();
	*distance = HnswDistance(store->base.support, HnswNodeValue(first), HnswNodeValue(second));
	pg_read_barrier();
	return HasStamp(store, first, a) && HasStamp(store, second, b);
}

/* ---- by looks ---- */

/* A node under a look. */
typedef struct Glimpse
{
	HnswLook	look;
	const HnswNodeTuple *tuple; /* NULL: to be read under a lock */
	Size		length;
} Glimpse;

/* First round: where are the pages? Who read the links has asked for them. */
static void
LookForPages(const PageStore *store, const HnswCandidate *candidates, Glimpse *glimpses, int n)
{
	for (int i = 0; i < n; i++)
		(void) HnswLookBegin(&store->peek, HnswRefBlock(candidates[i].node), &glimpses[i].look);
}

const void *
HnswLookItem(const HnswLook *look, HnswPageKind kind, OffsetNumber offset, Size *length)
{
	const HnswPageTail *tail = (const HnswPageTail *) (look->page + BLCKSZ - MAXALIGN(sizeof(HnswPageTail)));
	Size		items = Min(((PageHeader) look->page)->pd_lower, BLCKSZ);
	ItemIdData	item;

	if (tail->kind != kind || tail->page_id != HNSW_PAGE_ID ||
		offset < FirstOffsetNumber || SizeOfPageHeaderData + offset * sizeof(ItemIdData) > items)
		return NULL;
	item = *(volatile const ItemIdData *) PageGetItemId(look->page, offset);
	*length = ItemIdGetLength(&item);
	if (!ItemIdIsNormal(&item) || ItemIdGetOffset(&item) != MAXALIGN(ItemIdGetOffset(&item)) ||
		ItemIdGetOffset(&item) + *length > BLCKSZ - MAXALIGN(sizeof(HnswPageTail)))
		return NULL;
	return look->page + ItemIdGetOffset(&item);
}

static const HnswNodeTuple *
NodeAt(const HnswLook *look, HnswNode node, Size *length)
{
	const HnswNodeTuple *tuple = HnswLookItem(look, HNSW_PAGE_NODES, HnswRefOffset(node), length);

	return tuple != NULL && *length >= HNSW_NODE_HEAD ? tuple : NULL;
}

/* Second round: where on them are the nodes? */
static void
LookForNodes(const HnswCandidate *candidates, Glimpse *glimpses, int n)
{
	for (int i = 0; i < n; i++)
	{
		Glimpse    *glimpse = &glimpses[i];

		glimpse->tuple = NULL;
		if (glimpse->look.page == NULL)
			continue;
		glimpse->tuple = NodeAt(&glimpse->look, candidates[i].node, &glimpse->length);
		if (glimpse->tuple == NULL)
			continue;
		__builtin_prefetch(glimpse->tuple);
		__builtin_prefetch((const char *) glimpse->tuple + CACHE_LINE);
	}
}

/* Where the value of a node lies, if it is all there; its bytes may still change. */
static const char *
ValueAt(HnswNode node, const Glimpse *glimpse, Size *size)
{
	const HnswNodeTuple *tuple = glimpse->tuple;

	if (tuple == NULL || tuple->version != HnswRefVersion(node) || HnswNodeValuePages(tuple) != 0)
		return NULL;
	*size = *(volatile const uint16 *) &tuple->value_size;
	return *size <= glimpse->length - HNSW_NODE_HEAD ? HnswNodeValue(tuple) : NULL;
}

/* Third round: a value is copied, and is one if nothing has changed. */
static void
MeasureGlimpse(PageStore *store, const HnswForm *query, HnswCandidate *candidate,
			   const Glimpse *glimpse)
{
	const HnswSupport *support = store->base.support;
	HnswState	state;
	Size		size;
	const void *value = ValueAt(candidate->node, glimpse, &size);

	if (value == NULL)
		return;
	state = StateOf(glimpse->tuple);
	value = memcpy(HnswValueRoom(store), value, size);
	if (!HnswLookEnd(&store->peek, &glimpse->look) || !HnswIsStored(support, value, size))
		return;
	candidate->distance = HnswMeasure(support, query, value);
	candidate->state = state;
}

static void
MeasureGlimpses(PageStore *store, const HnswForm *query, HnswCandidate *candidates, int n)
{
	Glimpse		glimpses[HNSW_MAX_LINKS];

	LookForPages(store, candidates, glimpses, n);
	LookForNodes(candidates, glimpses, n);
	for (int i = 0; i < n; i++)
		MeasureGlimpse(store, query, &candidates[i], &glimpses[i]);
}

/* ---- the nodes of a hop ---- */

/* Measures those that need no lock. The others move to the front; how many. */
static int
MeasureUnlocked(PageStore *store, const HnswForm *query, HnswCandidate *candidates, int n, float limit)
{
	int			left = 0;

	for (int i = 0; i < n; i++)
	{
		candidates[i].state = HNSW_GONE;
		candidates[i].rough = false;
	}
	if (query != NULL && query->query != NULL)
		EstimateStamped(store, query, candidates, n, limit);
	else
		MeasureGlimpses(store, query, candidates, n);
	for (int i = 0; i < n; i++)
	{
		HnswCandidate candidate = candidates[i];

		if (candidate.state != HNSW_GONE)
			continue;
		candidates[i] = candidates[left];
		candidates[left++] = candidate;
	}
	return left;
}

/* A page is then read once for all that are there. */
static void
SortByPage(HnswCandidate *candidates, int n)
{
	for (int i = 1; i < n; i++)
	{
		HnswCandidate candidate = candidates[i];
		int			at = i;

		for (; at > 0 && candidates[at - 1].node > candidate.node; at--)
			candidates[at] = candidates[at - 1];
		candidates[at] = candidate;
	}
}

/* Under the page's lock, which is kept for neighbours that are also neighbours there. */
static void
MeasureLocked(PageStore *store, const HnswForm *query, HnswCandidate *candidates, int n)
{
	Buffer		buffer = InvalidBuffer;

	for (int i = 0; i < n; i++)
	{
		HnswCandidate *candidate = &candidates[i];
		BlockNumber block = HnswRefBlock(candidate->node);
		HnswNodeTuple *tuple;
		const void *value;

		candidate->state = HNSW_GONE;
		candidate->rough = false;
		if (!HnswBlockExists(store, block))
			continue;
		if (buffer == InvalidBuffer || BufferGetBlockNumber(buffer) != block)
		{
			if (buffer != InvalidBuffer)
				UnlockReleaseBuffer(buffer);
			buffer = HnswReadBuffer(store, block);
			LockBuffer(buffer, BUFFER_LOCK_SHARE);
		}
		tuple = HnswPageGetNode(BufferGetPage(buffer), candidate->node);
		if (tuple == NULL || (value = HnswLockedValue(store, candidate->node, tuple)) == NULL)
			continue;
		candidate->distance = HnswMeasure(store->base.support, query, value);
		candidate->state = HnswNodeHasRows(tuple) ? HNSW_LIVE : HNSW_DEAD;
	}
	if (buffer != InvalidBuffer)
		UnlockReleaseBuffer(buffer);
}

static void
MeasureHop(PageStore *store, const HnswForm *query, HnswCandidate *candidates, int n, float limit)
{
	int			left = store->peek.memo == NULL ? n : MeasureUnlocked(store, query, candidates, n, limit);

	SortByPage(candidates, left);
	for (int i = 0; i < left && store->ahead > 0; i++)
		HnswAskFor(store, HnswRefBlock(candidates[i].node));
	MeasureLocked(store, query, candidates, left);
}

void
HnswPageDistances(HnswStore *base, const HnswForm *query, HnswCandidate *candidates, int n, float limit)
{
	for (int i = 0; i < n; i += HNSW_MAX_LINKS)
		MeasureHop((PageStore *) base, query, candidates + i, Min(n - i, HNSW_MAX_LINKS), limit);
}

Size
HnswGlimpseValue(PageStore *store, HnswNode node)
{
	Glimpse		glimpse;
	Size		size;
	const void *value;
	void	   *copy = HnswValueRoom(store);

	if (store->peek.memo == NULL ||
		!HnswLookBegin(&store->peek, HnswRefBlock(node), &glimpse.look))
		return 0;
	glimpse.tuple = NodeAt(&glimpse.look, node, &glimpse.length);
	value = ValueAt(node, &glimpse, &size);
	if (value == NULL)
		return 0;
	memcpy(copy, value, size);
	if (!HnswLookEnd(&store->peek, &glimpse.look) ||
		!HnswIsStored(store->base.support, copy, size))
		return 0;
	return size;
}

/* ---- links ---- */

/* Those of one level; their number. The tuple is large enough for its level. */
static int
CopyLinks(const PageStore *store, const HnswLinksTuple *tuple, int level, HnswCandidate *links)
{
	int			m = store->base.m;
	const uint64 *from = tuple->links + HnswLinkStart(m, level);
	int			max = HnswLevelLinks(m, level);
	int			count = 0;

	while (count < max)
	{
		uint64		slot = *(volatile const uint64 *) &from[count];

		if (slot == HNSW_EMPTY_SLOT)
			break;
		links[count].node = slot & ~HNSW_SLOT_FIRM;
		links[count++].firm = (slot & HNSW_SLOT_FIRM) != 0 ? HNSW_FIRM : HNSW_LOOSE;
	}
	return count;
}

/* It never changes, so that a stamp is proof enough. */
static bool
StampedPlace(const PageStore *store, HnswNode node, ItemPointerData *at)
{
	const HnswNodeTuple *tuple = StampedNode(store, node);

	if (tuple == NULL)
		return false;
	pg_read_barrier();
	*at = tuple->links;
	pg_read_barrier();
	return HasStamp(store, tuple, node) && ItemPointerIsValid(at);
}

static bool
GlimpsePlace(const PageStore *store, HnswNode node, ItemPointerData *at)
{
	HnswLook	look;
	const HnswNodeTuple *tuple;
	Size		length;

	if (store->node_size > 0)
		return StampedPlace(store, node, at);
	if (store->peek.memo == NULL || !HnswLookBegin(&store->peek, HnswRefBlock(node), &look))
		return false;
	tuple = NodeAt(&look, node, &length);
	if (tuple == NULL || tuple->version != HnswRefVersion(node))
		return false;
	*at = tuple->links;
	return HnswLookEnd(&store->peek, &look) && ItemPointerIsValid(at);
}

bool
HnswLinksPlace(PageStore *store, HnswNode node, ItemPointerData *at)
{
	HnswNodeTuple *tuple;
	Buffer		buffer;

	if (GlimpsePlace(store, node, at))
		return true;
	tuple = HnswLockNode(store, node, BUFFER_LOCK_SHARE, &buffer);
	if (tuple == NULL)
		return false;
	*at = tuple->links;
	UnlockReleaseBuffer(buffer);
	return ItemPointerIsValid(at);
}

static bool
GlimpseLinks(const PageStore *store, HnswNode node, ItemPointerData at, int level,
			 HnswCandidate *links, int *count)
{
	HnswLook	look;
	const HnswLinksTuple *tuple;
	Size		length;
	Size		needed = offsetof(HnswLinksTuple, links) + (level + 2) * store->base.m * sizeof(HnswNode);

	if (store->peek.memo == NULL ||
		!HnswLookBegin(&store->peek, ItemPointerGetBlockNumber(&at), &look))
		return false;
	tuple = HnswLookItem(&look, HNSW_PAGE_LINKS, ItemPointerGetOffsetNumber(&at), &length);
	if (tuple == NULL || length < needed || tuple->owner != node || tuple->level < level)
		return false;
	*count = CopyLinks(store, tuple, level, links);
	/* most are measured next, after a look into the set of those that have been */
	for (int i = 0; i < *count; i++)
		PrefetchNode(store, links[i].node);
	return HnswLookEnd(&store->peek, &look);
}

int
HnswPageLinks(HnswStore *base, HnswNode node, int level, HnswCandidate *links)
{
	PageStore  *store = (PageStore *) base;
	ItemPointerData at;
	BlockNumber block;
	int			count = 0;
	Buffer		buffer;
	HnswLinksTuple *tuple;

	if (!HnswLinksPlace(store, node, &at))
		return 0;
	if (GlimpseLinks(store, node, at, level, links, &count))
		return count;
	block = ItemPointerGetBlockNumber(&at);
	if (!HnswBlockExists(store, block))
		return 0;
	buffer = HnswReadBuffer(store, block);
	LockBuffer(buffer, BUFFER_LOCK_SHARE);
	tuple = HnswPageGetLinks(BufferGetPage(buffer), ItemPointerGetOffsetNumber(&at), node, base->m);
	count = tuple == NULL || level > tuple->level ? 0 : CopyLinks(store, tuple, level, links);
	UnlockReleaseBuffer(buffer);
	return count;
}

const HnswNodeTuple *
HnswGlimpseNode(const PageStore *store, HnswNode node)
{
	HnswLook	look;
	Size		length;

	if (store->node_size > 0)
		return StampedNode(store, node);
	if (store->peek.memo == NULL || !HnswLookBegin(&store->peek, HnswRefBlock(node), &look))
		return NULL;
	return NodeAt(&look, node, &length);
}
