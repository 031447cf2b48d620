/*
 * tokenizer.h: text to token ids and back, as the model's own files say.
 *
 *     tokenizer *t = tokenizer_open(m, &error);
 *     int32_t *ids; size_t n;
 *     if (tokenizer_encode(t, text, length, TOKENIZE_SPECIAL, &ids, &n, &error)) ... free(ids);
 *     tokenizer_close(t);
 *
 * WordPiece (BERT), byte-level BPE (GPT-2, Llama 3, SmolLM and kin), SentencePiece
 * BPE and Unigram. Ids equal those of Hugging Face tokenizers. A kind or
 * pre-tokenizer that is not known is an error that names it, never a guess. A
 * tokenizer is immutable after opening: any number of threads may use one. Time is
 * linear in the text (log-linear for BPE), memory bounded by a multiple of it.
 */
#ifndef RAG_ENGINE_TOKENIZER_H
#define RAG_ENGINE_TOKENIZER_H

#include <stdatomic.h>

#include "engine/model.h"

typedef struct tokenizer tokenizer;

typedef enum tokenize_flags
{
	TOKENIZE_PLAIN = 0,
	TOKENIZE_SPECIAL = 1,		/* add what the model wants around a text: [CLS] [SEP], <s> ... */
	TOKENIZE_PARSE = 2			/* special tokens written in the text become their ids (chat
								 * templates only: never for text from users) */
} tokenize_flags;

extern tokenizer *tokenizer_open(const model *m, engine_error *error);
extern void tokenizer_close(tokenizer *t);
/*
 * The same tokenizer for calls that another thread may stop: soon after *stop is true they fail with
 * ENGINE_CANCELED. It shares all with t, which must outlive it. NULL: no memory.
 */
extern tokenizer *tokenizer_view(const tokenizer *t, const atomic_bool *stop, engine_error *error);
extern void tokenizer_view_free(tokenizer *view);
extern int	tokenizer_vocab_size(const tokenizer *t);

/* *ids is malloc'd for the caller to free (never NULL on success). Invalid UTF-8 is
 * ENGINE_INVALID with the byte offset. */
extern bool tokenizer_encode(const tokenizer *t, const char *text, size_t length, int flags,
							 int32_t **ids, size_t *count, engine_error *error);

/* [CLS] a [SEP] b [SEP] with token type ids (0 for a, 1 for b), b cut so that the whole has at
 * most limit tokens (limit 0: no cut); both arrays are malloc'd. */
extern bool tokenizer_encode_pair(const tokenizer *t, const char *a, size_t a_length,
								  const char *b, size_t b_length, size_t limit,
								  int32_t **ids, int32_t **types, size_t *count,
								  engine_error *error);

/* The bytes that a token adds to a text (part of a UTF-8 character, perhaps); special tokens add
 * none. Returns their number; copies at most capacity. Ids out of range add nothing. */
extern size_t tokenizer_piece(const tokenizer *t, int32_t id, char *out, size_t capacity);

/* Id of a token by its content, or -1. */
extern int32_t tokenizer_find(const tokenizer *t, const char *content);
extern bool tokenizer_is_special(const tokenizer *t, int32_t id);
/* True for every token that ends a generation (eos, <|im_end|>, <|eot_id|>, ...). */
extern bool tokenizer_is_end(const tokenizer *t, int32_t id);
extern int32_t tokenizer_bos(const tokenizer *t);	/* -1 if none */
extern int32_t tokenizer_eos(const tokenizer *t);	/* -1 if none */

/* The chat template in the model's files (NUL-terminated), or NULL. */
extern const char *tokenizer_chat_template(const tokenizer *t);

/*
 * Bytes of generated tokens to whole UTF-8 characters: what is still part of a
 * character is held back; bytes that can never form one become U+FFFD.
 */
typedef struct utf8_stream
{
	unsigned char held[4];
	int			count;
} utf8_stream;

/* Appends to out (capacity >= 3 * (length + 4)); returns the bytes written. finish: flush. */
extern size_t utf8_stream_push(utf8_stream *s, const char *bytes, size_t length, char *out,
							   bool finish);
/* Offset of the first invalid byte, or length when all is valid UTF-8. */
extern size_t utf8_validate(const char *text, size_t length);

#endif							/* RAG_ENGINE_TOKENIZER_H */
