/*
 * graph.h: the forward pass of a model over the backend's table.
 *
 *     graph *g = graph_open(&device, m, &limits, &error);
 *     graph_encode(g, &batch, vectors, &error);            // BERT: one vector per sequence
 *     graph_decode(g, &batch, &outputs, &error);           // Llama: one token per output row
 *
 * Holds a model's weights, constants and activations on one device. Everything is
 * allocated by graph_open; a pass allocates nothing. Knows neither requests nor text.
 */
#ifndef RAG_ENGINE_GRAPH_H
#define RAG_ENGINE_GRAPH_H

#include <stdatomic.h>

#include "engine/backend.h"

typedef struct graph graph;

typedef struct graph_device
{
	const backend_ops *ops;
	backend_device *device;
} graph_device;

/* How far graph_open has come, for other threads, and their wish that it stops. */
typedef struct graph_progress
{
	atomic_ullong total;		/* bytes of weights; the caller's */
	atomic_ullong loaded;
	atomic_bool stop;			/* then it fails with ENGINE_CANCELED */
} graph_progress;

typedef struct graph_limits
{
	int			max_rows;		/* tokens of a step */
	int			max_sequences;	/* of a step */
	int			max_outputs;	/* Llama: rows of a step that want their next token; 0: max_sequences */
	int			max_len;		/* positions of a sequence */
	int			kv_blocks;		/* Llama: blocks of KV_BLOCK_SIZE tokens */
	bool		kv_f32;			/* with f32 elements: twice the memory of the usual 16 bits */
	bool		bf16;			/* activations, float weights and cache have bf16's range at least */
	bool		int8_weights;	/* matrices of floats become 8-bit ones (Q8_0) */
	model_pooling pooling;		/* BERT */
	graph_progress *progress;	/* or NULL */
} graph_limits;

/* The rows whose next token is wanted, and how to choose it. */
typedef struct graph_outputs
{
	int			count;
	const int32_t *rows;		/* [count] rows of the batch */
	const sampler_params *const *params;	/* [count] */
	sampler_result *results;	/* [count] */
	float	   *logits;			/* [count, vocab] wanted on the host too, or NULL */
} graph_outputs;

extern graph *graph_open(const graph_device *device, const model *m, const graph_limits *limits,
						 engine_error *error);
extern void graph_close(graph *g);
extern uint64_t graph_memory(const graph *g);	/* bytes of weights, KV cache and activations, about */
extern backend_kv *graph_kv(const graph *g);

/* vectors: [sequences, hidden], pooled and normalised as the model says; with a classifier:
 * [sequences, labels] scores. */
extern bool graph_encode(graph *g, const backend_batch *batch, float *vectors,
						 engine_error *error);
/* width of a row of vectors */
extern int	graph_encode_width(const graph *g);
extern bool graph_decode(graph *g, const backend_batch *batch, const graph_outputs *outputs,
						 engine_error *error);

#endif							/* RAG_ENGINE_GRAPH_H */
