/*
 * sentencepiece.c: BPE as SentencePiece does it (Llama 2, Gemma): any two neighbours whose
 * text is a token may merge, the token with the best score first. What is left and is no
 * token becomes bytes (<0x0A>), or the unknown token.
 */
#include "engine/tokenizer_internal.h"
#include "engine/unicode.h"

static bool
lookup_text(const tokenizer *t, const char *piece, const bpe_symbol *left,
			const bpe_symbol *right, bpe_candidate *out)
{
	int32_t		id = vocabulary_find(&t->words, piece + left->start,
									 (size_t) left->length + right->length);

	if (id < 0)
		return false;
	out->rank = t->ranks[id];
	out->id = id;
	return true;
}

static bool
encode_segment(tokenizer_run *run, const char *piece, size_t length)
{
	const tokenizer *t = run->t;
	size_t		i = 0;

	run->n_symbols = 0;
	while (i < length)
	{
		size_t		n = (size_t) utf8_length((unsigned char) piece[i]);

		if (!bpe_add_symbol(run, vocabulary_find(&t->words, piece + i, n), i, n))
			return false;
		i += n;
	}
	if (!bpe_merge_all(run, piece, lookup_text))
		return false;
	for (int32_t s = run->n_symbols > 0 ? 0 : -1; s >= 0; s = run->symbols[s].next)
	{
		const bpe_symbol *symbol = &run->symbols[s];

		if (symbol->id >= 0 ? !tokenizer_run_emit(run, symbol->id) :
			!tokenizer_run_unknown(run, piece + symbol->start, symbol->length))
			return false;
	}
	return true;
}

static bool
encode_piece(tokenizer_run *run, const char *piece, size_t length)
{
	size_t		end;

	for (size_t start = 0; start < length; start = end)
	{
		end = bpe_segment_end(run->t, piece, start, length);
		if (!encode_segment(run, piece + start, end - start))
			return false;
	}
	return true;
}

typedef struct scored
{
	double		score;
	int32_t		id;
} scored;

static int
compare_scores(const void *a, const void *b)
{
	double		x = ((const scored *) a)->score;
	double		y = ((const scored *) b)->score;

	return (x < y) - (x > y);
}

bool
sentencepiece_build(tokenizer *t, const tokenizer_source *s, engine_error *error)
{
	size_t		n = s->n_tokens;
	scored	   *order = malloc((n + 1) * sizeof(*order));
	uint32_t	rank = 0;

	t->ranks = malloc((n + 1) * sizeof(*t->ranks));
	if (order == NULL || t->ranks == NULL)
	{
		free(order);
		return engine_fail_memory(error, "the scores of a vocabulary");
	}
	for (size_t i = 0; i < n; i++)
		order[i] = (scored) {s->tokens[i].score, (int32_t) i};
	qsort(order, n, sizeof(*order), compare_scores);
	for (size_t i = 0; i < n; i++)
	{
		if (i > 0 && order[i].score != order[i - 1].score)
			rank++;
		t->ranks[order[i].id] = rank;
	}
	free(order);
	t->cuts = true;
	t->encode_piece = encode_piece;
	return true;
}
