/*
 * linear.c: out = epilogue(in . weight^T + bias).
 *
 * The input is quantised once, where parts of the weight are. For float parts it is read where
 * it is, unless its rows would drive each other out of the cache: then it is packed into tiles.
 * Threads take panels of 32 outputs. A panel meets all rows of a group chunk by chunk of
 * columns, so that the chunk, unpacked, stays in the cache while the rows pass by; the
 * running sums wait in the thread's scratch memory between chunks. Rows of a single tile meet
 * quantised weights as they are unpacked, a few rows at a time: nothing is written in between, and
 * memory is not waited for in bursts.
 */
#include <string.h>

#include "engine/cpu/device.h"

/* of a chunk for a thread: products, a fraction of a millisecond; elements to pack, microseconds */
#define CHUNK_PRODUCTS ((size_t) 8 << 20)
#define CHUNK_PACKED 16384

/* Rows that are a multiple of 4 kB apart share one set of a first-level cache, which holds fewer
 * lines than a tile has rows. */
#define COLUMNS_THAT_COLLIDE 1024

typedef struct linear_job
{
	backend_device *d;
	const backend_linear *args;
	const float *in;			/* of these rows */
	float	   *out;
	int			columns;
	int			outputs;
	int			rows;
	const float *real;			/* the input for float parts; strides as in multiply_args */
	size_t		row_stride;
	size_t		column_stride;
	int			quant_stride;	/* rows side by side in a tile */
	int			group;			/* rows that meet a panel together */
	int			panels;			/* of all parts */
	bool		packs;			/* the input for float parts: its rows would collide */
	bool		fetches;		/* weights are asked for ahead */
	bool		has_quantized;
} linear_job;

static bool
is_quantized(tensor_type type)
{
	return type != TYPE_F32 && type != TYPE_F16 && type != TYPE_BF16;
}

static inline int
least(int a, int b)
{
	return a < b ? a : b;
}

static void
pack_tiles(void *arg, int begin, int end, int thread)
{
	const linear_job *job = arg;
	size_t		columns = (size_t) job->columns;

	(void) thread;
	for (int tile = begin; tile < end; tile++)
	{
		int			first = tile * FLOAT_TILE;

		job->d->kernels.real->pack(job->d->input + (size_t) first * columns,
								   (int) job->column_stride, job->in + (size_t) first * columns,
								   job->columns, least(job->rows - first, FLOAT_TILE));
	}
}

static void
quantize_tiles(void *arg, int begin, int end, int thread)
{
	const linear_job *job = arg;
	size_t		columns = (size_t) job->columns;

	(void) thread;
	for (int row = begin * QUANT_TILE; row < least(end * QUANT_TILE, job->rows); row++)
	{
		size_t		first = (size_t) (row - row % QUANT_TILE);
		quant_word *to = job->d->quantized + first * columns / QUANT_COLUMNS * QUANT_WORDS;

		job->d->kernels.integer->quantize(to, job->quant_stride, row % QUANT_TILE,
										  job->in + (size_t) row * columns, job->columns);
	}
}

/*
 * Asks for the places where the results of a tile will go, while its last chunk is being
 * multiplied: they are a row of the output apart, which hardware does not foresee.
 */
static void
prefetch_out(const linear_job *job, float *out, int rows)
{
	for (int r = 0; r < rows; r++)
	{
		__builtin_prefetch(out + (size_t) r * (size_t) job->outputs, 1);
		__builtin_prefetch(out + (size_t) r * (size_t) job->outputs + PANEL_OUTPUTS / 2, 1);
	}
}

/*
 * What a tile asks for ahead: the second to the ninth an eighth each of what follows these
 * columns, in this panel or the next. So memory is waited for only where few rows meet a panel.
 */
static const float *
ahead_of(const float *weights, int columns, int tile)
{
	if (tile < 1 || tile > 8)
		return NULL;
	return weights + (size_t) columns * PANEL_OUTPUTS + (size_t) (tile - 1) * (size_t) columns * 4;
}

