/*
 * hf_folder.c: a Hugging Face folder: its config and its weights, in one
 * safetensors file or in shards that an index names.
 */
#include "engine/hf.h"

#include <stdlib.h>
#include <string.h>

#include "engine/safetensors.h"

#define INDEX_FILE "model.safetensors.index.json"
#define SHARDS_MAX 1024

/* Map one file into m->maps, which has room, and read its tensors. */
static bool
add_file(model *m, const char *name, engine_error *error)
{
	file_map   *map = &m->maps[m->map_count];

	if (!file_map_open(m->folder, name, map, error))
		return false;
	m->map_count++;
	return safetensors_parse(map, &m->table, error);
}

static bool
reserve_maps(model *m, size_t count, engine_error *error)
{
	m->maps = calloc(count, sizeof(file_map));
	return m->maps != NULL || engine_fail_memory(error, "a model's files");
}

static int
compare_texts(const void *a, const void *b)
{
	return strcmp(*(const char *const *) a, *(const char *const *) b);
}

/* The names of the shards, each once; names has a place for each tensor. */
static bool
list_shards(const hf_object *map, const char **names, size_t *count)
{
	size_t		n = 0;

	for (const json_value *v = map->value->child; v; v = v->next)
	{
		if (v->kind != JSON_STRING || !hf_is_plain_name(v->string, v->length))
			return engine_fail(map->error, ENGINE_CORRUPT,
							   "%s: %s: the shard of \"%.100s\" is no plain file name",
							   map->m->file, map->file, v->key);
		names[n++] = v->string;
	}
	qsort(names, n, sizeof(*names), compare_texts);
	*count = 0;
	for (size_t i = 0; i < n; i++)
	{
		if (*count == 0 || strcmp(names[*count - 1], names[i]) != 0)
			names[(*count)++] = names[i];
	}
	if (*count > SHARDS_MAX)
		return engine_fail(map->error, ENGINE_UNSUPPORTED, "%s: %s: %zu shards, limit is %d",
						   map->m->file, map->file, *count, SHARDS_MAX);
	return true;
}

/* Is each tensor in the shard that the index names? */
static bool
check_index(const hf_object *map)
{
	for (const json_value *v = map->value->child; v; v = v->next)
	{
		const table_tensor *t = tensor_table_find(&map->m->table, v->key);

		if (t == NULL || strcmp(t->file, v->string) != 0)
			return engine_fail(map->error, ENGINE_CORRUPT,
							   "%s: %s: tensor \"%.100s\" is not in \"%.100s\"", map->m->file,
							   map->file, v->key, v->string);
	}
	return true;
}

static bool
open_shards(model *m, const hf_object *map, engine_error *error)
{
	const char **names;
	size_t		count = 0;
	bool		good;

	if (map->value == NULL || map->value->kind != JSON_OBJECT || map->value->count == 0)
		return engine_fail(error, ENGINE_CORRUPT, "%s: %s: \"weight_map\" is missing", m->file,
						   map->file);
	names = calloc(map->value->count, sizeof(*names));
	if (names == NULL)
		return engine_fail_memory(error, "a list of shards");
	good = list_shards(map, names, &count) && reserve_maps(m, count, error);
	for (size_t i = 0; good && i < count; i++)
		good = add_file(m, names[i], error);
	free(names);
	return good && tensor_table_sort(&m->table, error) && check_index(map);
}

/* As transformers does: the one file if it is there, else the shards. */
static bool
open_weights(model *m, engine_error *error)
{
	engine_error reason = {0};
	hf_object	map = {.m = m, .file = INDEX_FILE, .error = error};
	json	   *index;
	bool		good;

	if (!reserve_maps(m, 1, error))
		return false;
	if (add_file(m, "model.safetensors", &reason))
		return tensor_table_sort(&m->table, error);
	if (m->map_count > 0 || reason.code != ENGINE_NOT_FOUND)
		return engine_fail(error, reason.code, "%s: %s", m->file, reason.message);
	free(m->maps);
	m->maps = NULL;
	index = file_read_json(m->folder, INDEX_FILE, HF_JSON_MAX, &reason);
	if (index == NULL && reason.code == ENGINE_NOT_FOUND)
		return engine_fail(error, ENGINE_NOT_FOUND,
						   "%s: neither model.safetensors nor " INDEX_FILE " is there", m->file);
	if (index == NULL)
		return engine_fail(error, reason.code, "%s: %s", m->file, reason.message);
	map.value = json_get(json_root(index), "weight_map");
	good = open_shards(m, &map, error);
	json_free(index);
	return good;
}

bool
hf_open(model *m, engine_error *error)
{
	engine_error reason = {0};
	json	   *config = file_read_json(m->folder, "config.json", HF_JSON_MAX, &reason);
	bool		good;

	if (config == NULL)
		return engine_fail(error, reason.code, "%s: %s", m->file, reason.message);
	good = hf_read_config(m, json_root(config), error);
	json_free(config);
	return good && (m->config.architecture != MODEL_BERT || hf_read_sentence(m, error)) &&
		open_weights(m, error);
}
