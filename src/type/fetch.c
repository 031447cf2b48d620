/*
 * fetch.c: values that lie out of line, in a toast table, read in the order of a scan.
 *
 * PostgreSQL looks each of their chunks up in the toast table's index, which takes
 * several times as long as the distance for which the value is wanted. But what was
 * written in the order of the rows lies in that order: the first chunk of the next
 * value follows the last one of this. So that is where it is looked for, and
 * the index is asked for the first chunk only when another value is there.
 *
 * A place is only a guess, and nothing depends on its being right: a chunk counts if it
 * has the value's id and its own number, and if the snapshot of toasted values sees it.
 * No lock, pin or relation is kept from one call to the next. Where values are read in
 * another order, or their chunks lie scattered, all but a few are left to PostgreSQL.
 */
#include "postgres.h"

#include "access/detoast.h"
#include "access/genam.h"
#include "access/heapam.h"
#include "access/heaptoast.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/toast_internals.h"
#include "catalog/pg_am.h"
#include "storage/bufmgr.h"
#include "utils/fmgroids.h"
#include "utils/snapmgr.h"

#include "type/fetch.h"
#include "type/resident.h"

/* What is remembered of an argument, as long as the function's FmgrInfo lives. */
typedef struct FetchMemo
{
	struct varatt_external pointer; /* the value that is in bytes */
	LocalTransactionId transaction; /* and the transaction that has read it */
	ItemPointerData next;		/* what follows it in the toast table */
	Buffer		buffer;			/* in which the last of its pages was, or 0 */
	bool		in_order;		/* did the value lie near the place that this was before? */
	int			leave;			/* how many of the next ones are left to PostgreSQL */
	int			left;			/* how many were, the last time */
	struct varlena *value;		/* NULL: none yet */
	Size		room;
} FetchMemo;

#define MIN_LEAVE 8
#define MAX_LEAVE 64

/* The value that is being read, chunk by chunk. */
typedef struct FetchReader
{
	Relation	relation;
	Snapshot	snapshot;
	Oid			id;
	int32		chunk;			/* the number of the next one */
	Size		size;			/* of the whole value, without its header */
	Size		filled;
	char	   *bytes;
	ItemPointerData at;			/* where the next one is thought to be */
	Buffer		buffer;			/* in which the page before was, or 0 */
} FetchReader;

/* Takes a tuple if it is the next chunk of the value. */
static bool
take_chunk(FetchReader *reader, HeapTuple tuple)
{
	TupleDesc	descriptor = RelationGetDescr(reader->relation);
	bool		is_null[3];
	Datum		id = heap_getattr(tuple, 1, descriptor, &is_null[0]);
	Datum		number = heap_getattr(tuple, 2, descriptor, &is_null[1]);
	Datum		data = heap_getattr(tuple, 3, descriptor, &is_null[2]);
	struct varlena *chunk;
	Size		size = Min(reader->size - reader->filled, TOAST_MAX_CHUNK_SIZE);

	if (is_null[0] || is_null[1] || is_null[2] || DatumGetObjectId(id) != reader->id ||
		DatumGetInt32(number) != reader->chunk)
		return false;
	chunk = (struct varlena *) DatumGetPointer(data);
	if (VARATT_IS_EXTERNAL(chunk) || VARATT_IS_COMPRESSED(chunk) ||
		VARSIZE_ANY_EXHDR(chunk) != size)
		return false;
	FetchAhead((const char *) tuple->t_data, size);
	memcpy(reader->bytes + reader->filled, VARDATA_ANY(chunk), size);
	reader->filled += size;
	reader->chunk++;
	return true;
}

/*
 * Takes the chunks that lie on one page from reader->at on. In front of the first one
 * there may be others, of values that were deleted or are no longer in use. False when the value
 * does not begin here, or goes on elsewhere.
 */
