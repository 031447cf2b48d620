/*
 * reach.c: every node must be found.
 *
 * One link to each node is firm: it is never dropped for a nearer one. A new node's is from
 * a node that was there before it, and so on back to the first one; so firm links lead from
 * the entry point to all nodes of a level. They make a tree, but for those by which an entry
 * point leads to the one before it. When nodes are deleted, who held them holds what
 * they held. At its end a vacuum follows all firm links once, and what they should not lead
 * to, in an index that was damaged, is held again.
 */
#include "postgres.h"

#include <math.h>

#include "common/hashfn.h"
#include "miscadmin.h"
#include "utils/memutils.h"

#include "hnsw/hnsw.h"

static bool
IsLiving(HnswStore *store, HnswNode node)
{
	HnswCandidate candidate = {.node = node};

	store->methods->distances(store, NULL, &candidate, 1, INFINITY);
	return candidate.state == HNSW_LIVE;
}

static float
DistanceBetween(HnswStore *store, HnswNode a, HnswNode b)
{
	const void *value = store->methods->value(store, a);
	const void *other = store->methods->value(store, b);

	return value == NULL || other == NULL ? INFINITY : HnswDistance(store->support, value, other);
}

bool
GraphHold(HnswStore *store, HnswNode from, int level, HnswNode node, HnswFirmness firm)
{
	HnswCandidate to = {.node = node, .firm = firm};

	if (store->keeps_distances)
		to.distance = DistanceBetween(store, from, node);
	return GraphLinkFrom(store, from, level, to, true);
}

void
GraphHeirs(HnswStore *store, HnswNode dead, int level, HnswNodeSet *seen, HnswQueue *heirs)
{
	HnswCandidate links[HNSW_MAX_LINKS];
	HnswQueue	list;

	HnswQueueInit(&list, CurrentMemoryContext);
	HnswNodeSetAdd(seen, dead);
	HnswQueueAppend(&list, (HnswCandidate) {.node = dead});
	while (list.count > 0)
	{
		HnswNode	from = list.items[--list.count].node;
		int			count = store->methods->links(store, from, level, links);

		CHECK_FOR_INTERRUPTS();
		for (int i = 0; i < count; i++)
		{
			if (links[i].firm != HNSW_LOOSE && HnswNodeSetAdd(seen, links[i].node))
				HnswQueueAppend(IsLiving(store, links[i].node) ? heirs : &list, links[i]);
		}
	}
}

/* A firm link in the place of links to dead nodes that hold nobody alive. */
static bool
HoldForDead(HnswStore *store, HnswNode from, int level, HnswNode node)
{
	HnswCandidate links[HNSW_MAX_LINKS];
	HnswCandidate to = {.node = node, .firm = HNSW_FIRM};
	HnswQueue	added = {.items = &to, .count = 1};
	HnswNodeSet dead;
	int			count = store->methods->links(store, from, level, links);

	HnswNodeSetInit(&dead, CurrentMemoryContext);
	for (int i = 0; i < count; i++)
	{
		HnswNodeSet seen;
		HnswQueue	heirs;

		if (IsLiving(store, links[i].node))
			continue;
		HnswNodeSetInit(&seen, CurrentMemoryContext);
		HnswQueueInit(&heirs, CurrentMemoryContext);
		GraphHeirs(store, links[i].node, level, &seen, &heirs);
		if (heirs.count == 0)
			HnswNodeSetAdd(&dead, links[i].node);
	}
	if (dead.count == 0)
		return false;
	store->methods->repair_links(store, from, level, &dead, &added);
	return true;
}

/* Tries the living nodes that firm links lead to. Which way to go is drawn, so that the tree
 * that becomes of it is not a deep one. */
