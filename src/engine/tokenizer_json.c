/*
 * tokenizer_json.c: "model" and "added_tokens" of tokenizer.json.
 */
#include "engine/tokenizer_json.h"

static bool
token_id(const json_value *v, int32_t *id)
{
	if (v == NULL || v->kind != JSON_NUMBER || !(v->number >= 0) ||
		v->number >= VOCABULARY_MAX_TOKENS || v->number != (double) (int32_t) v->number)
		return false;
	*id = (int32_t) v->number;
	return true;
}

static bool
fail_id(const char *text, engine_error *error)
{
	return engine_fail(error, ENGINE_CORRUPT, "token \"%.64s\" has no id below %d", text,
					   VOCABULARY_MAX_TOKENS);
}

/*
 * Room for ids up to the largest of the vocabulary and of the added tokens. Vocabularies
 * have few holes; one absurd id must not claim the memory of millions.
 */
static bool
allocate_tokens(tokenizer_source *s, int32_t largest, size_t count, const json_value *added,
				engine_error *error)
{
	count += added ? added->count : 0;
	for (const json_value *v = added ? added->child : NULL; v; v = v->next)
	{
		int32_t		id;

		if (!token_id(json_get(v, "id"), &id))
			return fail_id(json_get_string(v, "content", ""), error);
		if (id > largest)
			largest = id;
	}
	if ((size_t) (largest + 1) > 2 * count + 1024)
		return engine_fail(error, ENGINE_CORRUPT, "%zu tokens have ids up to %d", count, largest);
	s->n_tokens = (size_t) (largest + 1);
	s->tokens = tokenizer_source_own(s, calloc(s->n_tokens + 1, sizeof(*s->tokens)), free);
	return s->tokens != NULL || engine_fail_memory(error, "a vocabulary");
}

/* {"token": id, ...} */
static bool
take_dictionary(tokenizer_source *s, const json_value *vocab, const json_value *added,
				engine_error *error)
{
	int32_t		largest = -1;
	int32_t		id;

	if (vocab == NULL || vocab->kind != JSON_OBJECT)
		return engine_fail(error, ENGINE_CORRUPT, "tokenizer.json has no vocabulary");
	for (const json_value *v = vocab->child; v; v = v->next)
	{
		if (!token_id(v, &id))
			return fail_id(v->key, error);
		if (id > largest)
			largest = id;
	}
	if (!allocate_tokens(s, largest, vocab->count, added, error))
		return false;
	for (const json_value *v = vocab->child; v; v = v->next)
	{
		source_token *token = &s->tokens[(int32_t) v->number];

		token->text = v->key;
		token->length = v->key_length;
		token->kind = TOKEN_NORMAL;
	}
	return true;
}

/* [["token", score], ...] */
static bool
take_scored(tokenizer_source *s, const json_value *vocab, const json_value *added,
			engine_error *error)
{
	source_token *token;

	if (vocab == NULL || vocab->kind != JSON_ARRAY || vocab->count > VOCABULARY_MAX_TOKENS)
		return engine_fail(error, ENGINE_CORRUPT, "tokenizer.json has no vocabulary");
	if (!allocate_tokens(s, (int32_t) vocab->count - 1, vocab->count, added, error))
		return false;
	token = s->tokens;
	for (const json_value *v = vocab->child; v; v = v->next, token++)
	{
		if (v->kind != JSON_ARRAY || v->count != 2 || v->child->kind != JSON_STRING ||
			v->child->next->kind != JSON_NUMBER)
			return engine_fail(error, ENGINE_CORRUPT, "token %td is no pair of a string and a score",
							   token - s->tokens);
		token->text = v->child->string;
		token->length = v->child->length;
		token->score = v->child->next->number;
		token->kind = TOKEN_NORMAL;
	}
	return true;
}

/* ["a b", ...] of old or [["a", "b"], ...] */
static bool
take_merges(tokenizer_source *s, const json_value *merges, engine_error *error)
{
	source_merge *m;

	if (merges == NULL || merges->kind != JSON_ARRAY)
		return engine_fail(error, ENGINE_CORRUPT, "tokenizer.json has no merges");
	m = tokenizer_source_own(s, calloc(merges->count + 1, sizeof(*m)), free);
	if (m == NULL)
		return engine_fail_memory(error, "a list of merges");
	s->merges = m;
	s->n_merges = merges->count;
	for (const json_value *v = merges->child; v; v = v->next, m++)
	{
		const char *space;

		if (v->kind == JSON_ARRAY && v->count == 2 && v->child->kind == JSON_STRING &&
			v->child->next->kind == JSON_STRING)
		{
			*m = (source_merge)
			{
				v->child->string, v->child->length, v->child->next->string,
					v->child->next->length
			};
			continue;
		}
		space = v->kind == JSON_STRING ? memchr(v->string, ' ', v->length) : NULL;
		if (space == NULL)
			return engine_fail(error, ENGINE_CORRUPT, "merge %td is no pair of tokens",
							   m - s->merges);
		*m = (source_merge)
		{
			v->string, (size_t) (space - v->string), space + 1,
				v->length - (size_t) (space - v->string) - 1
		};
	}
	return true;
}

/* The id of the token that "unk_token" names. */
static int32_t
find_unknown(const tokenizer_source *s, const char *name)
{
	for (size_t i = 0; name && i < s->n_tokens; i++)
	{
		if (s->tokens[i].length == strlen(name) &&
			memcmp(s->tokens[i].text, name, s->tokens[i].length) == 0)
			return (int32_t) i;
	}
	return -1;
}

