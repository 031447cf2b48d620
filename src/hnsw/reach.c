/*
 * reach.c: every node must be found.
 *
 * A full node drops links, and deleted nodes take theirs with them. Each such step leaves
 * a neighbour that links to the node concerned, but now and then a few nodes end up with
 * links from each other only. After a build and after a vacuum everything is walked once,
 * and what the walk did not come to is linked from the nearest nodes that it did.
 */
#include "postgres.h"

#include "miscadmin.h"
#include "utils/memutils.h"

#include "hnsw/pages.h"

/* How many of the nearest nodes are tried. */
#define MAX_ATTACHMENTS 8

static void
AddReached(HnswReach *reach, HnswNode node)
{
	if ((reach->known != NULL && !HnswNodeSetHas(reach->known, node)) ||
		!HnswNodeSetAdd(&reach->set, node))
		return;
	if (reach->count == reach->room)
	{
		reach->room = Max(reach->room * 2, 1024);
		reach->nodes = reach->nodes == NULL
			? MemoryContextAllocHuge(reach->set.context, reach->room * sizeof(HnswNode))
			: repalloc_huge(reach->nodes, reach->room * sizeof(HnswNode));
	}
	reach->nodes[reach->count++] = node;
}

/* Follows the links of one level from the nodes first and later of the list, to which
 * what is found is added. */
static void
FollowLinks(HnswStore *store, HnswReach *reach, int64 first, int level)
{
	HnswCandidate links[HNSW_MAX_LINKS];

	for (int64 i = first; i < reach->count && reach->complete; i++)
	{
		int			count = store->methods->links(store, reach->nodes[i], level, links);

		CHECK_FOR_INTERRUPTS();
		for (int j = 0; j < count; j++)
			AddReached(reach, links[j].node);
		if (HnswNodeSetMemory(&reach->set) + reach->room * sizeof(HnswNode) > reach->limit)
			reach->complete = false;
	}
}

void
GraphReach(HnswStore *store, HnswReach *reach, MemoryContext context)
{
	reach->complete = true;
	HnswNodeSetInit(&reach->set, context);
	if (store->entry == HNSW_NO_NODE)
		return;
	AddReached(reach, store->entry);
	for (int level = store->entry_level; level >= 0; level--)
		FollowLinks(store, reach, 0, level);
}

static bool
IsLinkedFrom(HnswStore *store, HnswNode from, HnswNode to)
{
	HnswCandidate links[HNSW_MAX_LINKS];
	int			count = store->methods->links(store, from, 0, links);

	for (int i = 0; i < count; i++)
	{
		if (links[i].node == to)
			return true;
	}
	return false;
}

void
GraphAttach(HnswStore *store, HnswReach *reach, HnswNode node)
{
	const void *value;
	HnswForm	form;
	HnswSearch	search;

	if (HnswNodeSetHas(&reach->set, node))
		return;
	value = store->methods->value(store, node);
	if (value == NULL)
		return;
	form = HnswFormStored(store->support, value);
	GraphSearchInit(&search, store, &form, CurrentMemoryContext);
	GraphSearch(&search, 0, store->ef_construction);
	for (int i = 0; i < Min(search.results.count, MAX_ATTACHMENTS); i++)
	{
		HnswCandidate from = search.results.items[i];
		HnswCandidate to = {.node = node, .distance = from.distance};

		if (from.node == node || !HnswNodeSetHas(&reach->set, from.node))
			continue;
		GraphLinkFrom(store, from.node, 0, to, true);
		if (IsLinkedFrom(store, from.node, node))
		{
			int64		first = reach->count;

			AddReached(reach, node);
			FollowLinks(store, reach, first, 0);
			return;
		}
	}
}

/* The living nodes of a page. */
static int
ListLiving(Relation index, BlockNumber block, HnswNode *list)
{
	Buffer		buffer = ReadBuffer(index, block);
	Page		page = BufferGetPage(buffer);
	int			count = 0;

	LockBuffer(buffer, BUFFER_LOCK_SHARE);
	for (OffsetNumber offset = FirstOffsetNumber; offset <= PageGetMaxOffsetNumber(page); offset++)
	{
		const HnswNodeTuple *node = HnswPageNodeAt(page, offset);

		if (node != NULL && HnswNodeHasRows(node))
			list[count++] = HnswRefMake(block, offset, node->version);
	}
	UnlockReleaseBuffer(buffer);
	return count;
}

void
HnswAttachPages(Relation index, HnswStore *store)
{
	BlockNumber blocks = RelationGetNumberOfBlocks(index);
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "hnsw reach",
												  ALLOCSET_DEFAULT_SIZES);
	MemoryContext page_context = AllocSetContextCreate(context, "hnsw reach page",
													   ALLOCSET_DEFAULT_SIZES);
	MemoryContext old = MemoryContextSwitchTo(page_context);
	HnswNode	list[MaxIndexTuplesPerPage];
	HnswReach	reach = {.limit = (Size) maintenance_work_mem * 1024};

	HnswPageStoreReset(store);
	GraphReach(store, &reach, context);
	for (BlockNumber block = HNSW_META_BLOCK + 1; block < blocks && reach.complete; block++)
	{
		int			count = ListLiving(index, block, list);

		CHECK_FOR_INTERRUPTS();
		for (int i = 0; i < count; i++)
			GraphAttach(store, &reach, list[i]);
		HnswPageStoreReset(store);
		MemoryContextReset(page_context);
	}
	MemoryContextSwitchTo(old);
	MemoryContextDelete(context);
}
