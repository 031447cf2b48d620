/*
 * check.c: rag.hnsw_check(index), which verifies an index and says what is broken.
 *
 * Writers are locked out, so that what is seen is one state: every page and node is
 * well-formed; links lead to nodes that are there and are on that level; every living
 * node can be reached from the entry point; each row belongs to one node, each page of a
 * value or of rows to a node that knows it. On a standby, where only readers' locks can
 * be had, replay can make a sound index look broken for a moment.
 */
#include "postgres.h"

#include <math.h>

#include "access/table.h"
#include "access/tableam.h"
#include "access/xlog.h"
#include "catalog/index.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"

#include "hnsw/pages.h"

typedef struct CheckedNode
{
	HnswNode	node;			/* in rising order, since pages are read in order */
	uint8		level;
	bool		live;
	bool		deleted;
} CheckedNode;

typedef struct Check
{
	Relation	heap;
	Relation	index;
	HnswMeta	meta;
	HnswSupport support;
	HnswStore  *store;
	CheckedNode *nodes;
	int64		count;
	int64		room;
	HnswNodeSet known;			/* well-formed nodes */
	HnswNodeSet rows;			/* heap TIDs that have been seen */
	HnswNodeSet owned;			/* items of rows, links and fine parts that a node leads to */
	HnswNodeSet values;			/* pages of values that a node knows, with the node */
	ReturnSetInfo *result;
} Check;

static void report(Check *check, BlockNumber block, OffsetNumber offset, const char *format,...)
	pg_attribute_printf(4, 5);

static void
report(Check *check, BlockNumber block, OffsetNumber offset, const char *format,...)
{
	Datum		values[3];
	bool		nulls[3] = {false, offset == InvalidOffsetNumber, false};
	char		problem[256];
	va_list		arguments;

	va_start(arguments, format);
	vsnprintf(problem, sizeof(problem), format, arguments);
	va_end(arguments);
	values[0] = Int64GetDatum((int64) block);
	values[1] = Int32GetDatum(offset);
	values[2] = CStringGetTextDatum(problem);
	tuplestore_putvalues(check->result->setResult, check->result->setDesc, values, nulls);
}

#define Report(check, node, ...) \
	report(check, HnswRefBlock(node), HnswRefOffset(node), __VA_ARGS__)

static CheckedNode *
FindNode(const Check *check, HnswNode node)
{
	int64		low = 0;
	int64		high = check->count;

	while (low < high)
	{
		int64		middle = low + (high - low) / 2;

		if (check->nodes[middle].node < node)
			low = middle + 1;
		else
			high = middle;
	}
	return low < check->count && check->nodes[low].node == node ? &check->nodes[low] : NULL;
}

/* ---- nodes by themselves ---- */

/* Also walks the chain of rows, which must come to an end. */
static void
CheckRows(Check *check, HnswNode name, const HnswNodeTuple *node)
{
	HnswRows	rows = {.context = CurrentMemoryContext};
	ItemPointerData at = node->more_rows;

	if (node->row_count > HNSW_INLINE_ROWS)
	{
		Report(check, name, "node says that it holds %d rows", node->row_count);
		return;
	}
	while (ItemPointerIsValid(&at))
	{
		HnswNode	place = HnswRefMake(ItemPointerGetBlockNumber(&at),
										ItemPointerGetOffsetNumber(&at), 0);

		if (!HnswNodeSetAdd(&check->owned, place))
		{
			Report(check, name, "rows at (%u,%u) are in two chains, or in one twice",
				   HnswRefBlock(place), HnswRefOffset(place));
			return;
		}
		if (!HnswNextRows(check->index, &at))
		{
			Report(check, name, "there are no rows at (%u,%u)", HnswRefBlock(place),
				   HnswRefOffset(place));
			return;
		}
	}
	HnswReadRows(check->index, node, &rows);
	for (int i = 0; i < rows.count; i++)
	{
		HnswNode	row = HnswRefMake(ItemPointerGetBlockNumberNoCheck(&rows.rows[i]),
									  ItemPointerGetOffsetNumberNoCheck(&rows.rows[i]), 0);

		if (!ItemPointerIsValid(&rows.rows[i]))
			Report(check, name, "row %d of the node is not valid", i + 1);
		else if (!HnswNodeSetAdd(&check->rows, row))
			Report(check, name, "row (%u,%u) is in the index twice", HnswRefBlock(row),
				   HnswRefOffset(row));
	}
	if (rows.rows != NULL)
		pfree(rows.rows);
}

