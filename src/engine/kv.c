/*
 * kv.c: block ownership, the free list in LRU order, and the prefix index.
 */
#include "engine/kv.h"

#include <stdlib.h>
#include <string.h>

#define NONE (-1)

typedef struct kv_block
{
	int			references;
	int			older;			/* free list, towards the one allocated next */
	int			newer;
	int			next_in_bucket; /* prefix index */
	uint64_t	identity;		/* 0: contents unknown */
	uint64_t	parent;
	int32_t		tokens[KV_BLOCK_SIZE];
} kv_block;

struct kv_blocks
{
	int			total;
	int			free;
	int			oldest;			/* ends of the free list */
	int			newest;
	uint64_t	next_identity;	/* never reused: a stale parent can match nothing */
	uint32_t	bucket_mask;
	int		   *buckets;
	kv_block   *blocks;
};

kv_blocks *
kv_open(int blocks, engine_error *error)
{
	kv_blocks  *kv = calloc(1, sizeof(*kv));
	uint32_t	buckets = 16;

	if (kv == NULL || blocks < 1)
	{
		free(kv);
		engine_fail_memory(error, "the KV block table");
		return NULL;
	}
	while (buckets < (uint32_t) blocks * 2 && buckets < (UINT32_C(1) << 30))
		buckets *= 2;
	kv->blocks = calloc((size_t) blocks, sizeof(*kv->blocks));
	kv->buckets = malloc(buckets * sizeof(*kv->buckets));
	if (kv->blocks == NULL || kv->buckets == NULL)
	{
		kv_close(kv);
		engine_fail_memory(error, "the KV block table");
		return NULL;
	}
	kv->bucket_mask = buckets - 1;
	for (uint32_t i = 0; i < buckets; i++)
		kv->buckets[i] = NONE;
	kv->total = kv->free = blocks;
	kv->next_identity = KV_ROOT + 1;
	for (int i = 0; i < blocks; i++)
	{
		kv->blocks[i].older = i - 1;
		kv->blocks[i].newer = i + 1 < blocks ? i + 1 : NONE;
		kv->blocks[i].next_in_bucket = NONE;
	}
	kv->oldest = 0;
	kv->newest = blocks - 1;
	return kv;
}

void
kv_close(kv_blocks *kv)
{
	if (kv == NULL)
		return;
	free(kv->blocks);
	free(kv->buckets);
	free(kv);
}

int
kv_total(const kv_blocks *kv)
{
	return kv->total;
}

int
kv_free(const kv_blocks *kv)
{
	return kv->free;
}

int
kv_references(const kv_blocks *kv, int block)
{
	return kv->blocks[block].references;
}

/* FNV-1a over the parent and the tokens, folded. */
static uint32_t
bucket_of(const kv_blocks *kv, uint64_t parent, const int32_t *tokens)
{
	uint64_t	hash = UINT64_C(0xCBF29CE484222325) ^ parent;

	hash *= UINT64_C(0x100000001B3);
	for (int i = 0; i < KV_BLOCK_SIZE; i++)
		hash = (hash ^ (uint32_t) tokens[i]) * UINT64_C(0x100000001B3);
	hash ^= hash >> 32;
	return (uint32_t) (hash * UINT64_C(0x9E3779B97F4A7C15) >> 32) & kv->bucket_mask;
}

/* Take a block out of the prefix index. */
static void
forget_block(kv_blocks *kv, int block)
{
	kv_block   *b = &kv->blocks[block];
	int		   *link;

	if (b->identity == 0)
		return;
	link = &kv->buckets[bucket_of(kv, b->parent, b->tokens)];
	while (*link != block)
		link = &kv->blocks[*link].next_in_bucket;
	*link = b->next_in_bucket;
	b->next_in_bucket = NONE;
	b->identity = 0;
}

static void
unlink_free(kv_blocks *kv, int block)
{
	kv_block   *b = &kv->blocks[block];

	if (b->older == NONE)
		kv->oldest = b->newer;
	else
		kv->blocks[b->older].newer = b->newer;
	if (b->newer == NONE)
		kv->newest = b->older;
	else
		kv->blocks[b->newer].older = b->older;
	kv->free--;
}

int
kv_alloc(kv_blocks *kv)
{
	int			block = kv->oldest;

	if (block == NONE)
		return NONE;
	unlink_free(kv, block);
	forget_block(kv, block);
	kv->blocks[block].references = 1;
	return block;
}

void
kv_acquire(kv_blocks *kv, int block)
{
	if (kv->blocks[block].references++ == 0)
		unlink_free(kv, block);
}

void
kv_release(kv_blocks *kv, int block)
{
	kv_block   *b = &kv->blocks[block];

	if (--b->references > 0)
		return;
	kv->free++;
	/* what holds nothing that can be found again is used first */
	if (b->identity == 0)
	{
		b->older = NONE;
		b->newer = kv->oldest;
		if (kv->oldest == NONE)
			kv->newest = block;
		else
			kv->blocks[kv->oldest].older = block;
		kv->oldest = block;
		return;
	}
	b->newer = NONE;
	b->older = kv->newest;
	if (kv->newest == NONE)
		kv->oldest = block;
	else
		kv->blocks[kv->newest].newer = block;
	kv->newest = block;
}

int
kv_lookup(const kv_blocks *kv, uint64_t parent, const int32_t *tokens, uint64_t *identity)
{
	int			block = kv->buckets[bucket_of(kv, parent, tokens)];

	while (block != NONE)
	{
		const kv_block *b = &kv->blocks[block];

		if (b->parent == parent && memcmp(b->tokens, tokens, sizeof(b->tokens)) == 0)
		{
			*identity = b->identity;
			return block;
		}
		block = b->next_in_bucket;
	}
	return NONE;
}

uint64_t
kv_register(kv_blocks *kv, int block, uint64_t parent, const int32_t *tokens)
{
	kv_block   *b = &kv->blocks[block];
	uint64_t	identity;
	uint32_t	bucket;

	if (kv_lookup(kv, parent, tokens, &identity) != NONE)
		return identity;
	bucket = bucket_of(kv, parent, tokens);
	b->identity = kv->next_identity++;
	b->parent = parent;
	memcpy(b->tokens, tokens, sizeof(b->tokens));
	b->next_in_bucket = kv->buckets[bucket];
	kv->buckets[bucket] = block;
	return b->identity;
}

void
kv_forget(kv_blocks *kv)
{
	for (int i = 0; i < kv->total; i++)
		forget_block(kv, i);
}
