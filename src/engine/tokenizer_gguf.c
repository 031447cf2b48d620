/*
 * tokenizer_gguf.c: the tokenizer of a GGUF file.
 *
 * The metadata names an algorithm ("gpt2", "llama", "bert") and, for gpt2, a
 * pre-tokenizer; what Hugging Face writes as normalizers and templates is implied.
 */
#include "engine/tokenizer_internal.h"

/* tokenizer.ggml.token_type */
enum
{
	GGUF_NORMAL = 1, GGUF_UNKNOWN = 2, GGUF_CONTROL = 3, GGUF_USER_DEFINED = 4, GGUF_UNUSED = 5,
	GGUF_BYTE = 6
};

static bool
string_is(model_string s, const char *word)
{
	return s.length == strlen(word) && memcmp(s.data, word, s.length) == 0;
}

static int
shown(model_string s)
{
	return s.length < 64 ? (int) s.length : 64;
}

static int32_t
to_id(int64_t id)
{
	return id >= 0 && id < VOCABULARY_MAX_TOKENS ? (int32_t) id : -1;
}

/* An id around a text; ids that are absent or absurd are left out. */
static void
add_item(sequence_template *t, int64_t id, int type)
{
	if (id >= 0 && id < VOCABULARY_MAX_TOKENS && t->count < TEMPLATE_MAX_ITEMS)
		t->items[t->count++] = (template_item) {TEMPLATE_TOKEN, (int32_t) id, type};
}

static void
add_text(sequence_template *t, int which, int type)
{
	t->items[t->count].kind = which;
	t->items[t->count].id = -1;
	t->items[t->count++].type = type;
}

static void
surround(tokenizer_source *s, const tokenizer_metadata *meta, bool bos, bool eos)
{
	if (bos)
		add_item(&s->single, meta->bos, 0);
	add_text(&s->single, TEMPLATE_A, 0);
	if (eos)
		add_item(&s->single, meta->eos, 0);
}

static token_kind
kind_of(int32_t type)
{
	switch (type)
	{
		case GGUF_UNKNOWN:
		case GGUF_CONTROL:
			return TOKEN_RESERVED;
		case GGUF_BYTE:
			return TOKEN_BYTE;
		default:
			return TOKEN_NORMAL;
	}
}

/* The tokens as they are, and those that are cut out of a text first. */
static bool
take_tokens(tokenizer_source *s, const tokenizer_metadata *meta, engine_error *error)
{
	size_t		n = meta->n_tokens;

	if (n == 0 || n > VOCABULARY_MAX_TOKENS)
		return engine_fail(error, ENGINE_CORRUPT, "tokenizer.ggml.tokens has %zu entries", n);
	if ((meta->types && meta->n_types != n) || (meta->scores && meta->n_scores != n))
		return engine_fail(error, ENGINE_CORRUPT,
						   "tokenizer.ggml has %zu tokens, %zu types and %zu scores", n,
						   meta->types ? meta->n_types : n, meta->scores ? meta->n_scores : n);
	s->tokens = tokenizer_source_own(s, calloc(n, sizeof(*s->tokens)), free);
	s->added = tokenizer_source_own(s, calloc(n, sizeof(*s->added)), free);
	if (s->tokens == NULL || s->added == NULL)
		return engine_fail_memory(error, "a vocabulary");
	s->n_tokens = n;
	for (size_t i = 0; i < n; i++)
	{
		int32_t		type = meta->types ? meta->types[i] : GGUF_NORMAL;
		source_token *token = &s->tokens[i];

		token->text = meta->tokens[i].data;
		token->length = meta->tokens[i].length;
		token->score = meta->scores ? (double) meta->scores[i] : 0;
		token->kind = kind_of(type);
		if (type != GGUF_CONTROL && type != GGUF_UNKNOWN && type != GGUF_USER_DEFINED)
			continue;
		s->added[s->n_added].id = (int32_t) i;
		s->added[s->n_added].text = token->text;
		s->added[s->n_added].length = token->length;
		s->added[s->n_added++].special = type != GGUF_USER_DEFINED;
	}
	return true;
}

