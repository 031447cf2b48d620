/*
 * run.c: commands to launches.
 */
#include "cuda/device.h"

#define DEQUANTIZE_BYTES ((size_t) 64 << 20)

static size_t
align(size_t bytes)
{
	return (bytes + 255) / 256 * 256;
}

static int
rows_of(const command *c, int batch_rows)
{
	return c->of_batch ? batch_rows : c->rows;
}

/* Rows of a quantised segment that are unpacked at a time. */
static int
slab_rows(const weight_segment *segment, int columns)
{
	size_t		rows = DEQUANTIZE_BYTES / ((size_t) columns * sizeof(device_half));

	return rows < 1 ? 1 : rows < (size_t) segment->rows ? (int) rows : segment->rows;
}

static size_t
linear_workspace(const backend_weight *w, int rows)
{
	size_t		most = 0;

	for (int i = 0; i < w->n_segments; i++)
	{
		size_t		bytes;

		if (w->segments[i].half != NULL)
			continue;
		if (rows <= GEMV_ROWS)
			bytes = align((size_t) rows * (size_t) w->columns) +
				(size_t) rows * (size_t) (w->columns / 32) * sizeof(quant_block_info);
		else
			bytes = (size_t) slab_rows(&w->segments[i], w->columns) * (size_t) w->columns *
				sizeof(device_half);
		most = bytes > most ? bytes : most;
	}
	return most;
}

/* The tensor cores' attention takes it; else every row goes by itself. */
static bool
takes_tiles(const attention_launch_args *a)
{
	return a->head_size % 8 == 0 && a->head_size <= ATTENTION_TILE_HEAD_MAX &&
		!(a->causal && a->cache.f32);
}

/* Rows that decode on their own: as many as the batch has where it is one of single rows. */
static int
single_rows(const backend_device *d, int rows)
{
	return d->step.bucket > 0 ? rows : d->step.n_single;
}

size_t
gpu_run_workspace(const backend_device *d, int rows)
{
	size_t		most = 0;

	for (int i = 0; i < d->step.n_commands; i++)
	{
		const command *c = &d->step.commands[i];
		size_t		bytes = 0;

		if (c->kind == COMMAND_LINEAR)
			bytes = linear_workspace(c->linear.weight, rows_of(c, rows));
		else if (c->kind == COMMAND_ATTENTION && takes_tiles(&c->attention))
			bytes = attention_rows_partial(single_rows(d, rows), c->attention.heads,
										   c->attention.head_size) * sizeof(float);
		most = bytes > most ? bytes : most;
	}
	return most;
}

static const int32_t *
number(const backend_device *d, size_t offset)
{
	return (const int32_t *) (const void *) (d->step.numbers.device + offset);
}

static step_view
view_of(const backend_device *d)
{
	const step_layout *at = &d->step.at;

	return (step_view)
	{
		.tokens = number(d, at->tokens),
		.positions = number(d, at->positions),
		.types = number(d, at->types),
		.row_sequence = number(d, at->row_sequence),
		.start = number(d, at->start),
		.block_tables = number(d, at->block_tables),
		.table_stride = d->step.table_stride,
	};
}

engine_code
gpu_multiply(backend_device *d, const device_half *weight, int outputs, int columns,
			 const device_half *in, int rows, const product_end *end)
{
	const float one = 1;
	const float zero = 0;
	cudaDataType type = end->bf16 ? CUDA_R_16BF : CUDA_R_16F;

	/* in the column-major terms of BLAS: C [outputs, rows] = W^T [outputs, columns] X [columns, rows] */
	return gpu_check_blas(cublasGemmEx(d->blas, CUBLAS_OP_T, CUBLAS_OP_N, outputs, rows, columns,
										  &one, weight, type, columns, in, type,
										  columns, &zero, end->out,
										  end->out_f32 ? CUDA_R_32F : type, end->stride,
										  CUBLAS_COMPUTE_32F, CUBLAS_GEMM_DEFAULT));
}

static engine_code
multiply_unpacked(backend_device *d, const weight_segment *segment, int columns,
				  const device_half *in, int rows, const product_end *end)
{
	device_half *slab = (device_half *) (void *) d->workspace;
	int			most = slab_rows(segment, columns);
	engine_code code = ENGINE_OK;

	for (int first = 0; first < segment->rows && code == ENGINE_OK; first += most)
	{
		int			outputs = segment->rows - first < most ? segment->rows - first : most;
		product_end part = *end;

		part.out = (char *) end->out +
			(size_t) first * (end->out_f32 ? sizeof(float) : sizeof(device_half));
		dequantize_launch(slab, &segment->quant, first, outputs, end->bf16, d->compute);
		code = gpu_multiply(d, slab, outputs, columns, in, rows, &part);
	}
	return code;
}

