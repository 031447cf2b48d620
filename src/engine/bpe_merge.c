/*
 * bpe_merge.c: byte-pair merging: again and again the best pair, the leftmost of equals.
 *
 * Most pieces are words of a few symbols: a scan over them is fastest. A long piece
 * takes a heap of candidates, so that its time is n log n. Symbols only grow, so a
 * candidate is stale exactly when the lengths of its two symbols have changed.
 */
#include "engine/tokenizer_internal.h"

#define SHORT_PIECE 32			/* symbols */

size_t
bpe_segment_end(const tokenizer *t, const char *piece, size_t start, size_t length)
{
	if (!t->cuts)
		return length;
	for (size_t i = start + 1; i + METASPACE_LENGTH <= length; i++)
	{
		if (piece[i] == METASPACE[0] && memcmp(piece + i, METASPACE, METASPACE_LENGTH) == 0 &&
			!t->before_space[(unsigned char) piece[i - 1]])
			return i;
	}
	return length;
}

bool
bpe_add_symbol(tokenizer_run *run, int32_t id, size_t start, size_t length)
{
	void	   *grown = run->symbols;
	int32_t		n = (int32_t) run->n_symbols;

	if (!buffer_grow(&grown, run->n_symbols, &run->symbols_capacity, 1, sizeof(bpe_symbol)))
		return engine_fail_memory(run->error, "the symbols of a text");
	run->symbols = grown;
	run->symbols[n] = (bpe_symbol) {id, n - 1, -1, (uint32_t) start, (uint32_t) length};
	if (n > 0)
		run->symbols[n - 1].next = n;
	run->n_symbols++;
	return true;
}

/* The symbol takes its right neighbour in. */
static void
merge(bpe_symbol *symbols, int32_t left, int32_t id)
{
	bpe_symbol *a = &symbols[left];
	bpe_symbol *b = &symbols[a->next];

	a->id = id;
	a->length += b->length;
	a->next = b->next;
	b->length = 0;
	if (a->next >= 0)
		symbols[a->next].previous = left;
}

/* The candidate of a symbol and its right neighbour; rank UINT32_MAX when there is none. */
static void
look_up(const tokenizer_run *run, const char *piece, bpe_lookup lookup, int32_t left,
		bpe_candidate *out)
{
	const bpe_symbol *a = &run->symbols[left];

	out->rank = UINT32_MAX;
	if (a->next < 0)
		return;
	if (!lookup(run->t, piece, a, &run->symbols[a->next], out))
		out->rank = UINT32_MAX;
	out->left = left;
	out->length = a->length + run->symbols[a->next].length;
}

static void
merge_short(tokenizer_run *run, const char *piece, bpe_lookup lookup)
{
	bpe_candidate candidates[SHORT_PIECE];
	bpe_symbol *symbols = run->symbols;

	for (int32_t i = 0; i < (int32_t) run->n_symbols; i++)
		look_up(run, piece, lookup, i, &candidates[i]);
	for (;;)
	{
		int32_t		best = 0;

		for (int32_t i = symbols[0].next; i >= 0; i = symbols[i].next)
		{
			if (candidates[i].rank < candidates[best].rank)
				best = i;
		}
		if (candidates[best].rank == UINT32_MAX)
			return;
		merge(symbols, best, candidates[best].id);
		look_up(run, piece, lookup, best, &candidates[best]);
		if (symbols[best].previous >= 0)
			look_up(run, piece, lookup, symbols[best].previous,
					&candidates[symbols[best].previous]);
	}
}

static bool
before(const bpe_candidate *a, const bpe_candidate *b)
{
	return a->rank < b->rank || (a->rank == b->rank && a->left < b->left);
}

static void
sift_down(bpe_candidate *heap, size_t count, size_t at)
{
	bpe_candidate moved = heap[at];

	for (;;)
	{
		size_t		child = 2 * at + 1;

		if (child >= count)
			break;
		if (child + 1 < count && before(&heap[child + 1], &heap[child]))
			child++;
		if (!before(&heap[child], &moved))
			break;
		heap[at] = heap[child];
		at = child;
	}
	heap[at] = moved;
}

static bool
push(tokenizer_run *run, const bpe_candidate *c)
{
	void	   *grown = run->heap;
	size_t		at = run->n_heap;

	if (!buffer_grow(&grown, run->n_heap, &run->heap_capacity, 1, sizeof(bpe_candidate)))
		return engine_fail_memory(run->error, "the merges of a text");
	run->heap = grown;
	run->n_heap++;
	while (at > 0 && before(c, &run->heap[(at - 1) / 2]))
	{
		run->heap[at] = run->heap[(at - 1) / 2];
		at = (at - 1) / 2;
	}
	run->heap[at] = *c;
	return true;
}

static bool
merge_long(tokenizer_run *run, const char *piece, bpe_lookup lookup)
{
	bpe_symbol *symbols = run->symbols;
	bpe_candidate c;

	run->n_heap = 0;
	for (int32_t i = 0; i < (int32_t) run->n_symbols; i++)
	{
		look_up(run, piece, lookup, i, &c);
		if (c.rank != UINT32_MAX && !push(run, &c))
			return false;
	}
	while (run->n_heap > 0)
	{
		const bpe_symbol *a;

		if (!tokenizer_run_goes_on(run))
			return false;
		c = run->heap[0];
		run->heap[0] = run->heap[--run->n_heap];
		sift_down(run->heap, run->n_heap, 0);

		a = &symbols[c.left];
		if (a->length == 0 || a->next < 0 || a->length + symbols[a->next].length != c.length)
			continue;
		merge(symbols, c.left, c.id);
		look_up(run, piece, lookup, c.left, &c);
		if (c.rank != UINT32_MAX && !push(run, &c))
			return false;
		if (a->previous >= 0)
		{
			look_up(run, piece, lookup, a->previous, &c);
			if (c.rank != UINT32_MAX && !push(run, &c))
				return false;
		}
	}
	return true;
}

bool
bpe_merge_all(tokenizer_run *run, const char *piece, bpe_lookup lookup)
{
	if (run->n_symbols < 2)
		return true;
	if (run->n_symbols > SHORT_PIECE)
		return merge_long(run, piece, lookup);
	merge_short(run, piece, lookup);
	return true;
}
