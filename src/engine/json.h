/*
 * json.h: a small reader for JSON documents (RFC 8259) from files we do not trust.
 *
 *     json *doc = json_parse(text, length, &error);
 *     const json_value *size = json_get(json_root(doc), "hidden_size");
 *     if (size && size->kind == JSON_NUMBER) ...
 *     json_free(doc);
 *
 * Strict: one value, valid UTF-8, no comments, no trailing commas; nesting is
 * limited to 128. Text is not referenced after json_parse returns.
 */
#ifndef RAG_ENGINE_JSON_H
#define RAG_ENGINE_JSON_H

#include <stddef.h>
#include <stdint.h>

#include "engine/error.h"

typedef enum json_kind
{
	JSON_NULL, JSON_FALSE, JSON_TRUE, JSON_NUMBER, JSON_STRING, JSON_ARRAY, JSON_OBJECT
} json_kind;

typedef struct json_value json_value;
struct json_value
{
	json_kind	kind;
	double		number;			/* JSON_NUMBER */
	const char *string;			/* JSON_STRING: decoded UTF-8 with a final NUL; may hold NULs */
	size_t		length;			/* bytes of string */
	const char *key;			/* when a member of an object: decoded, with a final NUL */
	size_t		key_length;
	const json_value *child;	/* first element or member */
	const json_value *next;		/* next sibling */
	size_t		count;			/* elements or members */
};

typedef struct json json;

/* NULL and *error (ENGINE_CORRUPT with the byte offset, or ENGINE_NO_MEMORY) on failure. */
extern json *json_parse(const char *text, size_t length, engine_error *error);
extern void json_free(json *doc);
extern const json_value *json_root(const json *doc);

/* Member of an object by key (the last one of equal keys), or NULL; NULL-safe. */
extern const json_value *json_get(const json_value *object, const char *key);

/* Typed members with a default for "absent, null or of another kind". */
extern bool json_get_bool(const json_value *object, const char *key, bool otherwise);
extern double json_get_number(const json_value *object, const char *key, double otherwise);
/* Whole numbers in [low, high]; anything else is the default. */
extern int64_t json_get_int(const json_value *object, const char *key, int64_t low, int64_t high,
							int64_t otherwise);
extern const char *json_get_string(const json_value *object, const char *key,
								   const char *otherwise);

#endif							/* RAG_ENGINE_JSON_H */