static engine_code
run_segment(backend_device *d, const command *c, const weight_segment *segment,
			const quant_rows *quantized, int rows, bool keep_bias)
{
	const backend_weight *w = c->linear.weight;
	const device_half *in = c->linear.in;
	size_t		size = c->linear.out_f32 ? sizeof(float) : sizeof(device_half);
	product_end end = {
		.out = (char *) c->linear.out + (size_t) segment->first * size,
		.out_f32 = c->linear.out_f32,
		.bf16 = c->linear.bf16,
		.stride = w->rows,
		.bias = c->linear.bias != NULL && !keep_bias ? c->linear.bias + segment->first : NULL,
		.epilogue = c->linear.epilogue,
	};
	engine_code code;

	if (rows <= GEMV_ROWS && segment->half != NULL)
		gemv_launch(segment->half, segment->rows, w->columns, in, rows, &end, d->compute);
	else if (rows <= GEMV_ROWS)
		gemv_quant_launch(&segment->quant, quantized, rows, &end, d->compute);
	else
	{
		code = segment->half != NULL ?
			gpu_multiply(d, segment->half, segment->rows, w->columns, in, rows, &end) :
			multiply_unpacked(d, segment, w->columns, in, rows, &end);
		if (code != ENGINE_OK)
			return code;
		if (end.bias != NULL || end.epilogue != EPILOGUE_NONE)
			finish_launch(&end, rows, segment->rows, d->compute);
	}
	return ENGINE_OK;
}

/* keep_bias: whoever reads the product adds the bias. */
static engine_code
run_linear(backend_device *d, const command *c, int rows, bool keep_bias)
{
	const backend_weight *w = c->linear.weight;
	quant_rows	quantized = {
		(int8_t *) d->workspace,
		(quant_block_info *) (void *) (d->workspace + align((size_t) rows * (size_t) w->columns))
	};
	bool		any = false;
	engine_code code = ENGINE_OK;

	if (rows == 0)
		return ENGINE_OK;
	for (int i = 0; i < w->n_segments; i++)
		any |= w->segments[i].half == NULL;
	if (any && rows <= GEMV_ROWS)
		quantize_launch(&quantized, c->linear.in, rows, w->columns, c->linear.bf16, d->compute);
	for (int i = 0; i < w->n_segments && code == ENGINE_OK; i++)
		code = run_segment(d, c, &w->segments[i], &quantized, rows, keep_bias);
	return code;
}

static void
run_attention(backend_device *d, const command *c, int rows)
{
	attention_launch_args all = c->attention;

	all.step = view_of(d);
	if (!takes_tiles(&all))
	{
		attention_rows_launch(&(attention_rows_args) {all, number(d, d->step.at.every_row), rows,
													  NULL}, d->compute);
		return;
	}
	attention_rows_launch(&(attention_rows_args) {
		all, number(d, d->step.at.single_rows), single_rows(d, rows),
		(float *) (void *) d->workspace}, d->compute);
	attention_tiles_launch(&(attention_tiles_args) {
		all, (const attention_tile *) (const void *) number(d, d->step.at.tiles),
		d->step.n_tiles}, d->compute);
}

static void
run_sample(backend_device *d, const command *c, int rows)
{
	sample_launch_args args = {
		.logits = c->sample.logits,
		.rows = (const sample_row *) (const void *) number(d, c->sample.list),
		.seen = number(d, c->sample.seen),
		.results = (sample_result *) (void *) (d->step.results.device + c->sample.results),
		.count = rows,
		.vocab = c->sample.vocab,
	};

	sample_launch(&args, d->compute);
}

/* The next command is the rope of what c computes, and can add its bias on the way. */
static bool
rope_follows(const backend_device *d, int i)
{
	const command *c = &d->step.commands[i];

	return i + 1 < d->step.n_commands && c->kind == COMMAND_LINEAR && c[1].kind == COMMAND_ROPE &&
		c->linear.bias != NULL && c->linear.epilogue == EPILOGUE_NONE &&
		c->linear.out == (void *) c[1].rope.qkv;
}

static engine_code
run_command(backend_device *d, int i, int batch_rows)
{
	const command *c = &d->step.commands[i];
	int			rows = rows_of(c, batch_rows);
	embed_launch_args embed;
	norm_launch_args norm;
	rope_launch_args rope;
	pool_launch_args pool;

	switch (c->kind)
	{
		case COMMAND_EMBED:
			embed = c->embed;
			embed.step = view_of(d);
			embed.rows = rows;
			embed_launch(&embed, d->compute);
			break;
		case COMMAND_NORM:
			norm = c->norm;
			norm.rows = rows;
			norm_launch(&norm, d->compute);
			break;
		case COMMAND_LINEAR:
			return run_linear(d, c, rows, rope_follows(d, i));
		case COMMAND_ROPE:
			rope = c->rope;
			rope.step = view_of(d);
			rope.rows = rows;
			rope.bias = i > 0 && rope_follows(d, i - 1) ? c[-1].linear.bias : NULL;
			rope_launch(&rope, d->compute);
			break;
		case COMMAND_ATTENTION:
			run_attention(d, c, rows);
			break;
		case COMMAND_GATE:
			gate_launch(c->gate.out, c->gate.in, rows, c->gate.columns, c->gate.bf16, d->compute);
			break;
		case COMMAND_GATHER:
			gather_launch(c->gather.out, c->gather.in, number(d, c->gather.list), rows,
						  c->gather.columns, d->compute);
			break;
		case COMMAND_POOL:
			pool = c->pool;
			pool.start = number(d, d->step.at.start);
			pool_launch(&pool, d->compute);
			break;
		case COMMAND_SAMPLE:
			run_sample(d, c, rows);
			break;
	}
	return ENGINE_OK;
}

engine_code
gpu_run_commands(backend_device *d, int rows)
{
	engine_code code = ENGINE_OK;

	for (int i = 0; i < d->step.n_commands && code == ENGINE_OK; i++)
		code = run_command(d, i, rows);
	if (code == ENGINE_OK)
		code = gpu_check(cudaGetLastError(), "a launch");
	return code;
}
