/*
 * build_assist.c: a build whose neighbours on level 0 are found by the GPU of the model engine.
 *
 * Rows are collected in batches. A batch is sent, and while its neighbours are computed, of all rows before each,
 * the next one is collected; then its rows are inserted in their order, by the ordinary algorithm, but for the
 * search on level 0, in place of which stand the nodes of those neighbours. So the graph is what a search that
 * misses nothing would make. Levels above have one node in m and are searched as ever.
 *
 * When the engine fails, or the graph goes to pages, whose nodes have other names, the rest of the build does
 * without.
 */
#include "postgres.h"

#include "utils/memutils.h"

#include "hnsw/build.h"
#include "serve/nearest.h"

#define BATCH_BYTES (4 * 1024 * 1024)	/* of floats */
#define MOST_ROWS 1024
#define LEAST_ROWS 16
#define FIRST_NODES 16384
#define NO_NODE PG_UINT32_MAX	/* of a row that shares the node of an earlier one */

typedef struct AssistRow
{
	HnswForm	form;
	ItemPointerData row;
} AssistRow;

typedef struct AssistBatch
{
	MemoryContext context;		/* of the forms */
	int			count;
	AssistRow  *rows;
	float	   *floats;			/* [count][dimensions] */
} AssistBatch;

struct HnswAssist
{
	NearestSession *session;
	NearestShape shape;
	MemoryContext context;
	int			batch_rows;
	AssistBatch sent;			/* none, while its count is 0 */
	AssistBatch collected;
	uint32	   *numbers;		/* neighbours of a batch */
	HnswNode   *given;			/* the nodes of one row's */
	HnswNodeSet seen;
	uint32	   *nodes;			/* of the rows inserted, by their numbers */
	Size		count;
	Size		room;
};

/*
 * By which distance values are compared; false: by none that a GPU computes. The greatest inner products with anything
 * are those of the same few long vectors: linked to these alone, a graph falls apart. Neighbours in space keep it
 * together (J. Liu et al., "Understanding and Improving Proximity Graph based Maximum Inner Product
 * Search", 2019); of vectors of one length they are the same.
 */
static bool
DistanceOf(const HnswSupport *support, NearestDistance *distance)
{
	code_metric metric;			/* of either kind */

	if (support->type->metric == NULL || !support->type->metric(support->distance->fn_addr, &metric))
		return false;
	*distance = support->norm != NULL ? NEAREST_COSINE : NEAREST_L2;
	return true;
}

static void
InitBatch(const HnswAssist *assist, AssistBatch *batch)
{
	batch->context = AllocSetContextCreate(assist->context, "hnsw build batch", ALLOCSET_DEFAULT_SIZES);
	batch->rows = palloc(assist->batch_rows * sizeof(AssistRow));
	batch->floats = palloc((Size) assist->batch_rows * assist->shape.dimensions * sizeof(float));
}

static HnswAssist *
MakeAssist(const NearestShape *shape, NearestSession *session)
{
	HnswAssist *assist = palloc0(sizeof(HnswAssist));

	assist->session = session;
	assist->shape = *shape;
	assist->context = CurrentMemoryContext;
	assist->batch_rows = BATCH_BYTES / (shape->dimensions * (int) sizeof(float));
	assist->batch_rows = Max(LEAST_ROWS, Min(assist->batch_rows, MOST_ROWS));
	assist->room = FIRST_NODES;
	assist->nodes = palloc(assist->room * sizeof(uint32));
	assist->numbers = palloc((Size) assist->batch_rows * shape->k * sizeof(uint32));
	assist->given = palloc(shape->k * sizeof(HnswNode));
	HnswNodeSetInitDense(&assist->seen, assist->context);
	InitBatch(assist, &assist->sent);
	InitBatch(assist, &assist->collected);
	return assist;
}

static void
TellReason(const HnswBuild *build, const char *reason)
{
	ereport(WARNING,
			(errmsg("index \"%s\" is built without a GPU", RelationGetRelationName(build->index)),
			 errdetail("%s", reason)));
}

void
HnswAssistBegin(HnswBuild *build)
{
	const char *reason;
	NearestSession *session;
	NearestShape shape = {
		.dimensions = build->support.dimensions,
		.k = Min(HnswOptionEfConstruction(build->index), NEAREST_MAX_K)
	};

	if (!NearestWanted())
		return;
	if (!DistanceOf(&build->support, &shape.distance))
	{
		TellReason(build, "It finds neighbours by Euclidean distance, inner product or cosine of dense vectors.");
		return;
	}
	session = NearestOpen(&shape, &reason);
	if (session != NULL)
		build->assist = MakeAssist(&shape, session);
	else
		TellReason(build, reason);
}

