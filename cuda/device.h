/*
 * device.h: what a CUDA device is made of. Private to cuda/.
 *
 * Operations between begin_step and end_step are checked and noted as commands; end_step copies the
 * step's numbers to the device in one piece and runs the commands on the compute stream, one by one or
 * as a graph that was captured when the same commands came before. So an operation costs the
 * driver thread no launch where a graph exists, and kernels find what changes from step to step in
 * memory.
 *
 * Threads: the driver thread calls the operations, download and sync. alloc, free, upload,
 * upload_weight, alloc_kv and their opposites may be called by another meanwhile: they use the copy
 * stream, under copy_lock.
 */
#ifndef RAG_CUDA_DEVICE_H
#define RAG_CUDA_DEVICE_H

#include <pthread.h>
#include <stdatomic.h>

#include <cublas_v2.h>
#include <cuda_runtime_api.h>

#include "cuda/kernels.h"
#include "engine/backend.h"

#define WEIGHT_PARTS 3
#define COLUMNS_MAX (1 << 20)
#define ROWS_MAX (1 << 28)

struct backend_buffer
{
	backend_element element;
	size_t		elements;
	void	   *data;			/* device_half or float */
};

/* Parts of a weight that lie in memory as one matrix. */
typedef struct weight_segment
{
	int			rows;
	int			first;			/* its first output */
	device_half *half;			/* or, if NULL, quant */
	quant_matrix quant;
	void	   *memory;
} weight_segment;

struct backend_weight
{
	int			columns;
	int			rows;
	int			n_segments;
	bool		bf16;			/* its floats, and the activations that it takes */
	weight_segment segments[WEIGHT_PARTS];
};

struct backend_kv
{
	backend_kv_config config;
	size_t		layer_bytes;
	char	   *data;
};

/* Memory that both sides have: written here, copied there, or the other way round. */
typedef struct mirror
{
	size_t		used;
	size_t		host_bytes;
	size_t		device_bytes;
	char	   *host;			/* pinned */
	char	   *device;
} mirror;

typedef enum command_kind
{
	COMMAND_EMBED, COMMAND_NORM, COMMAND_LINEAR, COMMAND_ROPE, COMMAND_ATTENTION,
	COMMAND_GATE, COMMAND_GATHER, COMMAND_POOL, COMMAND_SAMPLE
} command_kind;

/* An operation, without what changes from step to step: places in the step's numbers are offsets. */
typedef struct command
{
	command_kind kind;
	bool		of_batch;		/* as many rows as the batch has: rows is 0 then */
	int			rows;
	union
	{
		embed_launch_args embed;
		norm_launch_args norm;
		struct
		{
			const backend_weight *weight;
			const device_half *in;
			void	   *out;
			bool		out_f32;
			bool		bf16;	/* in, and out unless it is f32 */
			const float *bias;
			backend_epilogue epilogue;
		}			linear;
		rope_launch_args rope;
		attention_launch_args attention;
		struct
		{
			device_half *out;
			const device_half *in;
			bool		bf16;
			int			columns;
		}			gate;
		struct
		{
			device_half *out;
			const device_half *in;
			int			columns;
			size_t		list;	/* int32_t [rows] */
		}			gather;
		pool_launch_args pool;
		struct
		{
			float	   *logits;
			int			vocab;
			size_t		list;	/* sample_row [rows] */
			size_t		seen;	/* pairs of int32_t */
			size_t		results;
		}			sample;
	};
} command;

/* Where a step's numbers are in the mirror, in bytes. */
typedef struct step_layout
{
	size_t		tokens;
	size_t		positions;
	size_t		types;
	size_t		row_sequence;
	size_t		start;
	size_t		block_tables;
	size_t		every_row;		/* 0, 1, 2 .. */
	size_t		single_rows;	/* the rows of sequences that have one */
	size_t		tiles;			/* attention_tile, of the others */
} step_layout;

/* A sample() whose results are not with its caller yet. */
typedef struct pending_sample
{
	sampler_result *results;
	size_t		at;				/* in the results' mirror */
	int			count;
} pending_sample;

#define PENDING_SAMPLES 4

typedef struct device_step
{
	bool		open;
	bool		running;		/* there is work that has not been waited for */
	bool		paddable;		/* every buffer has room for the bucket's rows */
	int			rows;
	int			sequences;
	int			bucket;			/* rows as a captured graph computes them; 0: never captured */
	int			table_stride;
	int			n_single;
	int			n_tiles;
	int			last_position;
	int			top_token;
	int			top_type;
	bool		has_types;
	bool		negative;		/* a token, type or position below 0 */
	backend_kv *kv;
	step_layout at;
	mirror		numbers;		/* to the device */
	mirror		results;		/* from it */
	int			n_commands;
	int			commands_capacity;
	command    *commands;
	int			n_pending;
	pending_sample pending[PENDING_SAMPLES];
} device_step;

