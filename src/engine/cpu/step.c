/*
 * step.c: the batch of a step, checked and copied, and memory whose size depends on it.
 */
#include <stdlib.h>
#include <string.h>

#include "engine/cpu/device.h"

static int32_t *
grow(int32_t *old, size_t *capacity, size_t needed)
{
	int32_t    *p;

	if (needed <= *capacity)
		return old;
	p = realloc(old, (needed + needed / 2) * sizeof(int32_t));
	if (p != NULL)
		*capacity = needed + needed / 2;
	return p;
}

static engine_code
check_sequences(backend_device *d, const backend_batch *batch)
{
	const backend_kv_config *kv = batch->kv != NULL ? &batch->kv->config : NULL;

	if (batch->rows < 0 || batch->sequences < 0 || batch->rows > ROWS_MAX ||
		batch->sequences > batch->rows || (batch->sequences > 0 && batch->start[0] != 0))
		return device_fail(d, ENGINE_INTERNAL, "batch of %d rows in %d sequences", batch->rows,
						   batch->sequences);
	if (kv != NULL && (batch->context == NULL || batch->block_tables == NULL))
		return device_fail(d, ENGINE_INTERNAL, "batch with a cache but without block tables");
	for (int s = 0; s < batch->sequences; s++)
	{
		int			blocks;

		if (batch->start[s + 1] <= batch->start[s] || batch->start[s + 1] > batch->rows ||
			(s + 1 == batch->sequences && batch->start[s + 1] != batch->rows))
			return device_fail(d, ENGINE_INTERNAL, "sequence %d has no rows or too many", s);
		if (kv == NULL)
			continue;
		blocks = batch->context[s] / kv->block_size + (batch->context[s] % kv->block_size != 0);
		if (batch->context[s] < 1 || blocks > batch->table_stride)
			return device_fail(d, ENGINE_INTERNAL, "sequence %d: %d cached tokens in %d blocks", s,
							   (int) batch->context[s], batch->table_stride);
		for (int b = 0; b < blocks; b++)
		{
			int32_t		block = batch->block_tables[(size_t) s * (size_t) batch->table_stride +
													(size_t) b];

			if (block < 0 || block >= kv->blocks)
				return device_fail(d, ENGINE_INTERNAL, "sequence %d: block %d of %d", s,
								   (int) block, kv->blocks);
		}
		for (int r = batch->start[s]; r < batch->start[s + 1]; r++)
		{
			if (batch->positions[r] < 0 || batch->positions[r] >= batch->context[s])
				return device_fail(d, ENGINE_INTERNAL, "row %d: position %d of %d", r,
								   (int) batch->positions[r], (int) batch->context[s]);
		}
	}
	return ENGINE_OK;
}

/* Copies n numbers to the next place; NULL stays NULL. */
static const int32_t *
keep(int32_t **next, const int32_t *from, size_t n)
{
	int32_t    *to = *next;

	if (from == NULL)
		return NULL;
	memcpy(to, from, n * sizeof(int32_t));
	*next = to + n;
	return to;
}

engine_code
step_begin(backend_device *d, const backend_batch *batch)
{
	engine_code code = check_sequences(d, batch);
	device_batch *step = &d->step;
	size_t		rows = (size_t) batch->rows;
	size_t		sequences = (size_t) batch->sequences;
	size_t		tables = batch->block_tables != NULL ? sequences * (size_t) batch->table_stride : 0;
	int32_t    *memory;
	int		   *row_sequence;
	int			widest = atomic_load(&d->widest);

	if (code != ENGINE_OK)
		return code;
	if (d->in_step)
		return device_fail(d, ENGINE_INTERNAL, "a step has begun already");
	memory = grow(step->memory, &step->capacity, rows * 3 + sequences * 2 + 1 + tables);
	if (memory == NULL)
		return device_fail(d, ENGINE_NO_MEMORY, "out of memory for a batch of %zu rows", rows);
	step->memory = memory;
	row_sequence = grow(step->row_sequence, &step->row_capacity, rows);
	if (row_sequence == NULL && rows > 0)
		return device_fail(d, ENGINE_NO_MEMORY, "out of memory for a batch of %zu rows", rows);
	step->row_sequence = row_sequence;

	step->batch = *batch;
	step->batch.tokens = keep(&memory, batch->tokens, rows);
	step->batch.positions = keep(&memory, batch->positions, rows);
	step->batch.types = keep(&memory, batch->types, rows);
	step->batch.start = keep(&memory, batch->start, sequences + 1);
	step->batch.context = keep(&memory, batch->context, sequences);
	step->batch.block_tables = keep(&memory, batch->block_tables, tables);
	for (int s = 0; s < batch->sequences; s++)
	{
		for (int r = batch->start[s]; r < batch->start[s + 1]; r++)
			step->row_sequence[r] = s;
	}
	/* logits are as wide as some weight: nothing needs to be allocated later */
	if (batch->kv != NULL && widest > 0 && (code = step_reserve_candidates(d, widest)) != ENGINE_OK)
		return code;
	d->in_step = true;
	threads_wake(d->pool);
	return ENGINE_OK;
}

engine_code
step_end(backend_device *d)
{
	if (!d->in_step)
		return device_fail(d, ENGINE_INTERNAL, "no step has begun");
	d->in_step = false;
	return ENGINE_OK;
}

engine_code
step_reserve_candidates(backend_device *d, int vocab)
{
	if (vocab <= d->candidates)
		return ENGINE_OK;
	for (int i = 0; i < d->n_threads; i++)
	{
		sampler_candidate *p = memory_alloc((size_t) vocab, sizeof(*p));

		if (p == NULL)
			return device_fail(d, ENGINE_NO_MEMORY, "out of memory for sampling from %d tokens",
							   vocab);
		memory_free(d->thread[i].candidates);
		d->thread[i].candidates = p;
	}
	d->candidates = vocab;
	return ENGINE_OK;
}

void
step_free(backend_device *d)
{
	free(d->step.memory);
	free(d->step.row_sequence);
}
