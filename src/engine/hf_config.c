/*
 * hf_config.c: a model's config from config.json.
 *
 * Defaults are those of the transformers library (LlamaConfig, BertConfig).
 */
#include "engine/hf.h"

#include <string.h>

/* Does what the object says of a computation name one that this engine does? */
static bool
need_text(const hf_object *o, const char *key, const char *wanted, const char *other)
{
	const char *found;

	if (!hf_get_string(o, key, wanted, &found))
		return false;
	if (strcmp(found, wanted) == 0 || (other && strcmp(found, other) == 0))
		return true;
	return engine_fail(o->error, ENGINE_UNSUPPORTED,
					   "%s: %s: \"%s\" of \"%.100s\" is not supported",
					   o->m->file, o->file, key, found);
}

/* A flag that only models have which compute differently. */
static bool
need_false(const hf_object *o, const char *key)
{
	bool		value;

	if (!hf_get_bool(o, key, false, &value))
		return false;
	return !value || hf_fail(o, ENGINE_UNSUPPORTED, key, "is not supported");
}

static bool
read_sizes(const hf_object *o, model_config *c)
{
	return hf_get_int(o, "vocab_size", MODEL_MAX_VOCAB, -1, &c->vocab_size) &&
		hf_get_int(o, "hidden_size", MODEL_MAX_HIDDEN, -1, &c->hidden_size) &&
		hf_get_int(o, "intermediate_size", MODEL_MAX_FF, -1, &c->ff_size) &&
		hf_get_int(o, "num_hidden_layers", MODEL_MAX_LAYERS, -1, &c->layers) &&
		hf_get_int(o, "num_attention_heads", MODEL_MAX_HEADS, -1, &c->heads) &&
		hf_get_int(o, "max_position_embeddings", MODEL_MAX_POSITIONS, -1, &c->max_positions);
}

static bool
read_head_size(const hf_object *o, model_config *c)
{
	if (hf_member(o, "head_dim"))
		return hf_get_int(o, "head_dim", MODEL_MAX_HEAD_SIZE, -1, &c->head_size);
	if (c->hidden_size % c->heads != 0 || c->hidden_size / c->heads > MODEL_MAX_HEAD_SIZE)
		return engine_fail(o->error, ENGINE_CORRUPT,
						   "%s: %s: %d elements cannot be split into %d heads", o->m->file, o->file,
						   c->hidden_size, c->heads);
	c->head_size = c->hidden_size / c->heads;
	return true;
}

/* A scaling's factors have no defaults: without them nobody knows what was meant. */
static bool
read_rope_factors(const hf_object *scaling, model_config *c)
{
	static const char *const keys[] = {"factor", "low_freq_factor", "high_freq_factor"};
	float	   *const out[] = {&c->rope_scale_factor, &c->rope_low_freq_factor,
		&c->rope_high_freq_factor
	};
	int			count = c->rope_scale_kind == ROPE_LLAMA3 ? 3 : 1;

	for (int i = 0; i < count; i++)
	{
		if (hf_member(scaling, keys[i]) == NULL)
			return hf_fail(scaling, ENGINE_CORRUPT, keys[i], "of the rope scaling is missing");
		if (!hf_get_float(scaling, keys[i], 0, out[i]))
			return false;
	}
	return count == 1 ||
		hf_get_int(scaling, "original_max_position_embeddings", MODEL_MAX_POSITIONS, -1,
				   &c->rope_original_positions);
}

/*
 * Since version 5 transformers writes all of it as "rope_parameters"; before, there were
 * "rope_theta" and "rope_scaling", whose "rope_type" was once called "type".
 */
static bool
read_rope(const hf_object *o, model_config *c)
{
	const json_value *both = hf_member(o, "rope_parameters");
	hf_object	scaling = *o;
	const char *older,
			   *kind;
	float		theta,
				rotated;

	scaling.value = both ? both : hf_member(o, "rope_scaling");
	if (scaling.value && scaling.value->kind != JSON_OBJECT)
		return hf_fail(o, ENGINE_CORRUPT, both ? "rope_parameters" : "rope_scaling",
					   "is no object");
	if (!hf_get_float(o, "rope_theta", 10000, &theta) ||
		!hf_get_float(&scaling, "rope_theta", theta, &c->rope_theta) ||
		!hf_get_float(o, "partial_rotary_factor", 1, &rotated) ||
		!hf_get_float(&scaling, "partial_rotary_factor", rotated, &rotated) ||
		!hf_get_string(&scaling, "type", "default", &older) ||
		!hf_get_string(&scaling, "rope_type", older, &kind))
		return false;
	if (rotated != 1)
		return hf_fail(o, ENGINE_UNSUPPORTED, "partial_rotary_factor", "is not supported");
	c->rope_dims = c->head_size;
	c->rope_scale_factor = 1;
	if (strcmp(kind, "default") == 0)
		return true;
	if (strcmp(kind, "linear") == 0)
		c->rope_scale_kind = ROPE_LINEAR;
	else if (strcmp(kind, "llama3") == 0)
		c->rope_scale_kind = ROPE_LLAMA3;
	else
		return engine_fail(o->error, ENGINE_UNSUPPORTED,
						   "%s: %s: rope scaling \"%.100s\" is not supported", o->m->file, o->file,
						   kind);
	return read_rope_factors(&scaling, c);
}

