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

/* Rows on their way through a layer: all T of the batch, or the O that are wanted. */
typedef struct stream
{
	int			rows;
	backend_buffer *x;			/* [rows, H] */
	backend_buffer *attention;	/* [rows, N D] */
} stream;

/* x <- x + delta; h [rows, H] <- RMSNorm(x) */
static engine_code
add_norm(graph *g, const stream *s, backend_buffer *delta, const graph_norm *norm)
{
	backend_norm args = {
		.kind = NORM_RMS,
		.out = g->h,
		.in = s->x,
		.delta = delta,
		.sum = delta ? s->x : NULL,
		.weight = norm->weight,
		.rows = s->rows,
		.columns = g->config->hidden_size,
		.epsilon = g->config->norm_epsilon,
	};

	return g->ops->norm(g->device, &args);
}

/* qkv [T, (N + 2M) D], its keys and values in the cache; delta is what the layer before left in h */
static engine_code
project(graph *g, const stream *s, int i, backend_buffer *delta)
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
	engine_code code;

	GRAPH_CHECK(add_norm(g, s, delta, &l->attention_norm));
	GRAPH_CHECK(graph_linear(g, s->rows, g->qkv, g->h, &l->qkv, EPILOGUE_NONE));
	return g->ops->rope(g->device, &rope);
}

/* attention [T, N D] */
static engine_code
attend(graph *g, int i)
{
	const model_config *c = g->config;
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

	return g->ops->attention(g->device, &attention);
}

/* After the attention of the last layer only the rows that want their next token go on. */
static engine_code
keep_wanted(graph *g, const stream *all, const stream *wanted, const int32_t *rows)
{
	const model_config *c = g->config;
	backend_gather x = {
		.out = wanted->x,
		.in = all->x,
		.rows = rows,
		.count = wanted->rows,
		.columns = c->hidden_size,
	};
	backend_gather attention = {
		.out = wanted->attention,
		.in = all->attention,
		.rows = rows,
		.count = wanted->rows,
		.columns = c->heads * c->head_size,
	};
	engine_code code;

	GRAPH_CHECK(g->ops->gather(g->device, &x));
	return g->ops->gather(g->device, &attention);
}

/* h <- the layer's output, to be added to x */
static engine_code
finish_layer(graph *g, const stream *s, const graph_layer *l)
{
	backend_gate gate = {
		.out = g->gated,
		.in = g->ff,
		.rows = s->rows,
		.columns = g->config->ff_size,
	};
	engine_code code;

	GRAPH_CHECK(graph_linear(g, s->rows, g->h, s->attention, &l->attention_output, EPILOGUE_NONE));
	GRAPH_CHECK(add_norm(g, s, g->h, &l->ff_norm));
	GRAPH_CHECK(graph_linear(g, s->rows, g->ff, g->h, &l->up, EPILOGUE_NONE));	/* [rows, 2F] */
	GRAPH_CHECK(g->ops->gate(g->device, &gate));	/* [rows, F] */
	return graph_linear(g, s->rows, g->h, g->gated, &l->down, EPILOGUE_NONE);
}

/* out [O, V] f32, and a token of each row */
static engine_code
head(graph *g, const stream *wanted, const graph_outputs *outputs)
{
	backend_sample sample = {
		.logits = g->out,
		.params = outputs->params,
		.results = outputs->results,
		.count = outputs->count,
		.vocab = g->config->vocab_size,
	};
	engine_code code;

	GRAPH_CHECK(add_norm(g, wanted, g->h, &g->output_norm));
	GRAPH_CHECK(graph_linear(g, wanted->rows, g->out, g->h, &g->output, EPILOGUE_NONE));
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
	stream		all = {batch->rows, g->x, g->attention};
	stream		wanted = {outputs->count, g->wanted_x, g->wanted_attention};
	int			last = g->config->layers - 1;
	engine_code code;

	GRAPH_CHECK(g->ops->embed(g->device, &embed));
	for (int i = 0; i < last; i++)
	{
		GRAPH_CHECK(project(g, &all, i, i == 0 ? NULL : g->h));
		GRAPH_CHECK(attend(g, i));
		GRAPH_CHECK(finish_layer(g, &all, &g->layers[i]));
	}
	GRAPH_CHECK(project(g, &all, last, last == 0 ? NULL : g->h));
	/* a chunk of a prompt that is not its end: the cache has all there is to know of it */
	if (wanted.rows == 0)
		return ENGINE_OK;
	GRAPH_CHECK(attend(g, last));
	GRAPH_CHECK(keep_wanted(g, &all, &wanted, outputs->rows));
	GRAPH_CHECK(finish_layer(g, &wanted, &g->layers[last]));
	return head(g, &wanted, outputs);
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