static bool
HoldSomewhere(HnswStore *store, HnswNode from, int level, HnswNode node, HnswFirmness firm)
{
	HnswCandidate links[HNSW_MAX_LINKS];
	HnswNodeSet seen;
	HnswQueue	list;			/* the last one is tried next */

	HnswNodeSetInit(&seen, CurrentMemoryContext);
	HnswQueueInit(&list, CurrentMemoryContext);
	HnswNodeSetAdd(&seen, from);
	HnswQueueAppend(&list, (HnswCandidate) {.node = from});
	while (list.count > 0)
	{
		HnswNode	holder = list.items[--list.count].node;
		uint32		first = murmurhash32((uint32) node ^ (uint32) holder);
		int			count;

		CHECK_FOR_INTERRUPTS();
		if (holder == from || IsLiving(store, holder))
		{
			if (GraphHold(store, holder, level, node, firm) ||
				(firm == HNSW_FIRM_BEYOND && HoldForDead(store, holder, level, node)))
				return true;
		}
		count = store->methods->links(store, holder, level, links);
		for (int i = 0; i < count; i++)
		{
			HnswCandidate link = links[(first + i) % count];

			if (link.firm == HNSW_LOOSE || !HnswNodeSetAdd(&seen, link.node))
				continue;
			/* it is held below already, if only by one that is dead */
			if (link.node == node)
				return true;
			HnswQueueAppend(&list, link);
		}
	}
	return false;
}

/*
 * What holds as much as it may leads to other nodes, in the end to one that does not; unless
 * all that it holds has died. Then it may hold more, or this instead of what is dead.
 */
bool
GraphHoldBelow(HnswStore *store, HnswNode from, int level, HnswNode node)
{
	return HoldSomewhere(store, from, level, node, HNSW_FIRM) ||
		HoldSomewhere(store, from, level, node, HNSW_FIRM_BEYOND);
}

void
GraphHoldHeirs(HnswStore *store, HnswQueue *heirs, int first, int level)
{
	/* each holds two, so that nobody has to hold them all and nobody is far down */
	for (int i = first; i < heirs->count; i++)
	{
		/* a few nodes can be full of links by which entry points lead to those before; above
		 * level 0 a walk only begins elsewhere then */
		if (!GraphHoldBelow(store, heirs->items[(i - first) / 2].node, level, heirs->items[i].node) &&
			level == 0)
			ereport(WARNING,
					(errmsg("no node of the hnsw index can hold another one"),
					 errhint("Use REINDEX on this index.")));
	}
}

void
GraphSucceedEntry(HnswStore *store, HnswNode node, int node_level)
{
	HnswNode	entry = store->entry;

	for (int level = Min(node_level, store->entry_level); level >= 0 && entry != HNSW_NO_NODE; level--)
	{
		HnswNodeSet seen;
		HnswQueue	heirs;

		HnswNodeSetInit(&seen, CurrentMemoryContext);
		HnswQueueInit(&heirs, CurrentMemoryContext);
		HnswNodeSetAdd(&seen, node);
		HnswQueueAppend(&heirs, (HnswCandidate) {.node = node});
		if (IsLiving(store, entry))
			HnswQueueAppend(&heirs, (HnswCandidate) {.node = entry});
		else
			GraphHeirs(store, entry, level, &seen, &heirs);
		GraphHoldHeirs(store, &heirs, 1, level);
	}
}

HnswNode
GraphFindSuccessor(HnswStore *store, int *level)
{
	for (*level = store->entry_level; *level >= 0; (*level)--)
	{
		HnswNodeSet seen;
		HnswQueue	heirs;

		HnswNodeSetInit(&seen, CurrentMemoryContext);
		HnswQueueInit(&heirs, CurrentMemoryContext);
		GraphHeirs(store, store->entry, *level, &seen, &heirs);
		if (heirs.count > 0)
			return heirs.items[0].node;
	}
	*level = 0;
	return HNSW_NO_NODE;
}

/* ---- what is reached ---- */

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

/* Follows the firm links of the nodes first and later of the list, to which what is found is
 * added. */
static void
FollowLinks(HnswStore *store, HnswReach *reach, int64 first)
{
	HnswCandidate links[HNSW_MAX_LINKS];

	for (int64 i = first; i < reach->count && reach->complete; i++)
	{
		int			count = store->methods->links(store, reach->nodes[i], 0, links);

		CHECK_FOR_INTERRUPTS();
		for (int j = 0; j < count; j++)
		{
			if (links[j].firm != HNSW_LOOSE)
				AddReached(reach, links[j].node);
		}
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
	FollowLinks(store, reach, 0);
}

void
GraphAttach(HnswStore *store, HnswReach *reach, HnswNode node)
{
	int64		first = reach->count;

	if (HnswNodeSetHas(&reach->set, node) || store->entry == HNSW_NO_NODE)
		return;
	GraphHoldBelow(store, store->entry, 0, node);
	AddReached(reach, node);
	FollowLinks(store, reach, first);
}
