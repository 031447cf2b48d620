/*
 * step.c: the numbers of a step on their way to the device, and its results on their way back.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "cuda/device.h"

/* A decode step is padded to the next of these, so that a graph serves it. */
static const int buckets[] = {1, 2, 3, 4, 8, 16, 24, 32, 48, 64, 96, 128, 160, 192, 224, 256};

static int
bucket_for(int rows)
{
	for (size_t i = 0; i < sizeof(buckets) / sizeof(buckets[0]); i++)
	{
		if (buckets[i] >= rows)
			return buckets[i];
	}
	return 0;
}

/* Pinned memory for at least `bytes`, contents kept. */
static engine_code
grow_host(mirror *m, size_t bytes)
{
	size_t		larger = bytes + bytes / 2 + 4096;
	void	   *p;
	engine_code code;

	if (bytes <= m->host_bytes)
		return ENGINE_OK;
	code = gpu_check(cudaMallocHost(&p, larger), "the numbers of a step");
	if (code != ENGINE_OK)
		return code;
	if (m->host != NULL)
		memcpy(p, m->host, m->host_bytes);
	(void) cudaFreeHost(m->host);
	m->host = p;
	m->host_bytes = larger;
	return ENGINE_OK;
}

/* The device's side as large as the host's: when a shape is met for the first time. */
static engine_code
grow_device(backend_device *d, mirror *m)
{
	engine_code code;

	if (m->device_bytes >= m->host_bytes)
		return ENGINE_OK;
	code = gpu_check(cudaStreamSynchronize(d->compute), "a step");
	if (code != ENGINE_OK)
		return code;
	gpu_graph_drop_all(d);
	(void) cudaFree(m->device);
	m->device = NULL;
	m->device_bytes = 0;
	code = gpu_check(cudaMalloc((void **) &m->device, m->host_bytes), "the numbers of a step");
	if (code == ENGINE_OK)
		m->device_bytes = m->host_bytes;
	return code;
}

/* Offsets are multiples of 16, the same for all steps of a bucket. */
size_t
gpu_step_reserve(backend_device *d, size_t bytes)
{
	mirror	   *m = &d->step.numbers;
	size_t		at = m->used;

	bytes = (bytes + 15) / 16 * 16;
	if (grow_host(m, at + bytes) != ENGINE_OK)
		return SIZE_MAX;
	m->used += bytes;
	return at;
}

command *
gpu_step_note(backend_device *d, command_kind kind, int rows)
{
	device_step *s = &d->step;
	command    *c;

	if (s->n_commands == s->commands_capacity)
	{
		int			larger = s->commands_capacity * 2 + 256;
		command    *p = realloc(s->commands, (size_t) larger * sizeof(*p));

		if (p == NULL)
		{
			(void) gpu_fail(ENGINE_NO_MEMORY, "out of memory for the operations of a step");
			return NULL;
		}
		s->commands = p;
		s->commands_capacity = larger;
	}
	c = &s->commands[s->n_commands++];
	/* commands are compared byte by byte */
	memset(c, 0, sizeof(*c));
	c->kind = kind;
	c->of_batch = rows == s->rows;
	c->rows = c->of_batch ? 0 : rows;
	return c;
}

static engine_code
check_sequences(const backend_batch *batch)
{
	const backend_kv_config *kv = batch->kv != NULL ? &batch->kv->config : NULL;

	if (batch->rows < 0 || batch->sequences < 0 || batch->rows > ROWS_MAX ||
		batch->sequences > batch->rows || (batch->sequences > 0 && batch->start[0] != 0))
		return gpu_fail(ENGINE_INTERNAL, "batch of %d rows in %d sequences", batch->rows,
						   batch->sequences);
	if (kv != NULL && (batch->context == NULL || batch->block_tables == NULL))
		return gpu_fail(ENGINE_INTERNAL, "batch with a cache but without block tables");
	for (int s = 0; s < batch->sequences; s++)
	{
		int			blocks;

		if (batch->start[s + 1] <= batch->start[s] || batch->start[s + 1] > batch->rows ||
			(s + 1 == batch->sequences && batch->start[s + 1] != batch->rows))
			return gpu_fail(ENGINE_INTERNAL, "sequence %d has no rows or too many", s);
		if (kv == NULL)
			continue;
		blocks = batch->context[s] / kv->block_size + (batch->context[s] % kv->block_size != 0);
		if (batch->context[s] < 1 || blocks > batch->table_stride)
			return gpu_fail(ENGINE_INTERNAL, "sequence %d: %d cached tokens in %d blocks", s,
							   (int) batch->context[s], batch->table_stride);
		for (int b = 0; b < blocks; b++)
		{
			int32_t		block = batch->block_tables[(size_t) s * (size_t) batch->table_stride +
													(size_t) b];

			if (block < 0 || block >= kv->blocks)
				return gpu_fail(ENGINE_INTERNAL, "sequence %d: block %d of %d", s,
								   (int) block, kv->blocks);
		}
		for (int r = batch->start[s]; r < batch->start[s + 1]; r++)
		{
			if (batch->positions[r] < 0 || batch->positions[r] >= batch->context[s])
				return gpu_fail(ENGINE_INTERNAL, "row %d: position %d of %d", r,
								   (int) batch->positions[r], (int) batch->context[s]);
		}
	}
	return ENGINE_OK;
}

