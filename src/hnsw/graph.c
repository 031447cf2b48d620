/*
 * graph.c: the hierarchical navigable small world graph, over a store.
 *
 * Y. Malkov, D. Yashunin: "Efficient and robust approximate nearest neighbor search
 * using Hierarchical Navigable Small World graphs", 2016 (arXiv:1603.09320). Searching
 * is its algorithm 2 and 5, choosing links its algorithm 4, inserting its algorithm 1.
 * Two things are added: nodes without rows lead a search on but are never its results,
 * and a search can go on where it ended.
 */
#include "postgres.h"

#include <math.h>

#include "miscadmin.h"

#include "hnsw/hnsw.h"

/* The level of a new node: each level holds 1 / m of the nodes of the one below. */
int
GraphLevelOf(const HnswStore *store, double random)
{
	double		level = -log(1.0 - random) / log(store->m);

	return level >= store->max_level ? store->max_level : (int) level;
}

int
GraphDrawLevel(const HnswStore *store)
{
	return GraphLevelOf(store, RagRandomDouble());
}

void
GraphSearchInit(HnswSearch *search, HnswStore *store, const HnswForm *query, MemoryContext context)
{
	memset(search, 0, sizeof(*search));
	search->store = store;
	search->query = query;
	search->visited = store->visited;
	if (search->visited == NULL)
	{
		search->visited = &search->own_visited;
		HnswNodeSetInit(search->visited, context);
	}
	HnswBeamInit(&search->beam, context);
	HnswQueueInit(&search->results, context);
	HnswQueueInit(&search->beyond, context);
}

/* Follows the links of one node to those not yet visited. */
static void
Open(HnswSearch *search, HnswNode node, int level)
{
	HnswStore  *store = search->store;
	HnswCandidate found[HNSW_MAX_LINKS];
	int			linked = store->methods->links(store, node, level, found);
	int			fresh = HnswNodeSetAddNew(search->visited, found, linked);

	if (store->methods->expect != NULL)
	{
		HnswNode	next[2];

		store->methods->expect(store, next, HnswBeamNext(&search->beam, next, lengthof(next)));
	}
	store->methods->distances(store, search->query, found, fresh, HnswBeamLimit(&search->beam));
	search->evaluated += fresh;
	HnswBeamTake(&search->beam, found, fresh);
}

/* Opens the nearest nodes until none is left that is nearer than the results. */
static void
Walk(HnswSearch *search, int level)
{
	HnswNode	node;

	while (HnswBeamOpen(&search->beam, &node))
	{
		CHECK_FOR_INTERRUPTS();
		Open(search, node, level);
	}
	HnswBeamResults(&search->beam, &search->results);
}

/*
 * Searches one level from the results of the level above. On the way down dead nodes
 * will do as results, since all that is wanted is a place to go on from.
 */
static void
GraphSearchLayer(HnswSearch *search, int level, int ef, bool live_only, HnswQueue *beyond)
{
	HnswBeamStart(&search->beam, ef, live_only, beyond);
	HnswNodeSetClear(search->visited);
	for (int i = 0; i < search->results.count; i++)
	{
		HnswCandidate start = search->results.items[i];

		start.opened = false;
		HnswNodeSetAdd(search->visited, start.node);
		HnswBeamAdd(&search->beam, start);
	}
	Walk(search, level);
}

/* Takes the entry point as the only result, if it is there. */
static void
StartAtEntry(HnswSearch *search)
{
	HnswStore  *store = search->store;
	HnswCandidate entry = {.node = store->entry};

	search->results.count = 0;
	if (entry.node == HNSW_NO_NODE)
		return;
	store->methods->distances(store, search->query, &entry, 1, INFINITY);
	search->evaluated++;
	if (entry.state != HNSW_GONE)
		HnswQueueAppend(&search->results, entry);
}

void
GraphSearch(HnswSearch *search, int level, int ef)
{
	HnswCandidate entry;

	StartAtEntry(search);
	if (search->results.count > 0)
		entry = search->results.items[0];
	for (int above = search->store->entry_level; above > level; above--)
		GraphSearchLayer(search, above, 1, false, NULL);
	/* a search that goes on to the end finds all, for all hang on the entry point */
	if (search->resumable && search->results.count > 0 && search->results.items[0].node != entry.node)
		HnswQueueAppend(&search->results, entry);
	HnswNodeSetClear(search->visited);
	HnswNodeSetExpect(search->visited, (uint64) ef * search->store->m);
	GraphSearchLayer(search, level, ef, true, search->resumable ? &search->beyond : NULL);
}

