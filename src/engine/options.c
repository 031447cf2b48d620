/*
 * options.c: the JSON object of a model's options.
 */
#include "engine/engine_private.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "engine/json.h"

typedef bool (*option_reader) (const json_value *value, model_options *out, const char **expected);

static bool
whole_number(const json_value *value, int low, int high, int *out)
{
	if (value->kind != JSON_NUMBER || value->number != floor(value->number) ||
		value->number < low || value->number > high)
		return false;
	*out = (int) value->number;
	return true;
}

static bool
read_max_model_len(const json_value *value, model_options *out, const char **expected)
{
	*expected = "a whole number from 8 to 1048576";
	return whole_number(value, 8, 1 << 20, &out->max_model_len);
}

static bool
read_max_num_seqs(const json_value *value, model_options *out, const char **expected)
{
	*expected = "a whole number from 1 to 256";
	return whole_number(value, 1, 256, &out->max_num_seqs);
}

static bool
read_kv_cache_tokens(const json_value *value, model_options *out, const char **expected)
{
	*expected = "a whole number from 16 to 16777216";
	return whole_number(value, KV_BLOCK_SIZE, 1 << 24, &out->kv_cache_tokens);
}

static bool
read_kv_cache_type(const json_value *value, model_options *out, const char **expected)
{
	*expected = "\"f16\" or \"f32\"";
	if (value->kind != JSON_STRING)
		return false;
	out->kv_f32 = strcmp(value->string, "f32") == 0;
	return out->kv_f32 || strcmp(value->string, "f16") == 0;
}

/* Which of three words it is. */
static bool
one_of(const json_value *value, const char *const words[3], int *out)
{
	for (*out = 0; *out < 3; (*out)++)
	{
		if (value->kind == JSON_STRING && strcmp(value->string, words[*out]) == 0)
			return true;
	}
	return false;
}

static bool
read_speculation(const json_value *value, model_options *out, const char **expected)
{
	int			choice;
	bool		good = one_of(value, (const char *const[]) {"auto", "off", "always"}, &choice);

	*expected = "\"auto\", \"off\" or \"always\"";
	if (good)
		out->speculation = (speculation_choice) choice;
	return good;
}

static bool
read_dtype(const json_value *value, model_options *out, const char **expected)
{
	int			choice;
	bool		good = one_of(value, (const char *const[]) {"auto", "float16", "bfloat16"}, &choice);

	*expected = "\"auto\", \"float16\" or \"bfloat16\"";
	if (good)
		out->dtype = (dtype_choice) choice;
	return good;
}

static bool
read_weights(const json_value *value, model_options *out, const char **expected)
{
	*expected = "\"native\" or \"int8\"";
	if (value->kind != JSON_STRING)
		return false;
	out->int8_weights = strcmp(value->string, "int8") == 0;
	return out->int8_weights || strcmp(value->string, "native") == 0;
}

static bool
read_overflow(const json_value *value, model_options *out, const char **expected)
{
	*expected = "\"error\" or \"truncate\"";
	if (value->kind != JSON_STRING)
		return false;
	out->truncate = strcmp(value->string, "truncate") == 0;
	return out->truncate || strcmp(value->string, "error") == 0;
}

static bool
read_pooling(const json_value *value, model_options *out, const char **expected)
{
	*expected = "\"mean\" or \"cls\"";
	if (value->kind != JSON_STRING)
		return false;
	out->pooling = strcmp(value->string, "cls") == 0 ? POOLING_CLS : POOLING_MEAN;
	return out->pooling == POOLING_CLS || strcmp(value->string, "mean") == 0;
}

static bool
read_prefix(const json_value *value, char **prefix, const char **expected)
{
	*expected = "a string without NUL of at most 1000 bytes";
	if (value->kind != JSON_STRING || value->length > 1000 ||
		strlen(value->string) != value->length)
		return false;
	free(*prefix);
	*prefix = strdup(value->string);
	return *prefix != NULL;
}

static bool
read_query_prefix(const json_value *value, model_options *out, const char **expected)
{
	return read_prefix(value, &out->query_prefix, expected);
}

static bool
read_document_prefix(const json_value *value, model_options *out, const char **expected)
{
	return read_prefix(value, &out->document_prefix, expected);
}

static const struct
{
	const char *name;
	option_reader read;
}			known_options[] =
{
	{"max_model_len", read_max_model_len},
	{"max_num_seqs", read_max_num_seqs},
	{"kv_cache_tokens", read_kv_cache_tokens},
	{"kv_cache_type", read_kv_cache_type},
	{"speculation", read_speculation},
	{"weights", read_weights},
	{"dtype", read_dtype},
	{"overflow", read_overflow},
	{"pooling", read_pooling},
	{"query_prefix", read_query_prefix},
	{"document_prefix", read_document_prefix},
};

static bool
read_option(const json_value *member, model_options *out, engine_error *error)
{
	for (size_t i = 0; i < sizeof(known_options) / sizeof(known_options[0]); i++)
	{
		const char *expected = "";

		if (strcmp(member->key, known_options[i].name) != 0)
			continue;
		if (known_options[i].read(member, out, &expected))
			return true;
		return engine_fail(error, ENGINE_INVALID, "model option \"%s\" must be %s", member->key,
						   expected);
	}
	return engine_fail(error, ENGINE_INVALID, "unrecognized model option \"%s\"", member->key);
}

bool
model_options_parse(const char *text, size_t length, model_options *out, engine_error *error)
{
	json	   *doc = NULL;
	bool		good = true;

	memset(out, 0, sizeof(*out));
	out->pooling = -1;
	out->query_prefix = strdup("");
	out->document_prefix = strdup("");
	if (out->query_prefix == NULL || out->document_prefix == NULL)
		return engine_fail_memory(error, "a model's options");
	if (length == 0)
		return true;
	doc = json_parse(text, length, error);
	if (doc == NULL)
		return false;
	if (json_root(doc)->kind != JSON_OBJECT)
		good = engine_fail(error, ENGINE_INVALID, "model options must be a JSON object");
	for (const json_value *v = json_root(doc)->child; good && v; v = v->next)
		good = read_option(v, out, error);
	json_free(doc);
	return good;
}

void
model_options_free(model_options *o)
{
	free(o->query_prefix);
	free(o->document_prefix);
	o->query_prefix = o->document_prefix = NULL;
}
