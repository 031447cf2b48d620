/*
 * graph_load.c: a model's tensors onto a device, and the buffers of its steps.
 */
#include "engine/graph_private.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "engine/kv.h"

bool
graph_failed(const graph *g, engine_code code, engine_error *error)
{
	const char *text = g->ops->message(g->device);

	return engine_fail(error, code, "%s", text && *text ? text : "the device failed");
}

static backend_element
activation(const graph *g)
{
	return g->limits.bf16 ? BACKEND_BF16 : BACKEND_ACTIVATION;
}

static backend_buffer *
new_buffer(graph *g, backend_element element, size_t rows, size_t columns, engine_error *error)
{
	backend_buffer *b = g->ops->alloc(g->device, element, rows * columns);

	if (b == NULL)
		engine_fail_memory(error, "the activations of a model");
	else
		g->memory += rows * columns * sizeof(float);
	return b;
}

/* f32 values on the device. */
static backend_buffer *
upload_constant(graph *g, const float *values, size_t count, engine_error *error)
{
	backend_buffer *b = new_buffer(g, BACKEND_F32, 1, count, error);
	engine_code code;

	if (b == NULL)
		return NULL;
	code = g->ops->upload(g->device, b, 0, values, count);
	if (code != ENGINE_OK)
	{
		graph_failed(g, code, error);
		g->ops->free(g->device, b);
		return NULL;
	}
	return b;
}

/* Vectors of the roles that the model has, one after the other; absent optional ones leave *out NULL. */
static bool
load_vectors(graph *g, const model *m, const tensor_role *roles, int count, int layer,
			 backend_buffer **out, engine_error *error)
{
	size_t		total = 0;
	float	   *values;

	for (int i = 0; i < count; i++)
	{
		const model_tensor *t = model_get_tensor(m, roles[i], layer);

		if (t == NULL)
			return true;
		total += (size_t) (t->rows * t->columns);
	}
	values = malloc(total * sizeof(float));
	if (values == NULL)
		return engine_fail_memory(error, "the constants of a model");
	total = 0;
	for (int i = 0; i < count; i++)
	{
		const model_tensor *t = model_get_tensor(m, roles[i], layer);
		size_t		n = (size_t) (t->rows * t->columns);

		tensor_dequantize(t->type, t->data, values + total, n);
		total += n;
	}
	*out = upload_constant(g, values, total, error);
	free(values);
	return *out != NULL;
}

static bool
load_norm(graph *g, const model *m, tensor_role weight, tensor_role bias, int layer,
		  graph_norm *out, engine_error *error)
{
	return load_vectors(g, m, &weight, 1, layer, &out->weight, error) &&
		(bias == TENSOR_ROLES || load_vectors(g, m, &bias, 1, layer, &out->bias, error));
}

static bool
may_go_on(const graph *g, engine_error *error)
{
	const graph_progress *progress = g->limits.progress;

	return progress == NULL || !progress->stop ||
		engine_fail(error, ENGINE_CANCELED, "loading the model was stopped");
}

static backend_weight *
load_weight(graph *g, const model *m, const tensor_role *roles, int count, int layer,
			backend_weight_use use, engine_error *error)
{
	const model_tensor *parts[3];
	model_tensor quantized[3];
	backend_weight *weight = NULL;
	uint64_t	bytes = 0;		/* of the file */
	int			n = 0;			/* parts that are ready */

	if (!may_go_on(g, error))
		return NULL;
	for (; n < count; n++)
	{
		parts[n] = model_get_tensor(m, roles[n], layer);
		bytes += parts[n]->bytes;
		if (g->limits.int8_weights && use == WEIGHT_LINEAR && tensor_is_float(parts[n]) &&
			parts[n]->columns % tensor_type_get(TYPE_Q8_0)->block_elements == 0)
		{
			if (!tensor_quantize(parts[n], &quantized[n], error))
				break;
			parts[n] = &quantized[n];
		}
		g->memory += parts[n]->bytes;
	}
	if (n == count)
		weight = g->ops->upload_weight(g->device, parts, count, use, activation(g), error);
	while (n-- > 0)
	{
		if (parts[n] == &quantized[n])
			free((void *) quantized[n].data);
		/* else a model takes its memory twice while it is loaded */
		model_release_tensor(m, model_get_tensor(m, roles[n], layer));
	}
	if (g->limits.progress)
		g->limits.progress->loaded += bytes;
	return weight;
}

static bool
load_matrix(graph *g, const model *m, const tensor_role *weights, const tensor_role *biases,
			int count, int layer, graph_matrix *out, engine_error *error)
{
	out->weight = load_weight(g, m, weights, count, layer, WEIGHT_LINEAR, error);
	return out->weight != NULL &&
		(biases == NULL || load_vectors(g, m, biases, count, layer, &out->bias, error));
}

