/*
 * queue.c: what a search remembers: heaps of candidates and sets of nodes.
 */
#include "postgres.h"

#include "port/pg_bitutils.h"

#include "hnsw/queue.h"

#define QUEUE_FIRST_ROOM 64
#define SET_FIRST_SIZE 1024
#define MOST_FULL 2				/* slots for each node, at least */

void
HnswQueueInit(HnswQueue *queue, MemoryContext context)
{
	memset(queue, 0, sizeof(*queue));
	queue->context = context;
}

void
HnswQueueReserve(HnswQueue *queue, int n)
{
	int			room = Max(queue->room, QUEUE_FIRST_ROOM / 2);

	if (queue->count + n <= queue->room)
		return;
	while (room < queue->count + n)
		room *= 2;
	if (queue->items == NULL)
		queue->items = MemoryContextAllocHuge(queue->context, room * sizeof(HnswCandidate));
	else
		queue->items = repalloc_huge(queue->items, room * sizeof(HnswCandidate));
	queue->room = room;
}

void
HnswQueueAppend(HnswQueue *queue, HnswCandidate candidate)
{
	HnswQueueReserve(queue, 1);
	queue->items[queue->count++] = candidate;
}

static void
SiftUp(HnswQueue *queue, int at)
{
	HnswCandidate item = queue->items[at];

	while (at > 0)
	{
		int			parent = (at - 1) / 2;

		if (!HnswIsNearer(&item, &queue->items[parent]))
			break;
		queue->items[at] = queue->items[parent];
		at = parent;
	}
	queue->items[at] = item;
}

static void
SiftDown(HnswQueue *queue, int at)
{
	HnswCandidate item = queue->items[at];

	for (;;)
	{
		int			child = 2 * at + 1;

		if (child >= queue->count)
			break;
		if (child + 1 < queue->count &&
			HnswIsNearer(&queue->items[child + 1], &queue->items[child]))
			child++;
		if (!HnswIsNearer(&queue->items[child], &item))
			break;
		queue->items[at] = queue->items[child];
		at = child;
	}
	queue->items[at] = item;
}

void
HnswQueuePush(HnswQueue *queue, HnswCandidate candidate)
{
	HnswQueueAppend(queue, candidate);
	SiftUp(queue, queue->count - 1);
}

HnswCandidate
HnswQueuePop(HnswQueue *queue)
{
	HnswCandidate top = queue->items[0];

	Assert(queue->count > 0);
	queue->items[0] = queue->items[--queue->count];
	if (queue->count > 1)
		SiftDown(queue, 0);
	return top;
}

void
HnswQueueOrder(HnswQueue *queue)
{
	for (int i = queue->count / 2 - 1; i >= 0; i--)
		SiftDown(queue, i);
}

static int
CompareCandidates(const void *a, const void *b)
{
	if (HnswIsNearer(a, b))
		return -1;
	return HnswIsNearer(b, a) ? 1 : 0;
}

void
HnswQueueSort(HnswQueue *queue)
{
	if (queue->count > 1)
		qsort(queue->items, queue->count, sizeof(HnswCandidate), CompareCandidates);
}

/* Block and offset spread over the high bits, which are brought down. */
static inline uint64
HashNode(HnswNode node)
{
	return (node * UINT64CONST(0x9E3779B97F4A7C15)) >> 24;
}

static HnswNode *
EmptySlots(HnswNodeSet *set, uint64 size)
{
	HnswNode   *slots = MemoryContextAllocHuge(set->context, size * sizeof(HnswNode));

	memset(slots, 0xFF, size * sizeof(HnswNode));
	return slots;
}

void
HnswNodeSetInit(HnswNodeSet *set, MemoryContext context)
{
	memset(set, 0, sizeof(*set));
	set->context = context;
	set->size = SET_FIRST_SIZE;
	set->slots = EmptySlots(set, set->size);
}

