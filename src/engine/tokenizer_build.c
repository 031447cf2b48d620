/*
 * tokenizer_build.c: from a source to the tables of a tokenizer.
 */
#include "engine/tokenizer_internal.h"

/* Tokens that end a turn or a text in the families we know, where they are special. */
static const char *const end_tokens[] = {
	"<|im_end|>", "<|eot_id|>", "<|eom_id|>", "<|end_of_text|>", "<|endoftext|>",
	"<end_of_turn>", "<|end|>", "<|end_of_turn|>"
};

/* The value of <0x00> to <0xFF>, or -1. */
static int
byte_value(const char *text, size_t length)
{
	int			value = 0;

	if (length != 6 || memcmp(text, "<0x", 3) != 0 || text[5] != '>')
		return -1;
	for (int i = 3; i < 5; i++)
	{
		char		c = text[i];

		if (c >= '0' && c <= '9')
			value = value * 16 + (c - '0');
		else if (c >= 'A' && c <= 'F')
			value = value * 16 + (c - 'A' + 10);
		else
			return -1;
	}
	return value;
}

/* The strings: model tokens first, then what is known of added tokens only. */
static bool
build_words(tokenizer *t, const tokenizer_source *s, text_buffer *scratch, engine_error *error)
{
	size_t		bytes = 0;

	for (size_t i = 0; i < s->n_tokens; i++)
	{
		if (s->tokens[i].length > UINT32_MAX - bytes)
			return engine_fail(error, ENGINE_UNSUPPORTED, "the vocabulary is too large");
		bytes += s->tokens[i].length;
	}
	if (!vocabulary_create(&t->words, (int32_t) s->n_tokens, bytes, error))
		return false;
	for (size_t i = 0; i < s->n_tokens; i++)
	{
		const source_token *token = &s->tokens[i];

		if (t->byte_level && token->kind == TOKEN_NORMAL)
		{
			scratch->used = 0;
			if (!byte_alphabet_decode(token->text, token->length, scratch))
				return engine_fail_memory(error, "a vocabulary");
			vocabulary_add(&t->words, scratch->data, scratch->used);
		}
		else
			vocabulary_add(&t->words, token->text, token->length);
	}
	return true;
}

static bool
is_metaspace(const char *text)
{
	return memcmp(text, METASPACE, METASPACE_LENGTH) == 0;
}

/*
 * What text can become: normal tokens. Special tokens are left out, so that no text
 * merges into one.
 */
static bool
index_token(tokenizer *t, const source_token *token, int32_t id, engine_error *error)
{
	size_t		length;
	const char *text = vocabulary_text(&t->words, id, &length);

	for (size_t i = 1; i + METASPACE_LENGTH <= length; i++)
	{
		bool		in_run = i >= METASPACE_LENGTH && is_metaspace(text + i - METASPACE_LENGTH);

		if (is_metaspace(text + i) && !in_run)
			t->before_space[(unsigned char) text[i - 1]] = true;
	}
	if (length == 0)
		return true;
	if (t->kind == TOKENIZER_BPE || t->kind == TOKENIZER_SENTENCEPIECE)
		return vocabulary_index(&t->words, id, error);
	if (utf8_validate(token->text, token->length) != token->length)
		return true;
	return trie_add(&t->pieces, text, length, id, error);
}

static bool
build_index(tokenizer *t, const tokenizer_source *s, engine_error *error)
{
	bool		pieces = t->kind == TOKENIZER_WORDPIECE || t->kind == TOKENIZER_UNIGRAM;

	t->flags = calloc(s->n_tokens + 1, 1);
	if (t->flags == NULL)
		return engine_fail_memory(error, "a vocabulary");
	if (pieces && !trie_create(&t->pieces, error))
		return false;
	for (int i = 0; i < 256; i++)
		t->byte_ids[i] = -1;
	for (size_t i = 0; i < s->n_added; i++)
	{
		if (s->added[i].id < 0 || (size_t) s->added[i].id >= s->n_tokens)
			return engine_fail(error, ENGINE_CORRUPT, "added token %d is out of range",
							   s->added[i].id);
		if (s->added[i].special)
			t->flags[s->added[i].id] |= TOKEN_IS_SPECIAL;
	}
	for (size_t i = 0; i < s->n_tokens; i++)
	{
		const source_token *token = &s->tokens[i];
		int			byte = -1;

		if (s->byte_fallback && (token->kind == TOKEN_BYTE || token->kind == TOKEN_NORMAL))
			byte = byte_value(token->text, token->length);
		if (byte >= 0)
		{
			t->byte_ids[byte] = (int32_t) i;
			t->flags[i] |= TOKEN_IS_BYTE;
		}
		else if (token->kind == TOKEN_NORMAL && !(t->flags[i] & TOKEN_IS_SPECIAL) &&
				 !index_token(t, token, (int32_t) i, error))
			return false;
	}
	for (int byte = 0; byte < 256 && t->byte_level; byte++)
	{
		char		c = (char) byte;

		t->byte_ids[byte] = vocabulary_find(&t->words, &c, 1);
	}
	return true;
}