/* The nearest of all that was found and not returned are what is to be improved on. Those
 * of which that is only roughly known are measured when it is their turn. */
void
GraphSearchMore(HnswSearch *search, int ef)
{
	HnswQueue  *beyond = &search->beyond;

	HnswBeamStart(&search->beam, ef, true, beyond);
	HnswQueueOrder(beyond);
	while (beyond->count > 0 && !HnswBeamIsFull(&search->beam))
	{
		HnswCandidate next = HnswQueuePop(beyond);

		if (!next.rough)
			HnswBeamAdd(&search->beam, next);
		else
		{
			search->store->methods->distances(search->store, search->query, &next, 1, INFINITY);
			if (next.state != HNSW_GONE)
				HnswQueuePush(beyond, next);
		}
	}
	Walk(search, 0);
}

void
GraphSearchDrain(HnswSearch *search)
{
	HnswQueue  *results = &search->results;

	results->count = 0;
	for (int i = 0; i < search->beyond.count; i++)
	{
		if (search->beyond.items[i].state == HNSW_LIVE)
			HnswQueueAppend(results, search->beyond.items[i]);
	}
	search->beyond.count = 0;
	HnswQueueSort(results);
}

/* Is the candidate nearer to one of the chosen than to the node they are chosen for? */
static bool
IsCovered(HnswStore *store, const HnswCandidate *candidate, const HnswQueue *chosen)
{
	return store->methods->covered(store, candidate, chosen->items, chosen->count);
}

void
GraphSelectLinks(HnswStore *store, const HnswQueue *candidates, HnswQueue *chosen, int max)
{
	for (int i = 0; i < candidates->count && chosen->count < max; i++)
	{
		if (!IsCovered(store, &candidates->items[i], chosen))
			HnswQueueAppend(chosen, candidates->items[i]);
	}
}

/* Takes what was given for what a search of level 0 would find. */
static void
TakeGiven(HnswSearch *search, const HnswInsertion *insertion)
{
	HnswStore  *store = search->store;
	HnswQueue  *results = &search->results;

	results->count = 0;
	for (int i = 0; i < insertion->given_count; i++)
		HnswQueueAppend(results, (HnswCandidate) {.node = insertion->given[i]});
	for (int i = 0; i < results->count; i += HNSW_MAX_LINKS)
		store->methods->distances(store, search->query, results->items + i,
								  Min(results->count - i, HNSW_MAX_LINKS), INFINITY);
	HnswQueueSort(results);
}

void
GraphChooseLinks(HnswStore *store, HnswInsertion *insertion, MemoryContext context)
{
	HnswSearch	search;
	bool		given = insertion->given_count > 0;
	int			top = Min(insertion->level, store->entry_level);

	for (int level = 0; level <= insertion->level; level++)
		HnswQueueInit(&insertion->links[level], context);
	HnswQueueInit(&insertion->near, context);
	if (store->entry == HNSW_NO_NODE)
		return;

	GraphSearchInit(&search, store, &insertion->form, context);
	HnswNodeSetExpect(search.visited, (uint64) store->ef_construction * store->m);
	StartAtEntry(&search);
	for (int level = store->entry_level; level > top && !(given && top == 0); level--)
		GraphSearchLayer(&search, level, 1, false, NULL);
	for (int level = top; level >= 0; level--)
	{
		if (level == 0 && given)
			TakeGiven(&search, insertion);
		else
			GraphSearchLayer(&search, level, store->ef_construction, true, NULL);
		GraphSelectLinks(store, &search.results, &insertion->links[level],
						 HnswLevelLinks(store->m, level));
		/* with none alive, the level below still needs a place to start at */
		if (search.results.count == 0)
			StartAtEntry(&search);
	}
	insertion->near = search.results;
}

/* Is the rest of a node's value, of which the first part is known, that of the form? */
static bool
HasSameFine(HnswStore *store, const HnswForm *form, HnswNode node, const void *value)
{
	Size		size = HnswFineSize(store->support);
	Size		start = form->size - size;
	const void *fine = (const char *) value + start;

	if (size > 0 && store->methods->fine != NULL)
		fine = store->methods->fine(store, node);
	return size == 0 || (fine != NULL && memcmp(fine, (const char *) form->value + start, size) == 0);
}