static bool
take_merges(tokenizer_source *s, const tokenizer_metadata *meta, engine_error *error)
{
	s->merges = tokenizer_source_own(s, calloc(meta->n_merges + 1, sizeof(*s->merges)), free);
	if (s->merges == NULL)
		return engine_fail_memory(error, "a list of merges");
	for (size_t i = 0; i < meta->n_merges; i++)
	{
		model_string m = meta->merges[i];
		const char *space = m.length > 1 ? memchr(m.data + 1, ' ', m.length - 1) : NULL;

		if (space == NULL)
			return engine_fail(error, ENGINE_CORRUPT, "tokenizer.ggml.merges[%zu] has no space", i);
		s->merges[i] = (source_merge)
		{
			.left = m.data,
			.left_length = (size_t) (space - m.data),
			.right = space + 1,
			.right_length = m.length - (size_t) (space - m.data) - 1
		};
	}
	s->n_merges = meta->n_merges;
	return true;
}

typedef struct known_pre
{
	const char *name;
	pretokenize_pattern pattern;
	bool		single_digits;
	bool		whole_words;
	bool		bos;			/* when the file does not say */
} known_pre;

static bool
take_gpt2(tokenizer_source *s, const tokenizer_metadata *meta, engine_error *error)
{
	static const known_pre known[] = {
		{"gpt-2", PATTERN_GPT2, false, false, false},
		{"gpt2", PATTERN_GPT2, false, false, false},
		{"smollm", PATTERN_GPT2, true, false, false},
		{"llama-bpe", PATTERN_LLAMA3, false, true, true},
		{"llama3", PATTERN_LLAMA3, false, true, true},
		{"llama-v3", PATTERN_LLAMA3, false, true, true},
	};
	const known_pre *pre = NULL;

	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
	{
		if (string_is(meta->pre, known[i].name))
			pre = &known[i];
	}
	if (pre == NULL && meta->pre.length == 0)
		return engine_fail(error, ENGINE_UNSUPPORTED,
						   "tokenizer.ggml.pre is missing: the file does not say how to cut words");
	if (pre == NULL)
		return engine_fail(error, ENGINE_UNSUPPORTED, "tokenizer.ggml.pre \"%.*s\" is not known",
						   shown(meta->pre), meta->pre.data);
	s->kind = TOKENIZER_BPE;
	s->byte_level = true;
	s->whole_words = pre->whole_words;
	s->pre.kind = PRETOKENIZE_PATTERN;
	s->pre.pattern = pre->pattern;
	s->pre.digits = s->pre.single_digits = pre->single_digits;
	s->pre.prefix_space = meta->add_space_prefix == 1;
	s->unknown = -1;			/* every byte that text may hold is a token, or is dropped */
	surround(s, meta, meta->add_bos < 0 ? pre->bos : meta->add_bos == 1, meta->add_eos == 1);
	return take_merges(s, meta, error);
}

static bool
take_llama(tokenizer_source *s, const tokenizer_metadata *meta, engine_error *error)
{
	normalize_step prepend = {.kind = NORMALIZE_PREPEND,.replacement = METASPACE,
	.replacement_length = METASPACE_LENGTH};
	normalize_step spaces = {.kind = NORMALIZE_REPLACE,.pattern = " ",.pattern_length = 1,
	.replacement = METASPACE,.replacement_length = METASPACE_LENGTH};

	if (meta->scores == NULL)
		return engine_fail(error, ENGINE_CORRUPT, "tokenizer.ggml.scores is missing");
	s->kind = TOKENIZER_SENTENCEPIECE;
	s->byte_fallback = true;
	s->pre.kind = PRETOKENIZE_WHOLE;
	if (meta->add_space_prefix != 0)
		s->normal.steps[s->normal.count++] = prepend;
	s->normal.steps[s->normal.count++] = spaces;
	surround(s, meta, meta->add_bos != 0, meta->add_eos == 1);
	return true;
}

