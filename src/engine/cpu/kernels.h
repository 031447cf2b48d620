/*
 * kernels.h: the computing functions of the CPU backend, one table per instruction set,
 * and the layouts in memory that they share.
 *
 * A matrix product is always done in the same shape: 32 outputs (a panel of the weight)
 * for a tile of the input, up to 12 rows of floats or 16 of bytes, over a stretch of
 * columns, added to 32 running sums per row. Lanes are outputs, so a sum runs over the
 * columns one after another, in the same order for one row as for a thousand: that makes
 * results independent of the batch. Layouts do not depend on the instruction set; integer
 * results do not either.
 *
 * Rows of a tile of bytes, and of a packed one of floats, lie side by side: element k of row r is at
 * [k * stride + r], where stride is the rows of a full tile, or less when the whole input has fewer.
 */
#ifndef RAG_ENGINE_CPU_KERNELS_H
#define RAG_ENGINE_CPU_KERNELS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "engine/backend.h"
#include "simd/simd.h"

#define PANEL_OUTPUTS 32
#define FLOAT_TILE 12
#define QUANT_TILE 16
#define BOTH_TILES 48			/* rows that are whole tiles of either kind */
#define FLOAT_CHUNK 384			/* columns of a panel that meet all rows before the next */
#define HALF_CHUNK 192			/* the same of 16-bit floats, which are brought to f32 first */
#define FLOAT_FEW 4				/* rows that 16-bit floats are brought to f32 for as they are multiplied */

/* How far ahead weights are asked for (cpu_kernels.fetch_rows). */
#define PREFETCH_BYTES 2048

/*
 * Quantised weights meet inputs quantised to 8 bits, in blocks of 32 columns. Per block
 * and output: sum = scale * (q . input) + min * sum(input), where q is unsigned.
 */
#define QUANT_COLUMNS 32
#define QUANT_GROUPS 8			/* of four columns: what one integer dot product takes */
#define QUANT_CHUNK 8			/* blocks of a panel that are unpacked at a time */

/* A block of 32 columns of a panel, unpacked: byte t of output n in group g is the weight of
 * column 4 g + t. */
typedef struct quant_block
{
	_Alignas(64) uint8_t q[QUANT_GROUPS][PANEL_OUTPUTS * 4];
	float		scale[2][PANEL_OUTPUTS];	/* the second one where 16 columns share a scale */
	float		min[PANEL_OUTPUTS]; /* of types that have one */
} quant_block;

/*
 * A block of 32 columns of a tile of inputs, QUANT_WORDS words per row, each as an array
 * over the rows: the eight groups, four signed bytes each; the scale; scale * sum of the
 * bytes; minus that sum; minus its halves over 16 columns.
 */
typedef union quant_word
{
	int32_t		i;
	float		f;
} quant_word;

enum
{
	QUANT_SCALE = QUANT_GROUPS, QUANT_SUM, QUANT_MINUS, QUANT_MINUS_LOW, QUANT_MINUS_HIGH,
	QUANT_WORDS
};

typedef struct integer_kernels
{
	simd_isa	isa;
	/* one row of a tile; columns is a multiple of 32 */
	void		(*quantize) (quant_word *tile, int stride, int row, const float *in, int columns);
	/* blocks [first, first + count) of a packed panel; fetch: later ones are asked for */
	void		(*unpack[TENSOR_TYPES]) (quant_block *out, const uint8_t *panel, int first,
										 int count, bool fetch);
	/* sums[rows][32] += the product of all rows, no more than a tile, and all blocks of a packed panel */
	void		(*multiply_few[TENSOR_TYPES]) (float *sums, const quant_word *tile,
											   const uint8_t *panel, int blocks, int rows,
											   bool fetch);
	/* sums[rows][32] += the product of a tile and a panel over some blocks */
	void		(*multiply[TENSOR_TYPES]) (float *sums, const quant_word *tile, int stride,
										   const quant_block *panel, int blocks, int rows);
} integer_kernels;

/* sums[r][0..32) += tile . panel over some columns, for the rows of one tile */
typedef struct multiply_args
{
	float	   *sums;			/* [rows][32] */
	const float *tile;			/* element k of row r is at [r * row_stride + k * column_stride] */
	size_t		row_stride;
	size_t		column_stride;
	const void *panel;			/* [columns][32] */
	tensor_type type;			/* of its elements: TYPE_F32, or of up to FLOAT_FEW rows F16 or BF16 */
	int			columns;
	int			rows;			/* <= FLOAT_TILE */
	bool		fresh;			/* the sums begin here, at 0 */
	bool		fetch;			/* the panel comes from memory: what follows is asked for */
	const float *ahead;			/* or NULL; unless fetch, a cache line of it is asked for with every four
								 * columns */
} multiply_args;

/* out[r][0..width) = epilogue(sums[r] + bias), for one panel */
typedef struct finish_args
{
	float	   *out;
	size_t		out_stride;
	const float *sums;			/* [rows][32] */
	const float *bias;			/* [width] or NULL */
	int			rows;
	int			width;			/* <= 32 */
	backend_epilogue epilogue;
} finish_args;