/* sums of rows [first, first + rows) and one panel of f32, f16 or bf16 */
static void
multiply_float(const linear_job *job, const weight_part *part, const uint8_t *panel, float *sums,
			   float *out, int first, int rows)
{
	const float_kernels *kernels = job->d->kernels.real;
	bool		is_f32 = part->type == TYPE_F32;
	bool		expands = !is_f32 && rows > FLOAT_FEW;
	float	   *expanded = sums + LINEAR_SUMS;
	int			chunk = expands ? HALF_CHUNK : FLOAT_CHUNK;

	for (int k = 0; k < job->columns; k += chunk)
	{
		int			columns = least(job->columns - k, chunk);
		size_t		element = is_f32 ? sizeof(float) : sizeof(uint16_t);
		const void *weights = panel + (size_t) k * PANEL_OUTPUTS * element;

		if (expands)
		{
			kernels->expand(expanded, weights, (size_t) columns * PANEL_OUTPUTS, part->type,
							job->fetches);
			weights = expanded;
		}
		for (int r = 0; r < rows; r += FLOAT_TILE)
		{
			int			count = least(rows - r, FLOAT_TILE);

			if (k + columns == job->columns)
				prefetch_out(job, out + (size_t) r * (size_t) job->outputs, count);
			kernels->multiply(&(multiply_args)
			{
				.sums = sums + r * PANEL_OUTPUTS,
				.tile = job->real + (size_t) (first + r) * (size_t) job->columns +
					(size_t) k * job->column_stride,
				.row_stride = job->row_stride,
				.column_stride = job->column_stride,
				.panel = weights,
				.type = expands ? TYPE_F32 : part->type,
				.columns = columns,
				.rows = count,
				.fresh = k == 0,
				.fetch = r == 0 && !expands && job->fetches,
				.ahead = is_f32 ? ahead_of(weights, columns, r / FLOAT_TILE) : NULL,
			});
		}
	}
}

static void
multiply_quantized(const linear_job *job, const weight_part *part, const uint8_t *panel,
				   float *sums, float *out, int first, int rows)
{
	const integer_kernels *kernels = job->d->kernels.integer;
	quant_block *unpacked = (quant_block *) (void *) (sums + LINEAR_SUMS);
	int			blocks = job->columns / QUANT_COLUMNS;

	memset(sums, 0, sizeof(float) * PANEL_OUTPUTS * (size_t) rows);
	if (job->rows <= QUANT_TILE)
	{
		prefetch_out(job, out, rows);
		kernels->multiply_few[part->type] (sums, job->d->quantized, panel, blocks, rows,
										   job->fetches);
		return;
	}
	for (int b = 0; b < blocks; b += QUANT_CHUNK)
	{
		int			chunk = least(blocks - b, QUANT_CHUNK);

		kernels->unpack[part->type] (unpacked, panel, b, chunk, job->fetches);
		for (int r = 0; r < rows; r += QUANT_TILE)
		{
			int			count = least(rows - r, QUANT_TILE);

			if (b + chunk == blocks)
				prefetch_out(job, out + (size_t) r * (size_t) job->outputs, count);
			kernels->multiply[part->type] (sums + r * PANEL_OUTPUTS,
										   job->d->quantized +
										   ((size_t) (first + r) * (size_t) blocks +
											(size_t) (b * job->quant_stride)) * QUANT_WORDS,
										   job->quant_stride, unpacked, chunk, count);
		}
	}
}

/* Items are panels of the first group of rows, then of the next. */
static void
multiply_panels(void *arg, int begin, int end, int thread)
{
	const linear_job *job = arg;
	const backend_linear *args = job->args;
	float	   *sums = job->d->thread[thread].scratch;

	for (int item = begin; item < end; item++)
	{
		int			first = item / job->panels * job->group;
		int			rows = least(job->rows - first, job->group);
		int			number = item % job->panels;
		const weight_part *part = args->weight->parts;
		const uint8_t *panel;
		float	   *out;
		int			output;

		for (; number >= part->panels; part++)
			number -= part->panels;
		panel = part->data + (size_t) number * part->panel_bytes;
		output = part->first + number * PANEL_OUTPUTS;
		out = job->out + (size_t) first * (size_t) job->outputs + output;
		if (is_quantized(part->type))
			multiply_quantized(job, part, panel, sums, out, first, rows);
		else
			multiply_float(job, part, panel, sums, out, first, rows);
		job->d->kernels.real->finish(&(finish_args)
		{
			.out = out,
			.out_stride = (size_t) job->outputs,
			.sums = sums,
			.bias = args->bias != NULL ? args->bias->data + output : NULL,
			.rows = rows,
			.width = least(part->first + part->rows - output, PANEL_OUTPUTS),
			.epilogue = args->epilogue,
		});
	}
}