static bool
read_llama(const hf_object *o, model_config *c)
{
	c->architecture = MODEL_LLAMA;
	return read_sizes(o, c) && read_head_size(o, c) &&
		hf_get_int(o, "num_key_value_heads", MODEL_MAX_HEADS, c->heads, &c->kv_heads) &&
		need_text(o, "hidden_act", "silu", "swish") && need_false(o, "mlp_bias") &&
		hf_get_float(o, "rms_norm_eps", 1e-6f, &c->norm_epsilon) &&
		hf_get_bool(o, "attention_bias", false, &c->attention_bias) &&
		hf_get_bool(o, "tie_word_embeddings", false, &c->tied_output) && read_rope(o, c);
}

/* transformers: as many labels as id2label names, else two. */
static bool
read_labels(const hf_object *o, model_config *c)
{
	const json_value *names = hf_member(o, "id2label");

	if (names == NULL)
		return hf_get_int(o, "num_labels", MODEL_MAX_LABELS, 2, &c->labels);
	if (names->kind != JSON_OBJECT || names->count < 1 || names->count > MODEL_MAX_LABELS)
		return hf_fail(o, ENGINE_CORRUPT, "id2label", "is no list of labels");
	c->labels = (int) names->count;
	return true;
}

static bool
read_bert(const hf_object *o, model_config *c)
{
	c->architecture = MODEL_BERT;
	c->pooling = POOLING_MEAN;
	c->normalize = true;
	if (!read_sizes(o, c) ||
		!need_text(o, "hidden_act", "gelu", NULL) ||
		!need_text(o, "position_embedding_type", "absolute", NULL) ||
		!need_false(o, "is_decoder") ||
		!hf_get_float(o, "layer_norm_eps", 1e-12f, &c->norm_epsilon) ||
		!hf_get_int(o, "type_vocab_size", MODEL_MAX_TYPES, 2, &c->type_vocab_size))
		return false;
	c->kv_heads = c->heads;
	c->head_size = c->hidden_size / c->heads;
	c->max_sequence = c->max_positions;
	return true;
}

/* The class that wrote the weights: what heads they have depends on it. NULL when none is named. */
static bool
find_class(const hf_object *o, const char **name)
{
	const json_value *classes = hf_member(o, "architectures");

	*name = NULL;
	if (classes == NULL || (classes->kind == JSON_ARRAY && classes->count == 0))
		return true;
	if (classes->kind != JSON_ARRAY || classes->child->kind != JSON_STRING)
		return hf_fail(o, ENGINE_CORRUPT, "architectures", "is no list of names");
	*name = classes->child->string;
	return true;
}

static const struct
{
	const char *name;
	const char *model_type;
	bool		labels;
}			classes[] = {
	{"LlamaForCausalLM", "llama", false},
	{"BertModel", "bert", false},
	{"BertForMaskedLM", "bert", false},
	{"BertForPreTraining", "bert", false},
	{"BertForSequenceClassification", "bert", true},
};

#define CLASSES (sizeof(classes) / sizeof(classes[0]))

bool
hf_read_config(model *m, const json_value *root, engine_error *error)
{
	hf_object	o = {.m = m, .file = "config.json", .value = root, .error = error};
	model_config *c = &m->config;
	const char *class_name,
			   *type,
			   *name;
	bool		labels = false;

	if (root->kind != JSON_OBJECT)
		return engine_fail(error, ENGINE_CORRUPT, "%s: config.json is no object", m->file);
	if (!find_class(&o, &class_name) || !hf_get_string(&o, "model_type", NULL, &type) ||
		!hf_get_string(&o, "_name_or_path", "", &name))
		return false;
	for (size_t i = 0; class_name && i < CLASSES; i++)
	{
		if (strcmp(class_name, classes[i].name) == 0 &&
			(type == NULL || strcmp(type, classes[i].model_type) == 0))
		{
			type = classes[i].model_type;
			labels = classes[i].labels;
			class_name = NULL;
		}
	}
	if (class_name || type == NULL || (strcmp(type, "llama") != 0 && strcmp(type, "bert") != 0))
		return engine_fail(error, ENGINE_UNSUPPORTED,
						   "%s: architecture \"%.100s\" is not supported",
						   m->file, class_name ? class_name : type ? type : "unnamed");
	if (hf_member(&o, "quantization_config"))
		return hf_fail(&o, ENGINE_UNSUPPORTED, "quantization_config",
					   "is not supported: use unquantised weights or a GGUF file");
	model_set_name(c, name, strlen(name));
	if (strcmp(type, "llama") == 0)
		return read_llama(&o, c);
	return read_bert(&o, c) && (!labels || read_labels(&o, c));
}
