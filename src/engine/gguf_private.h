/*
 * gguf_private.h: what the parts of the GGUF reader share: a cursor over the file
 * that never passes its end.
 */
#ifndef RAG_ENGINE_GGUF_PRIVATE_H
#define RAG_ENGINE_GGUF_PRIVATE_H

#include "engine/gguf.h"

typedef struct gguf_cursor
{
	const unsigned char *data;
	size_t		size;
	size_t		at;				/* <= size */
	const char *file;
	engine_error *error;
} gguf_cursor;

/* The next n bytes, or NULL and an error that says what the file ended in. */
extern const unsigned char *gguf_take(gguf_cursor *c, size_t n, const char *what);
extern bool gguf_take_u32(gguf_cursor *c, const char *what, uint32_t *out);
extern bool gguf_take_u64(gguf_cursor *c, const char *what, uint64_t *out);
extern bool gguf_take_string(gguf_cursor *c, const char *what, model_string *out);

/* gguf_meta.c: count pairs into g->values, sorted; equal keys are an error. */
extern bool gguf_read_metadata(gguf *g, gguf_cursor *c, size_t count);

/* gguf_tensors.c: count tensor descriptions, then the data that they describe. */
extern bool gguf_read_tensors(const gguf *g, gguf_cursor *c, size_t count, tensor_table *table);

#endif							/* RAG_ENGINE_GGUF_PRIVATE_H */