typedef struct step_graph
{
	int			bucket;
	int			table_stride;
	int			count;
	command    *commands;
	cudaGraphExec_t graph;		/* NULL: the commands came once so far */
	uint64_t	last_used;
} step_graph;

#define GRAPHS 64

struct backend_device
{
	int			ordinal;
	char		name[320];
	double		utilization;
	cudaStream_t compute;
	cudaStream_t copy;
	cublasHandle_t blas;
	void	   *blas_workspace;
	pthread_mutex_t copy_lock;
	char	   *staging;		/* pinned, STAGING_BYTES, under copy_lock */
	device_step step;
	char	   *workspace;
	size_t		workspace_bytes;
	bool		graphs_off;		/* this device or its library cannot capture */
	atomic_bool graphs_stale;	/* memory that graphs may know has been freed */
	uint64_t	clock;
	step_graph	graphs[GRAPHS];
};

#define STAGING_BYTES ((size_t) 8 << 20)
#define BLAS_WORKSPACE_BYTES ((size_t) 32 << 20)

/* device.c: keeps the text for message() (of this thread) and returns the code. */
extern engine_code gpu_fail(engine_code code, const char *format,...)
	__attribute__((format(printf, 2, 3)));
/* ENGINE_OK for success; ENGINE_NO_MEMORY; else ENGINE_DIED: the device cannot go on. */
extern engine_code gpu_check(cudaError_t code, const char *what);
extern engine_code gpu_check_blas(cublasStatus_t status);
extern const char *gpu_message(void);
extern bool gpu_fits(const backend_buffer *b, backend_element element, int rows, int columns);
/* Memory of the device; NULL and a text for message() when there is none. */
extern void *gpu_allocate(backend_device *d, size_t bytes);
extern void gpu_release(backend_device *d, void *p);
/* From host to device by way of the staging buffer, done when it returns. */
extern engine_code gpu_upload(backend_device *d, void *to, const void *from, size_t bytes);

/* weight.c */
extern backend_weight *gpu_weight_upload(backend_device *d, const model_tensor *const *parts,
									 int count, backend_weight_use use, backend_element activations,
									 engine_error *error);
extern void gpu_weight_free(backend_device *d, backend_weight *w);

/* step.c */
extern engine_code gpu_step_begin(backend_device *d, const backend_batch *batch);
extern engine_code gpu_step_end(backend_device *d);
extern engine_code gpu_step_sync(backend_device *d);
/* Runs what has been noted so far, in the middle of a step. */
extern engine_code gpu_step_flush(backend_device *d);
extern void gpu_step_free(backend_device *d);
/* Room for bytes more in the step's numbers: their offset; SIZE_MAX when there is no memory. */
extern size_t gpu_step_reserve(backend_device *d, size_t bytes);
extern command *gpu_step_note(backend_device *d, command_kind kind, int rows);

/* operations.c */
extern engine_code gpu_embed(backend_device *d, const backend_embed *args);
extern engine_code gpu_norm(backend_device *d, const backend_norm *args);
extern engine_code gpu_linear(backend_device *d, const backend_linear *args);
extern engine_code gpu_rope(backend_device *d, const backend_rope *args);
extern engine_code gpu_attention(backend_device *d, const backend_attention *args);
extern engine_code gpu_gate(backend_device *d, const backend_gate *args);
extern engine_code gpu_gather(backend_device *d, const backend_gather *args);
extern engine_code gpu_pool(backend_device *d, const backend_pool *args);
extern engine_code gpu_sample(backend_device *d, const backend_sample *args);

/* vectors.c */
extern backend_vectors *gpu_vectors_alloc(backend_device *d, backend_distance distance, int dimensions,
										  engine_error *error);
extern void gpu_vectors_free(backend_device *d, backend_vectors *v);
extern engine_code gpu_vectors_add(backend_device *d, backend_vectors *v, const float *rows, int count);
extern engine_code gpu_nearest(backend_device *d, const backend_nearest *args);

/* run.c: bytes of workspace that the commands need, and their launches, of `rows` rows where they
 * are those of the batch. */
extern size_t gpu_run_workspace(const backend_device *d, int rows);
extern engine_code gpu_run_commands(backend_device *d, int rows);
/* out[r, ..] = in . weight^T by cuBLAS, weight [outputs, columns], sums in f32; no bias, no epilogue. */
extern engine_code gpu_multiply(backend_device *d, const device_half *weight, int outputs, int columns,
								const device_half *in, int rows, const product_end *end);

/* graph.c: the commands of the step, as a graph if that is possible. */
extern engine_code gpu_graph_run(backend_device *d);
extern void gpu_graph_drop_all(backend_device *d);

#endif							/* RAG_CUDA_DEVICE_H */