/* A near node of just this value, which is as far from it as from itself; or HNSW_NO_NODE. */
static HnswNode
FindDuplicate(HnswStore *store, const HnswInsertion *insertion)
{
	float		from_itself = HnswMeasure(store->support, &insertion->form, insertion->form.value);

	for (int i = 0; i < insertion->near.count; i++)
	{
		const HnswCandidate *near = &insertion->near.items[i];
		const void *value = NULL;

		if (near->distance == from_itself && near->state == HNSW_LIVE)
			value = store->methods->value(store, near->node);
		if (value != NULL && HnswIsSame(store->support, &insertion->form, value) &&
			HasSameFine(store, &insertion->form, near->node, value))
			return near->node;
	}
	return HNSW_NO_NODE;
}

/* Fills in the distances of links from their node's value. Codes need not be copied for that;
 * other values are going to be compared with each other too. */
static void
MeasureLinks(HnswStore *store, const void *value, HnswQueue *links)
{
	bool		coded = store->support->codes != NULL;
	HnswForm	form = HnswFormStored(store->support, value);

	if (coded)
		store->methods->distances(store, &form, links->items, links->count, INFINITY);
	for (int i = 0; i < links->count; i++)
	{
		HnswCandidate *link = &links->items[i];
		const void *other = coded ? NULL : store->methods->value(store, link->node);

		if (other != NULL)
			link->distance = HnswDistance(store->support, value, other);
		else if (!coded || link->state == HNSW_GONE)
			link->distance = INFINITY;
	}
	if (coded)
		pfree(unconstify(code_query *, form.query));
}

static void
MoveFarthestLast(HnswQueue *links)
{
	int			farthest = 0;
	HnswCandidate last = links->items[links->count - 1];

	for (int i = 1; i < links->count; i++)
	{
		if (links->items[i].distance > links->items[farthest].distance)
			farthest = i;
	}
	links->items[links->count - 1] = links->items[farthest];
	links->items[farthest] = last;
}

/*
 * The link that a full node can best do without: the farthest of those that another,
 * nearer link covers, or else the farthest of all; HNSW_NO_NODE when all are firm.
 */
static HnswNode
WorstLink(HnswStore *store, HnswQueue *links)
{
	HnswNode	farthest = HNSW_NO_NODE;

	for (; links->count > 0; links->count--)
	{
		HnswQueue	nearer = *links;
		HnswCandidate *last = &links->items[links->count - 1];

		MoveFarthestLast(links);
		if (last->firm != HNSW_LOOSE)
			continue;
		nearer.count = links->count - 1;
		if (IsCovered(store, last, &nearer))
			return last->node;
		if (farthest == HNSW_NO_NODE)
			farthest = last->node;
	}
	return farthest;
}

static int
CountFirm(const HnswQueue *links)
{
	int			count = 0;

	for (int i = 0; i < links->count; i++)
		count += links->items[i].firm != HNSW_LOOSE;
	return count;
}

/* The slot for a link to be put into: that of the link to drop, or a free one, which is
 * HNSW_NO_NODE. false: the node is gone, or does without the link, unless it must be there;
 * or it is firm, and there are as many as may be. */
static bool
ChooseSlot(HnswStore *store, HnswNode from, int level, HnswCandidate to, bool must, HnswNode *old)
{
	HnswCandidate items[HNSW_MAX_LINKS + 1];
	HnswQueue	links = {.items = items, .room = lengthof(items)};

	links.count = store->methods->links(store, from, level, items);
	*old = HNSW_NO_NODE;
	if (links.count == 0 || (to.firm == HNSW_FIRM && CountFirm(&links) >= HnswFirmLinks(store->m, level)))
		return false;
	if (links.count < HnswLevelLinks(store->m, level))
		return true;
	if (!store->keeps_distances)
	{
		const void *value = store->methods->value(store, from);

		if (value == NULL)
			return false;
		MeasureLinks(store, value, &links);
	}
	if (!must)
	{
		to.firm = HNSW_LOOSE;
		items[links.count++] = to;
	}
	*old = WorstLink(store, &links);
	return *old != HNSW_NO_NODE && *old != to.node;
}

bool
GraphLinkFrom(HnswStore *store, HnswNode from, int level, HnswCandidate to, bool must)
{
	while (!store->methods->add_link(store, from, level, to))
	{
		HnswNode	old;

		CHECK_FOR_INTERRUPTS();
		if (!ChooseSlot(store, from, level, to, must, &old))
			return false;
		if (old != HNSW_NO_NODE && store->methods->replace_link(store, from, level, old, to))
			return true;
	}
	return true;
}

