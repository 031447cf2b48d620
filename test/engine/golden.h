/*
 * golden.h: reading the golden files, and teacher forcing on the CPU backend.
 */
#ifndef RAG_TEST_GOLDEN_H
#define RAG_TEST_GOLDEN_H

#include <stdlib.h>
#include <string.h>

#include "engine/graph.h"
#include "engine/json.h"
#include "engine/kv.h"

#define GOLDEN_ROWS 64

__attribute__((unused))
static json *
golden_read(const char *path)
{
	FILE	   *f = fopen(path, "rb");
	char	   *text = NULL;
	size_t		length = 0;
	json	   *doc = NULL;
	engine_error error;

	if (f)
	{
		fseek(f, 0, SEEK_END);
		length = (size_t) ftell(f);
		rewind(f);
		text = malloc(length + 1);
		if (text && fread(text, 1, length, f) == length)
			doc = json_parse(text, length, &error);
		fclose(f);
	}
	free(text);
	if (doc == NULL)
		ok(false, "reading %s", path);
	return doc;
}

/* An array of whole numbers, malloc'd. */
__attribute__((unused))
static int32_t *
golden_ids(const json_value *array, int *count)
{
	int32_t    *ids = calloc(array->count + 1, sizeof(*ids));
	int			n = 0;

	for (const json_value *v = array->child; v; v = v->next)
		ids[n++] = (int32_t) v->number;
	*count = n;
	return ids;
}

#ifndef GOLDEN_BACKEND
#define GOLDEN_BACKEND backend_cpu()
#endif

typedef struct golden_model
{
	graph_device device;
	model	   *files;
	graph	   *graph;
} golden_model;

__attribute__((unused))
static bool
golden_open_with(golden_model *g, const char *path, graph_limits limits)
{
	engine_error error;

	limits.max_rows = 512;
	limits.max_sequences = GOLDEN_ROWS;
	limits.kv_blocks = limits.max_len / KV_BLOCK_SIZE + 1;

	memset(g, 0, sizeof(*g));
	g->device.ops = GOLDEN_BACKEND;
	g->device.device = g->device.ops->open(&(backend_config) {.threads = 2}, &error);
	g->files = g->device.device ? model_open(path, &error) : NULL;
	g->graph = g->files ? graph_open(&g->device, g->files, &limits, &error) : NULL;
	if (g->graph == NULL)
		tap_note("%s: %s", path, error.message);
	return ok(g->graph != NULL, "%s opens", path);
}

__attribute__((unused))
static bool
golden_open(golden_model *g, const char *path, int max_len, model_pooling pooling, bool kv_f32)
{
	return golden_open_with(g, path, (graph_limits) {.max_len = max_len,.kv_f32 = kv_f32,
							.pooling = pooling});
}

__attribute__((unused))
static void
golden_close(golden_model *g)
{
	graph_close(g->graph);
	model_close(g->files);
	if (g->device.device)
		g->device.ops->close(g->device.device);
}

/*
 * Computes ids[first .. count), those before are in the cache: logits of ids[from ..] into
 * [count - from, vocab], in steps of at most chunk tokens; the blocks of the cache are used in the order of table.
 */
__attribute__((unused))
static bool
golden_span(golden_model *g, const int32_t *ids, int first, int count, int from, int chunk,
			const int32_t *table, float *logits)
{
	int			vocab = model_get_config(g->files)->vocab_size;
	int32_t		positions[GOLDEN_ROWS];
	int32_t		rows[GOLDEN_ROWS];
	sampler_params greedy = {.top_p = 1,.repetition_penalty = 1};
	const sampler_params *params[GOLDEN_ROWS];
	sampler_result results[GOLDEN_ROWS];
	engine_error error;

	if (chunk > GOLDEN_ROWS)
		chunk = GOLDEN_ROWS;
	for (int i = first; i < count; i += chunk)
	{
		int			n = count - i < chunk ? count - i : chunk;
		int32_t		start[2] = {0, n};
		int32_t		context = i + n;
		backend_batch batch = {.rows = n,.tokens = ids + i,.positions = positions,.sequences = 1,
			.start = start,.context = &context,.block_tables = table,.table_stride = 4096,
		.kv = graph_kv(g->graph)};
		graph_outputs outputs = {.rows = rows,.params = params,.results = results};

		for (int r = 0; r < n; r++)
		{
			positions[r] = i + r;
			if (i + r >= from)
			{
				params[outputs.count] = &greedy;
				rows[outputs.count++] = r;
			}
		}
		outputs.logits = logits;
		if (!graph_decode(g->graph, &batch, &outputs, &error))
		{
			tap_note("%s", error.message);
			return false;
		}
		logits += (size_t) outputs.count * (size_t) vocab;
	}
	return true;
}

__attribute__((unused))
static bool
golden_logits(golden_model *g, const int32_t *ids, int count, int from, int chunk,
			  const int32_t *table, float *logits)
{
	return golden_span(g, ids, 0, count, from, chunk, table, logits);
}

#endif							/* RAG_TEST_GOLDEN_H */