/* GGUF writes words with U+2581 in front and continuations without; back to "##". */
static bool
restore_continuations(tokenizer_source *s, engine_error *error)
{
	size_t		bytes = 0;
	char	   *text;

	for (size_t i = 0; i < s->n_tokens; i++)
		bytes += s->tokens[i].length + 2;
	text = tokenizer_source_own(s, malloc(bytes + 1), free);
	if (text == NULL)
		return engine_fail_memory(error, "a vocabulary");
	for (size_t i = 0; i < s->n_tokens; i++)
	{
		source_token *token = &s->tokens[i];

		if (token->kind != TOKEN_NORMAL)
			continue;
		if (token->length >= METASPACE_LENGTH &&
			memcmp(token->text, METASPACE, METASPACE_LENGTH) == 0)
		{
			token->text += METASPACE_LENGTH;
			token->length -= METASPACE_LENGTH;
			continue;
		}
		memcpy(text, "##", 2);
		if (token->length > 0)
			memcpy(text + 2, token->text, token->length);
		token->text = text;
		token->length += 2;
		text += token->length;
	}
	return true;
}

/* The file does not say whether the model is uncased; a cased vocabulary has capitals. */
static bool
has_capitals(const tokenizer_source *s)
{
	for (size_t i = 0; i < s->n_tokens; i++)
	{
		for (size_t k = 0; s->tokens[i].kind == TOKEN_NORMAL && k < s->tokens[i].length; k++)
		{
			/* "[unused7]" is lower case too; the other names in brackets are special */
			if (s->tokens[i].text[0] != '[' && s->tokens[i].text[k] >= 'A' &&
				s->tokens[i].text[k] <= 'Z')
				return true;
		}
	}
	return false;
}

/* A special token's id: what the metadata says, else the token of that name. */
static int64_t
named(const tokenizer_source *s, int64_t id, const char *name)
{
	for (size_t i = 0; id < 0 && i < s->n_tokens; i++)
	{
		if (string_is((model_string) {s->tokens[i].text, s->tokens[i].length}, name))
			id = (int64_t) i;
	}
	return id;
}

static bool
take_bert(tokenizer_source *s, const tokenizer_metadata *meta, engine_error *error)
{
	normalize_step *bert = &s->normal.steps[0];
	int64_t		cls = named(s, meta->cls >= 0 ? meta->cls : meta->bos, "[CLS]");
	int64_t		separator = named(s, meta->separator, "[SEP]");

	s->kind = TOKENIZER_WORDPIECE;
	s->unknown = to_id(named(s, meta->unknown, "[UNK]"));
	s->max_word = 100;
	memcpy(s->prefix, "##", 3);
	if (cls < 0 || separator < 0)
		return engine_fail(error, ENGINE_CORRUPT, "the BERT vocabulary has no [CLS] or [SEP]");
	if (!restore_continuations(s, error))
		return false;
	bert->kind = NORMALIZE_BERT;
	bert->clean = bert->space_ideographs = true;
	bert->lower = bert->strip_accents = !has_capitals(s);
	s->normal.count = 1;
	s->pre.kind = PRETOKENIZE_BERT;
	add_item(&s->single, cls, 0);
	add_text(&s->single, TEMPLATE_A, 0);
	add_item(&s->single, separator, 0);
	s->pair = s->single;
	add_text(&s->pair, TEMPLATE_B, 1);
	add_item(&s->pair, separator, 1);
	return true;
}

bool
tokenizer_source_from_metadata(tokenizer_source *s, const tokenizer_metadata *meta,
							   engine_error *error)
{
	s->unknown = to_id(meta->unknown);
	s->bos = to_id(meta->bos);
	s->eos = to_id(meta->eos);
	if (!tokenizer_source_add_end(s, meta->eos) || !tokenizer_source_add_end(s, meta->eot) ||
		!tokenizer_source_add_end(s, meta->eom))
		return engine_fail(error, ENGINE_INTERNAL, "too many end tokens");
	s->chat_template = meta->chat_template.data;
	s->chat_template_length = meta->chat_template.length;
	if (!take_tokens(s, meta, error))
		return false;
	if (string_is(meta->model, "gpt2"))
		return take_gpt2(s, meta, error);
	if (string_is(meta->model, "llama"))
		return take_llama(s, meta, error);
	if (string_is(meta->model, "bert"))
		return take_bert(s, meta, error);
	return engine_fail(error, ENGINE_UNSUPPORTED, "tokenizer.ggml.model \"%.*s\" is not supported",
					   shown(meta->model), meta->model.data ? meta->model.data : "");
}
