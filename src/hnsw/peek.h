/*
 * peek.h: looking at a page of shared buffers without a pin or a lock.
 *
 * A walk reads some words of a thousand pages; finding each in the buffer table, pinning
 * and locking it costs many times what the words do. A look goes by a memo of where the
 * page was, and makes sure before and after reading that the buffer holds that page,
 * that nobody had it locked to change it, and that the page's position in WAL is the
 * same. Only what is to be returned to anybody is read again in the ordinary way: see
 * "Stamps and looks" in README.md for what this can and cannot do wrong.
 */
#ifndef RAG_HNSW_PEEK_H
#define RAG_HNSW_PEEK_H

#include "storage/buf_internals.h"

#include "hnsw/pages.h"

/* How to find the pages of one index. */
typedef struct HnswPeek
{
	BufferTag	tag;			/* of each page, save the number of its block */
	uint32		start;			/* where block 0 is in the memo */
	uint32		mask;
	int32	   *memo;			/* buffers by block, or NULL: there are no looks here */
} HnswPeek;

typedef struct HnswLook
{
	BufferDesc *buffer;
	Page		page;			/* NULL: there is no look at this page */
	BlockNumber block;
	uint64		position;		/* the page's, in WAL */
} HnswLook;

extern void HnswPeekInit(HnswPeek *peek, Relation index);

static inline int32 *
HnswPeekPlace(const HnswPeek *peek, BlockNumber block)
{
	return &peek->memo[(peek->start + block) & peek->mask];
}

/* To be told of a page that was read in the ordinary way. */
static inline void
HnswPeekRemember(const HnswPeek *peek, BlockNumber block, Buffer buffer)
{
	if (peek->memo != NULL)
		*HnswPeekPlace(peek, block) = buffer - 1;
}

static inline bool
HnswPeekHolds(const HnswPeek *peek, BufferDesc *buffer, BlockNumber block)
{
	uint32		state = pg_atomic_read_u32(&buffer->state);

	return (state & (BM_VALID | BM_TAG_VALID)) == (BM_VALID | BM_TAG_VALID) &&
		buffer->tag.blockNum == block &&
		RagBufferTagSameFork(&buffer->tag, &peek->tag) && !RagBufferIsExclusive(buffer);
}

/* The same, and it counts as a use: the sweep for victims would evict pages first that are
 * only looked at. */
static inline bool
HnswPeekUses(const HnswPeek *peek, BufferDesc *buffer, BlockNumber block)
{
	bool		holds = HnswPeekHolds(peek, buffer, block);

	if (holds)
		RagCountUse(buffer);
	return holds;
}

/* Asks for the lines of memory that a look at an item will need first. */
static inline void
HnswLookPrefetch(const HnswPeek *peek, BlockNumber block, OffsetNumber offset)
{
	int32		id = *HnswPeekPlace(peek, block);
	Page		page = BufferGetPage(id + 1);

	__builtin_prefetch(GetBufferDescriptor(id));
	__builtin_prefetch(page);
	__builtin_prefetch((const char *) page + SizeOfPageHeaderData + offset * sizeof(ItemIdData) -
					   sizeof(ItemIdData));
	__builtin_prefetch((const char *) page + BLCKSZ - MAXALIGN(sizeof(HnswPageTail)));
}

/* Every change moves it on. */
static inline uint64
HnswPagePosition(Page page)
{
	StaticAssertStmt(offsetof(PageHeaderData, pd_lsn) == 0, "a page begins with its position in WAL");
	return *(const volatile uint64 *) page;
}

static inline bool
HnswLookBegin(const HnswPeek *peek, BlockNumber block, HnswLook *look)
{
	int32		id = *HnswPeekPlace(peek, block);

	look->page = NULL;
	look->buffer = GetBufferDescriptor(id);
	if (!HnswPeekUses(peek, look->buffer, block))
		return false;
	pg_read_barrier();
	look->page = BufferGetPage(id + 1);
	look->block = block;
	look->position = HnswPagePosition(look->page);
	return true;
}

/* Was what has been read since the beginning of the look there all the time? */
static inline bool
HnswLookEnd(const HnswPeek *peek, const HnswLook *look)
{
	bool		held;

	pg_read_barrier();
	held = HnswPeekHolds(peek, look->buffer, look->block);
	/* who had it locked in between, but has no more, has moved it on before */
	pg_read_barrier();
	return held && HnswPagePosition(look->page) == look->position;
}

#endif							/* RAG_HNSW_PEEK_H */
