/*
 * gguf.h: the GGUF container: metadata by key and tensors by name.
 *
 *     gguf *g = gguf_parse(&map, &table, &error);
 *     const gguf_value *v = gguf_find(g, "general.architecture");
 *     gguf_free(g);
 *
 * Private to the model readers. Versions 2 and 3, little-endian. Knows nothing of
 * architectures. Everything points into the map, which must live longer; what is
 * allocated is bounded by a small multiple of the file's size, since each entry is
 * paid for by bytes that are there.
 */
#ifndef RAG_ENGINE_GGUF_H
#define RAG_ENGINE_GGUF_H

#include "engine/model_file.h"
#include "engine/model_table.h"

/* As numbered in the file. */
typedef enum gguf_kind
{
	GGUF_U8, GGUF_I8, GGUF_U16, GGUF_I16, GGUF_U32, GGUF_I32, GGUF_F32, GGUF_BOOL,
	GGUF_STRING, GGUF_ARRAY, GGUF_U64, GGUF_I64, GGUF_F64,
	GGUF_KINDS
} gguf_kind;

typedef struct gguf_value
{
	model_string key;
	gguf_kind	kind;
	gguf_kind	element;		/* of an array's elements */
	size_t		count;			/* elements of an array */
	const unsigned char *data;	/* a number or the first element, as in the file; unaligned */
	model_string string;		/* GGUF_STRING */
	model_string *strings;		/* array of strings: malloc'd, the texts are in the file */
	void	   *aligned;		/* array of numbers: malloc'd copy where data is not aligned */
} gguf_value;

typedef struct gguf
{
	const char *file;			/* for messages: the map's name */
	size_t		alignment;
	gguf_value *values;			/* sorted by key */
	size_t		count;
} gguf;

/* Adds the file's tensors to the table, which is sorted afterwards. NULL on failure; then the
 * table may hold some of them. */
extern gguf *gguf_parse(const file_map *map, tensor_table *table, engine_error *error);
extern void gguf_free(gguf *g);

extern const gguf_value *gguf_find(const gguf *g, const char *key);
extern bool gguf_get_int(const gguf *g, const char *key, int64_t *out);
extern bool gguf_get_float(const gguf *g, const char *key, double *out);
extern bool gguf_get_bool(const gguf *g, const char *key, bool *out);
extern bool gguf_get_string(const gguf *g, const char *key, model_string *out);

/* An array of numbers of the given width, aligned to it. */
extern const void *gguf_array(const gguf_value *v);

/* The arguments of "%.*s" for a key or a name of any length. */
#define GGUF_SHOWN(s) ((s).length < 200 ? (int) (s).length : 200), (s).data

#endif							/* RAG_ENGINE_GGUF_H */