static void
CheckNorm(Check *check, HnswNode name, const void *value)
{
	double		norm = DatumGetFloat8(FunctionCall1Coll(check->support.norm, check->support.collation,
														PointerGetDatum(value)));

	if (!(fabs(norm - 1) < 0.001))
		Report(check, name, "value of the node has norm %g, not 1", norm);
}

static void
CheckCode(Check *check, HnswNode name, const HnswNodeTuple *node, const code_head *head)
{
	HnswNodeSetAdd(&check->owned, HnswRefMake(ItemPointerGetBlockNumberNoCheck(&node->fine),
											  ItemPointerGetOffsetNumberNoCheck(&node->fine), 0));
	if (!(head->scale >= 0 && isfinite(head->scale) && head->error >= 0 && isfinite(head->term)))
		Report(check, name, "code of the node is malformed");
	if (check->store->methods->fine(check->store, name) == NULL)
		Report(check, name, "fine part of the node's code cannot be read");
}

static void
CheckValue(Check *check, HnswNode name, const HnswNodeTuple *node)
{
	const void *value = check->store->methods->value(check->store, name);

	for (int i = 0; i < HnswNodeValuePages(node); i++)
		HnswNodeSetAdd(&check->values, HnswRefMake(node->value_block[i], 1, 0));
	if (value == NULL)
		Report(check, name, "value of the node cannot be read");
	else if (check->support.codes != NULL)
		CheckCode(check, name, node, value);
	else if (check->support.norm != NULL && !node->deleted)
		CheckNorm(check, name, value);
}

/* A copy of a page, so that nothing is locked while it is looked at. */
static Page
CopyPage(const Check *check, BlockNumber block, char *into)
{
	Buffer		buffer = ReadBuffer(check->index, block);

	CHECK_FOR_INTERRUPTS();
	LockBuffer(buffer, BUFFER_LOCK_SHARE);
	memcpy(into, BufferGetPage(buffer), BLCKSZ);
	UnlockReleaseBuffer(buffer);
	return (Page) into;
}

static void
CheckLinksTuple(Check *check, HnswNode name, const HnswNodeTuple *node)
{
	BlockNumber block = ItemPointerGetBlockNumberNoCheck(&node->links);
	OffsetNumber offset = ItemPointerGetOffsetNumberNoCheck(&node->links);
	PGAlignedBlock copy;
	const HnswLinksTuple *links = NULL;

	HnswNodeSetAdd(&check->owned, HnswRefMake(block, offset, 0));
	if (block < RelationGetNumberOfBlocks(check->index))
		links = HnswPageGetLinks(CopyPage(check, block, copy.data), offset, name, check->meta.m);
	if (links == NULL)
		Report(check, name, "links of the node cannot be read");
	else if (links->level != node->level)
		Report(check, name, "links are those of level %d, not %d", links->level, node->level);
}

static void
AddNode(Check *check, HnswNode name, const HnswNodeTuple *node)
{
	if (check->count == check->room)
	{
		check->room = Max(check->room * 2, 1024);
		check->nodes = check->nodes == NULL
			? MemoryContextAllocHuge(CurrentMemoryContext, check->room * sizeof(CheckedNode))
			: repalloc_huge(check->nodes, check->room * sizeof(CheckedNode));
	}
	HnswNodeSetAdd(&check->known, name);
	check->nodes[check->count++] = (CheckedNode) {
		.node = name,
		.level = node->level,
		.live = HnswNodeHasRows(node),
		.deleted = node->deleted
	};
}

static bool
NodeIsWellFormed(const Check *check, Page page, OffsetNumber offset, const HnswNodeTuple *node)
{
	HnswShape	shape;

	if (node->level > HnswMaxLevel(check->meta.m) || node->room_level < node->level ||
		node->room_level > HnswMaxLevel(check->meta.m) || node->value_size > HNSW_MAX_VALUE_SIZE)
		return false;
	shape = HnswNodeShape(&check->support, check->meta.m, node->level,
						  node->value_size + HnswFineSize(&check->support));
	return shape.value_pages == HnswNodeValuePages(node) && shape.inline_size == node->inline_size &&
		shape.node_size <= ItemIdGetLength(PageGetItemId(page, offset));
}