/* An upper bound of the tiles: each sequence may have one that is not full. */
static size_t
most_tiles(const backend_batch *batch)
{
	return (size_t) (batch->rows / ATTENTION_TILE + batch->sequences);
}

/* Room for all that describes the batch; rows and sequences are the bucket's. */
static bool
lay_out(backend_device *d, const backend_batch *batch, size_t rows, size_t sequences)
{
	size_t		list = rows * sizeof(int32_t);
	size_t		tables = batch->block_tables != NULL ? sequences * (size_t) batch->table_stride : 0;
	size_t		tiles = d->step.bucket > 0 ? 0 : most_tiles(batch);
	step_layout *at = &d->step.at;
	struct
	{
		size_t	   *at;
		size_t		bytes;
	}			parts[] = {
		{&at->tokens, list}, {&at->positions, list}, {&at->types, list}, {&at->row_sequence, list},
		{&at->start, (sequences + 1) * sizeof(int32_t)},
		{&at->block_tables, tables * sizeof(int32_t)},
		{&at->every_row, list}, {&at->single_rows, list}, {&at->tiles, tiles * sizeof(attention_tile)},
	};

	d->step.numbers.used = 0;
	for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++)
	{
		*parts[i].at = gpu_step_reserve(d, parts[i].bytes);
		if (*parts[i].at == SIZE_MAX)
			return false;
	}
	return true;
}

static int32_t *
numbers_at(backend_device *d, size_t offset)
{
	return (int32_t *) (void *) (d->step.numbers.host + offset);
}

/* Copies what there is, fills up to n. */
static void
fill_list(int32_t *to, const int32_t *from, int count, size_t n, int32_t filler)
{
	if (from != NULL)
		memcpy(to, from, (size_t) count * sizeof(int32_t));
	for (size_t i = from != NULL ? (size_t) count : 0; i < n; i++)
		to[i] = filler;
}

/* The tiles of sequence s, and which keys they see. */
static void
add_tiles(backend_device *d, const backend_batch *batch, int s)
{
	attention_tile *tiles = (attention_tile *) (void *) (d->step.numbers.host + d->step.at.tiles);
	int			end = batch->start[s + 1];

	for (int first = batch->start[s]; first < end; first += ATTENTION_TILE)
	{
		attention_tile tile = {s, first, end - first, 0};

		if (tile.rows > ATTENTION_TILE)
			tile.rows = ATTENTION_TILE;
		if (batch->kv == NULL)
			tile.keys = end - batch->start[s];
		for (int r = first; r < first + tile.rows && batch->kv != NULL; r++)
			tile.keys = batch->positions[r] >= tile.keys ? batch->positions[r] + 1 : tile.keys;
		tiles[d->step.n_tiles++] = tile;
	}
}

static int
greatest(const int32_t *list, int count, bool *negative)
{
	int			top = 0;

	for (int i = 0; list != NULL && i < count; i++)
	{
		top = list[i] > top ? list[i] : top;
		*negative |= list[i] < 0;
	}
	return top;
}

static void
write_batch(backend_device *d, const backend_batch *batch, size_t rows, size_t sequences)
{
	device_step *s = &d->step;
	const step_layout *at = &s->at;
	int32_t    *row_sequence = numbers_at(d, at->row_sequence);
	int32_t    *single = numbers_at(d, at->single_rows);

	fill_list(numbers_at(d, at->tokens), batch->tokens, batch->rows, rows, 0);
	fill_list(numbers_at(d, at->positions), batch->positions, batch->rows, rows, 0);
	fill_list(numbers_at(d, at->types), batch->types, batch->rows, rows, 0);
	fill_list(row_sequence, NULL, 0, rows, -1);
	fill_list(single, NULL, 0, rows, -1);
	fill_list(numbers_at(d, at->start), batch->start, batch->sequences + 1, sequences + 1,
			  batch->rows);
	if (batch->block_tables != NULL)
		fill_list(numbers_at(d, at->block_tables), batch->block_tables,
				  batch->sequences * batch->table_stride,
				  sequences * (size_t) batch->table_stride, 0);
	for (size_t r = 0; r < rows; r++)
		numbers_at(d, at->every_row)[r] = (int32_t) r;
	for (int q = 0; q < batch->sequences; q++)
	{
		for (int r = batch->start[q]; r < batch->start[q + 1]; r++)
			row_sequence[r] = q;
		if (batch->kv != NULL && batch->start[q + 1] == batch->start[q] + 1)
			single[s->n_single++] = batch->start[q];
		else
			add_tiles(d, batch, q);
	}
	s->top_token = greatest(batch->tokens, batch->rows, &s->negative);
	s->last_position = greatest(batch->positions, batch->rows, &s->negative);
	s->top_type = greatest(batch->types, batch->rows, &s->negative);
}

