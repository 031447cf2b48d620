/*
 * graph.c: the commands of decode steps as CUDA graphs, one for each model and bucket of rows.
 *
 * Commands that come for the second time are captured; from then on a step with the same commands is
 * one launch. What is known of memory goes with the graph: when any of it is freed, or the
 * workspace moves, all graphs are dropped and come again.
 */
#include <stdlib.h>
#include <string.h>

#include "cuda/device.h"

static void
drop(step_graph *g)
{
	if (g->graph != NULL)
		(void) cudaGraphExecDestroy(g->graph);
	free(g->commands);
	*g = (step_graph) {0};
}

void
gpu_graph_drop_all(backend_device *d)
{
	for (int i = 0; i < GRAPHS; i++)
		drop(&d->graphs[i]);
}

static step_graph *
find(backend_device *d)
{
	const device_step *s = &d->step;

	for (int i = 0; i < GRAPHS; i++)
	{
		step_graph *g = &d->graphs[i];

		if (g->commands != NULL && g->bucket == s->bucket &&
			g->table_stride == s->table_stride && g->count == s->n_commands &&
			memcmp(g->commands, s->commands, (size_t) g->count * sizeof(command)) == 0)
			return g;
	}
	return NULL;
}

/* Remembers the commands in the place that has been idle longest; nothing if there is no memory. */
static void
remember(backend_device *d)
{
	const device_step *s = &d->step;
	size_t		bytes = (size_t) s->n_commands * sizeof(command);
	step_graph *idle = &d->graphs[0];
	command    *copy = malloc(bytes);

	if (copy == NULL)
		return;
	for (int i = 1; i < GRAPHS; i++)
	{
		if (d->graphs[i].last_used < idle->last_used)
			idle = &d->graphs[i];
	}
	drop(idle);
	memcpy(copy, s->commands, bytes);
	*idle = (step_graph) {s->bucket, s->table_stride, s->n_commands, copy, NULL, ++d->clock};
}

/* A device or library that cannot capture runs the commands one by one for ever. */
static engine_code
capture(backend_device *d, step_graph *g)
{
	cudaGraph_t graph = NULL;
	engine_code code;

	if (cudaStreamBeginCapture(d->compute, cudaStreamCaptureModeThreadLocal) != cudaSuccess)
	{
		d->graphs_off = true;
		return gpu_check(cudaGetLastError(), "a step");
	}
	code = gpu_run_commands(d, d->step.bucket);
	if (cudaStreamEndCapture(d->compute, &graph) != cudaSuccess || code != ENGINE_OK ||
		cudaGraphInstantiate(&g->graph, graph, 0) != cudaSuccess)
	{
		g->graph = NULL;
		d->graphs_off = true;
		(void) cudaGetLastError();
		code = ENGINE_OK;
	}
	if (graph != NULL)
		(void) cudaGraphDestroy(graph);
	return code;
}

engine_code
gpu_graph_run(backend_device *d)
{
	step_graph *g = d->graphs_off ? NULL : find(d);
	engine_code code = ENGINE_OK;

	if (g != NULL && g->graph == NULL)
		code = capture(d, g);
	if (code != ENGINE_OK)
		return code;
	if (g != NULL && g->graph != NULL)
	{
		g->last_used = ++d->clock;
		return gpu_check(cudaGraphLaunch(g->graph, d->compute), "a step");
	}
	code = gpu_run_commands(d, d->step.bucket);
	if (g == NULL && !d->graphs_off && code == ENGINE_OK)
		remember(d);
	return code;
}
