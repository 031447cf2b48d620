/*
 * model_bind.c: which tensor plays which role, and that its shape is the one that
 * the config implies.
 *
 * The names are those of ggml's and of Hugging Face's models: a table per
 * architecture, so that a new name or role is one line.
 */
#include "engine/model_private.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef enum extent
{
	ONE, VOCAB, HIDDEN, FF, QUERY, KEY_VALUE, POSITIONS, TYPES, LABELS, ROPE_PAIRS
} extent;

typedef enum need
{
	ALWAYS,
	OPTIONAL,
	UNTIED,						/* optional in GGUF, where its absence means a tied output */
	BIASED,						/* with attention_bias */
	OUTPUT_BIASED,				/* with attention_bias, but optional in GGUF */
	CLASSIFIER,					/* with labels */
	POOLER						/* with labels, but optional in GGUF */
} need;

typedef struct role_rule
{
	tensor_role role;
	need		need;
	extent		rows;
	extent		columns;
	const char *gguf;			/* after "blk.N." for layer roles; NULL: not in such files */
	const char *folder;			/* after "bert.encoder.layer.N." or "model.layers.N." */
} role_rule;

static const role_rule llama_rules[] = {
	{TENSOR_TOKEN_EMBEDDING, ALWAYS, VOCAB, HIDDEN, "token_embd.weight", "embed_tokens.weight"},
	{TENSOR_OUTPUT_NORM, ALWAYS, ONE, HIDDEN, "output_norm.weight", "norm.weight"},
	{TENSOR_OUTPUT, UNTIED, VOCAB, HIDDEN, "output.weight", "lm_head.weight"},
	{TENSOR_ROPE_FACTORS, OPTIONAL, ONE, ROPE_PAIRS, "rope_freqs.weight", NULL},
	{TENSOR_ATTENTION_NORM, ALWAYS, ONE, HIDDEN, "attn_norm.weight", "input_layernorm.weight"},
	{TENSOR_Q, ALWAYS, QUERY, HIDDEN, "attn_q.weight", "self_attn.q_proj.weight"},
	{TENSOR_K, ALWAYS, KEY_VALUE, HIDDEN, "attn_k.weight", "self_attn.k_proj.weight"},
	{TENSOR_V, ALWAYS, KEY_VALUE, HIDDEN, "attn_v.weight", "self_attn.v_proj.weight"},
	{TENSOR_ATTENTION_OUTPUT, ALWAYS, HIDDEN, QUERY, "attn_output.weight",
	"self_attn.o_proj.weight"},
	{TENSOR_Q_BIAS, BIASED, ONE, QUERY, "attn_q.bias", "self_attn.q_proj.bias"},
	{TENSOR_K_BIAS, BIASED, ONE, KEY_VALUE, "attn_k.bias", "self_attn.k_proj.bias"},
	{TENSOR_V_BIAS, BIASED, ONE, KEY_VALUE, "attn_v.bias", "self_attn.v_proj.bias"},
	{TENSOR_ATTENTION_OUTPUT_BIAS, OUTPUT_BIASED, ONE, HIDDEN, "attn_output.bias",
	"self_attn.o_proj.bias"},
	{TENSOR_FF_NORM, ALWAYS, ONE, HIDDEN, "ffn_norm.weight", "post_attention_layernorm.weight"},
	{TENSOR_GATE, ALWAYS, FF, HIDDEN, "ffn_gate.weight", "mlp.gate_proj.weight"},
	{TENSOR_UP, ALWAYS, FF, HIDDEN, "ffn_up.weight", "mlp.up_proj.weight"},
	{TENSOR_DOWN, ALWAYS, HIDDEN, FF, "ffn_down.weight", "mlp.down_proj.weight"},
};

