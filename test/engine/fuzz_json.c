/*
 * fuzz_json.c: json.c against arbitrary bytes. Walks the tree, so that a value that
 * points outside the document is found.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include "engine/json.h"

extern int	LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Depth is bounded by the parser's own limit. */
static size_t
walk(const json_value *v)
{
	size_t		sum = (size_t) v->kind + v->length + v->key_length;
	size_t		children = 0;

	for (size_t i = 0; i < v->length; i++)
		sum += (unsigned char) v->string[i];
	if ((v->string && v->string[v->length] != '\0') || (v->key && v->key[v->key_length] != '\0'))
		abort();
	for (const json_value *child = v->child; child; child = child->next)
	{
		children++;
		sum += walk(child);
	}
	if (children != v->count)
		abort();
	return sum;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	engine_error error = {0};
	json	   *doc = json_parse((const char *) data, size, &error);

	if (doc)
	{
		volatile size_t sum = walk(json_root(doc));

		(void) sum;
		json_get_int(json_root(doc), "a", -100, 100, 0);
		json_free(doc);
	}
	else if (error.code != ENGINE_CORRUPT && error.code != ENGINE_NO_MEMORY)
		abort();
	return 0;
}
