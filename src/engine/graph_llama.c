/*
 * graph_llama.c: the decoder of Llama (Touvron et al. 2023) over a ragged batch of
 * prompt chunks and single tokens.
 *
 * T tokens, hidden size H, heads of D elements (N of queries, M of keys and values),
 * inner size F, vocabulary V; O of the rows want their next token. Pre-norm: x is the
 * residual stream, each block reads a normalised copy and its output is added to x by
 * the next norm.
 */
#include "engine/graph_private.h"

#include <math.h>

/* x <- x + delta; h [T, H] <- RMSNorm(x) */
static engine_code
add_norm(graph *g, int rows, backend_buffer *delta, const graph_norm *norm)
{
	backend_norm args = {
		.kind = NORM_RMS,
		.out = g->h,
		.in = g->x,
		.delta = delta,
		.sum = delta ? g->x : NULL,
		.weight = norm->weight,
		.rows = rows,
		.columns = g->config->hidden_size,
		.epsilon = g->config->norm_epsilon,
	};

	return g->ops->norm(g->device, &args);
}

/* h <- the block's output, to be added to x; delta is what the block before left in h */
static engine_code
attention_block(graph *g, int rows, int i, backend_buffer *delta)
{
	const model_config *c = g->config;
	const graph_layer *l = &g->layers[i];
	backend_rope rope = {
		.qkv = g->qkv,
		.table = g->rope,
		.layer = i,
		.heads = c->heads,
		.kv_heads = c->kv_heads,
		.head_size = c->head_size,
		.rope_dims = c->rope_dims,
		.interleaved = c->rope_interleaved,
	};
	backend_attention attention = {
		.out = g->attention,
		.qkv = g->qkv,
		.layer = i,
		.heads = c->heads,
		.kv_heads = c->kv_heads,
		.head_size = c->head_size,
		.scale = 1 / sqrtf((float) c->head_size),
		.causal = true,
	};
	engine_code code;

	GRAPH_CHECK(add_norm(g, rows, delta, &l->attention_norm));
	GRAPH_CHECK(graph_linear(g, rows, g->qkv, g->h, &l->qkv, EPILOGUE_NONE));	/* [T, (N + 2M) D] */
	GRAPH_CHECK(g->ops->rope(g->device, &rope));
	GRAPH_CHECK(g->ops->attention(g->device, &attention));	/* [T, N D] */
	return graph_linear(g, rows, g->h, g->attention, &l->attention_output, EPILOGUE_NONE);
}

static engine_code
ff_block(graph *g, int rows, const graph_layer *l)
{
	backend_gate gate = {
		.out = g->gated,
		.in = g->ff,
		.rows = rows,
		.columns = g->config->ff_size,
	};
	engine_code code;

	GRAPH_CHECK(add_norm(g, rows, g->h, &l->ff_norm));
	GRAPH_CHECK(graph_linear(g, rows, g->ff, g->h, &l->up, EPILOGUE_NONE));	/* [T, 2F] */
	GRAPH_CHECK(g->ops->gate(g->device, &gate));	/* [T, F] */
	return graph_linear(g, rows, g->h, g->gated, &l->down, EPILOGUE_NONE);
}

/* out [O, V] f32, and a token of each row */
static engine_code
head(graph *g, int rows, const graph_outputs *outputs)
{
	backend_gather gather = {
		.out = g->x,			/* [O, H]: the residual stream is not needed any more */
		.in = g->h,
		.rows = outputs->rows,
		.count = outputs->count,
		.columns = g->config->hidden_size,
	};
	backend_sample sample = {
		.logits = g->out,
		.params = outputs->params,
		.results = outputs->results,
		.count = outputs->count,
		.vocab = g->config->vocab_size,
	};
	engine_code code;

	GRAPH_CHECK(add_norm(g, rows, g->h, &g->output_norm));
	GRAPH_CHECK(g->ops->gather(g->device, &gather));
	GRAPH_CHECK(graph_linear(g, outputs->count, g->out, g->x, &g->output, EPILOGUE_NONE));
	if (outputs->logits)
	{
		GRAPH_CHECK(g->ops->download(g->device, g->out, 0, outputs->logits,
							   (size_t) outputs->count * (size_t) g->config->vocab_size));
	}
	return g->ops->sample(g->device, &sample);
}

static engine_code
forward(graph *g, const backend_batch *batch, const graph_outputs *outputs)
{
	backend_embed embed = {
		.out = g->x,
		.tokens = g->tokens,
	};
	engine_code code;

	GRAPH_CHECK(g->ops->embed(g->device, &embed));
	for (int i = 0; i < g->config->layers; i++)
	{
		GRAPH_CHECK(attention_block(g, batch->rows, i, i == 0 ? NULL : g->h));
		GRAPH_CHECK(ff_block(g, batch->rows, &g->layers[i]));
	}
	return outputs->count > 0 ? head(g, batch->rows, outputs) : ENGINE_OK;
}

bool
graph_decode(graph *g, const backend_batch *batch, const graph_outputs *outputs,
			 engine_error *error)
{
	engine_code code = g->ops->begin_step(g->device, batch);
	engine_code ended;

	if (code != ENGINE_OK)
		return graph_failed(g, code, error);
	code = forward(g, batch, outputs);
	ended = g->ops->end_step(g->device);
	if (code == ENGINE_OK)
		code = ended;
	if (code == ENGINE_OK)
		code = g->ops->sync(g->device);
	return code == ENGINE_OK || graph_failed(g, code, error);
}
