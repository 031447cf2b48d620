/*
 * kernels.h: the launchers of all kernels, for the C that prepares them.
 *
 * Pointers are the device's. Each call puts work on the stream and returns; what goes wrong shows
 * at the next cudaGetLastError() or synchronisation. Rows are tokens, as in backend.h.
 */
#ifndef RAG_CUDA_KERNELS_H
#define RAG_CUDA_KERNELS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cuda_runtime_api.h>

#ifdef __cplusplus
#include <cuda_fp16.h>
typedef __half device_half;
extern "C"
{
#else
typedef uint16_t device_half;	/* its bits */
#endif
/* Activations, float weights and caches are device_half, or, where `bf16` is set, bfloat16 instead. */

#include "engine/backend.h"

/*
 * A quantised matrix, planes instead of the file's blocks, so that every load is aligned. A block
 * is 32 columns of a row; block b of row r is number r * blocks + b of each plane:
 *   q      4-bit types 16 bytes: byte i holds column i low and column i + 16 high; Q8_0 32 bytes
 *   high   one word of fifth bits, column i in bit i; Q6_K two words: fifth, then sixth bits
 *   scale  legacy types: half d, or halves d, m; K types, per eight blocks: halves d, dmin; Q6_K half d
 *   sub    K types: scale and minimum, 6 bits each in a byte; Q6_K: int8 scales of 16 columns each
 */
typedef struct quant_matrix
{
	tensor_type type;
	int			rows;
	int			blocks;			/* of a row */
	const uint8_t *q;
	const uint32_t *high;
	const device_half *scale;
	const uint8_t *sub;
} quant_matrix;

/* Activations as signed bytes, 32 columns to a scale: x = scale * q. */
typedef struct quant_block_info
{
	float		scale;
	int16_t		sums[2];		/* of q over columns 0-15 and 16-31 */
} quant_block_info;

typedef struct quant_rows
{
	int8_t	   *q;				/* [rows, columns] */
	quant_block_info *info;		/* [rows, columns / 32] */
} quant_rows;

/* What a matrix product does besides. out: 16 bits, or f32 where out_f32 */
typedef struct product_end
{
	void	   *out;			/* first column of these outputs in row 0 */
	bool		out_f32;
	bool		bf16;			/* out, if it is not f32; and what gemv_launch multiplies */
	int			stride;			/* elements from row to row */
	const float *bias;			/* [outputs] or NULL */
	backend_epilogue epilogue;
} product_end;

#define GEMV_ROWS 4				/* products of so few rows have kernels of their own */

/* The batch of a step as kernels see it. Rows from the batch's on, up to a bucket's, have
 * row_sequence -1 and are passed over by whatever touches the cache. */
typedef struct step_view
{
	const int32_t *tokens;
	const int32_t *positions;
	const int32_t *types;		/* all 0 if the batch has none */
	const int32_t *row_sequence;
	const int32_t *start;
	const int32_t *block_tables;
	int			table_stride;
} step_view;

/* A cache: [layer][block][kv head][keys, values][slot][head_size] */
typedef struct cache_view
{
	void	   *data;			/* of the layer */
	bool		f32;
	int			block_size;
	int			kv_heads;
	int			head_size;
} cache_view;

/* norm.cu */
typedef struct norm_launch_args
{
	device_half *out;
	const device_half *in;
	const device_half *delta;
	device_half *sum;
	const float *weight;
	const float *bias;
	int			rows;
	int			columns;
	float		epsilon;
	bool		layer;			/* LayerNorm, else RMSNorm */
	bool		bf16;
} norm_launch_args;

extern void norm_launch(const norm_launch_args *args, cudaStream_t stream);

/* rope.cu */
typedef struct rope_launch_args
{
	step_view	step;
	device_half *qkv;
	const float *bias;			/* [width] added first, or NULL */
	const float *table;
	cache_view	cache;			/* data NULL: nothing is written */
	int			rows;
	int			heads;
	int			kv_heads;
	int			head_size;
	int			rope_dims;
	bool		interleaved;
	bool		bf16;
} rope_launch_args;

extern void rope_launch(const rope_launch_args *args, cudaStream_t stream);

/* rows.cu */
typedef struct table_view		/* a matrix whose rows are looked up */
{
	const device_half *half;	/* [.., columns], or, if NULL, quant */
	quant_matrix quant;
} table_view;

typedef struct embed_launch_args
{
	step_view	step;
	device_half *out;
	table_view	tables[3];		/* by token, position, type */
	bool		has[3];
	bool		bf16;
	int			rows;
	int			columns;
} embed_launch_args;

extern void embed_launch(const embed_launch_args *args, cudaStream_t stream);
extern void gate_launch(device_half *out, const device_half *in, int rows, int columns, bool bf16,
						cudaStream_t stream);
extern void gather_launch(device_half *out, const device_half *in, const int32_t *rows, int count,
						  int columns, cudaStream_t stream);
/* In place: out = epilogue(out + bias), rows of `outputs`, end->stride apart. */
extern void finish_launch(const product_end *end, int rows, int outputs, cudaStream_t stream);

typedef struct pool_launch_args
{
	float	   *out;
	const device_half *in;
	const int32_t *start;
	int			sequences;
	int			columns;
	bool		mean;
	bool		normalize;
	bool		bf16;
} pool_launch_args;

extern void pool_launch(const pool_launch_args *args, cudaStream_t stream);

/* gemv.cu, gemv_quant.cu, dequantize.cu: out = epilogue(in . w^T + bias), rows <= GEMV_ROWS */
extern void gemv_launch(const device_half *weight, int outputs, int columns, const device_half *in,
						int rows, const product_end *end, cudaStream_t stream);
extern void quantize_launch(const quant_rows *out, const device_half *in, int rows, int columns, bool bf16,
							cudaStream_t stream);
extern void gemv_quant_launch(const quant_matrix *weight, const quant_rows *in, int rows,
							  const product_end *end, cudaStream_t stream);
/* Rows [first, first + rows) of weight in 16 bits. */
extern void dequantize_launch(device_half *out, const quant_matrix *weight, int first, int rows, bool bf16,
							  cudaStream_t stream);

/* Attention, both kinds. Keys and values come from the cache, or, not causal, from qkv. */
typedef struct attention_launch_args
{
	step_view	step;
	device_half *out;			/* [rows, heads * head_size] */
	const device_half *qkv;
	cache_view	cache;
	int			heads;
	int			kv_heads;
	int			head_size;
	float		scale;
	bool		causal;
	bool		bf16;
} attention_launch_args;

/* attention_rows.cu: some rows, each by itself; keys cut into at most ATTENTION_SPLITS parts */
#define ATTENTION_SPLITS 16
#define ATTENTION_SPLIT_KEYS 128	/* a part has more only where there are ATTENTION_SPLITS */
#define ATTENTION_HEAD_MAX_CUDA 256

typedef struct attention_rows_args
{
	attention_launch_args all;
	const int32_t *rows;		/* [count] rows of the batch, -1: none */
	int			count;
	float	   *partial;		/* [count][heads][ATTENTION_SPLITS][head_size + 2], or NULL: one part */
} attention_rows_args;

extern void attention_rows_launch(const attention_rows_args *args, cudaStream_t stream);
extern size_t attention_rows_partial(int count, int heads, int head_size);	/* floats */

/* attention_tiles.cu: tiles of up to ATTENTION_TILE rows of a sequence, on tensor cores */
#define ATTENTION_TILE 64
#define ATTENTION_TILE_HEAD_MAX 128

typedef struct attention_tile
{
	int32_t		sequence;
	int32_t		first;			/* row of the batch */
	int32_t		rows;
	int32_t		keys;			/* that any of the rows sees */
} attention_tile;

typedef struct attention_tiles_args
{
	attention_launch_args all;
	const attention_tile *tiles;
	int			count;
} attention_tiles_args;

/* Head sizes that it takes: multiples of 8 up to ATTENTION_TILE_HEAD_MAX; a cache of 16 bits. */
extern void attention_tiles_launch(const attention_tiles_args *args, cudaStream_t stream);
/* Once for each device, before anything else: kernels that need much shared memory. */
extern cudaError_t attention_tiles_prepare(void);

/* sample.cu */
typedef struct sample_row
{
	uint64_t	seed;
	uint64_t	step;
	float		temperature;
	float		top_p;
	float		min_p;
	float		repetition;
	float		presence;
	float		frequency;
	int32_t		top_k;
	int32_t		want_logprob;
	int32_t		seen_first;		/* in the list of pairs */
	int32_t		seen_count;
	int32_t		active;			/* 0: a row that only fills a bucket */
	int32_t		unused;
} sample_row;

typedef struct sample_result
{
	int32_t		token;			/* -1: no finite logit */
	float		logprob;
} sample_result;

typedef struct sample_launch_args
{
	float	   *logits;			/* [count, vocab], changed by the penalties */
	const sample_row *rows;
	const int32_t *seen;		/* pairs: an id, how often it was generated */
	sample_result *results;
	int			count;
	int			vocab;
} sample_launch_args;

extern void sample_launch(const sample_launch_args *args, cudaStream_t stream);

/*
 * nearest.cu: vectors as halves of a scale of their own, and what their distance from another one is made of:
 * term_a + term_b - weight * factor_a * factor_b * (a . b)
 */
#define NEAREST_TILE 8192		/* vectors that a product is made of at a time */

typedef struct packed_vectors
{
	device_half *rows;			/* [.., columns], zeros beyond the dimensions */
	float	   *factor;
	float	   *term;
} packed_vectors;

typedef struct pack_launch_args
{
	packed_vectors out;
	const float *in;			/* [count, dimensions] */
	int			count;
	int			dimensions;
	int			columns;
	backend_distance distance;
} pack_launch_args;

extern void pack_launch(const pack_launch_args *args, cudaStream_t stream);

/* A key holds a distance and, in its low 32 bits, a number; the least key is the nearest. */
typedef struct nearest_launch_args
{
	unsigned long long *best;	/* [count, k] in order; read unless it is the first tile */
	const float *products;		/* [count, NEAREST_TILE] of queries and vectors */
	packed_vectors queries;
	packed_vectors vectors;
	int			count;			/* queries */
	int			size;			/* vectors of the tile */
	int64_t		seen;			/* query q sees those of the tile below seen + q */
	unsigned	first;			/* number of the tile's first vector */
	int			k;
	float		weight;
} nearest_launch_args;

extern void nearest_launch(const nearest_launch_args *args, cudaStream_t stream);

#ifdef __cplusplus
}
#endif

#endif							/* RAG_CUDA_KERNELS_H */
