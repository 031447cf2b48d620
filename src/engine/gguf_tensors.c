/*
 * gguf_tensors.c: the tensors of a GGUF file: description, bounds, overlap.
 */
#include "engine/gguf_private.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Types by their number in the file; those that are only named are there for messages. */
static const struct
{
	const char *name;
	tensor_type type;
}			file_types[] = {
	[0] = {"F32", TYPE_F32},
	[1] = {"F16", TYPE_F16},
	[2] = {"Q4_0", TYPE_Q4_0},
	[3] = {"Q4_1", TYPE_Q4_1},
	[6] = {"Q5_0", TYPE_Q5_0},
	[7] = {"Q5_1", TYPE_Q5_1},
	[8] = {"Q8_0", TYPE_Q8_0},
	[9] = {"Q8_1", TYPE_UNKNOWN},
	[10] = {"Q2_K", TYPE_UNKNOWN},
	[11] = {"Q3_K", TYPE_UNKNOWN},
	[12] = {"Q4_K", TYPE_Q4_K},
	[13] = {"Q5_K", TYPE_Q5_K},
	[14] = {"Q6_K", TYPE_Q6_K},
	[15] = {"Q8_K", TYPE_UNKNOWN},
	[16] = {"IQ2_XXS", TYPE_UNKNOWN},
	[17] = {"IQ2_XS", TYPE_UNKNOWN},
	[18] = {"IQ3_XXS", TYPE_UNKNOWN},
	[19] = {"IQ1_S", TYPE_UNKNOWN},
	[20] = {"IQ4_NL", TYPE_UNKNOWN},
	[21] = {"IQ3_S", TYPE_UNKNOWN},
	[22] = {"IQ2_S", TYPE_UNKNOWN},
	[23] = {"IQ4_XS", TYPE_UNKNOWN},
	[24] = {"I8", TYPE_UNKNOWN},
	[25] = {"I16", TYPE_UNKNOWN},
	[26] = {"I32", TYPE_UNKNOWN},
	[27] = {"I64", TYPE_UNKNOWN},
	[28] = {"F64", TYPE_UNKNOWN},
	[29] = {"IQ1_M", TYPE_UNKNOWN},
	[30] = {"BF16", TYPE_BF16},
	[34] = {"TQ1_0", TYPE_UNKNOWN},
	[35] = {"TQ2_0", TYPE_UNKNOWN},
	[39] = {"MXFP4", TYPE_UNKNOWN},
};

#define FILE_TYPES (sizeof(file_types) / sizeof(file_types[0]))

static void
set_type(table_tensor *t, uint32_t number)
{
	t->type = TYPE_UNKNOWN;
	if (number < FILE_TYPES && file_types[number].name)
	{
		t->type = file_types[number].type;
		snprintf(t->type_name, sizeof(t->type_name), "%s", file_types[number].name);
	}
	else
		snprintf(t->type_name, sizeof(t->type_name), "%" PRIu32, number);
}

/* The file has the contiguous dimension first, the table has it last. */
static bool
read_shape(gguf_cursor *c, table_tensor *t)
{
	uint32_t	dimensions;

	if (!gguf_take_u32(c, "a tensor's shape", &dimensions))
		return false;
	if (dimensions < 1 || dimensions > TABLE_MAX_DIMENSIONS)
		return engine_fail(c->error, ENGINE_CORRUPT,
						   "%s: tensor \"%s\" has %u dimensions, not 1 to %d",
						   c->file, t->name, dimensions, TABLE_MAX_DIMENSIONS);
	t->dimensions = (int) dimensions;
	for (int i = t->dimensions - 1; i >= 0; i--)
	{
		uint64_t	size;

		if (!gguf_take_u64(c, "a tensor's shape", &size))
			return false;
		if (size == 0 || size > INT64_MAX)
			return engine_fail(c->error, ENGINE_CORRUPT,
							   "%s: tensor \"%s\" has a dimension of %" PRIu64, c->file, t->name,
							   size);
		t->shape[i] = (int64_t) size;
	}
	return true;
}

