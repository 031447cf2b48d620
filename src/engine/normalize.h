/*
 * normalize.h: what happens to a text before it is cut into words.
 *
 * A tokenizer has a short list of steps, as its files say; each reads one buffer and
 * writes the next. Private to the tokenizers.
 */
#ifndef RAG_ENGINE_NORMALIZE_H
#define RAG_ENGINE_NORMALIZE_H

#include "engine/error.h"
#include "engine/tokenizer_buffer.h"

typedef enum unicode_form
{
	UNICODE_NFC, UNICODE_NFD, UNICODE_NFKC, UNICODE_NFKD
} unicode_form;

typedef enum normalize_kind
{
	NORMALIZE_BERT,				/* clean, space ideographs, strip accents, lower, as asked for */
	NORMALIZE_FORM,				/* a Unicode normalisation form */
	NORMALIZE_LOWER,
	NORMALIZE_STRIP,			/* white space at either end */
	NORMALIZE_PREPEND,			/* replacement in front of a text that is not empty */
	NORMALIZE_REPLACE,			/* every pattern by replacement */
	NORMALIZE_SQUEEZE			/* every run of two or more spaces by replacement */
} normalize_kind;

#define NORMALIZE_MAX_STEPS 8
#define NORMALIZE_MAX_STRING 16 /* bytes of a pattern or replacement */

typedef struct normalize_step
{
	normalize_kind kind;
	unicode_form form;
	bool		clean;
	bool		space_ideographs;
	bool		strip_accents;
	bool		lower;
	bool		left;
	bool		right;
	char		pattern[NORMALIZE_MAX_STRING];
	int			pattern_length;
	char		replacement[NORMALIZE_MAX_STRING];
	int			replacement_length;
} normalize_step;

typedef struct normalizer
{
	normalize_step steps[NORMALIZE_MAX_STEPS];
	int			count;
} normalizer;

/*
 * Runs the steps over valid UTF-8. *out, *out_length is the result: the text itself when
 * nothing was to do, else in one of the two buffers, which the caller owns and reuses.
 * false: out of memory.
 */
extern bool normalize_text(const normalizer *n, const char *text, size_t length,
						   text_buffer buffers[2], const char **out, size_t *out_length);

/* Appends the normalisation form of valid UTF-8 to out; time is linear but for sorting marks. */
extern bool unicode_normalize(const char *text, size_t length, unicode_form form,
							  text_buffer *out);

#endif							/* RAG_ENGINE_NORMALIZE_H */
