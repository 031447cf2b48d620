/*
 * backend.h: what a device must be able to do; the model graphs are written over
 * this table alone.
 *
 *     backend_device *d = backend->open(&config, &error);
 *     backend->begin_step(d, &batch);
 *     backend->embed(d, &(backend_embed) {.out = x, .tokens = w});
 *     ...
 *     backend->end_step(d);
 *
 * A step computes one ragged batch of one model: rows of activations are tokens,
 * the tokens of a sequence are consecutive, sequences are packed without padding.
 * Memory on the device is opaque; everything uploaded or downloaded is f32. Activations have the
 * element type that the backend likes best; those of a model that needs the range of bf16, and with
 * them its weights and its cache, may be BACKEND_BF16. Host-side descriptors (the batch, argument
 * structs) are read before a call returns.
 *
 * Batch invariance: what the CPU backend computes for one row depends on that row and its
 * sequence alone, bit by bit; never on the number of rows, on their place in the
 * batch, on how a prompt was cut into chunks or on which of its blocks came from the
 * prefix cache. A backend whose matrix products are a library's may round differently for
 * another number of rows.
 *
 * Nothing is allocated between begin_step and end_step. Every call returns an
 * engine_code; the text of the last failure is asked for with message(). One thread
 * at a time drives a device (weights may be uploaded by another: see upload_weight).
 */
#ifndef RAG_ENGINE_BACKEND_H
#define RAG_ENGINE_BACKEND_H

#include <stddef.h>
#include <stdint.h>

#include "engine/model.h"
#include "engine/sampler.h"

#define BACKEND_ABI_VERSION 4

typedef struct backend_device backend_device;
typedef struct backend_buffer backend_buffer;	/* rows of elements on the device */
typedef struct backend_weight backend_weight;	/* a matrix in the layout of its kernels */
typedef struct backend_kv backend_kv;	/* the paged key and value cache of one model */
typedef struct backend_vectors backend_vectors; /* numbered vectors, to find the nearest of */

typedef struct backend_config
{
	int			threads;		/* CPU: compute threads, the caller's included; 0 = all cores */
	int			device;			/* CUDA: ordinal */
	double		memory_utilization; /* CUDA: share of the device's memory to use; 0 = 0.5 */
} backend_config;

typedef struct backend_info
{
	const char *device;			/* "CPU (AVX-512 VNNI, 2 threads)" */
	uint64_t	memory_free;	/* bytes that may be used for weights, KV and buffers */
	int			kv_bytes;		/* bytes of one cached key or value element */
	bool		dedicated;		/* the memory is for models: a cache may take what is left */
	int			threads;		/* that compute; 0 where that makes no sense */
} backend_info;

typedef enum backend_element
{
	BACKEND_ACTIVATION,			/* the backend's own choice; never uploaded or downloaded */
	BACKEND_BF16,				/* an activation that has bf16's range at least */
	BACKEND_F32					/* constants, tables, logits, pooled vectors */
} backend_element;

/*
 * The batch of a step, on the host. Tokens of sequence s are rows
 * [start[s], start[s + 1]); row r stands at positions[r] of its sequence.
 */
typedef struct backend_batch
{
	int			rows;
	const int32_t *tokens;		/* [rows] ids in [0, vocab_size) */
	const int32_t *positions;	/* [rows] */
	const int32_t *types;		/* [rows] BERT token types, or NULL for all 0 */
	int			sequences;
	const int32_t *start;		/* [sequences + 1] */
	const int32_t *context;		/* [sequences] cached tokens after this step, or NULL: no cache */
	const int32_t *block_tables;	/* [sequences][table_stride] block numbers, or NULL */
	int			table_stride;
	backend_kv *kv;				/* NULL for an encoder */
} backend_batch;

typedef struct backend_kv_config
{
	int			layers;
	int			kv_heads;
	int			head_size;
	int			block_size;		/* tokens of a block: a multiple of 16 */
	int			blocks;
	bool		f32;			/* elements of full precision, whatever they cost */
	bool		bf16;			/* for BACKEND_BF16, unless f32 */
} backend_kv_config;

/* What a weight is for. An embedding that is the output matrix too ("tied") is WEIGHT_BOTH; one that
 * is not is WEIGHT_GATHER, which may have a layout of its own. */
