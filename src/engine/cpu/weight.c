/*
 * weight.c: tensors of a model file to the layouts that the kernels read, and rows of
 * weights back to f32.
 *
 * F32, F16 and BF16 panels are [columns][32 outputs], of 4 or 2 bytes. Quantised ones are
 * described in packed.h.
 */
#include <stdlib.h>
#include <string.h>

#include "engine/cpu/device.h"
#include "engine/cpu/packed.h"
#include "engine/cpu/raw_block.h"

static bool
is_float(tensor_type type)
{
	return type == TYPE_F32 || type == TYPE_F16 || type == TYPE_BF16;
}

static size_t
panel_bytes(tensor_type type, int columns)
{
	packed_layout layout;
	size_t		blocks = (size_t) columns / QUANT_COLUMNS;

	if (is_float(type))
		return (size_t) columns * PANEL_OUTPUTS * (type == TYPE_F32 ? 4 : 2);
	layout = packed_layout_of(type);
	return packed_block_offset(&layout, blocks) - (size_t) layout.super_bytes;
}

static bool
check_part(const model_tensor *t, const model_tensor *first, engine_error *error)
{
	const tensor_type_info *info;

	if ((unsigned) t->type >= TENSOR_TYPES)
		return engine_fail(error, ENGINE_INTERNAL, "weight \"%s\" has unknown type %d", t->name,
						   (int) t->type);
	info = tensor_type_get(t->type);
	if (t->rows < 1 || t->rows > ROWS_MAX || t->columns < 1 || t->columns > COLUMNS_MAX ||
		t->columns != first->columns || t->columns % info->block_elements != 0)
		return engine_fail(error, ENGINE_UNSUPPORTED,
						   "weight \"%s\" of type %s has unsupported shape %lld x %lld", t->name,
						   info->name, (long long) t->rows, (long long) t->columns);
	if (t->bytes / (size_t) t->rows <
		(size_t) (t->columns / info->block_elements) * (size_t) info->block_bytes)
		return engine_fail(error, ENGINE_CORRUPT, "weight \"%s\" is shorter than its shape",
						   t->name);
	return true;
}

/* size is a constant at every call: bytes of an element */
static inline __attribute__((always_inline)) void
pack_elements(weight_part *part, const model_tensor *t, const size_t size)
{
	size_t		columns = (size_t) t->columns;

	for (size_t row = 0; row < (size_t) part->rows; row++)
	{
		const uint8_t *from = (const uint8_t *) t->data + row * columns * size;
		uint8_t    *to = part->data + row / PANEL_OUTPUTS * part->panel_bytes +
			row % PANEL_OUTPUTS * size;

		for (size_t k = 0; k < columns; k++)
			memcpy(to + k * PANEL_OUTPUTS * size, from + k * size, size);
	}
}

static void
pack_float(weight_part *part, const model_tensor *t)
{
	if (t->type == TYPE_F32)
		pack_elements(part, t, 4);
	else
		pack_elements(part, t, 2);
}

static void
pack_quantized(weight_part *part, const model_tensor *t)
{
	const tensor_type_info *info = tensor_type_get(t->type);
	packed_layout layout = packed_layout_of(t->type);
	size_t		row_bytes = (size_t) (t->columns / info->block_elements) *
		(size_t) info->block_bytes;

	for (size_t row = 0; row < (size_t) part->rows; row++)
	{
		const uint8_t *from = (const uint8_t *) t->data + row * row_bytes;
		uint8_t    *panel = part->data + row / PANEL_OUTPUTS * part->panel_bytes;

		for (size_t b = 0; b < (size_t) t->columns / QUANT_COLUMNS; b++)
		{
			raw_block	block;

			raw_block_read(t->type, from, b, &block);
			raw_block_pack(&block, &layout, panel, b, row % PANEL_OUTPUTS);
		}
	}
}

static bool
upload_part(backend_weight *w, const model_tensor *t, engine_error *error)
{
	weight_part *part = &w->parts[w->n_parts];

	*part = (weight_part)
	{
		.type = t->type,
		.rows = (int) t->rows,
		.panels = (int) ((t->rows + PANEL_OUTPUTS - 1) / PANEL_OUTPUTS),
		.first = w->rows,
		.panel_bytes = panel_bytes(t->type, (int) t->columns),
	};
	part->data = memory_alloc((size_t) part->panels, part->panel_bytes);
	if (part->data == NULL)
		return engine_fail(error, ENGINE_NO_MEMORY, "out of memory for weight \"%s\"", t->name);
	if (is_float(t->type))
		pack_float(part, t);
	else
		pack_quantized(part, t);
	w->rows += part->rows;
	w->n_parts++;
	return true;
}

