/*
 * graph_bert.c: the encoder of BERT (Devlin et al. 2018) over a ragged batch.
 *
 * T tokens of S texts, hidden size H, heads of D elements, inner size F. Post-norm: each
 * block's output is added to its input and then normalised.
 */
#include "engine/graph_private.h"

#include <math.h>

/* x [T, H] <- LayerNorm(x + delta) */
static engine_code
add_norm(graph *g, int rows, backend_buffer *delta, const graph_norm *norm)
{
	backend_norm args = {
		.kind = NORM_LAYER,
		.out = g->x,
		.in = g->x,
		.delta = delta,
		.weight = norm->weight,
		.bias = norm->bias,
		.rows = rows,
		.columns = g->config->hidden_size,
		.epsilon = g->config->norm_epsilon,
	};

	return g->ops->norm(g->device, &args);
}

static engine_code
layer(graph *g, int rows, const graph_layer *l)
{
	const model_config *c = g->config;
	backend_attention attention = {
		.out = g->attention,
		.qkv = g->qkv,
		.heads = c->heads,
		.kv_heads = c->kv_heads,
		.head_size = c->head_size,
		.scale = 1 / sqrtf((float) c->head_size),
		.causal = false,
	};
	engine_code code;

	GRAPH_CHECK(graph_linear(g, rows, g->qkv, g->x, &l->qkv, EPILOGUE_NONE));	/* [T, 3H] */
	GRAPH_CHECK(g->ops->attention(g->device, &attention));	/* [T, H] */
	GRAPH_CHECK(graph_linear(g, rows, g->h, g->attention, &l->attention_output, EPILOGUE_NONE));
	GRAPH_CHECK(add_norm(g, rows, g->h, &l->attention_norm));
	GRAPH_CHECK(graph_linear(g, rows, g->ff, g->x, &l->up, EPILOGUE_GELU));	/* [T, F] */
	GRAPH_CHECK(graph_linear(g, rows, g->h, g->ff, &l->down, EPILOGUE_NONE));
	return add_norm(g, rows, g->h, &l->ff_norm);
}

/* out [S, H] f32: the pooled vectors, or [S, labels] the scores of a cross-encoder */
static engine_code
head(graph *g, const backend_batch *batch)
{
	const model_config *c = g->config;
	backend_pool pool = {
		.out = g->out,
		.in = g->x,
		.pooling = g->limits.pooling,
		.normalize = c->normalize,
		.columns = c->hidden_size,
	};
	backend_gather first = {
		.out = g->pooled,
		.in = g->x,
		.rows = batch->start,
		.count = batch->sequences,
		.columns = c->hidden_size,
	};
	engine_code code;

	if (c->labels == 0)
		return g->ops->pool(g->device, &pool);
	GRAPH_CHECK(g->ops->gather(g->device, &first));
	GRAPH_CHECK(graph_linear(g, batch->sequences, g->h, g->pooled, &g->pooler, EPILOGUE_TANH));
	return graph_linear(g, batch->sequences, g->out, g->h, &g->classifier, EPILOGUE_NONE);
}

static engine_code
forward(graph *g, const backend_batch *batch)
{
	backend_embed embed = {
		.out = g->x,
		.tokens = g->tokens,
		.positions = g->positions,
		.types = g->types,
	};
	engine_code code;

	GRAPH_CHECK(g->ops->embed(g->device, &embed));
	GRAPH_CHECK(add_norm(g, batch->rows, NULL, &g->embedding_norm));
	for (int i = 0; i < g->config->layers; i++)
		GRAPH_CHECK(layer(g, batch->rows, &g->layers[i]));
	return head(g, batch);
}

int
graph_encode_width(const graph *g)
{
	return g->config->labels > 0 ? g->config->labels : g->config->hidden_size;
}

bool
graph_encode(graph *g, const backend_batch *batch, float *vectors, engine_error *error)
{
	engine_code code = g->ops->begin_step(g->device, batch);
	engine_code ended;

	if (code != ENGINE_OK)
		return graph_failed(g, code, error);
	code = forward(g, batch);
	ended = g->ops->end_step(g->device);
	if (code == ENGINE_OK)
		code = ended;
	if (code == ENGINE_OK)
		code = g->ops->download(g->device, g->out, 0, vectors,
								(size_t) batch->sequences * (size_t) graph_encode_width(g));
	return code == ENGINE_OK || graph_failed(g, code, error);
}