typedef enum backend_weight_use
{
	WEIGHT_LINEAR = 0,			/* linear() */
	WEIGHT_BOTH = 1,			/* linear() and embed() */
	WEIGHT_GATHER = 2			/* embed(); one part */
} backend_weight_use;

/* out[r] = tokens[id(r)] (+ positions[position(r)] + types[type(r)]) */
typedef struct backend_embed
{
	backend_buffer *out;		/* [rows, hidden] activation */
	const backend_weight *tokens;
	const backend_weight *positions;	/* or NULL */
	const backend_weight *types;	/* or NULL */
} backend_embed;

typedef enum backend_norm_kind
{
	NORM_RMS, NORM_LAYER
} backend_norm_kind;

/*
 * sum = in + delta (delta may be NULL); if sum is not NULL, it is stored there (may be
 * in itself); out = normalised(sum) * weight (+ bias). out may be in, sum or delta.
 */
typedef struct backend_norm
{
	backend_norm_kind kind;
	backend_buffer *out;
	const backend_buffer *in;
	const backend_buffer *delta;
	backend_buffer *sum;
	const backend_buffer *weight;	/* [columns] f32 */
	const backend_buffer *bias; /* [columns] f32 or NULL */
	int			rows;			/* usually those of the batch */
	int			columns;
	float		epsilon;
} backend_norm;

typedef enum backend_epilogue
{
	EPILOGUE_NONE, EPILOGUE_GELU, EPILOGUE_TANH
} backend_epilogue;

/* out[r, :] = epilogue(in[r, :] . weight^T + bias); out is activation or f32, and not in */
typedef struct backend_linear
{
	backend_buffer *out;		/* [rows, outputs of weight] */
	const backend_buffer *in;	/* [rows, inputs of weight] */
	const backend_weight *weight;
	const backend_buffer *bias; /* [outputs] f32 or NULL */
	int			rows;
	backend_epilogue epilogue;
} backend_linear;

/*
 * Rotates the queries and keys of the batch in place by the table and writes keys and
 * values into the cache at (layer, block of the position). A row of qkv is
 * [heads * head_size | kv_heads * head_size | kv_heads * head_size].
 */
typedef struct backend_rope
{
	backend_buffer *qkv;
	const backend_buffer *table;	/* [max_positions, rope_dims] f32: cos, then sin, half each */
	int			layer;
	int			heads;
	int			kv_heads;
	int			head_size;
	int			rope_dims;
	bool		interleaved;
} backend_rope;

/*
 * out[r] = softmax(q . K^T * scale) . V for each head. causal: over the cached keys of the sequence at
 * positions <= the row's, this step's included (rope wrote them). Not causal: over the
 * keys and values in qkv of all rows of the sequence; the cache is not used.
 */
typedef struct backend_attention
{
	backend_buffer *out;		/* [rows, heads * head_size] */
	const backend_buffer *qkv;
	int			layer;
	int			heads;
	int			kv_heads;
	int			head_size;
	float		scale;
	bool		causal;
} backend_attention;

/* out[r, c] = silu(in[r, c]) * in[r, columns + c] */
typedef struct backend_gate
{
	backend_buffer *out;		/* [rows, columns] */
	const backend_buffer *in;	/* [rows, 2 * columns] */
	int			rows;
	int			columns;
} backend_gate;

/* out[i, :] = in[rows[i], :] */
typedef struct backend_gather
{
	backend_buffer *out;
	const backend_buffer *in;
	const int32_t *rows;		/* [count] host */
	int			count;
	int			columns;
} backend_gather;

/* out[s, :] = mean or first row of sequence s of the batch, of unit length if normalize */
typedef struct backend_pool
{
	backend_buffer *out;		/* [sequences, columns] f32 */
	const backend_buffer *in;
	model_pooling pooling;
	bool		normalize;
	int			columns;
} backend_pool;

#define BACKEND_NO_TOKEN (-1)

/* results[i] = the token chosen from logits row i by params[i] (sampler.h says how); BACKEND_NO_TOKEN
 * when none of them is finite, which is no failure of the other rows */
typedef struct backend_sample
{
	const backend_buffer *logits;	/* [count, vocab] f32 */
	const sampler_params *const *params;	/* [count] host */
	sampler_result *results;	/* [count] host, valid after sync */
	int			count;
	int			vocab;
} backend_sample;

