/*
 * chat_template.h: what a chat template (Jinja) does, as far as we know its family.
 *
 * A template is brought into one spelling (white space, quotes, message.role for
 * message['role']) and must then hold the very expressions of its family; the points
 * in which members of a family differ are read from it.
 */
#ifndef RAG_ENGINE_CHAT_TEMPLATE_H
#define RAG_ENGINE_CHAT_TEMPLATE_H

#include "engine/chat.h"
#include "engine/tokenizer_buffer.h"

typedef struct chat_style
{
	chat_format format;
	bool		begin;			/* ChatML, Llama 3: the beginning token comes first */
	bool		trim;			/* Llama 2: messages are stripped of white space */
	text_buffer system;			/* ChatML: the system message where none is given; may be empty */
	text_buffer dates;			/* Llama 3.1 and later: what precedes the system message */
} chat_style;

/* false: ENGINE_UNSUPPORTED with the template's beginning, or out of memory. */
extern bool chat_style_read(const char *text, chat_style *style, engine_error *error);
extern void chat_style_free(chat_style *style);

/* One spelling of a template; for tests. */
extern bool chat_template_canonical(const char *text, text_buffer *out);

#endif							/* RAG_ENGINE_CHAT_TEMPLATE_H */
