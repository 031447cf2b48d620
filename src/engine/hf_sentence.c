/*
 * hf_sentence.c: how a BERT model becomes an embedding model: the files that
 * sentence-transformers keeps beside it.
 *
 * modules.json lists the steps; the pooling step has a folder with a config.json;
 * sentence_bert_config.json and tokenizer_config.json limit the length. A folder
 * without modules.json means mean pooling and unit length.
 */
#include "engine/hf.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A JSON object of the folder; *doc is NULL, without failure, when there is no such file. */
static bool
open_object(const model *m, const char *file, hf_object *o, json **doc, engine_error *error)
{
	engine_error reason = {0};

	*doc = file_read_json(m->folder, file, HF_JSON_MAX, &reason);
	*o = (hf_object)
	{
		.m = m,.file = file,.value = *doc ? json_root(*doc) : NULL,.error = error
	};
	if (*doc || reason.code == ENGINE_NOT_FOUND)
		return true;
	return engine_fail(error, reason.code, "%s: %s", m->file, reason.message);
}

/* Version 5.3 of sentence-transformers names the mode, earlier ones have a flag for each. */
static bool
read_pooling_mode(const hf_object *o, model_pooling *pooling)
{
	static const char *const flags[][2] = {
		{"pooling_mode_mean_tokens", "mean"},
		{"pooling_mode_cls_token", "cls"},
		{"pooling_mode_max_tokens", "max"},
		{"pooling_mode_mean_sqrt_len_tokens", "mean_sqrt_len_tokens"},
		{"pooling_mode_weightedmean_tokens", "weightedmean"},
		{"pooling_mode_lasttoken", "lasttoken"}
	};
	const char *mode;

	if (!hf_get_string(o, "pooling_mode", NULL, &mode))
		return false;
	for (size_t i = 0; i < sizeof(flags) / sizeof(flags[0]); i++)
	{
		bool		on;

		if (!hf_get_bool(o, flags[i][0], false, &on))
			return false;
		if (on && mode != NULL && strcmp(mode, flags[i][1]) != 0)
			return hf_fail(o, ENGINE_UNSUPPORTED, flags[i][0],
						   "beside another pooling mode is not supported");
		if (on)
			mode = flags[i][1];
	}
	if (mode == NULL)
		return engine_fail(o->error, ENGINE_CORRUPT, "%s: %s names no pooling mode", o->m->file,
						   o->file);
	*pooling = strcmp(mode, "cls") == 0 ? POOLING_CLS : POOLING_MEAN;
	if (*pooling == POOLING_MEAN && strcmp(mode, "mean") != 0)
		return engine_fail(o->error, ENGINE_UNSUPPORTED,
						   "%s: pooling mode \"%.100s\" is not supported",
						   o->m->file, mode);
	return true;
}

/* folder: of the pooling step, as modules.json has it. */
static bool
read_pooling(model *m, const char *folder, engine_error *error)
{
	char		file[256];
	hf_object	o;
	json	   *doc;
	int			width;
	bool		good = false;

	if (!hf_is_plain_name(folder, strlen(folder)))
		return engine_fail(error, ENGINE_CORRUPT,
						   "%s: modules.json: path \"%.100s\" is no plain name",
						   m->file, folder);
	snprintf(file, sizeof(file), "%s/config.json", folder);
	if (!open_object(m, file, &o, &doc, error))
		return false;
	if (doc == NULL)
		return engine_fail(error, ENGINE_NOT_FOUND, "%s: file \"%s\" is missing", m->file, file);
	if (hf_get_int(&o, "word_embedding_dimension", MODEL_MAX_HIDDEN, m->config.hidden_size,
				   &width) &&
		read_pooling_mode(&o, &m->config.pooling))
		good = width == m->config.hidden_size ||
			hf_fail(&o, ENGINE_CORRUPT, "word_embedding_dimension", "is not the model's");
	json_free(doc);
	return good;
}

/* One step of modules.json. */
static bool
read_module(model *m, const hf_object *module, bool *pooled)
{
	const char *type,
			   *path,
			   *kind;

	if (!hf_get_string(module, "type", "", &type) || !hf_get_string(module, "path", "", &path))
		return false;
	kind = strrchr(type, '.');
	kind = kind ? kind + 1 : type;
	if (strcmp(kind, "Transformer") == 0)
		return path[0] == '\0' ||
			hf_fail(module, ENGINE_UNSUPPORTED, "path", "of the transformer is not supported");
	if (strcmp(kind, "Pooling") == 0)
	{
		*pooled = true;
		return read_pooling(m, path, module->error);
	}
	if (strcmp(kind, "Normalize") == 0)
	{
		m->config.normalize = true;
		return true;
	}
	if (strcmp(kind, "Dropout") == 0)	/* does nothing outside training */
		return true;
	return engine_fail(module->error, ENGINE_UNSUPPORTED,
					   "%s: modules.json: step \"%.100s\" is not supported", m->file, type);
}

static bool
read_modules(model *m, engine_error *error)
{
	hf_object	o;
	json	   *doc;
	bool		pooled = false;
	bool		good = true;

	if (!open_object(m, "modules.json", &o, &doc, error))
		return false;
	if (doc == NULL)
		return true;
	m->config.normalize = false;
	for (const json_value *v = o.value->child; good && v; v = v->next)
	{
		hf_object	module = o;

		module.value = v;
		good = read_module(m, &module, &pooled);
	}
	json_free(doc);
	return good && (pooled || engine_fail(error, ENGINE_UNSUPPORTED,
										  "%s: modules.json has no pooling step", m->file));
}

/* The lesser of *limit and what the file says, if it says something that can be a length. */
static bool
read_limit(const model *m, const char *file, const char *key, int *limit, bool *found,
		   bool *lower_case, engine_error *error)
{
	hf_object	o;
	json	   *doc;
	int			value;

	*found = false;
	if (!open_object(m, file, &o, &doc, error))
		return false;
	if (doc == NULL)
		return true;
	/* tokenizers write 1e30 for "no limit" */
	value = (int) json_get_int(o.value, key, 1, MODEL_MAX_POSITIONS, 0);
	*found = value != 0;
	if (*found && value < *limit)
		*limit = value;
	if (lower_case)
		*lower_case = json_get_bool(o.value, "do_lower_case", false);
	json_free(doc);
	return true;
}

bool
hf_read_sentence(model *m, engine_error *error)
{
	model_config *c = &m->config;
	bool		found;

	if (c->labels > 0)
	{
		c->pooling = POOLING_CLS;
		c->normalize = false;
	}
	else if (!read_modules(m, error))
		return false;
	if (!read_limit(m, "sentence_bert_config.json", "max_seq_length", &c->max_sequence, &found,
					&c->lower_case, error))
		return false;
	return found || read_limit(m, "tokenizer_config.json", "model_max_length", &c->max_sequence,
							   &found, NULL, error);
}