typedef enum backend_distance
{
	DISTANCE_L2,				/* squared */
	DISTANCE_INNER_PRODUCT,		/* negative */
	DISTANCE_COSINE
} backend_distance;

#define BACKEND_NEAREST_MAX 1024
#define BACKEND_NO_VECTOR UINT32_MAX

/*
 * Query q is compared with the vectors numbered below seen + q (SIZE_MAX: with all). Nearest first, of
 * equal distances the lower number first; BACKEND_NO_VECTOR, infinitely far, where there are
 * fewer than k. A distance that is not a number counts as infinite. A backend may round what it compares to 16
 * bits of which 11 are of the fraction.
 */
typedef struct backend_nearest
{
	const backend_vectors *vectors;
	const float *queries;		/* [count, dimensions] host */
	int			count;
	size_t		seen;
	int			k;				/* 1 to BACKEND_NEAREST_MAX */
	uint32_t   *numbers;		/* [count, k] host */
	float	   *distances;		/* [count, k] host */
} backend_nearest;

typedef struct backend_ops
{
	uint32_t	abi_version;	/* BACKEND_ABI_VERSION, tested before anything else is called */
	const char *name;			/* "cpu", "cuda" */

	/* ENGINE_OK when a device can be opened; else *error says why not */
	engine_code (*probe) (const backend_config *config, engine_error *error);
	backend_device *(*open) (const backend_config *config, engine_error *error);
	void		(*close) (backend_device *d);
	void		(*info) (backend_device *d, backend_info *out);
	const char *(*message) (backend_device *d);

	/* Memory: zeroed or not as the backend likes; NULL when there is none. */
	backend_buffer *(*alloc) (backend_device *d, backend_element element, size_t elements);
	void		(*free) (backend_device *d, backend_buffer *b);
	engine_code (*upload) (backend_device *d, backend_buffer *b, size_t offset, const float *data,
						   size_t count);
	engine_code (*download) (backend_device *d, const backend_buffer *b, size_t offset, float *data,
							 size_t count);

	/*
	 * A weight made of 1-3 tensors of equal columns, one under the other (fused q, k, v; gate, up);
	 * their types may differ. activations: the element of those that meet it. The tensors' data is not
	 * needed any more afterwards. Safe to call from a thread of its own while steps run.
	 */
	backend_weight *(*upload_weight) (backend_device *d, const model_tensor *const *parts,
									  int count, backend_weight_use use,
									  backend_element activations, engine_error *error);
	void		(*free_weight) (backend_device *d, backend_weight *w);
	backend_kv *(*alloc_kv) (backend_device *d, const backend_kv_config *config,
							 engine_error *error);
	void		(*free_kv) (backend_device *d, backend_kv *kv);

	engine_code (*begin_step) (backend_device *d, const backend_batch *batch);
	engine_code (*embed) (backend_device *d, const backend_embed *args);
	engine_code (*norm) (backend_device *d, const backend_norm *args);
	engine_code (*linear) (backend_device *d, const backend_linear *args);
	engine_code (*rope) (backend_device *d, const backend_rope *args);
	engine_code (*attention) (backend_device *d, const backend_attention *args);
	engine_code (*gate) (backend_device *d, const backend_gate *args);
	engine_code (*gather) (backend_device *d, const backend_gather *args);
	engine_code (*pool) (backend_device *d, const backend_pool *args);
	engine_code (*sample) (backend_device *d, const backend_sample *args);
	engine_code (*end_step) (backend_device *d);
	engine_code (*sync) (backend_device *d);

	/* Not between begin_step and end_step. Vectors are numbered from 0 in the order in which they are added. */
	backend_vectors *(*alloc_vectors) (backend_device *d, backend_distance distance, int dimensions,
									   engine_error *error);
	void		(*free_vectors) (backend_device *d, backend_vectors *v);
	engine_code (*add_vectors) (backend_device *d, backend_vectors *v, const float *rows, int count);
	engine_code (*nearest) (backend_device *d, const backend_nearest *args);
} backend_ops;

/* The built-in CPU backend (src/engine/cpu). */
extern const backend_ops *backend_cpu(void);

#endif							/* RAG_ENGINE_BACKEND_H */