static const role_rule bert_rules[] = {
	{TENSOR_TOKEN_EMBEDDING, ALWAYS, VOCAB, HIDDEN, "token_embd.weight",
	"embeddings.word_embeddings.weight"},
	{TENSOR_POSITION_EMBEDDING, ALWAYS, POSITIONS, HIDDEN, "position_embd.weight",
	"embeddings.position_embeddings.weight"},
	{TENSOR_TYPE_EMBEDDING, ALWAYS, TYPES, HIDDEN, "token_types.weight",
	"embeddings.token_type_embeddings.weight"},
	{TENSOR_EMBEDDING_NORM, ALWAYS, ONE, HIDDEN, "token_embd_norm.weight",
	"embeddings.LayerNorm.weight"},
	{TENSOR_EMBEDDING_NORM_BIAS, ALWAYS, ONE, HIDDEN, "token_embd_norm.bias",
	"embeddings.LayerNorm.bias"},
	{TENSOR_POOLER, POOLER, HIDDEN, HIDDEN, "cls.weight", "pooler.dense.weight"},
	{TENSOR_POOLER_BIAS, POOLER, ONE, HIDDEN, "cls.bias", "pooler.dense.bias"},
	{TENSOR_CLASSIFIER, CLASSIFIER, LABELS, HIDDEN, "cls.output.weight", "classifier.weight"},
	{TENSOR_CLASSIFIER_BIAS, CLASSIFIER, ONE, LABELS, "cls.output.bias", "classifier.bias"},
	{TENSOR_ATTENTION_NORM, ALWAYS, ONE, HIDDEN, "attn_output_norm.weight",
	"attention.output.LayerNorm.weight"},
	{TENSOR_ATTENTION_NORM_BIAS, ALWAYS, ONE, HIDDEN, "attn_output_norm.bias",
	"attention.output.LayerNorm.bias"},
	{TENSOR_Q, ALWAYS, HIDDEN, HIDDEN, "attn_q.weight", "attention.self.query.weight"},
	{TENSOR_K, ALWAYS, HIDDEN, HIDDEN, "attn_k.weight", "attention.self.key.weight"},
	{TENSOR_V, ALWAYS, HIDDEN, HIDDEN, "attn_v.weight", "attention.self.value.weight"},
	{TENSOR_ATTENTION_OUTPUT, ALWAYS, HIDDEN, HIDDEN, "attn_output.weight",
	"attention.output.dense.weight"},
	{TENSOR_Q_BIAS, ALWAYS, ONE, HIDDEN, "attn_q.bias", "attention.self.query.bias"},
	{TENSOR_K_BIAS, ALWAYS, ONE, HIDDEN, "attn_k.bias", "attention.self.key.bias"},
	{TENSOR_V_BIAS, ALWAYS, ONE, HIDDEN, "attn_v.bias", "attention.self.value.bias"},
	{TENSOR_ATTENTION_OUTPUT_BIAS, ALWAYS, ONE, HIDDEN, "attn_output.bias",
	"attention.output.dense.bias"},
	{TENSOR_FF_NORM, ALWAYS, ONE, HIDDEN, "layer_output_norm.weight", "output.LayerNorm.weight"},
	{TENSOR_FF_NORM_BIAS, ALWAYS, ONE, HIDDEN, "layer_output_norm.bias", "output.LayerNorm.bias"},
	{TENSOR_UP, ALWAYS, FF, HIDDEN, "ffn_up.weight", "intermediate.dense.weight"},
	{TENSOR_DOWN, ALWAYS, HIDDEN, FF, "ffn_down.weight", "output.dense.weight"},
	{TENSOR_UP_BIAS, ALWAYS, ONE, FF, "ffn_up.bias", "intermediate.dense.bias"},
	{TENSOR_DOWN_BIAS, ALWAYS, ONE, HIDDEN, "ffn_down.bias", "output.dense.bias"},
};

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static int64_t
extent_of(const model_config *c, extent e)
{
	switch (e)
	{
		case ONE:
			return 1;
		case VOCAB:
			return c->vocab_size;
		case HIDDEN:
			return c->hidden_size;
		case FF:
			return c->ff_size;
		case QUERY:
			return (int64_t) c->heads * c->head_size;
		case KEY_VALUE:
			return (int64_t) c->kv_heads * c->head_size;
		case POSITIONS:
			return c->max_positions;
		case TYPES:
			return c->type_vocab_size;
		case LABELS:
			return c->labels;
		case ROPE_PAIRS:
			return c->rope_dims / 2;
	}
	return 0;
}

