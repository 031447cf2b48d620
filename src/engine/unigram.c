/*
 * unigram.c: SentencePiece's Unigram model: the cut of a piece into tokens whose scores
 * have the greatest sum (Viterbi). A character that no token covers alone may be unknown
 * at a price; neighbouring unknowns are one.
 */
#include <math.h>

#include "engine/tokenizer_internal.h"
#include "engine/unicode.h"

#define UNKNOWN_PENALTY 10.0
#define UNIGRAM_MAX_TOKEN 512	/* bytes; bounds the work of a byte of text */

static void
reach(unigram_node *node, double score, int32_t id, size_t start)
{
	if (node->start == UINT32_MAX || score > node->score)
		*node = (unigram_node) {score, id, (uint32_t) start};
}

/* nodes[i] becomes the best way to the end of the first i bytes. */
static void
forward(const tokenizer *t, unigram_node *nodes, const char *piece, size_t length)
{
	nodes[0] = (unigram_node) {0, -1, 0};
	for (size_t i = 1; i <= length; i++)
		nodes[i].start = UINT32_MAX;
	for (size_t at = 0; at < length;)
	{
		size_t		n = (size_t) utf8_length((unsigned char) piece[at]);
		bool		covered = false;
		uint32_t	node = 0;

		for (size_t end = at; end < length;)
		{
			int32_t		id;

			node = trie_next(&t->pieces, node, (unsigned char) piece[end++]);
			if (node == 0)
				break;
			id = t->pieces.values[node];
			if (id < 0)
				continue;
			reach(&nodes[end], nodes[at].score + t->scores[id], id, at);
			covered = covered || end - at == n;
		}
		if (!covered)
			reach(&nodes[at + n], nodes[at].score + t->unknown_score, t->unknown, at);
		at += n;
	}
}

/* Follows the best way back and turns it round in place: nodes[i].start becomes the next end. */
static void
turn_round(unigram_node *nodes, size_t length)
{
	size_t		end = length;
	uint32_t	next = UINT32_MAX;

	while (end > 0)
	{
		size_t		start = nodes[end].start;

		nodes[end].start = next;
		next = (uint32_t) end;
		end = start;
	}
	nodes[0].start = next;
}

static bool
encode_piece(tokenizer_run *run, const char *piece, size_t length)
{
	const tokenizer *t = run->t;
	void	   *grown = run->nodes;
	size_t		unknown_from = SIZE_MAX;
	size_t		at = 0;

	if (!buffer_grow(&grown, 0, &run->nodes_capacity, length + 1, sizeof(*run->nodes)))
		return engine_fail_memory(run->error, "the paths of a text");
	run->nodes = grown;
	forward(t, run->nodes, piece, length);
	turn_round(run->nodes, length);
	while (at < length)
	{
		size_t		end = run->nodes[at].start;
		int32_t		id = run->nodes[end].id;

		if (id == t->unknown)
		{
			if (unknown_from == SIZE_MAX)
				unknown_from = at;
		}
		else
		{
			if (unknown_from != SIZE_MAX &&
				!tokenizer_run_unknown(run, piece + unknown_from, at - unknown_from))
				return false;
			unknown_from = SIZE_MAX;
			if (!tokenizer_run_emit(run, id))
				return false;
		}
		at = end;
	}
	return unknown_from == SIZE_MAX ||
		tokenizer_run_unknown(run, piece + unknown_from, length - unknown_from);
}

bool
unigram_build(tokenizer *t, const tokenizer_source *s, engine_error *error)
{
	double		least = INFINITY;

	t->scores = malloc((s->n_tokens + 1) * sizeof(*t->scores));
	if (t->scores == NULL)
		return engine_fail_memory(error, "the scores of a vocabulary");
	for (size_t i = 0; i < s->n_tokens; i++)
	{
		const source_token *token = &s->tokens[i];

		if (!isfinite(token->score))
			return engine_fail(error, ENGINE_CORRUPT, "token %zu has no finite score", i);
		if (token->kind == TOKEN_NORMAL && token->length > UNIGRAM_MAX_TOKEN)
			return engine_fail(error, ENGINE_UNSUPPORTED, "token %zu has %zu bytes, limit is %d",
							   i, token->length, UNIGRAM_MAX_TOKEN);
		if (token->kind != TOKEN_ABSENT)
			least = fmin(least, token->score);
		t->scores[i] = token->score;
	}
	if (s->unknown < 0)
		return engine_fail(error, ENGINE_CORRUPT, "the Unigram vocabulary has no unknown token");
	t->unknown_score = least - UNKNOWN_PENALTY;
	t->encode_piece = encode_piece;
	return true;
}
