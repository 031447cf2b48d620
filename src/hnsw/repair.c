/*
 * repair.c: new links for nodes whose neighbours are being deleted.
 *
 * The neighbours of a deleted neighbour are near, so they are the candidates, as in
 * FreshDiskANN (Singh et al., 2021, arXiv:2105.09613, algorithm 4). Where they have been
 * deleted as well, theirs are looked at, and so on; a node that is left with too few
 * links after that is searched for like a new one.
 */
#include "postgres.h"

#include "miscadmin.h"

#include "hnsw/hnsw.h"

/* Deleted nodes to look through for one node before a search is the cheaper way. */
#define MAX_OPENED 256

typedef struct Repair
{
	HnswStore  *store;
	int			level;
	const HnswNodeSet *deleted;
	HnswNodeSet seen;
	HnswQueue	lost;			/* a list: deleted nodes, to be looked through */
	HnswQueue	kept;			/* a list: the links that stay */
	HnswQueue	candidates;		/* a list */
	HnswQueue	heirs;			/* a list: what deleted nodes held, to be held by this one */
} Repair;

static void
SortLinks(Repair *repair, HnswNode node)
{
	HnswCandidate links[HNSW_MAX_LINKS];
	int			count = repair->store->methods->links(repair->store, node, repair->level, links);

	HnswNodeSetAdd(&repair->seen, node);
	for (int i = 0; i < count; i++)
	{
		HnswNodeSetAdd(&repair->seen, links[i].node);
		HnswQueueAppend(HnswNodeSetHas(repair->deleted, links[i].node) ? &repair->lost : &repair->kept,
						links[i]);
	}
}

/* The living nodes that the deleted ones lead to, through further deleted ones. */
static void
CollectCandidates(Repair *repair)
{
	HnswCandidate links[HNSW_MAX_LINKS];
	int			first = repair->lost.count;

	for (int i = 0; i < repair->lost.count && i < MAX_OPENED; i++)
	{
		int			count;

		/* the neighbours' own neighbours always, what is farther off only if needed */
		if (i >= first && repair->candidates.count >= repair->store->ef_construction)
			break;
		CHECK_FOR_INTERRUPTS();
		count = repair->store->methods->links(repair->store, repair->lost.items[i].node,
											  repair->level, links);
		for (int j = 0; j < count; j++)
		{
			if (HnswNodeSetAdd(&repair->seen, links[j].node))
				HnswQueueAppend(HnswNodeSetHas(repair->deleted, links[j].node)
								? &repair->lost
								: &repair->candidates, links[j]);
		}
	}
}

/* Measures the candidates; only living ones stay, nearest first. */
static void
RankCandidates(Repair *repair, const HnswForm *form)
{
	HnswQueue  *candidates = &repair->candidates;
	int			living = 0;

	repair->store->methods->distances(repair->store, form, candidates->items, candidates->count, INFINITY);
	for (int i = 0; i < candidates->count; i++)
	{
		if (candidates->items[i].state == HNSW_LIVE)
			candidates->items[living++] = candidates->items[i];
	}
	candidates->count = living;
	HnswQueueSort(candidates);
}

/* Adds what a search for the value finds. */
static void
SearchCandidates(Repair *repair, const HnswForm *form)
{
	HnswSearch	search;

	if (repair->level > repair->store->entry_level)
		return;
	GraphSearchInit(&search, repair->store, form, CurrentMemoryContext);
	GraphSearch(&search, repair->level, repair->store->ef_construction);
	for (int i = 0; i < search.results.count; i++)
	{
		if (HnswNodeSetAdd(&repair->seen, search.results.items[i].node))
			HnswQueueAppend(&repair->candidates, search.results.items[i]);
	}
	HnswQueueSort(&repair->candidates);
}

/* What is near the lost neighbours does for a few of them. A node that has lost most, or
 * finds too little there, is searched for like a new one. */
static void
FindCandidates(Repair *repair, const HnswForm *form)
{
	int			lost = repair->lost.count;
	int			wanted = HnswLevelLinks(repair->store->m, repair->level) / 2;

	CollectCandidates(repair);
	RankCandidates(repair, form);
	if (lost > repair->kept.count || repair->kept.count + repair->candidates.count < wanted)
		SearchCandidates(repair, form);
}

/* Links back to a node from those that it links to now, as far as they have room. */
static void
LinkBack(HnswStore *store, HnswNode node, int level, const HnswQueue *added)
{
	HnswLinkChange changes[HNSW_MAX_LINKS];

	for (int i = 0; i < added->count; i++)
		changes[i] = (HnswLinkChange) {
			.from = added->items[i].node,
			.level = level,
			.old = HNSW_NO_NODE,
			.to = {.node = node, .distance = added->items[i].distance}
		};
	store->methods->change_links(store, changes, added->count);
}

/*
 * What the lost links held is now the node's to hold. Each that was firm leaves a slot for
 * one heir; those held the others, who are so before anything is lost.
 */
static void
CollectHeirs(Repair *repair, HnswNode node)
{
	HnswQueue  *heirs = &repair->heirs;
	HnswNodeSet seen;
	int			slots = 0;

	HnswNodeSetInit(&seen, CurrentMemoryContext);
	HnswNodeSetAdd(&seen, node);
	for (int i = 0; i < repair->lost.count; i++)
	{
		if (repair->lost.items[i].firm == HNSW_LOOSE)
			continue;
		slots++;
		GraphHeirs(repair->store, repair->lost.items[i].node, repair->level, &seen, heirs);
	}
	GraphHoldHeirs(repair->store, heirs, slots, repair->level);
	heirs->count = Min(heirs->count, slots);
	for (int i = 0; i < heirs->count; i++)
		heirs->items[i].firm = HNSW_FIRM;
}

/* Gives the node links in the place of those that it loses. */
static void
ReplaceLost(Repair *repair, HnswNode node, const HnswForm *form)
{
	HnswStore  *store = repair->store;
	int			kept = repair->kept.count;
	HnswQueue	added;
	HnswQueue  *all = &repair->heirs;

	CollectHeirs(repair, node);
	FindCandidates(repair, form);
	GraphSelectLinks(store, &repair->candidates, &repair->kept,
					 HnswLevelLinks(store->m, repair->level));
	added = repair->kept;
	added.items += kept;
	added.count -= kept;
	for (int i = 0; i < added.count; i++)
		HnswQueueAppend(all, (HnswCandidate) {.node = added.items[i].node});
	store->methods->repair_links(store, node, repair->level, repair->deleted, all);
	LinkBack(store, node, repair->level, &added);
}

void
GraphRepair(HnswStore *store, HnswNode node, int level, const HnswNodeSet *deleted)
{
	Repair		repair = {.store = store, .level = level, .deleted = deleted};
	const void *value = store->methods->value(store, node);
	HnswForm	form;

	if (value == NULL)
		return;
	form = HnswFormStored(store->support, value);
	HnswNodeSetInit(&repair.seen, CurrentMemoryContext);
	HnswQueueInit(&repair.lost, CurrentMemoryContext);
	HnswQueueInit(&repair.kept, CurrentMemoryContext);
	HnswQueueInit(&repair.candidates, CurrentMemoryContext);
	HnswQueueInit(&repair.heirs, CurrentMemoryContext);
	SortLinks(&repair, node);
	if (repair.lost.count > 0)
		ReplaceLost(&repair, node, &form);
}