engine_code
gpu_step_begin(backend_device *d, const backend_batch *batch)
{
	device_step *s = &d->step;
	size_t		rows = (size_t) batch->rows;
	engine_code code;

	if (s->open)
		return gpu_fail(ENGINE_INTERNAL, "a step has begun already");
	code = check_sequences(batch);
	if (code == ENGINE_OK)
		code = gpu_check(cudaSetDevice(d->ordinal), "choosing a device");
	/* the numbers of the step before may still be on their way */
	if (code == ENGINE_OK && s->running)
		code = gpu_step_sync(d);
	if (code != ENGINE_OK)
		return code;
	if (atomic_exchange(&d->graphs_stale, false))
		gpu_graph_drop_all(d);
	s->rows = batch->rows;
	s->sequences = batch->sequences;
	s->kv = batch->kv;
	s->table_stride = batch->block_tables != NULL ? batch->table_stride : 0;
	s->paddable = true;
	s->negative = false;
	s->n_single = s->n_tiles = s->n_commands = s->n_pending = 0;
	s->results.used = 0;
	s->bucket = batch->kv != NULL && batch->sequences == batch->rows && batch->rows > 0 ?
		bucket_for(batch->rows) : 0;
	if (s->bucket > 0)
		rows = (size_t) s->bucket;
	if (!lay_out(d, batch, rows, s->bucket > 0 ? rows : (size_t) batch->sequences))
		return ENGINE_NO_MEMORY;
	write_batch(d, batch, rows, s->bucket > 0 ? rows : (size_t) batch->sequences);
	s->open = true;
	return ENGINE_OK;
}

static engine_code
reserve_workspace(backend_device *d, int rows)
{
	size_t		bytes = gpu_run_workspace(d, rows);
	engine_code code;

	if (bytes <= d->workspace_bytes)
		return ENGINE_OK;
	code = gpu_check(cudaStreamSynchronize(d->compute), "a step");
	if (code != ENGINE_OK)
		return code;
	gpu_graph_drop_all(d);
	(void) cudaFree(d->workspace);
	d->workspace = NULL;
	d->workspace_bytes = 0;
	code = gpu_check(cudaMalloc((void **) &d->workspace, bytes), "the workspace of a step");
	if (code == ENGINE_OK)
		d->workspace_bytes = bytes;
	return code;
}

/* The noted commands: numbers in, kernels, results out. */
static engine_code
run_noted(backend_device *d, bool whole)
{
	device_step *s = &d->step;
	bool		captured = whole && s->bucket > 0 && s->paddable;
	int			rows = captured ? s->bucket : s->rows;
	engine_code code;

	if (s->n_commands == 0)
		return ENGINE_OK;
	if ((code = grow_device(d, &s->numbers)) != ENGINE_OK ||
		(code = grow_host(&s->results, s->results.used)) != ENGINE_OK ||
		(code = grow_device(d, &s->results)) != ENGINE_OK ||
		(code = reserve_workspace(d, rows)) != ENGINE_OK)
		return code;
	s->running = true;
	code = gpu_check(cudaMemcpyAsync(s->numbers.device, s->numbers.host, s->numbers.used,
										cudaMemcpyHostToDevice, d->compute), "a step");
	if (code == ENGINE_OK)
		code = captured ? gpu_graph_run(d) : gpu_run_commands(d, rows);
	if (code == ENGINE_OK && s->results.used > 0)
		code = gpu_check(cudaMemcpyAsync(s->results.host, s->results.device, s->results.used,
											cudaMemcpyDeviceToHost, d->compute), "a step");
	s->n_commands = 0;
	return code;
}

engine_code
gpu_step_flush(backend_device *d)
{
	/* what follows in this step is run one by one, too */
	d->step.bucket = 0;
	return run_noted(d, false);
}

engine_code
gpu_step_end(backend_device *d)
{
	if (!d->step.open)
		return gpu_fail(ENGINE_INTERNAL, "no step has begun");
	d->step.open = false;
	return run_noted(d, true);
}

engine_code
gpu_step_sync(backend_device *d)
{
	device_step *s = &d->step;
	engine_code code = gpu_check(cudaStreamSynchronize(d->compute), "a step");

	s->running = false;
	for (int i = 0; i < s->n_pending && code == ENGINE_OK; i++)
	{
		const sample_result *from = (const sample_result *) (const void *)
			(s->results.host + s->pending[i].at);

		for (int k = 0; k < s->pending[i].count; k++)
			s->pending[i].results[k] = (sampler_result) {from[k].token, from[k].logprob};
	}
	s->n_pending = 0;
	return code;
}

void
gpu_step_free(backend_device *d)
{
	mirror	   *mirrors[] = {&d->step.numbers, &d->step.results};

	for (int i = 0; i < 2; i++)
	{
		(void) cudaFreeHost(mirrors[i]->host);
		(void) cudaFree(mirrors[i]->device);
	}
	free(d->step.commands);
}
