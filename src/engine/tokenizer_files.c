/*
 * tokenizer_files.c: the tokenizer of a Hugging Face folder: tokenizer.json, or BERT's
 * vocab.txt, with what tokenizer_config.json and generation_config.json add.
 */
#include "engine/tokenizer_json.h"

static void
free_json(void *doc)
{
	json_free(doc);
}

/* A file's document, owned by the source; *root is NULL when there is no file. */
static bool
parse(tokenizer_source *s, const char *text, size_t length, const char *name,
	  const json_value **root, engine_error *error)
{
	engine_error reason = {0};
	json	   *doc;

	*root = NULL;
	if (text == NULL)
		return true;
	doc = json_parse(text, length, &reason);
	if (doc == NULL)
		return engine_fail(error, reason.code, "%s: %s", name, reason.message);
	if (tokenizer_source_own(s, doc, free_json) == NULL)
		return engine_fail_memory(error, name);
	*root = json_root(doc);
	return true;
}

/* One token a line; an id is a line's number. */
static bool
read_vocab(tokenizer_source *s, const char *text, size_t length, engine_error *error)
{
	size_t		lines = 1;
	const char *end = text + length;

	for (size_t i = 0; i < length; i++)
		lines += text[i] == '\n';
	s->tokens = tokenizer_source_own(s, calloc(lines, sizeof(*s->tokens)), free);
	if (s->tokens == NULL)
		return engine_fail_memory(error, "a vocabulary");
	while (text < end)
	{
		const char *line_end = memchr(text, '\n', (size_t) (end - text));
		source_token *token = &s->tokens[s->n_tokens++];

		if (line_end == NULL)
			line_end = end;
		token->text = text;
		token->length = (size_t) (line_end - text);
		if (token->length > 0 && token->text[token->length - 1] == '\r')
			token->length--;
		token->kind = TOKEN_NORMAL;
		text = line_end < end ? line_end + 1 : end;
	}
	return true;
}

/* The special tokens that BERT's vocabulary names, reserved. */
static bool
reserve_special(tokenizer_source *s, int32_t ids[5], engine_error *error)
{
	static const char *const names[] = {"[UNK]", "[CLS]", "[SEP]", "[PAD]", "[MASK]"};

	s->added = tokenizer_source_own(s, calloc(5, sizeof(*s->added)), free);
	if (s->added == NULL)
		return engine_fail_memory(error, "a vocabulary");
	for (int i = 0; i < 5; i++)
	{
		ids[i] = -1;
		for (size_t k = 0; k < s->n_tokens; k++)
		{
			if (s->tokens[k].length == strlen(names[i]) &&
				memcmp(s->tokens[k].text, names[i], s->tokens[k].length) == 0)
				ids[i] = (int32_t) k;
		}
		if (ids[i] < 0 && i < 3)
			return engine_fail(error, ENGINE_CORRUPT, "vocab.txt has no %s", names[i]);
		if (ids[i] < 0)
			continue;
		s->tokens[ids[i]].kind = TOKEN_RESERVED;
		s->added[s->n_added].id = ids[i];
		s->added[s->n_added].text = s->tokens[ids[i]].text;
		s->added[s->n_added].length = s->tokens[ids[i]].length;
		s->added[s->n_added++].special = true;
	}
	return true;
}

static bool
from_vocab(tokenizer_source *s, const tokenizer_files *f, engine_error *error)
{
	normalize_step *bert = &s->normal.steps[0];
	int32_t		ids[5];

	if (!read_vocab(s, f->vocab, f->vocab_length, error) || !reserve_special(s, ids, error))
		return false;
	s->kind = TOKENIZER_WORDPIECE;
	s->unknown = ids[0];
	s->max_word = 100;
	memcpy(s->prefix, "##", 3);
	*bert = (normalize_step)
	{
		.kind = NORMALIZE_BERT,.clean = true,.space_ideographs = true,.strip_accents = true,
		.lower = true
	};
	s->normal.count = 1;
	s->pre.kind = PRETOKENIZE_BERT;
	s->single = (sequence_template)
	{
		{{TEMPLATE_TOKEN, ids[1], 0}, {TEMPLATE_A, -1, 0}, {TEMPLATE_TOKEN, ids[2], 0}}, 3
	};
	s->pair = s->single;
	s->pair.items[s->pair.count++] = (template_item) {TEMPLATE_B, -1, 1};
	s->pair.items[s->pair.count++] = (template_item) {TEMPLATE_TOKEN, ids[2], 1};
	return true;
}

static bool
from_json(tokenizer_source *s, const json_value *root, engine_error *error)
{
	if (!tokenizer_json_model(s, root, error) ||
		!tokenizer_json_added(s, json_get(root, "added_tokens"), error) ||
		!tokenizer_json_normalizer(&s->normal, json_get(root, "normalizer"), error) ||
		!tokenizer_json_pre(s, json_get(root, "pre_tokenizer"), error) ||
		!tokenizer_json_post(s, json_get(root, "post_processor"), error))
		return false;
	if (s->byte_level && s->kind != TOKENIZER_BPE)
		return engine_fail(error, ENGINE_UNSUPPORTED, "byte-level pieces for a model other than BPE");
	return true;
}

