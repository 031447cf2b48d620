/*
 * tokenizer_buffer.h: growing arrays of bytes, ids and code points.
 *
 * Private to the tokenizers. A function that returns false was out of memory and
 * left the array as it was.
 */
#ifndef RAG_ENGINE_TOKENIZER_BUFFER_H
#define RAG_ENGINE_TOKENIZER_BUFFER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

typedef struct text_buffer
{
	char	   *data;
	size_t		used;
	size_t		capacity;
} text_buffer;

typedef struct id_list
{
	int32_t    *data;
	size_t		used;
	size_t		capacity;
} id_list;

typedef struct code_list
{
	uint32_t   *data;
	size_t		used;
	size_t		capacity;
} code_list;

/* Grows *data so that more elements of size bytes fit behind used. */
static inline bool
buffer_grow(void **data, size_t used, size_t *capacity, size_t more, size_t size)
{
	size_t		wanted;
	void	   *grown;

	if (*capacity - used >= more)
		return true;
	if (more > SIZE_MAX / size / 2 - used)
		return false;
	wanted = used + more > 2 * *capacity ? used + more : 2 * *capacity;
	if (wanted < 64)
		wanted = 64;
	grown = realloc(*data, wanted * size);
	if (grown == NULL)
		return false;
	*data = grown;
	*capacity = wanted;
	return true;
}

static inline bool
text_reserve(text_buffer *b, size_t more)
{
	void	   *data = b->data;
	bool		done = buffer_grow(&data, b->used, &b->capacity, more, 1);

	b->data = data;
	return done;
}

static inline bool
text_append(text_buffer *b, const char *bytes, size_t length)
{
	if (!text_reserve(b, length))
		return false;
	if (length > 0)
		memcpy(b->data + b->used, bytes, length);
	b->used += length;
	return true;
}

static inline bool
id_append(id_list *l, int32_t id)
{
	void	   *data = l->data;

	if (l->used == l->capacity && !buffer_grow(&data, l->used, &l->capacity, 1, sizeof(id)))
		return false;
	l->data = data;
	l->data[l->used++] = id;
	return true;
}

static inline bool
code_append(code_list *l, uint32_t code)
{
	void	   *data = l->data;

	if (l->used == l->capacity && !buffer_grow(&data, l->used, &l->capacity, 1, sizeof(code)))
		return false;
	l->data = data;
	l->data[l->used++] = code;
	return true;
}

#endif							/* RAG_ENGINE_TOKENIZER_BUFFER_H */