static void
CheckNodesOfPage(Check *check, BlockNumber block, Page page)
{
	for (OffsetNumber offset = FirstOffsetNumber; offset <= PageGetMaxOffsetNumber(page); offset++)
	{
		const HnswNodeTuple *node = HnswPageNodeAt(page, offset);
		HnswNode	name;

		if (node == NULL)
		{
			if (ItemIdIsUsed(PageGetItemId(page, offset)))
				report(check, block, offset, "node is malformed");
			continue;
		}
		name = HnswRefMake(block, offset, node->version);
		if (!NodeIsWellFormed(check, page, offset, node) || node->stamp != HnswStamp(check->meta.salt, name))
		{
			Report(check, name, "node is malformed");
			continue;
		}
		AddNode(check, name, node);
		CheckLinksTuple(check, name, node);
		CheckValue(check, name, node);
		CheckRows(check, name, node);
	}
	HnswPageStoreReset(check->store);
}

static bool
HasOwnedItems(Page page)
{
	return HnswPageIs(page, HNSW_PAGE_ROWS) || HnswPageIs(page, HNSW_PAGE_LINKS) ||
		HnswPageIs(page, HNSW_PAGE_FINE);
}

static void
CheckPages(Check *check, BlockNumber blocks)
{
	PGAlignedBlock copy;

	for (BlockNumber block = HNSW_META_BLOCK + 1; block < blocks; block++)
	{
		Page		page = CopyPage(check, block, copy.data);

		if (HnswPageIs(page, HNSW_PAGE_NODES))
			CheckNodesOfPage(check, block, page);
		else if (!PageIsNew(page) && !HnswPageIs(page, HNSW_PAGE_FREE) &&
				 !HnswPageIs(page, HNSW_PAGE_VALUE) && !HasOwnedItems(page))
			report(check, block, InvalidOffsetNumber, "page is of no known kind");
	}
}

/* ---- pages that belong to nodes ---- */

/* Every item of such a page is a part of a node. */
static void
CheckOwnedItems(Check *check, BlockNumber block, Page page)
{
	for (OffsetNumber offset = FirstOffsetNumber; offset <= PageGetMaxOffsetNumber(page); offset++)
	{
		if (ItemIdIsNormal(PageGetItemId(page, offset)) &&
			!HnswNodeSetHas(&check->owned, HnswRefMake(block, offset, 0)))
			report(check, block, offset, "no node leads to this item");
	}
}

static void
CheckOwnedPages(Check *check, BlockNumber blocks)
{
	PGAlignedBlock copy;

	for (BlockNumber block = HNSW_META_BLOCK + 1; block < blocks; block++)
	{
		Page		page = CopyPage(check, block, copy.data);

		if (HnswPageIs(page, HNSW_PAGE_VALUE) &&
			!HnswNodeSetHas(&check->values, HnswRefMake(block, 1, 0)))
			report(check, block, InvalidOffsetNumber, "page holds a value that no node has");
		if (HasOwnedItems(page))
			CheckOwnedItems(check, block, page);
	}
}

/* ---- links ---- */

static void
CheckLink(Check *check, HnswNode from, int level, HnswNode to)
{
	const CheckedNode *target = FindNode(check, to);

	if (to == from)
		Report(check, from, "node links to itself on level %d", level);
	else if (target == NULL)
		Report(check, from, "link on level %d leads to (%u,%u) version %u, where no node is", level,
			   HnswRefBlock(to), HnswRefOffset(to), HnswRefVersion(to));
	else if (target->level < level)
		Report(check, from, "link on level %d leads to (%u,%u), which is on level %d", level,
			   HnswRefBlock(to), HnswRefOffset(to), target->level);
	else if (target->deleted)
		Report(check, from, "link on level %d leads to (%u,%u), which is deleted", level,
			   HnswRefBlock(to), HnswRefOffset(to));
}

static void
CheckLinks(Check *check)
{
	HnswCandidate links[HNSW_MAX_LINKS];

	for (int64 i = 0; i < check->count; i++)
	{
		const CheckedNode *node = &check->nodes[i];

		CHECK_FOR_INTERRUPTS();
		/* nobody comes to a deleted node any more to follow its links */
		for (int level = 0; level <= node->level && !node->deleted; level++)
		{
			int			count = check->store->methods->links(check->store, node->node, level, links);

			for (int j = 0; j < count; j++)
			{
				CheckLink(check, node->node, level, links[j].node);
				for (int k = 0; k < j; k++)
				{
					if (links[k].node == links[j].node)
						Report(check, node->node, "node links twice to (%u,%u) on level %d",
							   HnswRefBlock(links[j].node), HnswRefOffset(links[j].node), level);
				}
			}
		}
	}
}

/* ---- reachability ---- */

