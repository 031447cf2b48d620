/*
 * safetensors.c: reading a safetensors file.
 *
 * u64 length of the header; the header, a JSON object that gives each tensor a
 * dtype, a shape and the offsets of its first byte and of the byte after its last
 * in the data that fills the rest of the file. As the reference implementation
 * does, tensors must cover the data without holes or overlaps.
 */
#include "engine/safetensors.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/json.h"

/* Whole numbers above this are not exact in a JSON reader's double. */
#define WHOLE_MAX ((int64_t) 1 << 53)

typedef struct safetensors_reader
{
	const char *file;
	const unsigned char *data;	/* what offsets count from */
	size_t		size;
	tensor_table *table;
	engine_error *error;
} safetensors_reader;

static const struct
{
	const char *name;
	tensor_type type;
	int			bytes;
}			dtypes[] = {
	{"F32", TYPE_F32, 4},
	{"F16", TYPE_F16, 2},
	{"BF16", TYPE_BF16, 2},
	{"F64", TYPE_UNKNOWN, 8},
	{"I64", TYPE_UNKNOWN, 8},
	{"U64", TYPE_UNKNOWN, 8},
	{"I32", TYPE_UNKNOWN, 4},
	{"U32", TYPE_UNKNOWN, 4},
	{"I16", TYPE_UNKNOWN, 2},
	{"U16", TYPE_UNKNOWN, 2},
	{"I8", TYPE_UNKNOWN, 1},
	{"U8", TYPE_UNKNOWN, 1},
	{"BOOL", TYPE_UNKNOWN, 1},
};

#define DTYPES (sizeof(dtypes) / sizeof(dtypes[0]))

/* Bytes of an element; 0 for a dtype that is not known here, whose size is not checked. */
static int
set_type(table_tensor *t, const char *dtype)
{
	t->type = TYPE_UNKNOWN;
	snprintf(t->type_name, sizeof(t->type_name), "%s", dtype);
	for (size_t i = 0; i < DTYPES; i++)
	{
		if (strcmp(dtypes[i].name, dtype) == 0)
		{
			t->type = dtypes[i].type;
			return dtypes[i].bytes;
		}
	}
	return 0;
}

static bool
whole_number(const json_value *v, int64_t *out)
{
	if (v == NULL || v->kind != JSON_NUMBER || !(v->number >= 0 && v->number <= (double) WHOLE_MAX))
		return false;
	*out = (int64_t) v->number;
	return (double) *out == v->number;
}

/* The shape and the number of its elements, UINT64_MAX when that is beyond 64 bits. */
static bool
read_shape(const safetensors_reader *r, table_tensor *t, const json_value *shape,
		   uint64_t *elements)
{
	*elements = 1;
	if (shape == NULL || shape->kind != JSON_ARRAY || shape->count > INT32_MAX)
		return engine_fail(r->error, ENGINE_CORRUPT, "%s: tensor \"%s\" has no shape", r->file,
						   t->name);
	t->dimensions = (int) shape->count;
	for (const json_value *v = shape->child; v; v = v->next)
	{
		int64_t		size;

		if (!whole_number(v, &size))
			return engine_fail(r->error, ENGINE_CORRUPT,
							   "%s: tensor \"%s\" has a shape that is no list of whole numbers",
							   r->file, t->name);
		if (__builtin_mul_overflow(*elements, (uint64_t) size, elements))
			*elements = UINT64_MAX;
	}
	if (t->dimensions <= TABLE_MAX_DIMENSIONS)
	{
		int			i = 0;

		for (const json_value *v = shape->child; v; v = v->next)
			t->shape[i++] = (int64_t) v->number;
	}
	return true;
}

static bool
read_offsets(const safetensors_reader *r, table_tensor *t, const json_value *offsets)
{
	int64_t		begin,
				end;

	if (offsets == NULL || offsets->kind != JSON_ARRAY || offsets->count != 2 ||
		!whole_number(offsets->child, &begin) || !whole_number(offsets->child->next, &end) ||
		begin > end)
		return engine_fail(r->error, ENGINE_CORRUPT, "%s: tensor \"%s\" has wrong data_offsets",
						   r->file, t->name);
	if ((uint64_t) end > r->size)
		return engine_fail(r->error, ENGINE_CORRUPT,
						   "%s: tensor \"%s\" ends at byte %" PRId64
						   " of %zu bytes of tensor data: is the file truncated?",
						   r->file, t->name, end, r->size);
	t->data = r->data + begin;
	t->bytes = (size_t) (end - begin);
	return true;
}