/* Is the role to be looked up, and must it be found? */
static bool
is_wanted(const model *m, const role_rule *rule, bool *required)
{
	const model_config *c = &m->config;
	bool		folder = m->metadata == NULL;

	*required = true;
	switch (rule->need)
	{
		case ALWAYS:
			return true;
		case OPTIONAL:
			*required = false;
			return (folder ? rule->folder : rule->gguf) != NULL;
		case UNTIED:
			*required = folder;
			return !c->tied_output;
		case BIASED:
			return c->attention_bias;
		case OUTPUT_BIASED:
			*required = folder;
			return c->attention_bias;
		case CLASSIFIER:
			return c->labels > 0;
		case POOLER:
			*required = c->labels > 0 && folder;
			return true;
	}
	return false;
}

#define NAME_SIZE 128

/* Checkpoints of the first BERTs call a norm's weight gamma and its bias beta. */
static bool
make_older_name(char *name)
{
	static const char *const pairs[][2] = {
		{"LayerNorm.weight", "LayerNorm.gamma"},
		{"LayerNorm.bias", "LayerNorm.beta"}
	};

	for (size_t i = 0; i < COUNT(pairs); i++)
	{
		char	   *end = strstr(name, pairs[i][0]);

		if (end != NULL)
		{
			strcpy(end, pairs[i][1]);	/* shorter than what it replaces */
			return true;
		}
	}
	return false;
}

/* The tensor that plays the role in a folder, where a whole model's names have a prefix. */
static table_tensor *
find_in_folder(const model *m, const role_rule *rule, int layer, char *name)
{
	bool		bert = m->config.architecture == MODEL_BERT;
	const char *prefixes[] = {bert ? "bert." : "model.", ""};
	table_tensor *t = NULL;

	for (size_t p = 0; t == NULL && p < COUNT(prefixes); p++)
	{
		if (rule->role < MODEL_FIRST_LAYER_ROLE)
			snprintf(name, NAME_SIZE, "%s%s", prefixes[p], rule->folder);
		else
			snprintf(name, NAME_SIZE, "%s%s.%d.%s", prefixes[p], bert ? "encoder.layer" : "layers",
					 layer, rule->folder);
		t = tensor_table_find(&m->table, name);
		if (t == NULL)
		{
			char		older[NAME_SIZE];

			memcpy(older, name, NAME_SIZE);
			if (make_older_name(older))
				t = tensor_table_find(&m->table, older);
		}
	}
	return t;
}

/* The tensor that plays the role, or NULL; name is set to what was looked for. */
static table_tensor *
find_role(const model *m, const role_rule *rule, int layer, char *name)
{
	if (m->metadata == NULL)
		return find_in_folder(m, rule, layer, name);
	if (rule->role < MODEL_FIRST_LAYER_ROLE)
		snprintf(name, NAME_SIZE, "%s", rule->gguf);
	else
		snprintf(name, NAME_SIZE, "blk.%d.%s", layer, rule->gguf);
	return tensor_table_find(&m->table, name);
}

/* Leading dimensions of one are of no account. */
static bool
has_shape(const table_tensor *t, int64_t rows, int64_t columns)
{
	const int64_t *shape = t->shape;
	int			dimensions = t->dimensions;

	if (dimensions < 1 || dimensions > TABLE_MAX_DIMENSIONS)
		return false;
	for (; dimensions > 2 && *shape == 1; dimensions--)
		shape++;
	if (dimensions == 1)
		return rows == 1 && shape[0] == columns;
	return dimensions == 2 && shape[0] == rows && shape[1] == columns;
}

