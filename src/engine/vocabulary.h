/*
 * vocabulary.h: the strings of a tokenizer: id to bytes, bytes to id, and a trie.
 *
 * Private to the tokenizers. Tables are hashed with open addressing and are never
 * more than half full; a search of more than VOCABULARY_MAX_PROBES places happens only
 * with strings chosen to collide, which is refused when the tables are built.
 */
#ifndef RAG_ENGINE_VOCABULARY_H
#define RAG_ENGINE_VOCABULARY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "engine/error.h"

#define VOCABULARY_MAX_TOKENS (4 << 20)
#define VOCABULARY_MAX_PROBES 1024

/* The hash beside the id spares most comparisons, each of which misses the cache twice. */
typedef struct vocabulary_slot
{
	uint32_t	hash;
	int32_t		id;				/* -1: free */
} vocabulary_slot;

typedef struct vocabulary
{
	int32_t		count;			/* ids are [0, count) */
	char	   *bytes;			/* all tokens, one after the other */
	uint32_t   *starts;			/* [count + 1] into bytes */
	size_t		used;			/* bytes so far */
	size_t		capacity;
	vocabulary_slot *slots;
	uint32_t	mask;
} vocabulary;

/* Tokens are added in the order of their ids; bytes: of all together (an upper bound). */
extern bool vocabulary_create(vocabulary *v, int32_t count, size_t bytes, engine_error *error);
extern void vocabulary_add(vocabulary *v, const char *text, size_t length);
extern void vocabulary_free(vocabulary *v);

/* Makes a token found by its bytes; of equal tokens, the last one indexed is found. */
extern bool vocabulary_index(vocabulary *v, int32_t id, engine_error *error);
extern int32_t vocabulary_find(const vocabulary *v, const char *text, size_t length);

static inline const char *
vocabulary_text(const vocabulary *v, int32_t id, size_t *length)
{
	*length = v->starts[id + 1] - v->starts[id];
	return v->bytes + v->starts[id];
}

/* A trie over bytes: node 0 is the root, which also stands for "no such node". */
typedef struct trie_edge
{
	uint32_t	key;			/* parent << 8 | byte */
	uint32_t	child;			/* 0: free place */
} trie_edge;

typedef struct trie
{
	trie_edge  *edges;
	uint32_t	mask;
	int32_t    *values;			/* [capacity] by node: an id, or -1 */
	uint32_t	nodes;
	uint32_t	capacity;
	uint32_t	first[256];		/* children of the root */
} trie;

#define TRIE_MAX_NODES (1 << 24)	/* so that a parent and a byte fit 32 bits */

extern bool trie_create(trie *t, engine_error *error);
extern void trie_free(trie *t);
/* A string of at least one byte; the last value of equal strings stays. */
extern bool trie_add(trie *t, const char *text, size_t length, int32_t value,
					 engine_error *error);

static inline uint32_t
hash_mix(uint32_t x)
{
	x ^= x >> 16;
	x *= 0x7FEB352Du;
	x ^= x >> 15;
	x *= 0x846CA68Bu;
	return x ^ x >> 16;
}

/* The child of node for a byte, or 0. */
static inline uint32_t
trie_next(const trie *t, uint32_t node, unsigned char byte)
{
	uint32_t	key = node << 8 | byte;

	if (node == 0)
		return t->first[byte];
	for (uint32_t at = hash_mix(key) & t->mask; t->edges[at].child; at = (at + 1) & t->mask)
	{
		if (t->edges[at].key == key)
			return t->edges[at].child;
	}
	return 0;
}

#endif							/* RAG_ENGINE_VOCABULARY_H */
