/*
 * model_gguf.c: a model's config from the metadata of a GGUF file.
 *
 * Keys start with the architecture's name: "llama.block_count". What ggml's
 * converters write for models of these two architectures and what llama.cpp takes
 * a missing key to mean is followed.
 */
#include "engine/model_private.h"

#include <stdio.h>
#include <string.h>

#define KEY_SIZE 96

typedef struct gguf_reader
{
	model	   *m;
	const char *architecture;
	engine_error *error;
} gguf_reader;

static bool
is_text(model_string s, const char *text)
{
	return s.length == strlen(text) && memcmp(s.data, text, s.length) == 0;
}

/* "llama.block_count" from "block_count"; a key that names its own section stays as it is. */
static const char *
full_key(const gguf_reader *r, const char *key, char *out)
{
	if (strncmp(key, "tokenizer.", 10) == 0)
		return key;
	snprintf(out, KEY_SIZE, "%s.%s", r->architecture, key);
	return out;
}

/* A whole number from 1 to high. */
static bool
need_int(const gguf_reader *r, const char *key, int high, int *out)
{
	char		buffer[KEY_SIZE];
	const char *full = full_key(r, key, buffer);
	const gguf_value *v = gguf_find(r->m->metadata, full);
	int64_t		value = 0;

	if (v == NULL)
		return engine_fail(r->error, ENGINE_CORRUPT, "%s: key \"%s\" is missing", r->m->file, full);
	if (v->kind == GGUF_ARRAY)
		return engine_fail(r->error, ENGINE_UNSUPPORTED,
						   "%s: key \"%s\" has a value per layer, which is not supported",
						   r->m->file, full);
	if (!gguf_get_int(r->m->metadata, full, &value) || value < 1 || value > high)
		return engine_fail(r->error, ENGINE_CORRUPT,
						   "%s: key \"%s\" is no whole number from 1 to %d", r->m->file, full,
						   high);
	*out = (int) value;
	return true;
}

static bool
has_key(const gguf_reader *r, const char *key)
{
	char		buffer[KEY_SIZE];

	return gguf_find(r->m->metadata, full_key(r, key, buffer)) != NULL;
}

/* The same where a missing key means what *out holds already. */
static bool
maybe_int(const gguf_reader *r, const char *key, int high, int *out)
{
	return !has_key(r, key) || need_int(r, key, high, out);
}

static bool
need_float(const gguf_reader *r, const char *key, float *out)
{
	char		buffer[KEY_SIZE];
	const char *full = full_key(r, key, buffer);
	double		value = 0;

	if (!gguf_get_float(r->m->metadata, full, &value))
		return engine_fail(r->error, ENGINE_CORRUPT, "%s: key \"%s\" is missing or no number",
						   r->m->file, full);
	*out = (float) value;
	return true;
}

static bool
maybe_float(const gguf_reader *r, const char *key, float *out)
{
	return !has_key(r, key) || need_float(r, key, out);
}

/* A key that says that the model computes differently, unless it has the harmless value. */
static bool
refuse_int(const gguf_reader *r, const char *key, int64_t harmless)
{
	char		buffer[KEY_SIZE];
	const char *full = full_key(r, key, buffer);
	int64_t		value = 0;

	if (!has_key(r, key) ||
		(gguf_get_int(r->m->metadata, full, &value) && value == harmless))
		return true;
	return engine_fail(r->error, ENGINE_UNSUPPORTED, "%s: models with \"%s\" are not supported",
					   r->m->file, full);
}

/* The tokens are what ids mean; a vocabulary size that says otherwise is of no account. */
static bool
read_vocab_size(const gguf_reader *r)
{
	const gguf_value *v = gguf_find(r->m->metadata, "tokenizer.ggml.tokens");
	int		   *out = &r->m->config.vocab_size;

	if (v == NULL || v->kind != GGUF_ARRAY)
		return need_int(r, "vocab_size", MODEL_MAX_VOCAB, out);
	if (v->count < 1 || v->count > MODEL_MAX_VOCAB)
		return engine_fail(r->error, ENGINE_CORRUPT,
						   "%s: key \"tokenizer.ggml.tokens\" has %zu tokens, limit is %d",
						   r->m->file, v->count, MODEL_MAX_VOCAB);
	*out = (int) v->count;
	return true;
}

static bool
read_sizes(const gguf_reader *r)
{
	model_config *c = &r->m->config;

	if (!read_vocab_size(r) ||
		!need_int(r, "context_length", MODEL_MAX_POSITIONS, &c->max_positions) ||
		!need_int(r, "embedding_length", MODEL_MAX_HIDDEN, &c->hidden_size) ||
		!need_int(r, "feed_forward_length", MODEL_MAX_FF, &c->ff_size) ||
		!need_int(r, "block_count", MODEL_MAX_LAYERS, &c->layers) ||
		!need_int(r, "attention.head_count", MODEL_MAX_HEADS, &c->heads))
		return false;
	c->kv_heads = c->heads;
	if (!maybe_int(r, "attention.head_count_kv", MODEL_MAX_HEADS, &c->kv_heads))
		return false;
	if (has_key(r, "attention.key_length"))
		return need_int(r, "attention.key_length", MODEL_MAX_HEAD_SIZE, &c->head_size);
	if (c->hidden_size % c->heads != 0 || c->hidden_size / c->heads > MODEL_MAX_HEAD_SIZE)
		return engine_fail(r->error, ENGINE_CORRUPT,
						   "%s: %d elements cannot be split into %d heads",
						   r->m->file, c->hidden_size, c->heads);
	c->head_size = c->hidden_size / c->heads;
	return true;
}

