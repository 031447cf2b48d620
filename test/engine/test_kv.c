/*
 * test_kv.c: the block table against a slow and obvious model of it.
 */
#include "tap.h"

#include <stdlib.h>
#include <string.h>

#include "engine/kv.h"

#define BLOCKS 24
#define DEPTH 3
#define OPERATIONS 200000

static uint32_t seed = 1;

static uint32_t
draw(uint32_t limit)
{
	seed = seed * 1664525 + 1013904223;
	return (seed >> 8) % limit;
}

/* What a block holds, as the oracle knows it: the whole text from the beginning. */
typedef struct shadow
{
	int			references;
	bool		known;
	int			length;			/* blocks of the text */
	int			text[DEPTH];	/* each stands for a block of equal tokens */
} shadow;

static void
tokens_of(int letter, int32_t *tokens)
{
	for (int i = 0; i < KV_BLOCK_SIZE; i++)
		tokens[i] = letter * 100 + i;
}

static bool
same_text(const shadow *s, const int *text, int length)
{
	return s->known && s->length == length &&
		memcmp(s->text, text, (size_t) length * sizeof(int)) == 0;
}

/* A sequence of up to DEPTH blocks begins: hits for what is cached, new blocks for the rest. */
static int
begin(kv_blocks *kv, shadow *shadows, int *held, bool *wrong)
{
	int			text[DEPTH];
	int			length = 1 + (int) draw(DEPTH);
	uint64_t	chain = KV_ROOT;
	int			count = 0;
	bool		hitting = true;

	for (int i = 0; i < length; i++)
		text[i] = (int) draw(3);
	for (int i = 0; i < length; i++)
	{
		int32_t		tokens[KV_BLOCK_SIZE];
		uint64_t	identity;
		int			block;

		tokens_of(text[i], tokens);
		block = hitting ? kv_lookup(kv, chain, tokens, &identity) : -1;
		if (block >= 0)
		{
			*wrong |= !same_text(&shadows[block], text, i + 1);
			kv_acquire(kv, block);
			shadows[block].references++;
			chain = identity;
		}
		else
		{
			hitting = false;
			block = kv_alloc(kv);
			if (block < 0)
				break;
			*wrong |= shadows[block].references != 0;
			chain = kv_register(kv, block, chain, tokens);
			shadows[block].references = 1;
			shadows[block].known = true;
			shadows[block].length = i + 1;
			memcpy(shadows[block].text, text, sizeof(text));
		}
		held[count++] = block;
	}
	return count;
}

static void
test_random(void)
{
	engine_error error;
	kv_blocks  *kv = kv_open(BLOCKS, &error);
	shadow		shadows[BLOCKS] = {0};
	int			held[8][DEPTH];
	int			counts[8] = {0};
	bool		wrong = false;

	for (int i = 0; i < OPERATIONS && !wrong; i++)
	{
		int			slot = (int) draw(8);
		int			used = 0;

		if (counts[slot] == 0)
			counts[slot] = begin(kv, shadows, held[slot], &wrong);
		else
		{
			while (counts[slot] > 0)
			{
				int			block = held[slot][--counts[slot]];

				kv_release(kv, block);
				shadows[block].references--;
			}
		}
		for (int b = 0; b < BLOCKS; b++)
		{
			used += shadows[b].references > 0;
			wrong |= kv_references(kv, b) != shadows[b].references;
		}
		wrong |= kv_free(kv) != BLOCKS - used;
	}
	ok(!wrong, "%d random operations: references, hits and the free list are right", OPERATIONS);
	for (int slot = 0; slot < 8; slot++)
		while (counts[slot] > 0)
			kv_release(kv, held[slot][--counts[slot]]);
	ok(kv_free(kv) == BLOCKS, "all blocks come back");
	kv_close(kv);
}

static void
test_order(void)
{
	engine_error error;
	kv_blocks  *kv = kv_open(4, &error);
	int32_t		tokens[KV_BLOCK_SIZE];
	uint64_t	identity;
	int			blocks[4];
	uint64_t	chain = KV_ROOT;

	for (int i = 0; i < 4; i++)
	{
		blocks[i] = kv_alloc(kv);
		tokens_of(i, tokens);
		chain = kv_register(kv, blocks[i], chain, tokens);
	}
	ok(kv_alloc(kv) == -1, "a full cache has no block to give");
	for (int i = 3; i >= 0; i--)
		kv_release(kv, blocks[i]);
	ok(kv_alloc(kv) == blocks[3], "the end of a prefix is used again first");
	tokens_of(0, tokens);
	ok(kv_lookup(kv, KV_ROOT, tokens, &identity) == blocks[0], "its beginning is still known");
	tokens_of(1, tokens);
	ok(kv_lookup(kv, KV_ROOT, tokens, &identity) == -1, "equal tokens after another prefix are no hit");
	kv_forget(kv);
	tokens_of(0, tokens);
	ok(kv_lookup(kv, KV_ROOT, tokens, &identity) == -1, "what is forgotten is not found");
	ok(kv_free(kv) == 3, "forgetting changes no reference");
	kv_close(kv);
}

/* Two sequences compute the same block at the same time: one identity, two blocks. */
static void
test_twins(void)
{
	engine_error error;
	kv_blocks  *kv = kv_open(4, &error);
	int32_t		tokens[KV_BLOCK_SIZE];
	uint64_t	first,
				second,
				identity;
	int			a = kv_alloc(kv),
				b = kv_alloc(kv);

	tokens_of(1, tokens);
	first = kv_register(kv, a, KV_ROOT, tokens);
	second = kv_register(kv, b, KV_ROOT, tokens);
	ok(first == second && kv_lookup(kv, KV_ROOT, tokens, &identity) == a, "equal blocks have one identity");
	kv_release(kv, b);
	ok(kv_alloc(kv) == b, "the twin that cannot be found is used again first");
	kv_close(kv);
}

int
main(void)
{
	test_random();
	test_order();
	test_twins();
	return tap_done();
}