/* Data that is not aligned for its elements is copied: the kernels load whole elements. */
static bool
align(model *m, model_tensor *t, engine_error *error)
{
	size_t		width = t->type == TYPE_F32 ? 4 : 2;
	void	   *copy;

	if ((uintptr_t) t->data % width == 0)
		return true;
	if (m->copies == NULL)
		m->copies = calloc(m->table.count, sizeof(void *));
	copy = m->copies ? malloc(t->bytes) : NULL;
	if (copy == NULL)
		return engine_fail_memory(error, "an unaligned tensor");
	m->copies[m->copy_count++] = copy;
	memcpy(copy, t->data, t->bytes);
	t->data = copy;
	return true;
}

static bool
bind_role(model *m, const role_rule *rule, int layer, model_tensor *out, engine_error *error)
{
	int64_t		rows = extent_of(&m->config, rule->rows);
	int64_t		columns = extent_of(&m->config, rule->columns);
	char		name[NAME_SIZE];
	char		shape[TABLE_SHAPE_SIZE];
	bool		required;
	table_tensor *t;

	if (!is_wanted(m, rule, &required))
		return true;
	t = find_role(m, rule, layer, name);
	if (t == NULL)
		return !required || engine_fail(error, ENGINE_CORRUPT, "%s: tensor \"%s\" is missing",
										m->file, name);
	if (t->type == TYPE_UNKNOWN)
		return engine_fail(error, ENGINE_UNSUPPORTED,
						   "%s: tensor \"%s\" has type %s, which is not supported", t->file,
						   t->name, t->type_name);
	if (!has_shape(t, rows, columns))
		return engine_fail(error, ENGINE_CORRUPT,
						   "%s: tensor \"%s\" has shape %s instead of [%lld, %lld]", t->file,
						   t->name,
						   tensor_shape_text(t, shape), (long long) rows, (long long) columns);
	t->used = true;
	*out = (model_tensor)
	{
		.name = t->name,.type = t->type,.rows = rows,.columns = columns,.data = t->data,
		.bytes = t->bytes
	};
	m->bytes += t->bytes;
	return align(m, out, error);
}

/*
 * A GGUF file holds the model's tensors and no others, so one that has no role here (a norm of
 * queries, an expert) belongs to a model that computes differently. Hugging Face's checkpoints
 * do hold buffers and heads that are of no account.
 */
static bool
check_leftovers(const model *m, engine_error *error)
{
	for (size_t i = 0; m->metadata && i < m->table.count; i++)
	{
		const table_tensor *t = &m->table.tensors[i];

		if (!t->used)
			return engine_fail(error, ENGINE_UNSUPPORTED,
							   "%s: tensor \"%s\" has no place in a model of this architecture",
							   t->file, t->name);
	}
	return true;
}

bool
model_bind(model *m, engine_error *error)
{
	bool		bert = m->config.architecture == MODEL_BERT;
	const role_rule *rules = bert ? bert_rules : llama_rules;
	size_t		count = bert ? COUNT(bert_rules) : COUNT(llama_rules);
	size_t		per_layer = TENSOR_ROLES - MODEL_FIRST_LAYER_ROLE;

	m->tensors = calloc(MODEL_FIRST_LAYER_ROLE + (size_t) m->config.layers * per_layer,
						sizeof(model_tensor));
	if (m->tensors == NULL)
		return engine_fail_memory(error, "a model's tensors");
	for (size_t r = 0; r < count; r++)
	{
		bool		layered = rules[r].role >= MODEL_FIRST_LAYER_ROLE;
		int			layers = layered ? m->config.layers : 1;

		for (int layer = 0; layer < layers; layer++)
		{
			size_t		index = rules[r].role + (layered ? (size_t) layer * per_layer : 0);

			if (!bind_role(m, &rules[r], layer, &m->tensors[index], error))
				return false;
		}
	}
	if (!bert && m->tensors[TENSOR_OUTPUT].data == NULL)
	{
		m->config.tied_output = true;
		m->tensors[TENSOR_OUTPUT] = m->tensors[TENSOR_TOKEN_EMBEDDING];
	}
	return check_leftovers(m, error);
}