static bool
take_page(FetchReader *reader, Buffer buffer)
{
	Page		page = BufferGetPage(buffer);
	BlockNumber block = ItemPointerGetBlockNumber(&reader->at);
	OffsetNumber offset = ItemPointerGetOffsetNumber(&reader->at);
	OffsetNumber last = PageIsNew(page) ? 0 : PageGetMaxOffsetNumber(page);

	/* the first tuple of a page lies at its end */
	if (offset == FirstOffsetNumber)
		FetchAhead((const char *) page + BLCKSZ, TOAST_MAX_CHUNK_SIZE);
	for (; offset <= last && reader->filled < reader->size; offset++)
	{
		ItemId		item = PageGetItemId(page, offset);
		HeapTupleData tuple;

		if (!ItemIdIsNormal(item))
			continue;
		tuple.t_data = (HeapTupleHeader) PageGetItem(page, item);
		tuple.t_len = ItemIdGetLength(item);
		tuple.t_tableOid = RelationGetRelid(reader->relation);
		ItemPointerSet(&tuple.t_self, block, offset);
		if (HeapTupleSatisfiesVisibility(&tuple, reader->snapshot, buffer) &&
			!take_chunk(reader, &tuple) && reader->chunk > 0)
			return false;
	}
	if (offset > last)
		ItemPointerSet(&reader->at, block + 1, FirstOffsetNumber);
	else
		ItemPointerSetOffsetNumber(&reader->at, offset);
	return reader->chunk > 0;
}

/* Pins a block; false if there is none. A block that is in a buffer is there: how long the table is
 * need only be asked, which takes as long as the rest, where reading it takes longer. */
static bool
pin_block(FetchReader *reader, BlockNumber block)
{
	Relation	relation = reader->relation;
	Buffer		resident = ResidentBuffer(relation, block, reader->buffer + 1);

	if (BufferIsValid(resident) && RagReadRecentBuffer(relation, block, resident))
		reader->buffer = resident;
	else if (block < RelationGetNumberOfBlocks(relation))
		reader->buffer = ReadBuffer(relation, block);
	else
		return false;
	return true;
}

/* Reads the value from reader->at on; false when it does not lie there. */
static bool
take_value(FetchReader *reader)
{
	reader->filled = 0;
	reader->chunk = 0;
	while (reader->filled < reader->size)
	{
		bool		taken;

		CHECK_FOR_INTERRUPTS();
		if (!pin_block(reader, ItemPointerGetBlockNumber(&reader->at)))
			return false;
		LockBuffer(reader->buffer, BUFFER_LOCK_SHARE);
		taken = take_page(reader, reader->buffer);
		UnlockReleaseBuffer(reader->buffer);
		if (!taken)
			return false;
	}
	return true;
}

/* Finds the first chunk of the value by the index of the toast table. */
static bool
locate_value(FetchReader *reader)
{
	Relation   *indexes;
	int			count;
	int			valid = toast_open_indexes(reader->relation, AccessShareLock, &indexes, &count);
	ScanKeyData keys[2];
	SysScanDesc scan;
	HeapTuple	tuple;

	ScanKeyInit(&keys[0], 1, BTEqualStrategyNumber, F_OIDEQ, ObjectIdGetDatum(reader->id));
	ScanKeyInit(&keys[1], 2, BTEqualStrategyNumber, F_INT4EQ, Int32GetDatum(0));
	scan = systable_beginscan_ordered(reader->relation, indexes[valid], reader->snapshot, 2, keys);
	tuple = systable_getnext_ordered(scan, ForwardScanDirection);
	if (tuple != NULL)
		reader->at = tuple->t_self;
	systable_endscan_ordered(scan);
	toast_close_indexes(indexes, count, AccessShareLock);
	return tuple != NULL;
}

/* Is the value where the one before it let expect it, or close behind that? */
static bool
is_near(ItemPointer expected, ItemPointer found)
{
	return ItemPointerIsValid(expected) && ItemPointerCompare(expected, found) <= 0 &&
		ItemPointerGetBlockNumber(found) - ItemPointerGetBlockNumber(expected) <= 1;
}

