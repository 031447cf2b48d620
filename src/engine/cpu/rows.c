/*
 * rows.c: the operations that work on each row by itself.
 */
#include <math.h>
#include <string.h>

#include "engine/cpu/device.h"

/* Rows to a chunk, so that a chunk is some microseconds of work. */
static int
row_grain(int columns)
{
	int			grain = 16384 / (columns > 0 ? columns : 1);

	return grain < 1 ? 1 : grain;
}

typedef struct embed_job
{
	backend_device *d;
	const backend_embed *args;
	int			columns;
} embed_job;

static void
embed_rows(void *arg, int begin, int end, int thread)
{
	const embed_job *job = arg;
	const backend_batch *batch = &job->d->step.batch;
	void		(*add) (float *to, const float *from, int columns) = job->d->kernels.real->add;
	float	   *row = job->d->thread[thread].scratch;

	for (int r = begin; r < end; r++)
	{
		float	   *out = job->args->out->data + (size_t) r * (size_t) job->columns;

		if (r + 2 < end)
			weight_prefetch_row(job->args->tokens, batch->tokens[r + 2]);
		weight_row(job->args->tokens, batch->tokens[r], out);
		if (job->args->positions != NULL)
		{
			weight_row(job->args->positions, batch->positions[r], row);
			add(out, row, job->columns);
		}
		if (job->args->types != NULL)
		{
			weight_row(job->args->types, batch->types != NULL ? batch->types[r] : 0, row);
			add(out, row, job->columns);
		}
	}
}

/* All of ids in [0, rows of weight). */
static bool
ids_valid(const int32_t *ids, int count, const backend_weight *w)
{
	for (int i = 0; i < count; i++)
	{
		if (ids[i] < 0 || ids[i] >= w->rows)
			return false;
	}
	return true;
}

engine_code
rows_embed(backend_device *d, const backend_embed *args)
{
	const backend_batch *batch = &d->step.batch;
	embed_job	job = {d, args, args->tokens->columns};

	if (!d->in_step || !device_fits(args->out, batch->rows, job.columns) ||
		job.columns > SCRATCH_FLOATS ||
		(args->positions != NULL && args->positions->columns != job.columns) ||
		(args->types != NULL && args->types->columns != job.columns))
		return device_fail(d, ENGINE_INTERNAL, "embed: %d rows of %d do not fit", batch->rows,
						   job.columns);
	if (!ids_valid(batch->tokens, batch->rows, args->tokens) ||
		(args->positions != NULL && !ids_valid(batch->positions, batch->rows, args->positions)) ||
		(args->types != NULL && batch->types != NULL &&
		 !ids_valid(batch->types, batch->rows, args->types)))
		return device_fail(d, ENGINE_INTERNAL, "embed: an id is out of range");
	threads_run(d->pool, embed_rows, &job, batch->rows, row_grain(job.columns));
	return ENGINE_OK;
}

typedef struct norm_job
{
	backend_device *d;
	const backend_norm *args;
} norm_job;

static void
norm_rows(void *arg, int begin, int end, int thread)
{
	const norm_job *job = arg;
	const backend_norm *a = job->args;

	(void) thread;
	for (int r = begin; r < end; r++)
	{
		size_t		offset = (size_t) r * (size_t) a->columns;

		job->d->kernels.real->norm(&(norm_args)
		{
			.kind = a->kind,
			.out = a->out->data + offset,
			.in = a->in->data + offset,
			.delta = a->delta != NULL ? a->delta->data + offset : NULL,
			.sum = a->sum != NULL ? a->sum->data + offset : NULL,
			.weight = a->weight->data,
			.bias = a->bias != NULL ? a->bias->data : NULL,
			.columns = a->columns,
			.epsilon = a->epsilon,
		});
	}
}

engine_code
rows_run_norm(backend_device *d, const backend_norm *args)
{
	norm_job	job = {d, args};
	int			n = args->columns;

	if (!device_fits(args->out, args->rows, n) || !device_fits(args->in, args->rows, n) ||
		(args->delta != NULL && !device_fits(args->delta, args->rows, n)) ||
		(args->sum != NULL && !device_fits(args->sum, args->rows, n)) ||
		!device_fits(args->weight, 1, n) || (args->bias != NULL && !device_fits(args->bias, 1, n)))
		return device_fail(d, ENGINE_INTERNAL, "norm: %d rows of %d do not fit", args->rows, n);
	threads_run(d->pool, norm_rows, &job, args->rows, row_grain(n));
	return ENGINE_OK;
}

typedef struct gate_job
{
	backend_device *d;
	const backend_gate *args;
} gate_job;