static const tensor_role qkv_weights[] = {TENSOR_Q, TENSOR_K, TENSOR_V};
static const tensor_role qkv_biases[] = {TENSOR_Q_BIAS, TENSOR_K_BIAS, TENSOR_V_BIAS};
static const tensor_role gate_up[] = {TENSOR_GATE, TENSOR_UP};

static bool
load_one(graph *g, const model *m, tensor_role weight, tensor_role bias, int layer,
		 graph_matrix *out, engine_error *error)
{
	return load_matrix(g, m, &weight, bias == TENSOR_ROLES ? NULL : &bias, 1, layer, out, error);
}

/* Rows of a step that go on to the end. */
static size_t
wanted_rows(const graph *g)
{
	const graph_limits *l = &g->limits;

	return (size_t) (l->max_outputs > l->max_sequences ? l->max_outputs : l->max_sequences);
}

/* Buffers that both graphs use. */
static bool
allocate_activations(graph *g, int ff_columns, int out_columns, engine_error *error)
{
	const model_config *c = g->config;
	size_t		rows = (size_t) g->limits.max_rows;
	size_t		heads = (size_t) c->heads * (size_t) c->head_size;
	size_t		kv_heads = (size_t) c->kv_heads * (size_t) c->head_size;

	return (g->x = new_buffer(g, activation(g), rows, (size_t) c->hidden_size, error)) &&
		(g->h = new_buffer(g, activation(g), rows, (size_t) c->hidden_size, error)) &&
		(g->qkv = new_buffer(g, activation(g), rows, heads + 2 * kv_heads, error)) &&
		(g->attention = new_buffer(g, activation(g), rows, heads, error)) &&
		(g->ff = new_buffer(g, activation(g), rows, (size_t) ff_columns, error)) &&
		(g->out = new_buffer(g, BACKEND_F32, wanted_rows(g), (size_t) out_columns, error));
}

bool
graph_load_bert(graph *g, const model *m, engine_error *error)
{
	const model_config *c = g->config;
	int			width = c->labels > c->hidden_size ? c->labels : c->hidden_size;
	static const tensor_role tokens = TENSOR_TOKEN_EMBEDDING;
	static const tensor_role positions = TENSOR_POSITION_EMBEDDING;
	static const tensor_role types = TENSOR_TYPE_EMBEDDING;

	g->tokens = load_weight(g, m, &tokens, 1, 0, WEIGHT_GATHER, error);
	g->positions = g->tokens ? load_weight(g, m, &positions, 1, 0, WEIGHT_GATHER, error) : NULL;
	g->types = g->positions ? load_weight(g, m, &types, 1, 0, WEIGHT_GATHER, error) : NULL;
	if (g->types == NULL ||
		!load_norm(g, m, TENSOR_EMBEDDING_NORM, TENSOR_EMBEDDING_NORM_BIAS, 0, &g->embedding_norm,
				   error))
		return false;
	for (int i = 0; i < c->layers; i++)
	{
		graph_layer *l = &g->layers[i];

		if (!load_matrix(g, m, qkv_weights, qkv_biases, 3, i, &l->qkv, error) ||
			!load_one(g, m, TENSOR_ATTENTION_OUTPUT, TENSOR_ATTENTION_OUTPUT_BIAS, i,
					  &l->attention_output, error) ||
			!load_norm(g, m, TENSOR_ATTENTION_NORM, TENSOR_ATTENTION_NORM_BIAS, i,
					   &l->attention_norm, error) ||
			!load_one(g, m, TENSOR_UP, TENSOR_UP_BIAS, i, &l->up, error) ||
			!load_one(g, m, TENSOR_DOWN, TENSOR_DOWN_BIAS, i, &l->down, error) ||
			!load_norm(g, m, TENSOR_FF_NORM, TENSOR_FF_NORM_BIAS, i, &l->ff_norm, error))
			return false;
	}
	if (c->labels > 0)
	{
		g->pooled = new_buffer(g, activation(g), (size_t) g->limits.max_sequences,
							   (size_t) c->hidden_size, error);
		if (g->pooled == NULL ||
			!load_one(g, m, TENSOR_POOLER, TENSOR_POOLER_BIAS, 0, &g->pooler, error) ||
			!load_one(g, m, TENSOR_CLASSIFIER, TENSOR_CLASSIFIER_BIAS, 0, &g->classifier, error))
			return false;
	}
	return allocate_activations(g, c->ff_size, width, error);
}

/*
 * Frequency i of n: theta^(-i/n), scaled as the model says. Llama 3: long waves are
 * slowed by the factor, short ones are kept, those between are blended.
 */
static double
rope_frequency(const model_config *c, int i, int n, const float *factors)
{
	double		frequency = pow(c->rope_theta, -(double) i / n);
	double		turns;
	double		blend;

	if (factors)
		return frequency / factors[i];
	switch (c->rope_scale_kind)
	{
		case ROPE_PLAIN:
			return frequency;
		case ROPE_LINEAR:
			return frequency / c->rope_scale_factor;
		case ROPE_LLAMA3:
			turns = c->rope_original_positions * frequency / (2 * M_PI);
			if (turns < c->rope_low_freq_factor)
				return frequency / c->rope_scale_factor;
			if (turns > c->rope_high_freq_factor)
				return frequency;
			blend = (turns - c->rope_low_freq_factor) /
				(c->rope_high_freq_factor - c->rope_low_freq_factor);
			return (1 - blend) * frequency / c->rope_scale_factor + blend * frequency;
	}
	return frequency;
}

