/*
 * kv.h: who owns which block of a paged KV cache, and which blocks hold what.
 *
 *     int block = kv_alloc(kv);                       // one reference, contents unknown
 *     uint64_t id = kv_register(kv, block, parent, tokens);   // its tokens are computed now
 *     int hit = kv_lookup(kv, parent, tokens, &id);   // the same tokens after the same prefix
 *     kv_acquire(kv, hit); ... kv_release(kv, hit);
 *
 * A full block is known by its tokens and the identity of the block before it
 * (KV_ROOT for the first), so that a chain of hits is exactly an equal prefix: tokens
 * are compared, hashes only find them. A block without references keeps its contents
 * until it is allocated again, least recently released first (PagedAttention, Kwon et
 * al. 2023; automatic prefix caching as in vLLM). Knows numbers, not tensors;
 * allocates at kv_open only; one thread.
 */
#ifndef RAG_ENGINE_KV_H
#define RAG_ENGINE_KV_H

#include <stdint.h>

#include "engine/error.h"

typedef struct kv_blocks kv_blocks;

#define KV_ROOT UINT64_C(0)
#define KV_BLOCK_SIZE 16		/* tokens of a block */

extern kv_blocks *kv_open(int blocks, engine_error *error);
extern void kv_close(kv_blocks *kv);

extern int	kv_total(const kv_blocks *kv);
/* Blocks without references: what kv_alloc can give. */
extern int	kv_free(const kv_blocks *kv);

/* The block released longest ago, now with one reference and no identity; -1 if none is free. */
extern int	kv_alloc(kv_blocks *kv);
extern void kv_acquire(kv_blocks *kv, int block);
/* A sequence releases its last block first, so that the heads of prefixes live longest. */
extern void kv_release(kv_blocks *kv, int block);
extern int	kv_references(const kv_blocks *kv, int block);

/*
 * The block holds these KV_BLOCK_SIZE tokens after parent. Returns the identity to
 * use as the parent of the next block: that of an older block if one already holds the same.
 */
extern uint64_t kv_register(kv_blocks *kv, int block, uint64_t parent, const int32_t *tokens);

/* The block that holds these tokens after parent and its identity, or -1. */
extern int	kv_lookup(const kv_blocks *kv, uint64_t parent, const int32_t *tokens,
					  uint64_t *identity);

/* Forget all contents: for tests, and when a step failed half way. References stay. */
extern void kv_forget(kv_blocks *kv);

#endif							/* RAG_ENGINE_KV_H */
