/*
 * graph.c: opening and closing a graph, and what both architectures compute alike.
 */
#include "engine/graph_private.h"

#include <stdlib.h>

graph *
graph_open(const graph_device *device, const model *m, const graph_limits *limits,
		   engine_error *error)
{
	graph	   *g = calloc(1, sizeof(*g));
	bool		loaded;

	if (g == NULL)
	{
		engine_fail_memory(error, "a model");
		return NULL;
	}
	g->ops = device->ops;
	g->device = device->device;
	g->config = model_get_config(m);
	g->limits = *limits;
	g->layers = calloc((size_t) g->config->layers, sizeof(*g->layers));
	if (g->layers == NULL)
		loaded = engine_fail_memory(error, "a model");
	else if (g->config->architecture == MODEL_BERT)
		loaded = graph_load_bert(g, m, error);
	else
		loaded = graph_load_llama(g, m, error);
	if (!loaded)
	{
		graph_close(g);
		return NULL;
	}
	return g;
}

static void
free_buffer(graph *g, backend_buffer *b)
{
	if (b)
		g->ops->free(g->device, b);
}

static void
free_norm(graph *g, graph_norm *n)
{
	free_buffer(g, n->weight);
	free_buffer(g, n->bias);
}

static void
free_matrix(graph *g, graph_matrix *x)
{
	if (x->weight)
		g->ops->free_weight(g->device, x->weight);
	free_buffer(g, x->bias);
}

static void
free_layer(graph *g, graph_layer *l)
{
	free_norm(g, &l->attention_norm);
	free_matrix(g, &l->qkv);
	free_matrix(g, &l->attention_output);
	free_norm(g, &l->ff_norm);
	free_matrix(g, &l->up);
	free_matrix(g, &l->down);
}

void
graph_close(graph *g)
{
	if (g == NULL)
		return;
	for (int i = 0; g->layers && i < g->config->layers; i++)
		free_layer(g, &g->layers[i]);
	free(g->layers);
	if (g->output.weight == g->tokens)
		g->output.weight = NULL;
	free_matrix(g, &g->output);
	free_matrix(g, &g->pooler);
	free_matrix(g, &g->classifier);
	free_matrix(g, &(graph_matrix) {.weight = g->tokens});
	free_matrix(g, &(graph_matrix) {.weight = g->positions});
	free_matrix(g, &(graph_matrix) {.weight = g->types});
	free_norm(g, &g->embedding_norm);
	free_norm(g, &g->output_norm);
	if (g->kv)
		g->ops->free_kv(g->device, g->kv);
	free_buffer(g, g->rope);
	free_buffer(g, g->x);
	free_buffer(g, g->h);
	free_buffer(g, g->qkv);
	free_buffer(g, g->attention);
	free_buffer(g, g->ff);
	free_buffer(g, g->gated);
	free_buffer(g, g->out);
	free_buffer(g, g->pooled);
	free_buffer(g, g->wanted_x);
	free_buffer(g, g->wanted_attention);
	free(g);
}

uint64_t
graph_memory(const graph *g)
{
	return g->memory;
}

backend_kv *
graph_kv(const graph *g)
{
	return g->kv;
}

engine_code
graph_linear(graph *g, int rows, backend_buffer *out, backend_buffer *in, const graph_matrix *w,
			 backend_epilogue epilogue)
{
	backend_linear args = {
		.out = out,
		.in = in,
		.weight = w->weight,
		.bias = w->bias,
		.rows = rows,
		.epilogue = epilogue,
	};

	return g->ops->linear(g->device, &args);
}