static void
gate_rows(void *arg, int begin, int end, int thread)
{
	const gate_job *job = arg;
	size_t		columns = (size_t) job->args->columns;

	(void) thread;
	for (size_t r = (size_t) begin; r < (size_t) end; r++)
		job->d->kernels.real->gate(job->args->out->data + r * columns,
								   job->args->in->data + r * 2 * columns, job->args->columns);
}

engine_code
rows_run_gate(backend_device *d, const backend_gate *args)
{
	gate_job	job = {d, args};

	if (!device_fits(args->out, args->rows, args->columns) || args->columns > COLUMNS_MAX ||
		!device_fits(args->in, args->rows, 2 * args->columns))
		return device_fail(d, ENGINE_INTERNAL, "gate: %d rows of %d do not fit", args->rows,
						   args->columns);
	threads_run(d->pool, gate_rows, &job, args->rows, row_grain(2 * args->columns));
	return ENGINE_OK;
}

engine_code
rows_gather(backend_device *d, const backend_gather *args)
{
	size_t		columns = (size_t) args->columns;

	if (!device_fits(args->out, args->count, args->columns))
		return device_fail(d, ENGINE_INTERNAL, "gather: %d rows of %d do not fit", args->count,
						   args->columns);
	for (int i = 0; i < args->count; i++)
	{
		if (args->rows[i] < 0 || !device_fits(args->in, args->rows[i] + 1, args->columns))
			return device_fail(d, ENGINE_INTERNAL, "gather: row %d is out of range",
							   (int) args->rows[i]);
		memmove(args->out->data + (size_t) i * columns,
				args->in->data + (size_t) args->rows[i] * columns, columns * sizeof(float));
	}
	return ENGINE_OK;
}

typedef struct pool_job
{
	backend_device *d;
	const backend_pool *args;
} pool_job;

static void
pool_sequences(void *arg, int begin, int end, int thread)
{
	const pool_job *job = arg;
	const float_kernels *kernels = job->d->kernels.real;
	const int32_t *start = job->d->step.batch.start;
	int			n = job->args->columns;

	(void) thread;
	for (int s = begin; s < end; s++)
	{
		const float *in = job->args->in->data + (size_t) start[s] * (size_t) n;
		float	   *out = job->args->out->data + (size_t) s * (size_t) n;
		int			rows = start[s + 1] - start[s];

		memcpy(out, in, (size_t) n * sizeof(float));
		if (job->args->pooling == POOLING_MEAN)
		{
			for (int r = 1; r < rows; r++)
				kernels->add(out, in + (size_t) r * (size_t) n, n);
			kernels->scale(out, 1.0f / (float) rows, n);
		}
		if (job->args->normalize)
		{
			float		length = sqrtf(kernels->squares(out, n));

			/* as PyTorch's normalize(): a vector of zeros stays one */
			kernels->scale(out, 1.0f / (length > 1e-12f ? length : 1e-12f), n);
		}
	}
}

engine_code
rows_pool(backend_device *d, const backend_pool *args)
{
	const backend_batch *batch = &d->step.batch;
	pool_job	job = {d, args};

	if (!d->in_step || !device_fits(args->in, batch->rows, args->columns) ||
		!device_fits(args->out, batch->sequences, args->columns))
		return device_fail(d, ENGINE_INTERNAL, "pool: %d sequences of %d do not fit",
						   batch->sequences, args->columns);
	threads_run(d->pool, pool_sequences, &job, batch->sequences, 1);
	return ENGINE_OK;
}

typedef struct sample_job
{
	backend_device *d;
	const backend_sample *args;
} sample_job;

static void
sample_rows(void *arg, int begin, int end, int thread)
{
	const sample_job *job = arg;
	const backend_sample *args = job->args;

	for (int i = begin; i < end; i++)
	{
		float	   *logits = args->logits->data + (size_t) i * (size_t) args->vocab;

		if (!sampler_pick(logits, args->vocab, args->params[i],
						  job->d->thread[thread].candidates, &args->results[i]))
			args->results[i] = (sampler_result) {.token = BACKEND_NO_TOKEN};
	}
}

engine_code
rows_sample(backend_device *d, const backend_sample *args)
{
	sample_job	job = {.d = d, .args = args};
	engine_code code;

	if (args->vocab < 1 || !device_fits(args->logits, args->count, args->vocab))
		return device_fail(d, ENGINE_INTERNAL, "sample: %d rows of %d do not fit", args->count,
						   args->vocab);
	code = step_reserve_candidates(d, args->vocab);
	if (code != ENGINE_OK)
		return code;
	threads_run(d->pool, sample_rows, &job, args->count, 1);
	return ENGINE_OK;
}