/* No more neighbours will come; NULL: nobody needs to know why. */
static void
DoWithout(HnswBuild *build, const char *reason)
{
	HnswAssist *assist = build->assist;

	if (assist->session == NULL)
		return;
	if (reason != NULL)
		TellReason(build, reason);
	NearestClose(assist->session);
	assist->session = NULL;
}

/* The nodes of a row's neighbours. Too few of them, for others share a node: none, and it searches. */
static int
NodesOf(HnswAssist *assist, const uint32 *numbers)
{
	int			count = 0;

	HnswNodeSetClear(&assist->seen);
	for (int i = 0; i < assist->shape.k; i++)
	{
		HnswNode	node;

		if (numbers[i] >= assist->count || assist->nodes[numbers[i]] == NO_NODE)
			continue;
		node = assist->nodes[numbers[i]];
		if (HnswNodeSetAdd(&assist->seen, node))
			assist->given[count++] = node;
	}
	return count >= Min((Size) assist->shape.k, assist->count) / 2 ? count : 0;
}

static void
Remember(HnswAssist *assist, HnswNode node)
{
	if (assist->count == assist->room)
	{
		assist->room *= 2;
		assist->nodes = repalloc_huge(assist->nodes, assist->room * sizeof(uint32));
	}
	assist->nodes[assist->count++] = node == HNSW_NO_NODE ? NO_NODE : (uint32) node;
}

/* Inserts the rows of a batch, with their neighbours if these are known. */
static void
InsertBatch(HnswBuild *build, AssistBatch *batch, bool known)
{
	HnswAssist *assist = build->assist;
	MemoryContext old = MemoryContextSwitchTo(build->row_context);

	for (int i = 0; i < batch->count; i++)
	{
		const AssistRow *row = &batch->rows[i];
		int			given;
		HnswNode	node;

		/* names are those of the graph in memory */
		known = known && build->state->phase == HNSW_BUILD_MEMORY;
		given = known ? NodesOf(assist, assist->numbers + (Size) i * assist->shape.k) : 0;
		node = HnswBuildInsert(build, &row->form, &row->row, assist->given, given);
		if (known)
			Remember(assist, node);
		MemoryContextReset(build->row_context);
	}
	MemoryContextSwitchTo(old);
	batch->count = 0;
	MemoryContextReset(batch->context);
}

/* Inserts the rows that were sent. */
static void
FinishSent(HnswBuild *build)
{
	HnswAssist *assist = build->assist;
	const char *reason = NULL;

	if (assist->sent.count == 0)
		return;
	if (assist->session != NULL && build->state->phase == HNSW_BUILD_MEMORY)
		reason = NearestReceive(assist->session, assist->numbers);
	if (reason != NULL || build->state->phase != HNSW_BUILD_MEMORY)
		DoWithout(build, reason);
	InsertBatch(build, &assist->sent, assist->session != NULL);
}

/* Sends the rows collected, and inserts those sent before meanwhile. */
static void
SendCollected(HnswBuild *build)
{
	HnswAssist *assist = build->assist;
	AssistBatch full = assist->collected;

	if (assist->session != NULL)
		NearestSend(assist->session, full.floats, full.count);
	FinishSent(build);
	assist->collected = assist->sent;
	assist->sent = full;
}

void
HnswAssistRow(HnswBuild *build, Datum value, const ItemPointerData *row)
{
	HnswAssist *assist = build->assist;
	AssistBatch *batch = &assist->collected;
	AssistRow  *place = &batch->rows[batch->count];
	Datum		plain = PointerGetDatum(PG_DETOAST_DATUM(value));
	MemoryContext old = MemoryContextSwitchTo(batch->context);
	bool		indexed = HnswFormValue(&build->support, plain, &place->form);

	/* a value that is stored as it is may lie in the table's page */
	if (indexed && place->form.value == DatumGetPointer(plain))
		place->form.value = memcpy(palloc(place->form.size), place->form.value, place->form.size);
	MemoryContextSwitchTo(old);
	if (!indexed)
		return;
	place->row = *row;
	build->support.type->floats(DatumGetPointer(plain),
								batch->floats + (Size) batch->count * assist->shape.dimensions);
	if (++batch->count == assist->batch_rows)
		SendCollected(build);
}

void
HnswAssistEnd(HnswBuild *build)
{
	HnswAssist *assist = build->assist;

	if (assist == NULL)
		return;
	if (assist->collected.count > 0)
		SendCollected(build);
	FinishSent(build);
	DoWithout(build, NULL);
	build->assist = NULL;
}
