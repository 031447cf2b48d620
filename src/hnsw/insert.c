/*
 * insert.c: INSERT and UPDATE of a row.
 *
 * An insert holds the update lock: shared, so that inserts run side by side, or
 * exclusively when it changes the entry point. Vacuum takes it exclusively for a moment
 * to know that no insert still links to the nodes it is about to delete.
 */
#include "postgres.h"

#include "storage/lmgr.h"
#include "utils/memutils.h"

#include "hnsw/pages.h"

/*
 * Inserts under the update lock. With the lock shared this returns false, and nothing
 * is done, when the new node has to become the entry point: because it is the highest,
 * or because no living node can be reached from the present one, all their rows having
 * been deleted.
 */
static bool
TryInsert(Relation index, HnswStore *store, HnswInsertion *insertion, bool exclusive)
{
	bool		becomes_entry = store->entry == HNSW_NO_NODE || insertion->level > store->entry_level;
	HnswNode	node;

	if (becomes_entry && !exclusive)
		return false;
	GraphChooseLinks(store, insertion, CurrentMemoryContext);
	becomes_entry |= insertion->links[0].count == 0;
	if (becomes_entry && !exclusive)
		return false;
	node = GraphPlace(store, insertion);
	if (becomes_entry && node != HNSW_NO_NODE)
	{
		GraphSucceedEntry(store, node, insertion->level);
		HnswWriteEntry(index, node, insertion->level, store->building);
	}
	return true;
}

void
HnswInsertValue(Relation index, HnswStore *store, const HnswForm *form, ItemPointer row)
{
	HnswInsertion insertion = {
		.form = *form,
		.row = *row,
		.level = GraphDrawLevel(store)
	};
	bool		done;

	LockPage(index, HNSW_UPDATE_LOCK, ShareLock);
	HnswPageStoreReset(store);
	done = TryInsert(index, store, &insertion, false);
	UnlockPage(index, HNSW_UPDATE_LOCK, ShareLock);
	if (done)
		return;
	LockPage(index, HNSW_UPDATE_LOCK, ExclusiveLock);
	HnswPageStoreReset(store);
	TryInsert(index, store, &insertion, true);
	UnlockPage(index, HNSW_UPDATE_LOCK, ExclusiveLock);
}

/* What the rows of one statement share. */
typedef struct InsertState
{
	HnswSupport support;
	HnswStore  *store;
	MemoryContext row_context;	/* reset after each row */
} InsertState;

static InsertState *
GetInsertState(Relation index, IndexInfo *info)
{
	InsertState *state = info->ii_AmCache;
	MemoryContext old;

	if (state != NULL)
		return state;
	old = MemoryContextSwitchTo(info->ii_Context);
	state = palloc(sizeof(InsertState));
	HnswInitSupport(&state->support, index);
	state->store = HnswPageStore(index, &state->support, HNSW_TO_CHANGE, info->ii_Context);
	state->row_context = AllocSetContextCreate(info->ii_Context, "hnsw insert",
											   ALLOCSET_DEFAULT_SIZES);
	info->ii_AmCache = state;
	MemoryContextSwitchTo(old);
	return state;
}

bool
RagIndexInsert(hnswinsert)
{
	InsertState *state;
	MemoryContext old;
	HnswForm	form;

	if (isnull[0])
		return false;
	state = GetInsertState(index, info);
	old = MemoryContextSwitchTo(state->row_context);
	if (HnswFormValue(&state->support, values[0], &form))
		HnswInsertValue(index, state->store, &form, row);
	MemoryContextSwitchTo(old);
	MemoryContextReset(state->row_context);
	return false;
}
