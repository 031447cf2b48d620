/*
 * added.c: tokens that are cut out of a text before anything else looks at it.
 */
#include "engine/tokenizer_internal.h"
#include "engine/unicode.h"

#define ADDED_MAX_BYTES 512		/* of a token; bounds the work of a byte of text */

/* The bytes of white space that end (or begin) a text. */
static size_t
space_before(const char *text, size_t from, size_t at)
{
	size_t		start = at;

	while (start > from)
	{
		size_t		previous = start - 1;
		int			n;

		while (previous > from && ((unsigned char) text[previous] & 0xC0) == 0x80)
			previous--;
		if (!(unicode_kind(utf8_decode(text + previous, &n)) & UNICODE_SPACE))
			break;
		start = previous;
	}
	return at - start;
}

static size_t
space_after(const char *text, size_t at, size_t length)
{
	size_t		end = at;
	int			n;

	while (end < length && (unicode_kind(utf8_decode(text + end, &n)) & UNICODE_SPACE))
		end += (size_t) n;
	return end - at;
}

static bool
is_single_word(const char *text, size_t start, size_t end, size_t length)
{
	int			n;

	if (start > 0)
	{
		size_t		previous = start - 1;

		while (previous > 0 && ((unsigned char) text[previous] & 0xC0) == 0x80)
			previous--;
		if (unicode_kind(utf8_decode(text + previous, &n)) & UNICODE_WORD)
			return false;
	}
	return end == length || !(unicode_kind(utf8_decode(text + end, &n)) & UNICODE_WORD);
}

/* The longest added token at a place, or -1; *end is where it ends. */
static int32_t
longest(const trie *tokens, const char *text, size_t at, size_t length, size_t *end)
{
	uint32_t	node = 0;
	int32_t		found = -1;

	while (at < length)
	{
		node = trie_next(tokens, node, (unsigned char) text[at++]);
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

bool
added_next(const tokenizer *t, const trie *tokens, const char *text, size_t length, size_t from,
		   bool parse, added_match *match)
{
	size_t		at = from;

	while (at < length)
	{
		const added_token *token;
		int32_t		found = -1;
		size_t		end = 0;

		if (tokens->first[(unsigned char) text[at]] != 0)
			found = longest(tokens, text, at, length, &end);
		if (found < 0)
		{
			at++;
			continue;
		}
		token = &t->added[found];
		if ((token->special && !parse) ||
			(token->single_word && !is_single_word(text, at, end, length)))
		{
			/* as the reference: what matched is passed over as a whole */
			at = end;
			continue;
		}
		match->start = at - (token->strip_left ? space_before(text, from, at) : 0);
		match->end = end + (token->strip_right ? space_after(text, end, length) : 0);
		match->token = token;
		return true;
	}
	return false;
}

const added_token *
added_find(const tokenizer *t, const char *text, size_t length)
{
	const trie *const tries[] = {&t->added_raw, &t->added_normalized};

	for (int i = 0; i < 2; i++)
	{
		size_t		end = 0;
		int32_t		found = length > 0 ? longest(tries[i], text, 0, length, &end) : -1;

		if (found >= 0 && end == length)
			return &t->added[found];
	}
	return NULL;
}

static bool
add_one(tokenizer *t, const source_added *a, text_buffer scratch[2], engine_error *error)
{
	int32_t		place = (int32_t) t->n_added;
	const char *text = a->text;
	size_t		length = a->length;

	if (length == 0)
		return true;
	if (length > ADDED_MAX_BYTES)
		return engine_fail(error, ENGINE_UNSUPPORTED, "added token %d has %zu bytes, limit is %d",
						   a->id, length, ADDED_MAX_BYTES);
	if (utf8_validate(text, length) != length)
		return engine_fail(error, ENGINE_CORRUPT, "added token %d is not UTF-8", a->id);
	t->added[t->n_added++] = (added_token)
	{
		.id = a->id,
		.special = a->special,
		.single_word = a->single_word,
		.strip_left = a->strip_left,
		.strip_right = a->strip_right,
	};
	if (!a->normalized)
	{
		t->any_raw = true;
		return trie_add(&t->added_raw, text, length, place, error);
	}
	t->any_normalized = true;
	if (!normalize_text(&t->normal, text, length, scratch, &text, &length))
		return engine_fail_memory(error, "a normalised token");
	return length == 0 || trie_add(&t->added_normalized, text, length, place, error);
}

bool
added_build(tokenizer *t, const tokenizer_source *s, engine_error *error)
{
	text_buffer scratch[2] = {{0}, {0}};
	bool		done = true;

	if (!trie_create(&t->added_raw, error) || !trie_create(&t->added_normalized, error))
		return false;
	t->added = calloc(s->n_added + 1, sizeof(*t->added));
	if (t->added == NULL)
		return engine_fail_memory(error, "added tokens");
	for (size_t i = 0; i < s->n_added && done; i++)
		done = add_one(t, &s->added[i], scratch, error);
	free(scratch[0].data);
	free(scratch[1].data);
	return done;
}