/*
 * A firm link to a node that no neighbour would link to: from a near node with a free
 * slot (of many at the same place, all choose the same neighbour), or else in the place of
 * another link, or else from below a neighbour; of the entry point, where nobody alive was found.
 */
static HnswNode
HoldByAny(HnswStore *store, HnswNode node, int level, const HnswInsertion *insertion)
{
	const HnswQueue *links = &insertion->links[level];
	const HnswQueue *near = level == 0 ? &insertion->near : links;

	for (int i = 0; i < near->count; i++)
	{
		HnswCandidate to = {.node = node, .distance = near->items[i].distance, .firm = HNSW_FIRM};

		if (store->methods->add_link(store, near->items[i].node, level, to))
			return near->items[i].node;
	}
	for (int i = 0; i < links->count; i++)
	{
		if (GraphHold(store, links->items[i].node, level, node, HNSW_FIRM))
			return links->items[i].node;
	}
	if (links->count > 0)
		GraphHoldBelow(store, links->items[0].node, level, node);
	else if (store->entry != HNSW_NO_NODE && level <= store->entry_level)
		GraphHoldBelow(store, store->entry, level, node);
	return HNSW_NO_NODE;
}

/* Who is to hold the new node: the nearest of its neighbours that takes the link, or any
 * other one. Which of the neighbours it is, or HNSW_NO_NODE. */
static HnswNode
FindHolder(HnswStore *store, HnswNode node, int level, const HnswInsertion *insertion)
{
	const HnswQueue *links = &insertion->links[level];

	for (int i = 0; i < links->count; i++)
	{
		HnswCandidate to = {.node = node, .distance = links->items[i].distance, .firm = HNSW_FIRM};

		if (GraphLinkFrom(store, links->items[i].node, level, to, false))
			return links->items[i].node;
	}
	return HoldByAny(store, node, level, insertion);
}

/* Links the new node from its neighbours, by as few changes of pages as will do: the nearest that
 * takes the link holds it, unless it holds as much as it may. */
static void
LinkTogether(HnswStore *store, HnswNode node, int level, const HnswInsertion *insertion)
{
	const HnswQueue *links = &insertion->links[level];
	HnswLinkChange changes[HNSW_MAX_LINKS];
	int			count = 0;

	for (int i = 0; i < links->count; i++)
	{
		HnswLinkChange change = {
			.from = links->items[i].node,
			.level = level,
			.to = {.node = node, .distance = links->items[i].distance}
		};

		/* a node without any links may be the only other one */
		if (ChooseSlot(store, change.from, level, change.to, false, &change.old) ||
			change.old == HNSW_NO_NODE)
			changes[count++] = change;
	}
	if (count > 0)
		changes[0].to.firm = HNSW_FIRM;
	store->methods->change_links(store, changes, count);
	if (count == 0 || !changes[0].done)
	{
		FindHolder(store, node, level, insertion);
		if (count > 0)
			changes[0].to.firm = HNSW_LOOSE;
		store->methods->change_links(store, changes, count);
	}
	/* the links of some may have changed since they were looked at */
	for (int i = 0; i < count; i++)
	{
		if (!changes[i].done)
			GraphLinkFrom(store, changes[i].from, level, changes[i].to, false);
	}
}

/* The same, one by one. */
static void
LinkEach(HnswStore *store, HnswNode node, int level, const HnswInsertion *insertion)
{
	const HnswQueue *links = &insertion->links[level];
	HnswNode	holder = FindHolder(store, node, level, insertion);

	for (int i = 0; i < links->count; i++)
	{
		HnswCandidate to = {.node = node, .distance = links->items[i].distance};

		if (links->items[i].node != holder)
			GraphLinkFrom(store, links->items[i].node, level, to, false);
	}
}

/* Links the new node from its neighbours. It is held before anybody can find it. */
static void
Connect(HnswStore *store, HnswNode node, const HnswInsertion *insertion)
{
	for (int level = 0; level <= insertion->level; level++)
	{
		if (store->methods->change_links == NULL)
			LinkEach(store, node, level, insertion);
		else
			LinkTogether(store, node, level, insertion);
	}
}

HnswNode
GraphPlace(HnswStore *store, const HnswInsertion *insertion)
{
	HnswNode	node = FindDuplicate(store, insertion);

	if (node != HNSW_NO_NODE && store->methods->add_row(store, node, &insertion->row))
		return HNSW_NO_NODE;
	node = store->methods->add_node(store, insertion);
	Connect(store, node, insertion);
	return node;
}