/* Rows that are only gathered stay as they are in the file: a row of panels would touch a cache
 * line per column. */
static bool
upload_rows(backend_weight *w, const model_tensor *t, engine_error *error)
{
	const tensor_type_info *info = tensor_type_get(t->type);

	w->rows = (int) t->rows;
	w->row_type = t->type;
	w->row_bytes = (size_t) (t->columns / info->block_elements) * (size_t) info->block_bytes;
	w->row_data = memory_alloc((size_t) w->rows, w->row_bytes);
	if (w->row_data == NULL)
		return engine_fail(error, ENGINE_NO_MEMORY, "out of memory for weight \"%s\"", t->name);
	memcpy(w->row_data, t->data, (size_t) w->rows * w->row_bytes);
	return true;
}

backend_weight *
weight_upload(backend_device *d, const model_tensor *const *parts, int count,
			  backend_weight_use use, backend_element activations, engine_error *error)
{
	backend_weight *w;
	int64_t		rows = 0;
	int			widest;

	(void) activations;			/* are f32 here */
	if (count < 1 || count > WEIGHT_PARTS || (use == WEIGHT_GATHER && count != 1))
	{
		engine_fail(error, ENGINE_INTERNAL, "a weight of %d parts", count);
		return NULL;
	}
	for (int i = 0; i < count; i++)
	{
		if (!check_part(parts[i], parts[0], error))
			return NULL;
		rows += parts[i]->rows;
	}
	if (rows > ROWS_MAX)
	{
		engine_fail(error, ENGINE_UNSUPPORTED, "weight \"%s\" has too many rows", parts[0]->name);
		return NULL;
	}
	w = calloc(1, sizeof(*w));
	if (w == NULL)
	{
		engine_fail_memory(error, "a weight");
		return NULL;
	}
	w->columns = (int) parts[0]->columns;
	for (int i = 0; i < count; i++)
	{
		if (!(use == WEIGHT_GATHER ? upload_rows(w, parts[i], error) :
			  upload_part(w, parts[i], error)))
		{
			weight_free(d, w);
			return NULL;
		}
	}
	widest = atomic_load(&d->widest);
	while (widest < w->rows && !atomic_compare_exchange_weak(&d->widest, &widest, w->rows))
		;
	return w;
}

void
weight_free(backend_device *d, backend_weight *w)
{
	(void) d;
	if (w == NULL)
		return;
	for (int i = 0; i < WEIGHT_PARTS; i++)
		memory_free(w->parts[i].data);
	memory_free(w->row_data);
	free(w);
}

/* Output n of a panel of floats. */
static void
read_panel(tensor_type type, const uint8_t *panel, size_t n, int columns, float *out)
{
	size_t		size = type == TYPE_F32 ? 4 : 2;

	for (size_t k = 0; k < (size_t) columns && type == TYPE_F32; k++)
		memcpy(&out[k], panel + (k * PANEL_OUTPUTS + n) * size, size);
	for (size_t k = 0; k < (size_t) columns && type != TYPE_F32; k++)
		tensor_dequantize(type, panel + (k * PANEL_OUTPUTS + n) * size, &out[k], 1);
}

void
weight_prefetch_row(const backend_weight *w, int row)
{
	for (size_t i = 0; i < w->row_bytes; i += 64)
		__builtin_prefetch(w->row_data + (size_t) row * w->row_bytes + i);
}

void
weight_row(const backend_weight *w, int row, float *out)
{
	const weight_part *part = w->parts;
	const uint8_t *panel;
	packed_layout layout;
	size_t		n;

	if (w->row_data != NULL)
	{
		const uint8_t *from = w->row_data + (size_t) row * w->row_bytes;

		if (w->row_type == TYPE_F32)
			memcpy(out, from, w->row_bytes);
		else
			tensor_dequantize(w->row_type, from, out, (size_t) w->columns);
		return;
	}
	while (row >= part->first + part->rows)
		part++;
	n = (size_t) (row - part->first) % PANEL_OUTPUTS;
	panel = part->data + (size_t) (row - part->first) / PANEL_OUTPUTS * part->panel_bytes;
	if (is_float(part->type))
	{
		read_panel(part->type, panel, n, w->columns, out);
		return;
	}
	layout = packed_layout_of(part->type);
	for (int b = 0; b < w->columns / QUANT_COLUMNS; b++)
	{
		raw_block	block;

		raw_block_unpack(part->type, &layout, panel, (size_t) b, n, &block);
		raw_block_values(&block, out + b * QUANT_COLUMNS);
	}
}
