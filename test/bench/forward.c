/*
 * forward.c: speed of a backend under a real model, without server or scheduler.
 *
 *     make engine && gcc -std=c11 -O2 -D_GNU_SOURCE -Isrc -pthread -o build/forward \
 *         test/bench/forward.c build/plain/libragengine.a -lm -ldl
 *     build/forward MODEL.gguf THREADS PROMPT DECODE [SEQUENCES [shared]]
 *     build/forward FOLDER THREADS TOKENS TEXTS [int8]
 *
 * A GGUF file is decoded: one prompt of PROMPT tokens in chunks of 512, then DECODE steps of
 * SEQUENCES sequences, each after a prompt of its own or all after a "shared" one; so is the
 * folder of a decoder. The folder of an encoder is encoded: TEXTS texts of TOKENS tokens, by a
 * CPU in steps of at most 512 tokens as the engine does, by a GPU in one; with "int8" by 8-bit
 * weights. Prints tokens or texts per second: the best of several repetitions, since other load
 * can only slow them down (seven, or as many as REPETITIONS in the environment says); with one
 * thread seconds are of processor time, which it disturbs least. RAG_SIMD chooses the
 * instruction set. With "cuda" for THREADS the first CUDA device computes, by the library
 * RAG_CUDA_LIBRARY.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "engine/device_open.h"
#include "engine/graph.h"
#include "engine/kv.h"

#define REPETITIONS 7
#define STEP_TOKENS 512			/* the engine's --max-batched-tokens */

static int	repetitions = REPETITIONS;

static clockid_t clock_used = CLOCK_MONOTONIC;

static double
now(void)
{
	struct timespec t;

	clock_gettime(clock_used, &t);
	return (double) t.tv_sec + (double) t.tv_nsec / 1e9;
}

static int
fail(const engine_error *error)
{
	fprintf(stderr, "%s\n", error->message);
	return 1;
}

static int
bench_encode(const graph_device *device, const model *m, int tokens, int texts, bool int8,
			 bool on_gpu)
{
	engine_error error;
	int			fit = tokens < STEP_TOKENS ? STEP_TOKENS / tokens : 1;
	int			at_once = on_gpu || texts < fit ? texts : fit;	/* of a step */
	int			rows = tokens * at_once;
	graph_limits limits = {.max_rows = rows, .max_sequences = at_once, .max_len = tokens,
	.int8_weights = int8,.pooling = POOLING_MEAN};
	graph	   *g = graph_open(device, m, &limits, &error);
	int32_t    *ids = malloc(sizeof(int32_t) * (size_t) rows);
	int32_t    *positions = malloc(sizeof(int32_t) * (size_t) rows);
	int32_t    *start = malloc(sizeof(int32_t) * (size_t) (at_once + 1));
	backend_batch batch = {.tokens = ids, .positions = positions, .start = start};
	float	   *vectors;
	double		best = 0;

	if (g == NULL)
		return fail(&error);
	vectors = malloc(sizeof(float) * (size_t) (at_once * graph_encode_width(g)));
	for (int i = 0; i < rows; i++)
	{
		ids[i] = (1000 + i * 7 % 20000) % model_get_config(m)->vocab_size;
		positions[i] = i % tokens;
	}
	for (int i = 0; i <= at_once; i++)
		start[i] = i * tokens;
	for (int i = 0; i < repetitions; i++)
	{
		double		begin = now();
		int			done = 0;

		do
		{
			for (int left = texts; left > 0; left -= batch.sequences)
			{
				batch.sequences = left < at_once ? left : at_once;
				batch.rows = batch.sequences * tokens;
				if (!graph_encode(g, &batch, vectors, &error))
					return fail(&error);
			}
			done += texts;
		} while (now() - begin < 0.3);
		best = done / (now() - begin) > best ? done / (now() - begin) : best;
	}
	printf("encode %d x %d: %.1f texts/s\n", tokens, texts, best);
	graph_close(g);
	free(ids);
	free(positions);
	free(start);
	free(vectors);
	return 0;
}

typedef struct decoder
{
	graph	   *g;
	int			vocab;
	int			sequences;
	int			stride;
	int32_t    *tables;
	int32_t    *ids;
	int32_t    *positions;
	int32_t    *start;
	int32_t    *context;
	int32_t    *rows;
	const sampler_params **params;
	sampler_result *results;
} decoder;

/* `count` tokens of each of `sequences` sequences from position `from` on */
static bool
step(decoder *d, int sequences, int from, int count, engine_error *error)
{
	backend_batch batch = {.rows = sequences * count, .tokens = d->ids,
	.positions = d->positions, .sequences = sequences, .start = d->start,
	.context = d->context, .block_tables = d->tables, .table_stride = d->stride,
	.kv = graph_kv(d->g)};
	graph_outputs outputs = {.count = sequences, .rows = d->rows, .params = d->params,
	.results = d->results};

	for (int i = 0; i < batch.rows; i++)
	{
		d->ids[i] = (100 + (from + i) * 13 % 30000) % d->vocab;
		d->positions[i] = from + i % count;
	}
	for (int s = 0; s < sequences; s++)
	{
		d->start[s + 1] = (s + 1) * count;
		d->context[s] = from + count;
		d->rows[s] = (s + 1) * count - 1;
	}
	return graph_decode(d->g, &batch, &outputs, error);
}