static bool
read_rope(const gguf_reader *r)
{
	model_config *c = &r->m->config;
	char		key[KEY_SIZE];
	model_string kind = {"none", 4};

	c->rope_interleaved = true;
	c->rope_dims = c->head_size;
	c->rope_theta = 10000;
	c->rope_scale_factor = 1;
	if (!maybe_int(r, "rope.dimension_count", MODEL_MAX_HEAD_SIZE, &c->rope_dims) ||
		!maybe_float(r, "rope.freq_base", &c->rope_theta))
		return false;
	full_key(r, "rope.scaling.type", key);
	if (has_key(r, "rope.scaling.type") && !gguf_get_string(r->m->metadata, key, &kind))
		return engine_fail(r->error, ENGINE_CORRUPT, "%s: key \"%s\" is no string", r->m->file,
						   key);
	if (is_text(kind, "none"))
	{
		/* files of 2023 have only this */
		if (!has_key(r, "rope.scale_linear"))
			return true;
		c->rope_scale_kind = ROPE_LINEAR;
		return need_float(r, "rope.scale_linear", &c->rope_scale_factor);
	}
	if (!is_text(kind, "linear"))
		return engine_fail(r->error, ENGINE_UNSUPPORTED,
						   "%s: rope scaling \"%.*s\" is not supported", r->m->file,
						   GGUF_SHOWN(kind));
	c->rope_scale_kind = ROPE_LINEAR;
	return need_float(r, "rope.scaling.factor", &c->rope_scale_factor);
}

static bool
read_llama(const gguf_reader *r)
{
	model_config *c = &r->m->config;

	c->architecture = MODEL_LLAMA;
	c->attention_bias = tensor_table_find(&r->m->table, "blk.0.attn_q.bias") != NULL;
	return refuse_int(r, "expert_count", 0) &&
		refuse_int(r, "attention.value_length", c->head_size) &&
		need_float(r, "attention.layer_norm_rms_epsilon", &c->norm_epsilon) && read_rope(r);
}

/* As numbered by llama.cpp: none, mean, CLS, last, rank. */
static bool
read_pooling(const gguf_reader *r)
{
	model_config *c = &r->m->config;
	const table_tensor *classifier = tensor_table_find(&r->m->table, "cls.output.weight");
	int64_t		kind = 1;

	if (has_key(r, "pooling_type") &&
		!gguf_get_int(r->m->metadata, "bert.pooling_type", &kind))
		return engine_fail(r->error, ENGINE_CORRUPT, "%s: key \"bert.pooling_type\" is no integer",
						   r->m->file);
	c->normalize = true;
	switch (kind)
	{
		case 0:
			c->pooling = POOLING_NONE;
			return true;
		case 1:
			c->pooling = POOLING_MEAN;
			return true;
		case 2:
			c->pooling = POOLING_CLS;
			return true;
		case 4:
			break;
		default:
			return engine_fail(r->error, ENGINE_UNSUPPORTED,
							   "%s: pooling type %lld is not supported",
							   r->m->file, (long long) kind);
	}
	if (classifier == NULL)
		return engine_fail(r->error, ENGINE_UNSUPPORTED,
						   "%s: a reranker without tensor \"cls.output.weight\"", r->m->file);
	c->pooling = POOLING_CLS;
	c->normalize = false;
	c->labels = classifier->dimensions > 1 && classifier->shape[0] <= MODEL_MAX_LABELS ?
		(int) classifier->shape[0] : 1;
	return true;
}

static bool
read_bert(const gguf_reader *r)
{
	model_config *c = &r->m->config;
	const table_tensor *types = tensor_table_find(&r->m->table, "token_types.weight");
	bool		causal = false;

	c->architecture = MODEL_BERT;
	gguf_get_bool(r->m->metadata, "bert.attention.causal", &causal);
	if (causal)
		return engine_fail(r->error, ENGINE_UNSUPPORTED, "%s: causal BERT models are not supported",
						   r->m->file);
	c->max_sequence = c->max_positions;
	c->type_vocab_size = types && types->dimensions == 2 && types->shape[0] <= MODEL_MAX_TYPES ?
		(int) types->shape[0] : 1;
	return maybe_int(r, "tokenizer.ggml.token_type_count", MODEL_MAX_TYPES, &c->type_vocab_size) &&
		need_float(r, "attention.layer_norm_epsilon", &c->norm_epsilon) && read_pooling(r);
}

bool
model_gguf_config(model *m, engine_error *error)
{
	gguf_reader r = {.m = m, .error = error};
	model_string architecture = {"", 0};
	model_string name;
	bool		llama;

	if (!gguf_get_string(m->metadata, "general.architecture", &architecture))
		return engine_fail(error, ENGINE_CORRUPT, "%s: key \"general.architecture\" is missing",
						   m->file);
	llama = is_text(architecture, "llama");
	if (!llama && !is_text(architecture, "bert"))
		return engine_fail(error, ENGINE_UNSUPPORTED,
						   "%s: architecture \"%.*s\" is not supported (llama and bert are)",
						   m->file, GGUF_SHOWN(architecture));
	if (gguf_get_string(m->metadata, "general.name", &name))
		model_set_name(&m->config, name.data, name.length);
	r.architecture = llama ? "llama" : "bert";
	return read_sizes(&r) && (llama ? read_llama(&r) : read_bert(&r));
}
