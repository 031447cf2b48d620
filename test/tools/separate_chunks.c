/*
 * separate_chunks.c - every palloc'd chunk as a malloc block of its own
 *
 * A server that is not built for it (USE_VALGRIND) hides its memory contexts from
 * AddressSanitizer and Valgrind: a chunk is a piece of a large block, so a read
 * beyond its end or after pfree is a valid access for them. Loaded first in
 * shared_preload_libraries, this module replaces the functions of the AllocSet
 * contexts, so that both tools see each chunk's bounds and life. The method table
 * belongs to the process and is inherited by fork.
 *
 * Works with PostgreSQL 13 to 15, whose contexts point to their methods.
 * Chunks that were made before the module was loaded stay with the server's code.
 */
#include "postgres.h"

#include <sys/mman.h>
#include <unistd.h>

#include "fmgr.h"
#include "nodes/memnodes.h"
#include "utils/memutils.h"

PG_MODULE_MAGIC;

#define CHUNK_MAGIC		UINT64CONST(0x7d3a9c0be1f5a264)
#define CONTEXT_BUCKETS 1024

typedef struct Chunk
{
	uint64		magic;
	Size		size;
	struct Chunk *previous;
	struct Chunk *next;
	void	   *unused;			/* keeps what follows the header aligned to 16 */
	MemoryContext context;		/* where pfree() and repalloc() look for it */
} Chunk;

/* The chunks of one context */
typedef struct ChunkList
{
	MemoryContext context;
	Chunk	   *first;
	struct ChunkList *next;
} ChunkList;

static MemoryContextMethods original;
static ChunkList *buckets[CONTEXT_BUCKETS];

/* of the sanitizer's runtime, if it is there */
extern void __asan_poison_memory_region(void const volatile *, size_t) __attribute__((weak));

void		_PG_init(void);

static ChunkList **
ListFind(MemoryContext context)
{
	ChunkList **list = &buckets[((uintptr_t) context >> 6) % CONTEXT_BUCKETS];

	while (*list != NULL && (*list)->context != context)
		list = &(*list)->next;
	return list;
}

static Chunk *
ChunkOf(void *pointer)
{
	Chunk	   *chunk = (Chunk *) pointer - 1;

	return chunk->magic == CHUNK_MAGIC ? chunk : NULL;
}

/* At the head of its context's list. */
static void *
ChunkLink(Chunk *chunk, ChunkList *list, Size size)
{
	chunk->magic = CHUNK_MAGIC;
	chunk->size = size;
	chunk->context = list->context;
	chunk->previous = NULL;
	chunk->next = list->first;
	if (list->first != NULL)
		list->first->previous = chunk;
	list->first = chunk;
	list->context->mem_allocated += sizeof(Chunk) + size;
	if (__asan_poison_memory_region != NULL)
		__asan_poison_memory_region(chunk, sizeof(Chunk));
	return chunk + 1;
}

static void
ChunkUnlink(Chunk *chunk, ChunkList *list)
{
	if (chunk->previous != NULL)
		chunk->previous->next = chunk->next;
	else
		list->first = chunk->next;
	if (chunk->next != NULL)
		chunk->next->previous = chunk->previous;
	chunk->magic = 0;
	list->context->mem_allocated -= sizeof(Chunk) + chunk->size;
}

static void *
SeparateAlloc(MemoryContext context, Size size)
{
	ChunkList **list = ListFind(context);
	Chunk	   *chunk;

	if (*list == NULL)
	{
		*list = calloc(1, sizeof(ChunkList));
		if (*list == NULL)
			return NULL;
		(*list)->context = context;
	}
	chunk = malloc(sizeof(Chunk) + size);
	return chunk == NULL ? NULL : ChunkLink(chunk, *list, size);
}

static void
SeparateFree(MemoryContext context, void *pointer)
{
	Chunk	   *chunk = ChunkOf(pointer);

	if (chunk == NULL)
	{
		original.free_p(context, pointer);
		return;
	}
	ChunkUnlink(chunk, *ListFind(context));
	free(chunk);
}

/* Always to another place, so that a pointer to the old one is found out. */
static void *
SeparateRealloc(MemoryContext context, void *pointer, Size size)
{
	Chunk	   *chunk = ChunkOf(pointer);
	void	   *moved;

	if (chunk == NULL)
		return original.realloc(context, pointer, size);
	moved = SeparateAlloc(context, size);
	if (moved != NULL)
	{
		memcpy(moved, pointer, Min(size, chunk->size));
		SeparateFree(context, pointer);
	}
	return moved;
}

static void
FreeAll(MemoryContext context)
{
	ChunkList **list = ListFind(context);
	ChunkList  *found = *list;

	if (found == NULL)
		return;
	while (found->first != NULL)
	{
		Chunk	   *chunk = found->first;

		ChunkUnlink(chunk, found);
		free(chunk);
	}
	*list = found->next;
	free(found);
}

static void
SeparateReset(MemoryContext context)
{
	FreeAll(context);
	original.reset(context);
}

static void
SeparateDelete(MemoryContext context)
{
	FreeAll(context);
	original.delete_context(context);
}

static Size
SeparateChunkSpace(MemoryContext context, void *pointer)
{
	Chunk	   *chunk = ChunkOf(pointer);

	return chunk == NULL ? original.get_chunk_space(context, pointer) : sizeof(Chunk) + chunk->size;
}

static bool
SeparateIsEmpty(MemoryContext context)
{
	ChunkList  *list = *ListFind(context);

	return (list == NULL || list->first == NULL) && original.is_empty(context);
}

void
_PG_init(void)
{
	MemoryContextMethods *methods = (MemoryContextMethods *) TopMemoryContext->methods;
	uintptr_t	page = sysconf(_SC_PAGESIZE);
	uintptr_t	from = (uintptr_t) methods & ~(page - 1);
	uintptr_t	to = (uintptr_t) (methods + 1);

	if (mprotect((void *) from, to - from, PROT_READ | PROT_WRITE) != 0)
		elog(ERROR, "could not make the methods of memory contexts writable: %m");
	original = *methods;
	methods->alloc = SeparateAlloc;
	methods->free_p = SeparateFree;
	methods->realloc = SeparateRealloc;
	methods->reset = SeparateReset;
	methods->delete_context = SeparateDelete;
	methods->get_chunk_space = SeparateChunkSpace;
	methods->is_empty = SeparateIsEmpty;
}