/* The prompt of one sequence, in chunks. */
static bool
take_prompt(const decoder *d, int sequence, int prompt, engine_error *error)
{
	decoder		one = *d;

	one.tables += (size_t) sequence * (size_t) d->stride;
	for (int done = 0; done < prompt; done += 512)
	{
		if (!step(&one, 1, done, prompt - done < 512 ? prompt - done : 512, error))
			return false;
	}
	return true;
}

static bool
bench_prompt(const decoder *d, int prompt, engine_error *error)
{
	double		best = 0;

	for (int i = 0; i < repetitions; i++)
	{
		double		begin = now();

		if (!take_prompt(d, 0, prompt, error))
			return false;
		best = prompt / (now() - begin) > best ? prompt / (now() - begin) : best;
	}
	printf("prompt %d: %.1f tokens/s\n", prompt, best);
	return true;
}

/* Block tables: blocks of their own, but the first `shared` ones are those of sequence 0. */
static void
fill_tables(decoder *d, int shared)
{
	for (int s = 0; s < d->sequences; s++)
	{
		for (int b = 0; b < d->stride; b++)
			d->tables[s * d->stride + b] = (b < shared ? 0 : s * d->stride) + b;
	}
}

static int
bench_decode(const graph_device *device, const model *m, int prompt, int count, int sequences,
			 bool shared)
{
	static const sampler_params greedy = {.top_p = 1, .repetition_penalty = 1};
	engine_error error;
	int			length = prompt + count + 1;
	decoder		d = {.vocab = model_get_config(m)->vocab_size,.sequences = sequences,
	.stride = (length + KV_BLOCK_SIZE - 1) / KV_BLOCK_SIZE};
	graph_limits limits = {.max_rows = 512 > sequences ? 512 : sequences,
	.max_sequences = sequences, .max_len = length, .kv_blocks = d.stride * sequences};
	size_t		rows = (size_t) limits.max_rows;
	double		best = 0;

	d.g = graph_open(device, m, &limits, &error);
	d.tables = malloc(sizeof(int32_t) * (size_t) (d.stride * sequences));
	d.ids = malloc(sizeof(int32_t) * rows);
	d.positions = malloc(sizeof(int32_t) * rows);
	d.start = calloc(rows + 1, sizeof(int32_t));
	d.context = malloc(sizeof(int32_t) * rows);
	d.rows = malloc(sizeof(int32_t) * rows);
	d.params = malloc(sizeof(void *) * rows);
	d.results = malloc(sizeof(sampler_result) * rows);
	if (d.g == NULL)
		return fail(&error);
	fill_tables(&d, shared ? prompt / KV_BLOCK_SIZE : 0);
	for (int i = 0; i < sequences; i++)
		d.params[i] = &greedy;
	if (prompt > 0 && !bench_prompt(&d, prompt, &error))
		return fail(&error);
	for (int s = 1; s < sequences && !shared; s++)
	{
		if (!take_prompt(&d, s, prompt, &error))
			return fail(&error);
	}
	for (int i = 0; i < repetitions && count > 0; i++)
	{
		double		begin = now();

		for (int t = 0; t < count; t++)
		{
			if (!step(&d, sequences, prompt + t, 1, &error))
				return fail(&error);
		}
		best = count * sequences / (now() - begin) > best ?
			count * sequences / (now() - begin) : best;
	}
	printf("decode %d x %d after %d: %.1f tokens/s\n", sequences, count, prompt, best);
	graph_close(d.g);
	return 0;
}

int
main(int argc, char **argv)
{
	engine_error error;
	engine_config config = {.device = ENGINE_DEVICE_CPU,.cuda_library = getenv("RAG_CUDA_LIBRARY")};
	char		note[ENGINE_MESSAGE_SIZE];
	void	   *library;
	graph_device device;
	backend_info info;
	double		begin;
	model	   *m;
	int			status;

	if (argc < 5)
	{
		fprintf(stderr, "usage: forward MODEL THREADS TOKENS COUNT [SEQUENCES]\n");
		return 1;
	}
	if (getenv("REPETITIONS"))
		repetitions = atoi(getenv("REPETITIONS"));
	if (strcmp(argv[2], "cuda") == 0)
		config.device = ENGINE_DEVICE_CUDA;
	else if ((config.threads = atoi(argv[2])) == 1)
		clock_used = CLOCK_PROCESS_CPUTIME_ID;
	begin = now();
	m = model_open(argv[1], &error);
	if (m == NULL || !device_choose(&config, &device, &library, note, &error))
		return fail(&error);
	device.ops->info(device.device, &info);
	printf("%s\n", info.device);
	if (model_get_config(m)->architecture == MODEL_BERT)
		status = bench_encode(&device, m, atoi(argv[3]), atoi(argv[4]), argc > 5,
							  config.device == ENGINE_DEVICE_CUDA);
	else
		status = bench_decode(&device, m, atoi(argv[3]), atoi(argv[4]),
							  argc > 5 ? atoi(argv[5]) : 1, argc > 6);
	device_close(&device, library);
	model_close(m);
	printf("%.2f s in all\n", now() - begin);
	return status;
}
