/*
 * model.c: opening and closing models, and asking them.
 */
#include "engine/model.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "engine/model_private.h"

static bool
open_gguf(model *m, const char *path, engine_error *error)
{
	m->maps = calloc(1, sizeof(file_map));
	if (m->maps == NULL)
		return engine_fail_memory(error, "a model");
	m->map_count = 1;
	if (!file_map_open(AT_FDCWD, path, &m->maps[0], error))
		return false;
	m->metadata = gguf_parse(&m->maps[0], &m->table, error);
	return m->metadata != NULL && model_gguf_config(m, error);
}

static bool
open_any(model *m, const char *path, engine_error *error)
{
	const uint16_t one = 1;

	/* weights are used in place */
	if (*(const unsigned char *) &one != 1)
		return engine_fail(error, ENGINE_UNSUPPORTED,
						   "model files cannot be used on a big-endian machine");
	m->file = file_base_name(path);
	if (m->file == NULL)
		return engine_fail_memory(error, "a file name");
	m->folder = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (m->folder >= 0)
	{
		if (!hf_open(m, error))
			return false;
	}
	else if (!open_gguf(m, path, error))
		return false;
	if (m->config.name[0] == '\0')
		model_set_name(&m->config, m->file, strlen(m->file));
	return model_check_config(m, error) && model_bind(m, error);
}

model *
model_open(const char *path, engine_error *error)
{
	model	   *m = calloc(1, sizeof(*m));

	if (m == NULL)
	{
		engine_fail_memory(error, "a model");
		return NULL;
	}
	m->folder = -1;
	if (open_any(m, path, error))
		return m;
	model_close(m);
	return NULL;
}

void
model_close_files(model *m)
{
	for (size_t i = 0; i < m->copy_count; i++)
		free(m->copies[i]);
	free(m->copies);
	m->copies = NULL;
	m->copy_count = 0;
	free(m->tensors);
	m->tensors = NULL;
	gguf_free(m->metadata);
	m->metadata = NULL;
	tensor_table_free(&m->table);
	m->table = (tensor_table) {0};
	for (size_t i = 0; i < m->map_count; i++)
		file_map_close(&m->maps[i]);
	free(m->maps);
	m->maps = NULL;
	m->map_count = 0;
	if (m->folder >= 0)
		close(m->folder);
	m->folder = -1;
}

void
model_close(model *m)
{
	if (m == NULL)
		return;
	model_close_files(m);
	free(m->file);
	free(m);
}

const model_config *
model_get_config(const model *m)
{
	return &m->config;
}

size_t
model_get_bytes(const model *m)
{
	return m->bytes;
}

const model_tensor *
model_get_tensor(const model *m, tensor_role role, int layer)
{
	size_t		index = (size_t) role;

	if (m->tensors == NULL || (unsigned) role >= TENSOR_ROLES || layer < 0 || layer >= m->config.layers)
		return NULL;
	if (role >= MODEL_FIRST_LAYER_ROLE)
		index += (size_t) layer * (TENSOR_ROLES - MODEL_FIRST_LAYER_ROLE);
	return m->tensors[index].data ? &m->tensors[index] : NULL;
}

void
model_release_tensor(const model *m, const model_tensor *t)
{
	const unsigned char *data = t->data;

	for (size_t i = 0; i < m->map_count; i++)
	{
		const file_map *map = &m->maps[i];

		if (data >= map->data && data < map->data + map->size)
			file_map_release(map, data, t->bytes);
	}
}

bool
model_is_gguf(const model *m)
{
	return m->metadata != NULL;
}

bool
model_meta_string(const model *m, const char *key, model_string *out)
{
	return m->metadata && gguf_get_string(m->metadata, key, out);
}

bool
model_meta_int(const model *m, const char *key, int64_t *out)
{
	return m->metadata && gguf_get_int(m->metadata, key, out);
}

bool
model_meta_float(const model *m, const char *key, double *out)
{
	return m->metadata && gguf_get_float(m->metadata, key, out);
}

bool
model_meta_bool(const model *m, const char *key, bool *out)
{
	return m->metadata && gguf_get_bool(m->metadata, key, out);
}

/* The array of this key if its elements are of one of two kinds. */
static const gguf_value *
find_array(const model *m, const char *key, gguf_kind kind, gguf_kind other, size_t *count)
{
	const gguf_value *v = m->metadata ? gguf_find(m->metadata, key) : NULL;

	*count = 0;
	if (v == NULL || v->kind != GGUF_ARRAY || (v->element != kind && v->element != other))
		return NULL;
	*count = v->count;
	return v;
}

const model_string *
model_meta_strings(const model *m, const char *key, size_t *count)
{
	const gguf_value *v = find_array(m, key, GGUF_STRING, GGUF_STRING, count);

	return v ? v->strings : NULL;
}

const float *
model_meta_floats(const model *m, const char *key, size_t *count)
{
	const gguf_value *v = find_array(m, key, GGUF_F32, GGUF_F32, count);

	return v ? gguf_array(v) : NULL;
}

const int32_t *
model_meta_ints(const model *m, const char *key, size_t *count)
{
	const gguf_value *v = find_array(m, key, GGUF_I32, GGUF_U32, count);

	return v ? gguf_array(v) : NULL;
}

const unsigned char *
model_meta_bytes(const model *m, const char *key, size_t *count)
{
	const gguf_value *v = find_array(m, key, GGUF_U8, GGUF_I8, count);

	return v ? gguf_array(v) : NULL;
}

char *
model_read_file(const model *m, const char *name, size_t *length, engine_error *error)
{
	if (m->folder < 0)
	{
		engine_fail(error, ENGINE_NOT_FOUND, "%s is no folder that could hold \"%s\"", m->file,
					name);
		return NULL;
	}
	return file_read(m->folder, name, MODEL_TEXT_MAX, length, error);
}
