/*
 * device.h: what a CPU device is made of. Private to src/engine/cpu.
 *
 * Threads: the driver thread calls the operations. upload_weight and free_weight may run
 * on other threads meanwhile: they touch nothing of the device but `widest`, which is
 * atomic, and read `kernels`, which never changes.
 */
#ifndef RAG_ENGINE_CPU_DEVICE_H
#define RAG_ENGINE_CPU_DEVICE_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include "engine/backend.h"
#include "engine/cpu/kernels.h"
#include "engine/cpu/threads.h"

#define WEIGHT_PARTS 3
#define COLUMNS_MAX (1 << 20)
#define ROWS_MAX (1 << 28)
#define BUFFER_ALIGNMENT 64

struct backend_buffer
{
	size_t		elements;
	float	   *data;
};

/* One tensor of a weight, in panels of 32 outputs; the last one is filled up with zeros. */
typedef struct weight_part
{
	tensor_type type;
	int			rows;
	int			panels;
	int			first;			/* its first output */
	size_t		panel_bytes;
	uint8_t    *data;
} weight_part;

struct backend_weight
{
	int			columns;
	int			rows;			/* of all parts */
	int			n_parts;
	weight_part parts[WEIGHT_PARTS];
	/* instead of parts, when rows are only ever gathered: the tensor as it was */
	tensor_type row_type;
	size_t		row_bytes;
	uint8_t    *row_data;
};

struct backend_kv
{
	backend_kv_config config;
	size_t		head_stride;	/* elements: keys and values of one head in one block */
	size_t		layer_stride;	/* of all heads in one block */
	size_t		block_stride;	/* of all layers */
	void	   *data;			/* f16, or f32 if config.f32 */
};

/* The batch of the step, copied: the caller's arrays are its own again after begin_step. */
typedef struct device_batch
{
	backend_batch batch;		/* its arrays are parts of `memory` */
	int32_t    *memory;
	size_t		capacity;		/* of memory, in elements */
	int		   *row_sequence;	/* [rows] */
	size_t		row_capacity;
} device_batch;

/* What one thread needs for itself. */
typedef struct device_thread
{
	float	   *scratch;		/* SCRATCH_FLOATS, aligned */
	sampler_candidate *candidates;
} device_thread;

/* running sums of a panel for LINEAR_ROWS rows, and an unpacked chunk of it */
#define LINEAR_ROWS (5 * BOTH_TILES)
#define LINEAR_SUMS (LINEAR_ROWS * PANEL_OUTPUTS)
#define LINEAR_UNPACKED (QUANT_CHUNK * (int) (sizeof(quant_block) / sizeof(float)))
#define LINEAR_EXPANDED (HALF_CHUNK * PANEL_OUTPUTS)
#define LINEAR_SCRATCH \
	(LINEAR_SUMS + (LINEAR_UNPACKED > LINEAR_EXPANDED ? LINEAR_UNPACKED : LINEAR_EXPANDED))
#define SCRATCH_FLOATS (LINEAR_SCRATCH > ATTENTION_SCRATCH ? LINEAR_SCRATCH : ATTENTION_SCRATCH)

/* Inputs of one linear(), packed, for as many rows at a time as fit. */
#define INPUT_FLOATS ((size_t) 4 << 20)

struct backend_device
{
	cpu_kernels kernels;
	threads    *pool;
	int			n_threads;
	char		name[64];
	engine_error failure;
	bool		in_step;
	device_batch step;
	device_thread *thread;		/* [n_threads] */
	int			candidates;		/* of each thread */
	float	   *input;			/* packed inputs as f32 */
	quant_word *quantized;		/* and as 8-bit blocks */
	atomic_int	widest;			/* most outputs of any weight */
};

/* memory.c: zeroed, aligned to 64 bytes, in huge pages where that pays; NULL when there is none. */
extern void *memory_alloc(size_t count, size_t size);
extern void memory_free(void *p);
extern uint64_t memory_available(void);

/* Keeps the text for message() and returns the code. */
extern engine_code device_fail(backend_device *d, engine_code code, const char *format,...)
	__attribute__((format(printf, 3, 4)));

/* True when b holds at least rows * columns elements. */
extern bool device_fits(const backend_buffer *b, int rows, int columns);

/* For tests: a device whose kernels are those of one instruction set of this machine. */
extern backend_device *device_open(const backend_config *config, simd_isa isa,
								   engine_error *error);

/* weight.c */
extern backend_weight *weight_upload(backend_device *d, const model_tensor *const *parts,
									 int count, backend_weight_use use, backend_element activations,
									 engine_error *error);
extern void weight_free(backend_device *d, backend_weight *w);
/* Row `row` as f32, all its columns. */
extern void weight_row(const backend_weight *w, int row, float *out);
/* Asks for a row that will be wanted soon, if it is in one piece. */
extern void weight_prefetch_row(const backend_weight *w, int row);

/* step.c */
extern engine_code step_begin(backend_device *d, const backend_batch *batch);
extern engine_code step_end(backend_device *d);
extern engine_code step_reserve_candidates(backend_device *d, int vocab);
extern void step_free(backend_device *d);

/* the operations: linear.c, rows.c, attention.c */
extern engine_code linear_run(backend_device *d, const backend_linear *args);
extern engine_code rows_embed(backend_device *d, const backend_embed *args);
extern engine_code rows_run_norm(backend_device *d, const backend_norm *args);
extern engine_code rows_run_gate(backend_device *d, const backend_gate *args);
extern engine_code rows_gather(backend_device *d, const backend_gather *args);
extern engine_code rows_pool(backend_device *d, const backend_pool *args);
extern engine_code rows_sample(backend_device *d, const backend_sample *args);
extern engine_code attention_rope(backend_device *d, const backend_rope *args);
extern engine_code attention_run(backend_device *d, const backend_attention *args);

/* cache.c */
extern backend_kv *cache_alloc(backend_device *d, const backend_kv_config *config,
							   engine_error *error);
extern void cache_free(backend_device *d, backend_kv *kv);

/* nearest.c */
extern backend_vectors *vectors_alloc(backend_device *d, backend_distance distance, int dimensions,
									  engine_error *error);
extern void vectors_free(backend_device *d, backend_vectors *v);
extern engine_code vectors_add(backend_device *d, backend_vectors *v, const float *rows, int count);
extern engine_code vectors_nearest(backend_device *d, const backend_nearest *args);

#endif							/* RAG_ENGINE_CPU_DEVICE_H */
