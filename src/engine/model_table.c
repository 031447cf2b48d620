/*
 * model_table.c: the tensors of a model's files by name.
 */
#include "engine/model_table.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

bool
tensor_table_reserve(tensor_table *table, size_t more, engine_error *error)
{
	size_t		capacity;
	table_tensor *tensors;

	if (more <= table->capacity - table->count)
		return true;
	if (__builtin_add_overflow(table->count, more, &capacity) ||
		capacity > SIZE_MAX / sizeof(table_tensor))
		return engine_fail_memory(error, "the list of tensors");
	tensors = realloc(table->tensors, capacity * sizeof(table_tensor));
	if (tensors == NULL)
		return engine_fail_memory(error, "the list of tensors");
	table->tensors = tensors;
	table->capacity = capacity;
	return true;
}

table_tensor *
tensor_table_add(tensor_table *table, const char *file, const char *name, size_t length,
				 engine_error *error)
{
	table_tensor *t;

	if (length == 0 || memchr(name, '\0', length) != NULL)
	{
		engine_fail(error, ENGINE_CORRUPT, "%s: a tensor's name is empty or holds a NUL", file);
		return NULL;
	}
	if (table->count == table->capacity)
	{
		engine_fail(error, ENGINE_INTERNAL, "%s: no room was reserved for a tensor", file);
		return NULL;
	}
	t = &table->tensors[table->count];
	memset(t, 0, sizeof(*t));
	t->name = strndup(name, length);
	if (t->name == NULL)
	{
		engine_fail_memory(error, "a tensor's name");
		return NULL;
	}
	t->file = file;
	table->count++;
	return t;
}

static int
compare_names(const void *a, const void *b)
{
	return strcmp(((const table_tensor *) a)->name, ((const table_tensor *) b)->name);
}

bool
tensor_table_sort(tensor_table *table, engine_error *error)
{
	if (table->count > 1)
		qsort(table->tensors, table->count, sizeof(table_tensor), compare_names);
	for (size_t i = 1; i < table->count; i++)
	{
		const table_tensor *t = &table->tensors[i];

		if (strcmp(t[-1].name, t->name) == 0)
			return engine_fail(error, ENGINE_CORRUPT, "%s: tensor \"%s\" occurs twice", t->file,
							   t->name);
	}
	return true;
}

table_tensor *
tensor_table_find(const tensor_table *table, const char *name)
{
	table_tensor key = {.name = (char *) name};

	if (table->count == 0)
		return NULL;
	return bsearch(&key, table->tensors, table->count, sizeof(table_tensor), compare_names);
}

static int
compare_places(const void *a, const void *b)
{
	const table_tensor *x = a;
	const table_tensor *y = b;

	if (x->data != y->data)
		return x->data < y->data ? -1 : 1;
	return (x->bytes > y->bytes) - (x->bytes < y->bytes);
}

void
tensor_table_sort_places(tensor_table *table, size_t first)
{
	if (table->count > first + 1)
		qsort(table->tensors + first, table->count - first, sizeof(table_tensor), compare_places);
}

void
tensor_table_free(tensor_table *table)
{
	for (size_t i = 0; i < table->count; i++)
		free(table->tensors[i].name);
	free(table->tensors);
	memset(table, 0, sizeof(*table));
}

const char *
tensor_shape_text(const table_tensor *t, char *out)
{
	size_t		used = 0;

	if (t->dimensions > TABLE_MAX_DIMENSIONS)
	{
		snprintf(out, TABLE_SHAPE_SIZE, "[%d dimensions]", t->dimensions);
		return out;
	}
	out[used++] = '[';
	for (int i = 0; i < t->dimensions; i++)
		used += (size_t) snprintf(out + used, TABLE_SHAPE_SIZE - used, "%s%" PRId64,
								  i > 0 ? ", " : "", t->shape[i]);
	snprintf(out + used, TABLE_SHAPE_SIZE - used, "]");
	return out;
}
