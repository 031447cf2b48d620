/*
 * graph_private.h: what the graphs of both architectures share.
 */
#ifndef RAG_ENGINE_GRAPH_PRIVATE_H
#define RAG_ENGINE_GRAPH_PRIVATE_H

#include "engine/graph.h"

typedef struct graph_norm
{
	backend_buffer *weight;		/* [hidden] */
	backend_buffer *bias;		/* [hidden] or NULL */
} graph_norm;

typedef struct graph_matrix
{
	backend_weight *weight;
	backend_buffer *bias;		/* [outputs] or NULL */
} graph_matrix;

typedef struct graph_layer
{
	graph_norm	attention_norm;
	graph_matrix qkv;			/* [(heads + 2 * kv_heads) * head_size, hidden] */
	graph_matrix attention_output;	/* [hidden, heads * head_size] */
	graph_norm	ff_norm;
	graph_matrix up;			/* BERT [ff, hidden]; Llama gate over up [2 * ff, hidden] */
	graph_matrix down;			/* [hidden, ff] */
} graph_layer;

struct graph
{
	const backend_ops *ops;
	backend_device *device;
	const model_config *config;
	graph_limits limits;
	uint64_t	memory;

	/* weights */
	backend_weight *tokens;
	backend_weight *positions;	/* BERT */
	backend_weight *types;		/* BERT */
	graph_norm	embedding_norm; /* BERT */
	graph_norm	output_norm;	/* Llama */
	graph_matrix output;		/* Llama [vocab, hidden]; weight is tokens when tied */
	graph_matrix pooler;		/* BERT with a classifier */
	graph_matrix classifier;
	backend_buffer *rope;		/* Llama [max_len, rope_dims] */
	graph_layer *layers;
	backend_kv *kv;

	/* activations, [max_rows, ...] */
	backend_buffer *x;			/* [hidden] the residual stream */
	backend_buffer *h;			/* [hidden] */
	backend_buffer *qkv;		/* [(heads + 2 * kv_heads) * head_size] */
	backend_buffer *attention;	/* [heads * head_size] */
	backend_buffer *ff;			/* [ff] or [2 * ff] */
	backend_buffer *gated;		/* Llama [ff] */
	backend_buffer *out;		/* [max_sequences, vocab or hidden] f32 */
	backend_buffer *pooled;		/* BERT with a classifier: [max_sequences, hidden] activations */
	backend_buffer *wanted_x;	/* Llama: [max_sequences, hidden], rows of x ... */
	backend_buffer *wanted_attention;	/* ... and of attention that want their next token */
};

/* graph_load.c */
extern bool graph_load_bert(graph *g, const model *m, engine_error *error);
extern bool graph_load_llama(graph *g, const model *m, engine_error *error);

/* quantize.c: a matrix of floats, its columns a multiple of 32, as Q8_0; to->data is the caller's to
 * free. */
extern bool tensor_is_float(const model_tensor *t);
extern bool tensor_quantize(const model_tensor *from, model_tensor *to, engine_error *error);

/* out [rows, outputs] <- epilogue(in . weight^T + bias) */
extern engine_code graph_linear(graph *g, int rows, backend_buffer *out, backend_buffer *in,
								const graph_matrix *w, backend_epilogue epilogue);

/* One operation of a forward pass: the first that fails ends it. `code` is the caller's. */
#define GRAPH_CHECK(call) \
	do { \
		code = (call); \
		if (code != ENGINE_OK) \
			return code; \
	} while (0)

/* The text of the backend's last failure as an engine_error. */
extern bool graph_failed(const graph *g, engine_code code, engine_error *error);

#endif							/* RAG_ENGINE_GRAPH_PRIVATE_H */
