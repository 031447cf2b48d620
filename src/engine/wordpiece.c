/*
 * wordpiece.c: BERT's WordPiece: the longest token that begins a word, then the longest
 * continuation ("##ing"), and so on; a word that has a part without a token is unknown.
 */
#include "engine/tokenizer_internal.h"
#include "engine/unicode.h"

/* The longest token from node on; *end is where it ends. -1 if there is none. */
static int32_t
longest(const trie *tokens, uint32_t node, const char *word, size_t at, size_t length,
		size_t *end)
{
	int32_t		found = -1;

	while (at < length)
	{
		node = trie_next(tokens, node, (unsigned char) word[at++]);
		if (node == 0)
			break;
		if (tokens->values[node] >= 0)
		{
			found = tokens->values[node];
			*end = at;
		}
	}
	return found;
}

static bool
encode_word(tokenizer_run *run, const char *word, size_t length)
{
	const tokenizer *t = run->t;
	size_t		before = run->ids.used;
	size_t		at = 0;
	int			characters = 0;

	for (size_t i = 0; i < length && characters <= t->max_word; characters++)
		i += (size_t) utf8_length((unsigned char) word[i]);
	while (at < length && characters <= t->max_word)
	{
		int32_t		id = -1;

		if (at == 0 || t->continuation != 0 || t->prefix_length == 0)
			id = longest(&t->pieces, at == 0 ? 0 : t->continuation, word, at, length, &at);
		if (id < 0)
			break;
		if (!tokenizer_run_emit(run, id))
			return false;
	}
	if (at == length)
		return true;
	run->ids.used = before;
	return tokenizer_run_emit(run, t->unknown);
}

bool
wordpiece_build(tokenizer *t, const tokenizer_source *s, engine_error *error)
{
	uint32_t	node = 0;

	if (s->unknown < 0)
		return engine_fail(error, ENGINE_CORRUPT, "the WordPiece vocabulary has no unknown token");
	if (s->max_word <= 0 || s->max_word > 10000)
		return engine_fail(error, ENGINE_UNSUPPORTED, "words of %d characters", s->max_word);
	t->max_word = s->max_word;
	memcpy(t->prefix, s->prefix, sizeof(t->prefix));
	t->prefix_length = (int) strlen(s->prefix);
	for (int i = 0; i < t->prefix_length; i++)
	{
		node = trie_next(&t->pieces, node, (unsigned char) t->prefix[i]);
		if (node == 0)
			break;
	}
	t->continuation = node;
	t->encode_piece = encode_word;
	return true;
}
