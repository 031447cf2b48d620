/*
 * tokenizer_open.c: finding a tokenizer in a model's files.
 */
#include "engine/tokenizer_internal.h"

static int64_t
meta_id(const model *m, const char *key)
{
	int64_t		id;

	return model_meta_int(m, key, &id) && id >= 0 ? id : -1;
}

/* 1, 0, or -1 when the file does not say. */
static int
meta_flag(const model *m, const char *key)
{
	bool		flag;

	return model_meta_bool(m, key, &flag) ? flag : -1;
}

static void
read_metadata(const model *m, tokenizer_metadata *meta)
{
	*meta = (tokenizer_metadata) {0};
	model_meta_string(m, "tokenizer.ggml.model", &meta->model);
	model_meta_string(m, "tokenizer.ggml.pre", &meta->pre);
	model_meta_string(m, "tokenizer.chat_template", &meta->chat_template);
	meta->tokens = model_meta_strings(m, "tokenizer.ggml.tokens", &meta->n_tokens);
	meta->scores = model_meta_floats(m, "tokenizer.ggml.scores", &meta->n_scores);
	meta->types = model_meta_ints(m, "tokenizer.ggml.token_type", &meta->n_types);
	meta->merges = model_meta_strings(m, "tokenizer.ggml.merges", &meta->n_merges);
	if (meta->tokens == NULL)
		meta->n_tokens = 0;
	if (meta->merges == NULL)
		meta->n_merges = 0;
	meta->bos = meta_id(m, "tokenizer.ggml.bos_token_id");
	meta->eos = meta_id(m, "tokenizer.ggml.eos_token_id");
	meta->unknown = meta_id(m, "tokenizer.ggml.unknown_token_id");
	meta->separator = meta_id(m, "tokenizer.ggml.seperator_token_id");
	if (meta->separator < 0)
		meta->separator = meta_id(m, "tokenizer.ggml.separator_token_id");
	meta->cls = meta_id(m, "tokenizer.ggml.cls_token_id");
	meta->eot = meta_id(m, "tokenizer.ggml.eot_token_id");
	meta->eom = meta_id(m, "tokenizer.ggml.eom_token_id");
	meta->add_bos = meta_flag(m, "tokenizer.ggml.add_bos_token");
	meta->add_eos = meta_flag(m, "tokenizer.ggml.add_eos_token");
	meta->add_space_prefix = meta_flag(m, "tokenizer.ggml.add_space_prefix");
}

/* A file of the folder, owned by the source; absence is no failure. */
static bool
read_file(const model *m, tokenizer_source *s, const char *name, const char **text,
		  size_t *length, engine_error *error)
{
	engine_error reason = {0};
	char	   *data = model_read_file(m, name, length, &reason);

	*text = tokenizer_source_own(s, data, free);
	if (*text == NULL && data != NULL)
		return engine_fail_memory(error, name);
	if (data == NULL && reason.code != ENGINE_NOT_FOUND)
	{
		if (error)
			*error = reason;
		return false;
	}
	return true;
}

static bool
read_folder(const model *m, tokenizer_source *s, engine_error *error)
{
	tokenizer_files f = {0};

	if (!read_file(m, s, "tokenizer.json", &f.tokenizer_json, &f.tokenizer_json_length, error) ||
		!read_file(m, s, "tokenizer_config.json", &f.tokenizer_config,
				   &f.tokenizer_config_length, error) ||
		!read_file(m, s, "generation_config.json", &f.generation_config,
				   &f.generation_config_length, error) ||
		!read_file(m, s, "config.json", &f.config, &f.config_length, error) ||
		!read_file(m, s, "chat_template.jinja", &f.chat_template, &f.chat_template_length, error))
		return false;
	if (f.tokenizer_json == NULL &&
		!read_file(m, s, "vocab.txt", &f.vocab, &f.vocab_length, error))
		return false;
	return tokenizer_source_from_files(s, &f, error);
}

/* sentence-transformers may lower all text before a cased tokenizer sees it. */
static bool
lower_first(normalizer *n, engine_error *error)
{
	if (n->count == NORMALIZE_MAX_STEPS)
		return engine_fail(error, ENGINE_UNSUPPORTED, "the tokenizer has too many normalizers");
	memmove(n->steps + 1, n->steps, (size_t) n->count * sizeof(n->steps[0]));
	n->steps[0] = (normalize_step) {.kind = NORMALIZE_LOWER};
	n->count++;
	return true;
}

tokenizer *
tokenizer_open(const model *m, engine_error *error)
{
	const model_config *config = model_get_config(m);
	tokenizer_source source;
	tokenizer  *t = NULL;
	bool		done;

	tokenizer_source_init(&source);
	if (model_is_gguf(m))
	{
		tokenizer_metadata meta;

		read_metadata(m, &meta);
		done = tokenizer_source_from_metadata(&source, &meta, error);
	}
	else
		done = read_folder(m, &source, error);
	if (done && source.n_tokens > (size_t) config->vocab_size)
		done = engine_fail(error, ENGINE_CORRUPT, "the tokenizer has %zu tokens, the model %d",
						   source.n_tokens, config->vocab_size);
	if (done && config->lower_case)
		done = lower_first(&source.normal, error);
	if (done)
		t = tokenizer_build(&source, error);
	tokenizer_source_free(&source);
	return t;
}