/* What the shape takes in the type's blocks; a type that is not known has no size here. */
static bool
set_bytes(gguf_cursor *c, table_tensor *t)
{
	const tensor_type_info *info = tensor_type_get(t->type);
	char		shape[TABLE_SHAPE_SIZE];
	uint64_t	n = 1;

	if (info == NULL)
		return true;
	if (t->shape[t->dimensions - 1] % info->block_elements != 0)
		return engine_fail(c->error, ENGINE_CORRUPT,
						   "%s: tensor \"%s\" of shape %s has no whole number of %s blocks in a row",
						   c->file, t->name, tensor_shape_text(t, shape), info->name);
	for (int i = 0; i < t->dimensions; i++)
	{
		uint64_t	size = (uint64_t) t->shape[i];

		if (i == t->dimensions - 1)
			size /= (uint64_t) info->block_elements;
		if (__builtin_mul_overflow(n, size, &n))
			n = UINT64_MAX;
	}
	if (n > SIZE_MAX / (size_t) info->block_bytes)
		return engine_fail(c->error, ENGINE_CORRUPT, "%s: tensor \"%s\" has impossible shape %s",
						   c->file, t->name, tensor_shape_text(t, shape));
	t->bytes = (size_t) n * (size_t) info->block_bytes;
	return true;
}

/* One description; *offset is from the start of the data. */
static bool
read_description(const gguf *g, gguf_cursor *c, tensor_table *table, uint64_t *offset)
{
	model_string name;
	uint32_t	type;
	table_tensor *t;

	if (!gguf_take_string(c, "a tensor's name", &name))
		return false;
	t = tensor_table_add(table, c->file, name.data, name.length, c->error);
	if (t == NULL)
		return false;
	if (!read_shape(c, t) || !gguf_take_u32(c, "a tensor's type", &type) ||
		!gguf_take_u64(c, "a tensor's offset", offset))
		return false;
	set_type(t, type);
	if (!set_bytes(c, t))
		return false;
	if (*offset % g->alignment != 0)
		return engine_fail(c->error, ENGINE_CORRUPT,
						   "%s: tensor \"%s\" is at offset %" PRIu64 ", no multiple of %zu",
						   c->file, t->name, *offset, g->alignment);
	return true;
}

/* The data area is data[0 .. size). */
static bool
place(const gguf_cursor *c, table_tensor *t, uint64_t offset, const unsigned char *data,
	  size_t size)
{
	if (offset > size || t->bytes > size - (size_t) offset)
		return engine_fail(c->error, ENGINE_CORRUPT,
						   "%s: tensor \"%s\" (%zu bytes at offset %" PRIu64
						   ") is beyond the %zu bytes of tensor data: is the file truncated?",
						   c->file, t->name, t->bytes, offset, size);
	t->data = data + offset;
	return true;
}

static bool
check_overlap(const gguf_cursor *c, tensor_table *table, size_t first)
{
	tensor_table_sort_places(table, first);
	for (size_t i = first + 1; i < table->count; i++)
	{
		const table_tensor *t = &table->tensors[i];

		if ((size_t) (t->data - t[-1].data) < t[-1].bytes)
			return engine_fail(c->error, ENGINE_CORRUPT, "%s: tensors \"%s\" and \"%s\" overlap",
							   c->file, t[-1].name, t->name);
	}
	return true;
}

bool
gguf_read_tensors(const gguf *g, gguf_cursor *c, size_t count, tensor_table *table)
{
	size_t		first = table->count;
	size_t		start,
				size;
	uint64_t   *offsets;
	bool		good = true;

	if (!tensor_table_reserve(table, count, c->error))
		return false;
	offsets = malloc(count * sizeof(*offsets) + 1);
	if (offsets == NULL)
		return engine_fail_memory(c->error, "tensor offsets");
	for (size_t i = 0; good && i < count; i++)
		good = read_description(g, c, table, &offsets[i]);

	/* no overflow: a file's size and an alignment are far below SIZE_MAX / 2 */
	start = (c->at + g->alignment - 1) / g->alignment * g->alignment;
	size = start < c->size ? c->size - start : 0;
	for (size_t i = 0; good && i < count; i++)
		good = place(c, &table->tensors[first + i], offsets[i],
					 c->data + (size > 0 ? start : c->size), size);
	free(offsets);
	return good && check_overlap(c, table, first) &&
		tensor_table_sort(table, c->error);
}
