/*
 * chat.h: messages to token ids in the model's own chat format.
 *
 *     chat_format format;
 *     if (chat_format_of(t, &format, &error)) chat_encode(t, format, messages, n, ...);
 *
 * The families ChatML, Llama 2, Llama 3 and Zephyr are recognised by their
 * templates; another template is ENGINE_UNSUPPORTED with its beginning quoted. The
 * text of messages is never parsed for special tokens, so that a document cannot
 * forge a turn.
 */
#ifndef RAG_ENGINE_CHAT_H
#define RAG_ENGINE_CHAT_H

#include "engine/tokenizer.h"

typedef enum chat_format
{
	CHAT_CHATML, CHAT_LLAMA2, CHAT_LLAMA3, CHAT_ZEPHYR
} chat_format;

typedef struct chat_message
{
	const char *role;			/* "system", "user" or "assistant"; any other is ENGINE_INVALID */
	const char *content;
	size_t		length;			/* bytes of content */
} chat_message;

extern bool chat_format_of(const tokenizer *t, chat_format *format, engine_error *error);

/* The conversation as text, as the template renders it (malloc'd, NUL-terminated): for tests and
 * people. generate: end with the start of the assistant's turn. */
extern bool chat_render(const tokenizer *t, chat_format format, const chat_message *messages,
						size_t count, bool generate, char **text, size_t *length,
						engine_error *error);

/* The conversation as ids (malloc'd): the ids of the rendered text with its markers as special
 * tokens and its messages as plain text. */
extern bool chat_encode(const tokenizer *t, chat_format format, const chat_message *messages,
						size_t count, bool generate, int32_t **ids, size_t *n_ids,
						engine_error *error);

#endif							/* RAG_ENGINE_CHAT_H */
