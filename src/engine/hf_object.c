/*
 * hf_object.c: typed members of the JSON objects of a model's folder.
 */
#include "engine/hf.h"

#include <math.h>
#include <string.h>

#define NAME_MAX_LENGTH 200

bool
hf_fail(const hf_object *o, engine_code code, const char *key, const char *problem)
{
	return engine_fail(o->error, code, "%s: %s: \"%s\" %s", o->m->file, o->file, key, problem);
}

const json_value *
hf_member(const hf_object *o, const char *key)
{
	const json_value *v = json_get(o->value, key);

	return v && v->kind != JSON_NULL ? v : NULL;
}

bool
hf_get_int(const hf_object *o, const char *key, int high, int otherwise, int *out)
{
	const json_value *v = hf_member(o, key);

	*out = otherwise;
	if (v == NULL)
		return otherwise >= 0 || hf_fail(o, ENGINE_CORRUPT, key, "is missing");
	*out = (int) json_get_int(o->value, key, 1, high, 0);
	if (*out == 0)
		return engine_fail(o->error, ENGINE_CORRUPT,
						   "%s: %s: \"%s\" is no whole number from 1 to %d", o->m->file, o->file,
						   key, high);
	return true;
}

bool
hf_get_float(const hf_object *o, const char *key, float otherwise, float *out)
{
	const json_value *v = hf_member(o, key);

	*out = otherwise;
	if (v == NULL)
		return true;
	if (v->kind != JSON_NUMBER || !(fabs(v->number) <= 1e30))
		return hf_fail(o, ENGINE_CORRUPT, key, "is no number of use");
	*out = (float) v->number;
	return true;
}

bool
hf_get_bool(const hf_object *o, const char *key, bool otherwise, bool *out)
{
	const json_value *v = hf_member(o, key);

	*out = v ? v->kind == JSON_TRUE : otherwise;
	return v == NULL || v->kind == JSON_TRUE || v->kind == JSON_FALSE ||
		hf_fail(o, ENGINE_CORRUPT, key, "is neither true nor false");
}

bool
hf_get_string(const hf_object *o, const char *key, const char *otherwise, const char **out)
{
	const json_value *v = hf_member(o, key);

	*out = otherwise;
	if (v == NULL)
		return true;
	if (v->kind != JSON_STRING || strlen(v->string) != v->length)
		return hf_fail(o, ENGINE_CORRUPT, key, "is no text");
	*out = v->string;
	return true;
}

bool
hf_is_plain_name(const char *name, size_t length)
{
	if (length == 0 || length > NAME_MAX_LENGTH || name[0] == '.')
		return false;
	return memchr(name, '/', length) == NULL && memchr(name, '\0', length) == NULL;
}