/* One row of backend_norm. */
typedef struct norm_args
{
	backend_norm_kind kind;
	float	   *out;
	const float *in;
	const float *delta;			/* or NULL */
	float	   *sum;			/* or NULL */
	const float *weight;
	const float *bias;			/* or NULL */
	int			columns;
	float		epsilon;
} norm_args;

/*
 * Attention of some query rows of one key/value head. Keys are visited from position 0
 * in tiles of 64, whatever the queries, and a tile is brought into panels of f32 first.
 */
#define ATTENTION_KEYS 64
#define ATTENTION_ROWS 192		/* query rows of one call */
#define ATTENTION_HEAD_MAX 256	/* elements of a head */

/*
 * Where keys and values come from: the cache, or the rows of this batch (cache NULL).
 * A block of the cache has the keys of one head as [block_size / 16][head_size][16] and
 * then its values as [block_size][head_size], 16-bit floats.
 */
typedef struct attention_source
{
	const void *cache;			/* of the layer and head: block b is at element b * block_stride */
	bool		f32;			/* its elements are f32, else f16 */
	size_t		block_stride;
	const int32_t *blocks;		/* block table of the sequence */
	int			block_size;		/* a multiple of 16 */
	const float *keys;			/* of the first row of the sequence */
	const float *values;
	size_t		row_stride;
} attention_source;

typedef struct attention_args
{
	const attention_source *source;
	int			keys;			/* of the sequence: those beyond are never read */
	const float *const *queries;	/* [rows] head_size elements each */
	float	   *const *out;		/* [rows] */
	const int  *visible;		/* [rows] each row sees the keys [0, visible); 1 <= visible <= keys */
	int			rows;			/* <= ATTENTION_ROWS */
	int			head_size;		/* <= ATTENTION_HEAD_MAX */
	float		scale;
	float	   *scratch;		/* ATTENTION_SCRATCH floats, aligned to 64 bytes */
} attention_args;

/* panels of keys and values, queries, running outputs, scores, weights, running maxima and sums */
#define ATTENTION_SCRATCH \
	(2 * ATTENTION_KEYS * ATTENTION_HEAD_MAX + 2 * ATTENTION_ROWS * ATTENTION_HEAD_MAX + \
	 2 * FLOAT_TILE * ATTENTION_KEYS + 17 * ATTENTION_ROWS)

typedef struct float_kernels
{
	simd_isa	isa;
	/* rows of `in` (columns apart) to a tile; rows <= stride */
	void		(*pack) (float *tile, int stride, const float *in, int columns, int rows);
	/* count floats of TYPE_F16 or TYPE_BF16 (a multiple of 16) of a panel to f32; fetch: later ones
	 * are asked for */
	void		(*expand) (float *out, const uint16_t *in, size_t count, tensor_type type, bool fetch);
	void		(*multiply) (const multiply_args *args);
	void		(*finish) (const finish_args *args);
	void		(*norm) (const norm_args *args);
	void		(*gate) (float *out, const float *in, int columns);
	void		(*add) (float *to, const float *from, int columns);
	void		(*scale) (float *x, float factor, int columns);
	float		(*squares) (const float *x, int columns);
	void		(*attend) (const attention_args *args);
} float_kernels;

/* one table from the functions of float_body.h, rows_body.h and attention_body.h */
#define FLOAT_KERNELS(isa_) { \
	.isa = (isa_), \
	.pack = float_pack, \
	.expand = float_expand, \
	.multiply = float_multiply, \
	.finish = float_finish, \
	.norm = rows_norm, \
	.gate = rows_gate, \
	.add = rows_add, \
	.scale = rows_scale, \
	.squares = rows_squares, \
	.attend = attention_attend, \
}

/*
 * The tables that an instruction set uses; kernels_get answers for any isa of this machine.
 *
 * One row waits for memory most of the time. Intel's processors keep too little of it under way by
 * themselves: asking ahead makes 1.7 times the tokens per second. AMD's (Zen 4) do so well alone
 * that it costs them a third; only where many rows meet a panel, and memory is read in short
 * bursts, is it worth a twentieth there, too.
 */
typedef struct cpu_kernels
{
	const float_kernels *real;
	const integer_kernels *integer;
	int			fetch_rows;		/* from so many on weights are asked for ahead */
} cpu_kernels;

extern cpu_kernels kernels_get(simd_isa isa);

extern const float_kernels float_kernels_scalar;
extern const integer_kernels integer_kernels_scalar;
#if defined(__x86_64__)
extern const float_kernels float_kernels_avx2;
extern const float_kernels float_kernels_avx512;
extern const integer_kernels integer_kernels_avx2;
extern const integer_kernels integer_kernels_avxvnni;
extern const integer_kernels integer_kernels_avx512vnni;
#endif

#endif							/* RAG_ENGINE_CPU_KERNELS_H */