static void
CheckEntry(Check *check)
{
	const CheckedNode *entry = FindNode(check, check->meta.entry);

	if (check->meta.entry != HNSW_NO_NODE &&
		(entry == NULL || entry->deleted || entry->level < check->meta.entry_level))
		report(check, HNSW_META_BLOCK, InvalidOffsetNumber,
			   "entry point (%u,%u) on level %d is not a node of that level",
			   HnswRefBlock(check->meta.entry), HnswRefOffset(check->meta.entry),
			   check->meta.entry_level);
}

/*
 * Does the node hold a row that a query can see? An insert that a crash or an error has
 * cut short leaves a node behind that is not linked from all sides; its row is dead.
 */
static bool
HasVisibleRow(Check *check, HnswNode node)
{
	HnswRows	rows = {.context = CurrentMemoryContext};
	Snapshot	snapshot = RegisterSnapshot(GetLatestSnapshot());
	bool		visible = false;

	HnswPageStoreRows(check->store, node, &rows);
	for (int i = 0; i < rows.count && !visible; i++)
	{
		ItemPointerData row = rows.rows[i];

		visible = table_index_fetch_tuple_check(check->heap, &row, snapshot, NULL);
	}
	UnregisterSnapshot(snapshot);
	return visible;
}

static void
CheckReachability(Check *check)
{
	HnswReach	reach = {.limit = SIZE_MAX, .known = &check->known};

	GraphReach(check->store, &reach, CurrentMemoryContext);
	for (int64 i = 0; i < check->count; i++)
	{
		const CheckedNode *node = &check->nodes[i];

		if (node->live && !HnswNodeSetHas(&reach.set, node->node) && HasVisibleRow(check, node->node))
			Report(check, node->node, "no path of firm links leads to the node");
	}
}

/* ---- entry point ---- */

static Relation
OpenIndex(Oid oid, Relation *heap)
{
	LOCKMODE	mode = RecoveryInProgress() ? AccessShareLock : ShareLock;
	Oid			heap_oid = IndexGetRelation(oid, true);
	Relation	index;

	if (!OidIsValid(heap_oid))
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("\"%s\" is not an index", get_rel_name(oid))));
	*heap = table_open(heap_oid, mode);
	index = index_open(oid, mode);
	if (index->rd_indam->aminsert != hnswinsert)
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("\"%s\" is not an hnsw index", RelationGetRelationName(index))));
	if (RELATION_IS_OTHER_TEMP(index))
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("cannot access temporary indexes of other sessions")));
	return index;
}

static ReturnSetInfo *
StartResult(FunctionCallInfo fcinfo)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	TupleDesc	shape;
	MemoryContext old;

	if (result == NULL || !IsA(result, ReturnSetInfo) || (result->allowedModes & SFRM_Materialize) == 0)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("set-valued function called in context that cannot accept a set")));
	if (get_call_result_type(fcinfo, NULL, &shape) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	old = MemoryContextSwitchTo(result->econtext->ecxt_per_query_memory);
	result->returnMode = SFRM_Materialize;
	result->setDesc = CreateTupleDescCopy(shape);
	result->setResult = tuplestore_begin_heap((result->allowedModes & SFRM_Materialize_Random) != 0,
											  false, work_mem);
	MemoryContextSwitchTo(old);
	return result;
}

PG_FUNCTION_INFO_V1(rag_hnsw_check);
Datum
rag_hnsw_check(PG_FUNCTION_ARGS)
{
	Check		check = {.result = StartResult(fcinfo)};
	BlockNumber blocks;

	check.index = OpenIndex(PG_GETARG_OID(0), &check.heap);
	HnswReadMeta(check.index, &check.meta);
	HnswInitSupport(&check.support, check.index);
	check.store = HnswPageStore(check.index, &check.support, HNSW_TO_READ, CurrentMemoryContext);
	HnswNodeSetInit(&check.known, CurrentMemoryContext);
	HnswNodeSetInit(&check.rows, CurrentMemoryContext);
	HnswNodeSetInit(&check.owned, CurrentMemoryContext);
	HnswNodeSetInit(&check.values, CurrentMemoryContext);
	blocks = RelationGetNumberOfBlocks(check.index);

	CheckPages(&check, blocks);
	CheckOwnedPages(&check, blocks);
	CheckLinks(&check);
	CheckEntry(&check);
	CheckReachability(&check);

	index_close(check.index, NoLock);
	table_close(check.heap, NoLock);
	return (Datum) 0;
}
