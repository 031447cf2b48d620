/*
 * gguf_meta.c: the metadata of a GGUF file: typed values by key.
 */
#include "engine/gguf_private.h"

#include <stdlib.h>
#include <string.h>

#define KEY_MAX 65535			/* bytes, says the format */

/* Bytes of a number; 0 for what is not one. */
static const unsigned char kind_bytes[GGUF_KINDS] = {
	[GGUF_U8] = 1,[GGUF_I8] = 1,[GGUF_U16] = 2,[GGUF_I16] = 2,[GGUF_U32] = 4,[GGUF_I32] = 4,
	[GGUF_F32] = 4,[GGUF_BOOL] = 1,[GGUF_U64] = 8,[GGUF_I64] = 8,[GGUF_F64] = 8,
};

static bool
read_kind(gguf_cursor *c, const gguf_value *v, gguf_kind *kind)
{
	uint32_t	number;

	if (!gguf_take_u32(c, "a metadata type", &number))
		return false;
	if (number >= GGUF_KINDS)
		return engine_fail(c->error, ENGINE_CORRUPT, "%s: key \"%.*s\" has unknown type %u",
						   c->file, GGUF_SHOWN(v->key), number);
	*kind = (gguf_kind) number;
	return true;
}

/* Tokenizers read their words through this list; the words themselves stay in the file. */
static bool
read_strings(gguf_cursor *c, gguf_value *v)
{
	v->strings = malloc(v->count * sizeof(model_string) + 1);
	if (v->strings == NULL)
		return engine_fail_memory(c->error, "a list of strings");
	for (size_t i = 0; i < v->count; i++)
	{
		if (!gguf_take_string(c, "a metadata string", &v->strings[i]))
			return false;
	}
	return true;
}

static bool
read_array(gguf_cursor *c, gguf_value *v)
{
	uint64_t	count;
	size_t		width;

	if (!read_kind(c, v, &v->element) || !gguf_take_u64(c, "a metadata array", &count))
		return false;
	if (v->element == GGUF_ARRAY)
		return engine_fail(c->error, ENGINE_UNSUPPORTED,
						   "%s: key \"%.*s\" is an array of arrays", c->file, GGUF_SHOWN(v->key));
	width = v->element == GGUF_STRING ? 8 : kind_bytes[v->element];
	if (count > (c->size - c->at) / width)
		return engine_fail(c->error, ENGINE_CORRUPT,
						   "%s: key \"%.*s\": %llu elements cannot fit into the file", c->file,
						   GGUF_SHOWN(v->key), (unsigned long long) count);
	v->count = (size_t) count;
	if (v->element == GGUF_STRING)
		return read_strings(c, v);
	v->data = gguf_take(c, v->count * width, "a metadata array");
	if (v->data == NULL)
		return false;
	if ((uintptr_t) v->data % width == 0)
		return true;
	v->aligned = malloc(v->count * width + 1);
	if (v->aligned == NULL)
		return engine_fail_memory(c->error, "a metadata array");
	memcpy(v->aligned, v->data, v->count * width);
	return true;
}

static bool
read_pair(gguf_cursor *c, gguf_value *v)
{
	if (!gguf_take_string(c, "a metadata key", &v->key))
		return false;
	if (v->key.length == 0 || v->key.length > KEY_MAX)
		return engine_fail(c->error, ENGINE_CORRUPT, "%s: a metadata key of %zu bytes", c->file,
						   v->key.length);
	if (!read_kind(c, v, &v->kind))
		return false;
	if (v->kind == GGUF_STRING)
		return gguf_take_string(c, "a metadata string", &v->string);
	if (v->kind == GGUF_ARRAY)
		return read_array(c, v);
	v->data = gguf_take(c, kind_bytes[v->kind], "a metadata value");
	if (v->data == NULL)
		return false;
	if (v->kind == GGUF_BOOL && v->data[0] > 1)
		return engine_fail(c->error, ENGINE_CORRUPT, "%s: key \"%.*s\" is neither true nor false",
						   c->file, GGUF_SHOWN(v->key));
	return true;
}