/* Reads a value into memo->value; false when it must be read in PostgreSQL's own way. */
static bool
read_value(FetchMemo *memo, const struct varatt_external *pointer)
{
	Relation	relation = table_open(pointer->va_toastrelid, AccessShareLock);
	SnapshotData storage;
	FetchReader reader = {
		.relation = relation,
		.snapshot = RagToastSnapshot(&storage),
		.id = pointer->va_valueid,
		.size = VARATT_EXTERNAL_GET_EXTSIZE(*pointer),
		.bytes = VARDATA(memo->value),
		.at = memo->next,
		.buffer = memo->buffer,
	};
	bool		taken = false;

	if (relation->rd_rel->relam == HEAP_TABLE_AM_OID)
	{
		taken = memo->in_order && take_value(&reader);
		if (!taken && locate_value(&reader))
		{
			memo->in_order = is_near(&memo->next, &reader.at);
			taken = take_value(&reader);
		}
	}
	memo->buffer = reader.buffer;
	table_close(relation, AccessShareLock);
	if (taken)
		memo->next = reader.at;
	return taken;
}

/* Reads a value into memo->value, and goes by how that went with the next ones. */
static bool
try_value(FetchMemo *memo, const struct varatt_external *pointer)
{
	bool		comparable = ItemPointerIsValid(&memo->next) &&
		memo->pointer.va_toastrelid == pointer->va_toastrelid;
	bool		taken;

	if (!comparable)
	{
		ItemPointerSetInvalid(&memo->next);
		memo->in_order = false;
	}
	taken = read_value(memo, pointer);
	if (!taken || (comparable && !memo->in_order))
	{
		memo->left = Min(Max(2 * memo->left, MIN_LEAVE), MAX_LEAVE);
		memo->leave = memo->left;
		ItemPointerSetInvalid(&memo->next);
	}
	else if (comparable)
		memo->left = 0;
	return taken;
}

static FetchMemo *
get_memo(FunctionCallInfo fcinfo, int n)
{
	FmgrInfo   *function = fcinfo->flinfo;

	if (function->fn_extra == NULL)
		function->fn_extra = MemoryContextAllocZero(function->fn_mcxt,
													sizeof(FetchMemo) * function->fn_nargs);
	return (FetchMemo *) function->fn_extra + n;
}

static void
make_room(FetchMemo *memo, Size size, MemoryContext context)
{
	if (memo->room >= size)
		return;
	if (memo->value != NULL)
		pfree(memo->value);
	memo->value = NULL;
	memo->room = 0;
	memo->value = MemoryContextAlloc(context, size);
	memo->room = size;
}

/*
 * The value stays until the next one: that of a constant argument is not read again.
 * Its id is given to no other value as long as there is a transaction that may see it.
 */
const struct varlena *
FetchOutOfLine(FunctionCallInfo fcinfo, int n)
{
	struct varlena *datum = (struct varlena *) DatumGetPointer(PG_GETARG_DATUM(n));
	FetchMemo  *memo = get_memo(fcinfo, n);
	LocalTransactionId transaction = RagLocalTransactionId();
	struct varatt_external pointer;
	Size		size;

	VARATT_EXTERNAL_GET_POINTER(pointer, datum);
	if (memo->value != NULL && memo->transaction == transaction &&
		memcmp(&memo->pointer, &pointer, sizeof(pointer)) == 0)
		return memo->value;
	if (VARATT_EXTERNAL_IS_COMPRESSED(pointer) || memo->leave > 0)
	{
		memo->leave = Max(memo->leave - 1, 0);
		return pg_detoast_datum(datum);
	}

	size = VARATT_EXTERNAL_GET_EXTSIZE(pointer) + VARHDRSZ;
	make_room(memo, size, fcinfo->flinfo->fn_mcxt);
	/* until it is read, the memo has none */
	memo->transaction = InvalidLocalTransactionId;
	if (!try_value(memo, &pointer))
		return pg_detoast_datum(datum);
	SET_VARSIZE(memo->value, size);
	memo->pointer = pointer;
	memo->transaction = transaction;
	return memo->value;
}