/* "eos_token": "</s>" or {"content": "</s>"} */
static int32_t
find_token(const tokenizer_source *s, const json_value *config, const char *key)
{
	const json_value *v = json_get(config, key);

	if (v && v->kind == JSON_OBJECT)
		v = json_get(v, "content");
	if (v == NULL || v->kind != JSON_STRING)
		return -1;
	for (size_t i = 0; i < s->n_added; i++)
	{
		if (s->added[i].length == v->length && memcmp(s->added[i].text, v->string, v->length) == 0)
			return s->added[i].id;
	}
	for (size_t i = 0; i < s->n_tokens; i++)
	{
		if (s->tokens[i].length == v->length && memcmp(s->tokens[i].text, v->string, v->length) == 0)
			return (int32_t) i;
	}
	return -1;
}

/* "eos_token_id": 2 or [2, 3] */
static bool
take_ends(tokenizer_source *s, const json_value *config, engine_error *error)
{
	const json_value *v = json_get(config, "eos_token_id");
	const json_value *one = v && v->kind == JSON_ARRAY ? v->child : v;

	for (; one && (one == v || v->kind == JSON_ARRAY); one = one == v ? NULL : one->next)
	{
		if (one->kind == JSON_NUMBER && one->number >= 0 && one->number < (double) s->n_tokens &&
			!tokenizer_source_add_end(s, (int64_t) one->number))
			return engine_fail(error, ENGINE_UNSUPPORTED, "more than %d tokens that end a text",
							   SOURCE_MAX_ENDS);
	}
	return true;
}

/* A template as text, or the one named "default" of a list. */
static void
take_chat_template(tokenizer_source *s, const tokenizer_files *f, const json_value *config)
{
	const json_value *v = json_get(config, "chat_template");

	if (f->chat_template)
	{
		s->chat_template = f->chat_template;
		s->chat_template_length = f->chat_template_length;
		return;
	}
	if (v && v->kind == JSON_ARRAY)
	{
		const json_value *named = v->child;

		while (named && strcmp(json_get_string(named, "name", ""), "default") != 0)
			named = named->next;
		v = json_get(named, "template");
	}
	if (v && v->kind == JSON_STRING)
	{
		s->chat_template = v->string;
		s->chat_template_length = v->length;
	}
}

/* transformers lets the configuration of a BERT tokenizer overrule its normalizer. */
static void
overrule_bert(tokenizer_source *s, const json_value *config)
{
	const json_value *accents = json_get(config, "strip_accents");

	if (strncmp(json_get_string(config, "tokenizer_class", "Bert"), "Bert", 4) != 0)
		return;
	for (int i = 0; i < s->normal.count; i++)
	{
		normalize_step *step = &s->normal.steps[i];
		bool		lower = json_get_bool(config, "do_lower_case", step->lower);

		if (step->kind != NORMALIZE_BERT)
			continue;
		/* accents follow the case unless the configuration says something of its own */
		if (step->strip_accents == step->lower)
			step->strip_accents = lower;
		if (accents && accents->kind != JSON_NULL)
			step->strip_accents = accents->kind == JSON_TRUE;
		step->lower = lower;
		step->space_ideographs = json_get_bool(config, "tokenize_chinese_chars",
											   step->space_ideographs);
	}
}

bool
tokenizer_source_from_files(tokenizer_source *s, const tokenizer_files *f, engine_error *error)
{
	const json_value *root;
	const json_value *config;
	const json_value *generation;
	const json_value *architecture;

	if (!parse(s, f->tokenizer_json, f->tokenizer_json_length, "tokenizer.json", &root, error) ||
		!parse(s, f->tokenizer_config, f->tokenizer_config_length, "tokenizer_config.json",
			   &config, error) ||
		!parse(s, f->generation_config, f->generation_config_length, "generation_config.json",
			   &generation, error) ||
		!parse(s, f->config, f->config_length, "config.json", &architecture, error))
		return false;
	if (root == NULL && f->vocab == NULL)
		return engine_fail(error, ENGINE_NOT_FOUND, "the model has no tokenizer.json or vocab.txt");
	if (root ? !from_json(s, root, error) : !from_vocab(s, f, error))
		return false;
	overrule_bert(s, config);
	s->bos = find_token(s, config, "bos_token");
	s->eos = find_token(s, config, "eos_token");
	take_chat_template(s, f, config);
	return take_ends(s, generation, error) && take_ends(s, architecture, error);
}

tokenizer *
tokenizer_open_files(const tokenizer_files *files, engine_error *error)
{
	tokenizer_source source;
	tokenizer  *t = NULL;

	tokenizer_source_init(&source);
	if (tokenizer_source_from_files(&source, files, error))
		t = tokenizer_build(&source, error);
	tokenizer_source_free(&source);
	return t;
}