static int
compare_strings(model_string a, model_string b)
{
	size_t		common = a.length < b.length ? a.length : b.length;
	int			order = memcmp(a.data, b.data, common);

	return order != 0 ? order : (a.length > b.length) - (a.length < b.length);
}

static int
compare_values(const void *a, const void *b)
{
	return compare_strings(((const gguf_value *) a)->key, ((const gguf_value *) b)->key);
}

bool
gguf_read_metadata(gguf *g, gguf_cursor *c, size_t count)
{
	g->values = calloc(count + 1, sizeof(gguf_value));
	if (g->values == NULL)
		return engine_fail_memory(c->error, "metadata");
	for (size_t i = 0; i < count; i++)
	{
		g->count = i + 1;		/* so that gguf_free sees what a failing pair has allocated */
		if (!read_pair(c, &g->values[i]))
			return false;
	}
	qsort(g->values, count, sizeof(gguf_value), compare_values);
	for (size_t i = 1; i < count; i++)
	{
		const gguf_value *v = &g->values[i];

		if (compare_values(v - 1, v) == 0)
			return engine_fail(c->error, ENGINE_CORRUPT, "%s: key \"%.*s\" occurs twice", c->file,
							   GGUF_SHOWN(v->key));
	}
	return true;
}

const gguf_value *
gguf_find(const gguf *g, const char *key)
{
	gguf_value	wanted = {.key = {key, strlen(key)}};

	return bsearch(&wanted, g->values, g->count, sizeof(gguf_value), compare_values);
}

/* A little-endian integer of the value's width, its sign extended. */
static int64_t
load_integer(const gguf_value *v)
{
	int			shift = 64 - 8 * kind_bytes[v->kind];
	uint64_t	bits = 0;

	memcpy(&bits, v->data, kind_bytes[v->kind]);
	if (v->kind == GGUF_I8 || v->kind == GGUF_I16 || v->kind == GGUF_I32 || v->kind == GGUF_I64)
		return (int64_t) (bits << shift) >> shift;
	return (int64_t) bits;
}

bool
gguf_get_int(const gguf *g, const char *key, int64_t *out)
{
	const gguf_value *v = gguf_find(g, key);

	if (v == NULL)
		return false;
	switch (v->kind)
	{
		case GGUF_U8:
		case GGUF_I8:
		case GGUF_U16:
		case GGUF_I16:
		case GGUF_U32:
		case GGUF_I32:
		case GGUF_I64:
		case GGUF_U64:
			*out = load_integer(v);
			return v->kind != GGUF_U64 || *out >= 0;
		default:
			return false;
	}
}

bool
gguf_get_float(const gguf *g, const char *key, double *out)
{
	const gguf_value *v = gguf_find(g, key);

	if (v != NULL && v->kind == GGUF_F32)
	{
		float		f;

		memcpy(&f, v->data, sizeof(f));
		*out = f;
		return true;
	}
	if (v != NULL && v->kind == GGUF_F64)
	{
		memcpy(out, v->data, sizeof(*out));
		return true;
	}
	return false;
}

bool
gguf_get_bool(const gguf *g, const char *key, bool *out)
{
	const gguf_value *v = gguf_find(g, key);

	if (v == NULL || v->kind != GGUF_BOOL)
		return false;
	*out = v->data[0] != 0;
	return true;
}

bool
gguf_get_string(const gguf *g, const char *key, model_string *out)
{
	const gguf_value *v = gguf_find(g, key);

	if (v == NULL || v->kind != GGUF_STRING)
		return false;
	*out = v->string;
	return true;
}

const void *
gguf_array(const gguf_value *v)
{
	return v->aligned ? v->aligned : v->data;
}