void
HnswNodeSetExpect(HnswNodeSet *set, uint64 count)
{
	uint64		size = pg_nextpower2_64(count * MOST_FULL);

	if (set->marks != NULL || set->count > 0 || size <= set->size)
		return;
	pfree(set->slots);
	set->slots = EmptySlots(set, size);
	set->size = size;
}

void
HnswNodeSetInitDense(HnswNodeSet *set, MemoryContext context)
{
	memset(set, 0, sizeof(*set));
	set->context = context;
	set->size = SET_FIRST_SIZE;
	set->marks = MemoryContextAllocZero(context, set->size);
	set->mark = 1;
}

void
HnswNodeSetClear(HnswNodeSet *set)
{
	if (set->marks != NULL)
	{
		if (++set->mark == 0)
		{
			memset(set->marks, 0, set->size);
			set->mark = 1;
		}
	}
	else if (set->count > 0)
		memset(set->slots, 0xFF, set->size * sizeof(HnswNode));
	set->count = 0;
}

static bool
MarkNode(HnswNodeSet *set, HnswNode node)
{
	bool		added;

	if (node >= set->size)
	{
		uint64		size = pg_nextpower2_64(node + 1);

		set->marks = repalloc_huge(set->marks, size);
		memset(set->marks + set->size, 0, size - set->size);
		set->size = size;
	}
	added = set->marks[node] != set->mark;
	set->marks[node] = set->mark;
	return added;
}

/* The slot of a node, or the empty one where it would go. */
static inline uint64
FindSlot(const HnswNodeSet *set, HnswNode node)
{
	uint64		at = HashNode(node) & (set->size - 1);

	while (set->slots[at] != node && set->slots[at] != HNSW_NO_NODE)
		at = (at + 1) & (set->size - 1);
	return at;
}

static void
GrowSet(HnswNodeSet *set)
{
	HnswNode   *old = set->slots;
	uint64		old_size = set->size;

	set->slots = EmptySlots(set, old_size * 2);
	set->size = old_size * 2;
	for (uint64 i = 0; i < old_size; i++)
	{
		if (old[i] != HNSW_NO_NODE)
			set->slots[FindSlot(set, old[i])] = old[i];
	}
	pfree(old);
}

bool
HnswNodeSetAdd(HnswNodeSet *set, HnswNode node)
{
	uint64		at;

	if (set->marks != NULL)
		return MarkNode(set, node);
	at = FindSlot(set, node);
	if (set->slots[at] == node)
		return false;
	set->slots[at] = node;
	if (++set->count > set->size / MOST_FULL)
		GrowSet(set);
	return true;
}

/* Whether a node was there is as likely as not, and no processor foresees it: so no branch
 * depends on that. Most slots are empty, so few are taken by another node. */
static int
AddNewSparse(HnswNodeSet *set, HnswCandidate *list, int n)
{
	int			fresh = 0;

	for (int i = 0; i < n; i++)
	{
		HnswNode	node = list[i].node;
		uint64		at = HashNode(node) & (set->size - 1);
		HnswNode	there = set->slots[at];

		if (unlikely(there != node && there != HNSW_NO_NODE))
		{
			at = FindSlot(set, node);
			there = set->slots[at];
		}
		set->slots[at] = node;
		list[fresh].node = node;
		fresh += there != node;
	}
	return fresh;
}

int
HnswNodeSetAddNew(HnswNodeSet *set, HnswCandidate *list, int n)
{
	int			fresh = 0;

	if (set->marks == NULL)
	{
		while ((set->count + n) * MOST_FULL > set->size)
			GrowSet(set);
		fresh = AddNewSparse(set, list, n);
		set->count += fresh;
		return fresh;
	}
	for (int i = 0; i < n; i++)
	{
		HnswNode	node = list[i].node;

		list[fresh].node = node;
		fresh += MarkNode(set, node);
	}
	return fresh;
}

bool
HnswNodeSetHas(const HnswNodeSet *set, HnswNode node)
{
	return set->slots[FindSlot(set, node)] == node;
}

Size
HnswNodeSetMemory(const HnswNodeSet *set)
{
	return set->size * sizeof(HnswNode);
}