/* [max_len, rope_dims]: cosines of a position, then its sines */
static bool
load_rope(graph *g, const model *m, engine_error *error)
{
	const model_config *c = g->config;
	const model_tensor *scale = model_get_tensor(m, TENSOR_ROPE_FACTORS, 0);
	int			half = c->rope_dims / 2;
	size_t		count = (size_t) g->limits.max_len * (size_t) c->rope_dims;
	float	   *table = malloc((count + (size_t) half) * sizeof(float));
	float	   *factors = table ? table + count : NULL;

	if (table == NULL)
		return engine_fail_memory(error, "the table of rotations");
	if (scale)
		tensor_dequantize(scale->type, scale->data, factors, (size_t) half);
	for (int position = 0; position < g->limits.max_len; position++)
	{
		float	   *row = table + (size_t) position * (size_t) c->rope_dims;

		for (int i = 0; i < half; i++)
		{
			double		angle = position * rope_frequency(c, i, half, scale ? factors : NULL);

			row[i] = (float) cos(angle);
			row[half + i] = (float) sin(angle);
		}
	}
	g->rope = upload_constant(g, table, count, error);
	free(table);
	return g->rope != NULL;
}

/* Buffers of the Llama graph. */
static bool
allocate_decoder(graph *g, engine_error *error)
{
	const model_config *c = g->config;
	size_t		rows = (size_t) g->limits.max_rows;
	size_t		wanted = wanted_rows(g);
	size_t		heads = (size_t) c->heads * (size_t) c->head_size;

	return (g->gated = new_buffer(g, activation(g), rows, (size_t) c->ff_size, error)) &&
		(g->wanted_x = new_buffer(g, activation(g), wanted, (size_t) c->hidden_size, error)) &&
		(g->wanted_attention = new_buffer(g, activation(g), wanted, heads, error)) &&
		allocate_activations(g, 2 * c->ff_size, c->vocab_size, error);
}

bool
graph_load_llama(graph *g, const model *m, engine_error *error)
{
	const model_config *c = g->config;
	static const tensor_role tokens = TENSOR_TOKEN_EMBEDDING;
	backend_kv_config kv = {
		.layers = c->layers,
		.kv_heads = c->kv_heads,
		.head_size = c->head_size,
		.block_size = KV_BLOCK_SIZE,
		.blocks = g->limits.kv_blocks,
		.f32 = g->limits.kv_f32,
		.bf16 = g->limits.bf16,
	};
	backend_info info;

	g->tokens = load_weight(g, m, &tokens, 1, 0, c->tied_output ? WEIGHT_BOTH : WEIGHT_GATHER,
							error);
	if (g->tokens == NULL ||
		!load_norm(g, m, TENSOR_OUTPUT_NORM, TENSOR_ROLES, 0, &g->output_norm, error) ||
		!load_rope(g, m, error))
		return false;
	if (c->tied_output)
		g->output.weight = g->tokens;
	else if (!load_one(g, m, TENSOR_OUTPUT, TENSOR_ROLES, 0, &g->output, error))
		return false;
	for (int i = 0; i < c->layers; i++)
	{
		graph_layer *l = &g->layers[i];

		if (!load_norm(g, m, TENSOR_ATTENTION_NORM, TENSOR_ROLES, i, &l->attention_norm, error) ||
			!load_matrix(g, m, qkv_weights, c->attention_bias ? qkv_biases : NULL, 3, i, &l->qkv,
						 error) ||
			!load_one(g, m, TENSOR_ATTENTION_OUTPUT,
					  c->attention_bias ? TENSOR_ATTENTION_OUTPUT_BIAS : TENSOR_ROLES, i,
					  &l->attention_output, error) ||
			!load_norm(g, m, TENSOR_FF_NORM, TENSOR_ROLES, i, &l->ff_norm, error) ||
			!load_matrix(g, m, gate_up, NULL, 2, i, &l->up, error) ||
			!load_one(g, m, TENSOR_DOWN, TENSOR_ROLES, i, &l->down, error))
			return false;
	}
	g->kv = g->ops->alloc_kv(g->device, &kv, error);
	if (g->kv == NULL)
		return false;
	g->ops->info(g->device, &info);
	g->memory += (uint64_t) kv.layers * 2 * (uint64_t) kv.kv_heads * (uint64_t) kv.head_size *
		KV_BLOCK_SIZE * (uint64_t) kv.blocks * (uint64_t) (kv.f32 ? (int) sizeof(float) : info.kv_bytes);
	return allocate_decoder(g, error);
}
