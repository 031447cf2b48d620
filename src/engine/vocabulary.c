/*
 * vocabulary.c: the string table and the trie of a tokenizer.
 */
#include "engine/vocabulary.h"

#include <stdlib.h>
#include <string.h>

static bool
fail_collisions(engine_error *error)
{
	return engine_fail(error, ENGINE_CORRUPT, "the vocabulary is made to collide in hash tables");
}

/* The smallest power of two that is at least twice count. */
static uint32_t
table_size(uint32_t count)
{
	uint32_t	size = 16;

	while (size < 2 * count)
		size *= 2;
	return size;
}

static uint32_t
hash_bytes(const char *text, size_t length)
{
	uint64_t	h = 0x9E3779B97F4A7C15u ^ length;

	for (; length >= 8; text += 8, length -= 8)
	{
		uint64_t	word;

		memcpy(&word, text, 8);
		h = (h ^ word) * 0xBF58476D1CE4E5B9u;
		h ^= h >> 32;
	}
	if (length > 0)
	{
		uint64_t	word = 0;

		memcpy(&word, text, length);
		h = (h ^ word) * 0xBF58476D1CE4E5B9u;
		h ^= h >> 32;
	}
	h *= 0x94D049BB133111EBu;
	return (uint32_t) (h >> 32);
}

bool
vocabulary_create(vocabulary *v, int32_t count, size_t bytes, engine_error *error)
{
	uint32_t	size = table_size((uint32_t) count);

	memset(v, 0, sizeof(*v));
	if (bytes > UINT32_MAX / 2)
		return engine_fail(error, ENGINE_UNSUPPORTED, "the vocabulary has %zu bytes of text",
						   bytes);
	v->bytes = malloc(bytes + 1);
	v->capacity = bytes;
	v->starts = malloc(((size_t) count + 1) * sizeof(*v->starts));
	v->slots = malloc(size * sizeof(*v->slots));
	if (v->bytes == NULL || v->starts == NULL || v->slots == NULL)
		return engine_fail_memory(error, "a vocabulary");
	memset(v->slots, 0xFF, size * sizeof(*v->slots));
	v->mask = size - 1;
	v->starts[0] = 0;
	return true;
}

void
vocabulary_add(vocabulary *v, const char *text, size_t length)
{
	if (length > v->capacity - v->used)
		length = v->capacity - v->used;
	if (length > 0)
		memcpy(v->bytes + v->used, text, length);
	v->used += length;
	v->starts[++v->count] = (uint32_t) v->used;
}

void
vocabulary_free(vocabulary *v)
{
	free(v->bytes);
	free(v->starts);
	free(v->slots);
	memset(v, 0, sizeof(*v));
}

/* The place of a string, or the free place where it would go. */
static uint32_t
find_slot(const vocabulary *v, const char *text, size_t length, uint32_t hash, int *probes)
{
	uint32_t	at = hash & v->mask;

	for (*probes = 0; v->slots[at].id >= 0; at = (at + 1) & v->mask, (*probes)++)
	{
		size_t		found_length;
		const char *found;

		if (v->slots[at].hash != hash)
			continue;
		found = vocabulary_text(v, v->slots[at].id, &found_length);
		if (found_length == length && memcmp(found, text, length) == 0)
			break;
	}
	return at;
}

bool
vocabulary_index(vocabulary *v, int32_t id, engine_error *error)
{
	size_t		length;
	const char *text = vocabulary_text(v, id, &length);
	uint32_t	hash = hash_bytes(text, length);
	int			probes;
	uint32_t	at = find_slot(v, text, length, hash, &probes);

	if (probes > VOCABULARY_MAX_PROBES)
		return fail_collisions(error);
	v->slots[at] = (vocabulary_slot) {hash, id};
	return true;
}

int32_t
vocabulary_find(const vocabulary *v, const char *text, size_t length)
{
	int			probes;

	return v->slots[find_slot(v, text, length, hash_bytes(text, length), &probes)].id;
}

bool
trie_create(trie *t, engine_error *error)
{
	memset(t, 0, sizeof(*t));
	t->mask = 1023;
	t->edges = calloc(t->mask + 1, sizeof(*t->edges));
	t->capacity = 512;
	t->values = malloc(t->capacity * sizeof(*t->values));
	if (t->edges == NULL || t->values == NULL)
	{
		trie_free(t);
		return engine_fail_memory(error, "a vocabulary");
	}
	t->nodes = 1;
	t->values[0] = -1;
	return true;
}

void
trie_free(trie *t)
{
	free(t->edges);
	free(t->values);
	memset(t, 0, sizeof(*t));
}

static bool
place_edge(trie_edge *edges, uint32_t mask, uint32_t key, uint32_t child)
{
	uint32_t	at = hash_mix(key) & mask;
	int			probes = 0;

	for (; edges[at].child; at = (at + 1) & mask)
	{
		if (++probes > VOCABULARY_MAX_PROBES)
			return false;
	}
	edges[at] = (trie_edge) {key, child};
	return true;
}

static bool
grow(trie *t, engine_error *error)
{
	uint32_t	capacity = 2 * t->capacity;
	uint32_t	mask = 2 * t->mask + 1;
	int32_t    *values;
	trie_edge  *edges;

	if (capacity > TRIE_MAX_NODES)
		return engine_fail(error, ENGINE_UNSUPPORTED, "the vocabulary has too much text");
	values = realloc(t->values, capacity * sizeof(*values));
	if (values == NULL)
		return engine_fail_memory(error, "a vocabulary");
	t->values = values;
	t->capacity = capacity;
	edges = calloc((size_t) mask + 1, sizeof(*edges));
	if (edges == NULL)
		return engine_fail_memory(error, "a vocabulary");
	for (uint32_t i = 0; i <= t->mask; i++)
	{
		if (t->edges[i].child &&
			!place_edge(edges, mask, t->edges[i].key, t->edges[i].child))
		{
			free(edges);
			return fail_collisions(error);
		}
	}
	free(t->edges);
	t->edges = edges;
	t->mask = mask;
	return true;
}

bool
trie_add(trie *t, const char *text, size_t length, int32_t value, engine_error *error)
{
	uint32_t	node = 0;

	for (size_t i = 0; i < length; i++)
	{
		unsigned char byte = (unsigned char) text[i];
		uint32_t	next = trie_next(t, node, byte);

		if (next == 0)
		{
			if (t->nodes == t->capacity && !grow(t, error))
				return false;
			next = t->nodes;
			if (node == 0)
				t->first[byte] = next;
			else if (!place_edge(t->edges, t->mask, node << 8 | byte, next))
				return fail_collisions(error);
			t->values[t->nodes++] = -1;
		}
		node = next;
	}
	if (node != 0)
		t->values[node] = value;
	return true;
}