static bool
absent(const json_value *spec, const char *key)
{
	const json_value *v = json_get(spec, key);

	return v == NULL || v->kind == JSON_NULL || (v->kind == JSON_STRING && v->length == 0);
}

static bool
take_bpe(tokenizer_source *s, const json_value *spec, const json_value *added,
		 engine_error *error)
{
	static const char *const unknown_options[] = {
		"dropout", "continuing_subword_prefix", "end_of_word_suffix"
	};

	for (size_t i = 0; i < sizeof(unknown_options) / sizeof(unknown_options[0]); i++)
	{
		if (!absent(spec, unknown_options[i]))
			return engine_fail(error, ENGINE_UNSUPPORTED, "BPE with \"%s\" is not supported",
							   unknown_options[i]);
	}
	s->kind = TOKENIZER_BPE;
	s->byte_fallback = json_get_bool(spec, "byte_fallback", false);
	s->fuse_unknown = json_get_bool(spec, "fuse_unk", false);
	s->whole_words = json_get_bool(spec, "ignore_merges", false);
	if (!take_dictionary(s, json_get(spec, "vocab"), added, error) ||
		!take_merges(s, json_get(spec, "merges"), error))
		return false;
	s->unknown = find_unknown(s, json_get_string(spec, "unk_token", NULL));
	return true;
}

static bool
take_wordpiece(tokenizer_source *s, const json_value *spec, const json_value *added,
			   engine_error *error)
{
	const char *prefix = json_get_string(spec, "continuing_subword_prefix", "##");

	if (strlen(prefix) >= sizeof(s->prefix))
		return engine_fail(error, ENGINE_UNSUPPORTED, "the WordPiece prefix \"%s\"", prefix);
	memcpy(s->prefix, prefix, strlen(prefix) + 1);
	s->kind = TOKENIZER_WORDPIECE;
	s->max_word = (int) json_get_int(spec, "max_input_chars_per_word", 1, 10000, 100);
	if (!take_dictionary(s, json_get(spec, "vocab"), added, error))
		return false;
	s->unknown = find_unknown(s, json_get_string(spec, "unk_token", "[UNK]"));
	return true;
}

static bool
take_unigram(tokenizer_source *s, const json_value *spec, const json_value *added,
			 engine_error *error)
{
	s->kind = TOKENIZER_UNIGRAM;
	s->byte_fallback = json_get_bool(spec, "byte_fallback", false);
	s->unknown = (int32_t) json_get_int(spec, "unk_id", 0, VOCABULARY_MAX_TOKENS - 1, -1);
	return take_scored(s, json_get(spec, "vocab"), added, error);
}

bool
tokenizer_json_model(tokenizer_source *s, const json_value *root, engine_error *error)
{
	const json_value *spec = json_get(root, "model");
	const json_value *added = json_get(root, "added_tokens");
	const char *type = json_get_string(spec, "type", NULL);

	if (spec == NULL || spec->kind != JSON_OBJECT)
		return engine_fail(error, ENGINE_CORRUPT, "tokenizer.json has no model");
	/* files of old name no type; only BPE has merges */
	if (type == NULL)
		type = json_get(spec, "merges") ? "BPE" : "WordPiece";
	if (strcmp(type, "BPE") == 0)
		return take_bpe(s, spec, added, error);
	if (strcmp(type, "WordPiece") == 0)
		return take_wordpiece(s, spec, added, error);
	if (strcmp(type, "Unigram") == 0)
		return take_unigram(s, spec, added, error);
	return engine_fail(error, ENGINE_UNSUPPORTED, "tokenizer model \"%.64s\" is not supported", type);
}

bool
tokenizer_json_added(tokenizer_source *s, const json_value *added, engine_error *error)
{
	if (added == NULL || added->kind == JSON_NULL)
		return true;
	if (added->kind != JSON_ARRAY)
		return engine_fail(error, ENGINE_CORRUPT, "\"added_tokens\" is no list");
	s->added = tokenizer_source_own(s, calloc(added->count + 1, sizeof(*s->added)), free);
	if (s->added == NULL)
		return engine_fail_memory(error, "added tokens");
	for (const json_value *v = added->child; v; v = v->next)
	{
		source_added *a = &s->added[s->n_added];
		const json_value *content = json_get(v, "content");
		source_token *token;

		if (content == NULL || content->kind != JSON_STRING || !token_id(json_get(v, "id"), &a->id))
			return engine_fail(error, ENGINE_CORRUPT, "added token %zu has no id or content",
							   s->n_added);
		a->text = content->string;
		a->length = content->length;
		a->special = json_get_bool(v, "special", false);
		a->normalized = json_get_bool(v, "normalized", !a->special);
		a->single_word = json_get_bool(v, "single_word", false);
		a->strip_left = json_get_bool(v, "lstrip", false);
		a->strip_right = json_get_bool(v, "rstrip", false);
		s->n_added++;

		/* its text is literal, also where the vocabulary is written in bytes */
		token = &s->tokens[a->id];
		token->text = a->text;
		token->length = a->length;
		if (token->kind == TOKEN_ABSENT || a->special)
			token->kind = TOKEN_RESERVED;
	}
	return true;
}