/* Items of work to a chunk: few enough to share them evenly, at the end too, when there are none left
 * for some threads; large enough to be worth fetching. products: of an item. */
static int
grain_of(int items, int n_threads, size_t products)
{
	int			grain = least(items / (n_threads * 6), (int) (CHUNK_PRODUCTS / products));

	return grain < 1 ? 1 : grain;
}

/* Tiles to a chunk of packing. */
static int
pack_grain(int tile, int columns)
{
	int			grain = CHUNK_PACKED / (tile * columns);

	return grain < 1 ? 1 : grain;
}

static void
run_rows(linear_job *job)
{
	int			groups = (job->rows + LINEAR_ROWS - 1) / LINEAR_ROWS;

	job->real = job->packs ? job->d->input : job->in;
	job->row_stride = job->packs ? 1 : (size_t) job->columns;
	job->column_stride = job->packs ? (size_t) least(job->rows, FLOAT_TILE) : 1;
	job->quant_stride = least(job->rows, QUANT_TILE);
	job->fetches = job->rows >= job->d->kernels.fetch_rows;
	if (job->packs)
		threads_run(job->d->pool, pack_tiles, job, (job->rows + FLOAT_TILE - 1) / FLOAT_TILE,
					pack_grain(FLOAT_TILE, job->columns));
	if (job->has_quantized)
		threads_run(job->d->pool, quantize_tiles, job,
					(job->rows + QUANT_TILE - 1) / QUANT_TILE,
					pack_grain(QUANT_TILE, job->columns));
	/* rows that meet a panel together: whole tiles of both kinds, as evenly cut as these allow */
	job->group = (job->rows + groups * BOTH_TILES - 1) / (groups * BOTH_TILES) * BOTH_TILES;
	groups = (job->rows + job->group - 1) / job->group;
	threads_run(job->d->pool, multiply_panels, job, groups * job->panels,
				grain_of(groups * job->panels, job->d->n_threads,
						 (size_t) least(job->rows, job->group) * (size_t) job->columns *
						 PANEL_OUTPUTS));
}

engine_code
linear_run(backend_device *d, const backend_linear *args)
{
	const backend_weight *w = args->weight;
	linear_job	job = {.d = d, .args = args, .columns = w->columns, .outputs = w->rows};
	size_t		rows_at_once;

	if (w->n_parts == 0 || args->rows < 0 || !device_fits(args->in, args->rows, w->columns) ||
		!device_fits(args->out, args->rows, w->rows) || args->out == args->in ||
		(args->bias != NULL && !device_fits(args->bias, 1, w->rows)))
		return device_fail(d, ENGINE_INTERNAL, "linear: %d rows of %d x %d do not fit", args->rows,
						   w->rows, w->columns);
	for (int i = 0; i < w->n_parts; i++)
	{
		job.panels += w->parts[i].panels;
		job.packs |= !is_quantized(w->parts[i].type) && w->columns % COLUMNS_THAT_COLLIDE == 0;
		job.has_quantized |= is_quantized(w->parts[i].type);
	}
	rows_at_once = INPUT_FLOATS / (size_t) w->columns / BOTH_TILES * BOTH_TILES;
	if (rows_at_once == 0)
		rows_at_once = INPUT_FLOATS / (size_t) w->columns;
	for (size_t r = 0; r < (size_t) args->rows; r += rows_at_once)
	{
		size_t		left = (size_t) args->rows - r;

		job.rows = (int) (left < rows_at_once ? left : rows_at_once);
		job.in = args->in->data + r * (size_t) w->columns;
		job.out = args->out->data + r * (size_t) w->rows;
		run_rows(&job);
	}
	return ENGINE_OK;
}
