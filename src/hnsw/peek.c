/*
 * peek.c: the memo of where pages are.
 *
 * One for all indexes of a backend, and for as long as it lives: direct-mapped by block,
 * an entry is only a guess which the buffer's own tag confirms, so nothing is ever taken
 * out of it.
 */
#include "postgres.h"

#include "miscadmin.h"
#include "port/pg_bitutils.h"
#include "utils/memutils.h"

#include "hnsw/peek.h"

#define MAX_ENTRIES (1024 * 1024)
#define ENTRIES_PER_BUFFER 4	/* pages of an index that is larger than all buffers contend for few */

static int32 *memo;

static uint32
Entries(void)
{
	return NBuffers < MAX_ENTRIES / ENTRIES_PER_BUFFER
		? pg_nextpower2_32(NBuffers * ENTRIES_PER_BUFFER)
		: MAX_ENTRIES;
}

void
HnswPeekInit(HnswPeek *peek, Relation index)
{
	memset(peek, 0, sizeof(*peek));
	if (RelationUsesLocalBuffers(index) || !RAG_MAY_PEEK)
		return;
	if (memo == NULL)
		memo = MemoryContextAllocZero(TopMemoryContext, Entries() * sizeof(int32));
	peek->memo = memo;
	peek->mask = Entries() - 1;
	RagBufferTagInit(&peek->tag, index);
	/* the blocks of several indexes begin at different places */
	peek->start = (uint32) index->rd_id * 0x9E3779B1;
}