static bool
check_id(int32_t id, size_t count, const char *what, engine_error *error)
{
	if (id < -1 || (id >= 0 && (size_t) id >= count))
		return engine_fail(error, ENGINE_CORRUPT, "%s token %d is not in the vocabulary of %zu",
						   what, id, count);
	return true;
}

static bool
check_template(const sequence_template *item, size_t count, engine_error *error)
{
	for (int i = 0; i < item->count; i++)
	{
		if (item->items[i].kind == TEMPLATE_TOKEN &&
			(item->items[i].id < 0 || (size_t) item->items[i].id >= count))
			return engine_fail(error, ENGINE_CORRUPT,
							   "token %d around a text is not in the vocabulary of %zu",
							   item->items[i].id, count);
	}
	return true;
}

static bool
build_ends(tokenizer *t, const tokenizer_source *s)
{
	for (int i = 0; i < s->n_ends; i++)
	{
		if (s->ends[i] < t->words.count)
			t->flags[s->ends[i]] |= TOKEN_IS_END;
	}
	if (t->eos >= 0)
		t->flags[t->eos] |= TOKEN_IS_END;
	for (size_t i = 0; i < sizeof(end_tokens) / sizeof(end_tokens[0]); i++)
	{
		const added_token *token = added_find(t, end_tokens[i], strlen(end_tokens[i]));

		if (token && token->special)
			t->flags[token->id] |= TOKEN_IS_END;
	}
	return true;
}

static bool
build_model(tokenizer *t, const tokenizer_source *s, engine_error *error)
{
	switch (t->kind)
	{
		case TOKENIZER_WORDPIECE:
			return wordpiece_build(t, s, error);
		case TOKENIZER_BPE:
			return bpe_build(t, s, error);
		case TOKENIZER_SENTENCEPIECE:
			return sentencepiece_build(t, s, error);
		case TOKENIZER_UNIGRAM:
			return unigram_build(t, s, error);
	}
	return engine_fail(error, ENGINE_INTERNAL, "no such kind of tokenizer");
}

static bool
build(tokenizer *t, const tokenizer_source *s, engine_error *error)
{
	text_buffer scratch = {0};
	bool		done;

	t->kind = s->kind;
	t->normal = s->normal;
	t->pre = s->pre;
	t->single = s->single;
	t->pair = s->pair;
	t->byte_level = s->byte_level;
	t->byte_fallback = s->byte_fallback;
	t->fuse_unknown = s->fuse_unknown;
	t->whole_words = s->whole_words;
	t->unknown = s->unknown;
	t->bos = s->bos;
	t->eos = s->eos;
	if (s->n_tokens == 0 || s->n_tokens > VOCABULARY_MAX_TOKENS)
		return engine_fail(error, ENGINE_CORRUPT, "a vocabulary of %zu tokens", s->n_tokens);
	if (!check_id(t->unknown, s->n_tokens, "unknown", error) ||
		!check_id(t->bos, s->n_tokens, "beginning", error) ||
		!check_id(t->eos, s->n_tokens, "end", error) ||
		!check_template(&t->single, s->n_tokens, error) ||
		!check_template(&t->pair, s->n_tokens, error))
		return false;
	done = build_words(t, s, &scratch, error);
	free(scratch.data);
	if (!done || !build_index(t, s, error) || !added_build(t, s, error) ||
		!build_model(t, s, error) || !build_ends(t, s))
		return false;
	if (s->chat_template)
	{
		t->chat_template = strndup(s->chat_template, s->chat_template_length);
		if (t->chat_template == NULL)
			return engine_fail_memory(error, "a chat template");
	}
	return true;
}

tokenizer *
tokenizer_build(const tokenizer_source *s, engine_error *error)
{
	tokenizer  *t = calloc(1, sizeof(*t));

	if (t == NULL)
		engine_fail_memory(error, "a tokenizer");
	else if (!build(t, s, error))
	{
		tokenizer_close(t);
		t = NULL;
	}
	return t;
}

void
tokenizer_close(tokenizer *t)
{
	if (t == NULL)
		return;
	vocabulary_free(&t->words);
	trie_free(&t->added_raw);
	trie_free(&t->added_normalized);
	trie_free(&t->pieces);
	free(t->flags);
	free(t->added);
	free(t->merges);
	free(t->ranks);
	free(t->scores);
	free(t->chat_template);
	free(t);
}