static bool
read_tensor(const safetensors_reader *r, const json_value *entry)
{
	table_tensor *t = tensor_table_add(r->table, r->file, entry->key, entry->key_length, r->error);
	const char *dtype = json_get_string(entry, "dtype", NULL);
	uint64_t	elements;
	uint64_t	bytes;
	int			width;
	char		shape[TABLE_SHAPE_SIZE];

	if (t == NULL)
		return false;
	if (entry->kind != JSON_OBJECT || dtype == NULL)
		return engine_fail(r->error, ENGINE_CORRUPT, "%s: tensor \"%s\" has no dtype", r->file,
						   t->name);
	width = set_type(t, dtype);
	if (!read_shape(r, t, json_get(entry, "shape"), &elements) ||
		!read_offsets(r, t, json_get(entry, "data_offsets")))
		return false;
	if (width != 0 &&
		(__builtin_mul_overflow(elements, (uint64_t) width, &bytes) || bytes != t->bytes))
		return engine_fail(r->error, ENGINE_CORRUPT,
						   "%s: tensor \"%s\" of %s and shape %s cannot have %zu bytes", r->file,
						   t->name, t->type_name, tensor_shape_text(t, shape), t->bytes);
	return true;
}

static bool
check_cover(const safetensors_reader *r, size_t first)
{
	const unsigned char *end = r->data;

	tensor_table_sort_places(r->table, first);
	for (size_t i = first; i < r->table->count; i++)
	{
		const table_tensor *t = &r->table->tensors[i];

		if (t->data != end)
			return engine_fail(r->error, ENGINE_CORRUPT, "%s: tensor \"%s\" %s the one before it",
							   r->file, t->name, t->data < end ? "overlaps" : "does not follow");
		end += t->bytes;
	}
	if (end != r->data + r->size)
		return engine_fail(r->error, ENGINE_CORRUPT, "%s: %zu bytes of data belong to no tensor",
						   r->file, (size_t) (r->data + r->size - end));
	return true;
}

static bool
read_header(const safetensors_reader *r, const json_value *root)
{
	size_t		first = r->table->count;

	if (root->kind != JSON_OBJECT)
		return engine_fail(r->error, ENGINE_CORRUPT, "%s: the header is no JSON object", r->file);
	if (!tensor_table_reserve(r->table, root->count, r->error))
		return false;
	for (const json_value *entry = root->child; entry; entry = entry->next)
	{
		if (strcmp(entry->key, "__metadata__") != 0 && !read_tensor(r, entry))
			return false;
	}
	return check_cover(r, first);
}

bool
safetensors_parse(const file_map *map, tensor_table *table, engine_error *error)
{
	safetensors_reader r = {.file = map->name, .table = table, .error = error};
	engine_error reason = {0};
	uint64_t	length;
	json	   *header;
	bool		good;

	if (map->size < sizeof(length))
		return engine_fail(error, ENGINE_CORRUPT, "%s: not a safetensors file", map->name);
	memcpy(&length, map->data, sizeof(length));
	if (length > map->size - sizeof(length))
		return engine_fail(error, ENGINE_CORRUPT,
						   "%s: a header of %" PRIu64 " bytes cannot fit into %zu bytes", map->name,
						   length, map->size);
	if (length > SAFETENSORS_HEADER_MAX)
		return engine_fail(error, ENGINE_UNSUPPORTED,
						   "%s: a header of %" PRIu64 " bytes, limit is %zu", map->name, length,
						   SAFETENSORS_HEADER_MAX);
	header = json_parse((const char *) map->data + sizeof(length), (size_t) length, &reason);
	if (header == NULL)
		return engine_fail(error, reason.code, "%s: header: %s", map->name, reason.message);
	r.data = map->data + sizeof(length) + length;
	r.size = map->size - sizeof(length) - (size_t) length;
	good = read_header(&r, json_root(header));
	json_free(header);
	return good;
}
