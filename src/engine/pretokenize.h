/*
 * pretokenize.h: cutting a normalised text into the pieces that the model sees.
 *
 * Private to the tokenizers.
 */
#ifndef RAG_ENGINE_PRETOKENIZE_H
#define RAG_ENGINE_PRETOKENIZE_H

#include <stdbool.h>
#include <stddef.h>

typedef enum pretokenize_kind
{
	PRETOKENIZE_WHOLE,			/* the text is one piece */
	PRETOKENIZE_BERT,			/* white space separates, punctuation stands alone */
	PRETOKENIZE_PATTERN,		/* digits and a regular expression, for byte-level BPE */
	PRETOKENIZE_METASPACE		/* spaces become U+2581, which begins each piece */
} pretokenize_kind;

/* The regular expressions that are known; each is written out in pretokenize.c. */
typedef enum pretokenize_pattern
{
	PATTERN_NONE, PATTERN_GPT2, PATTERN_LLAMA3
} pretokenize_pattern;

typedef enum metaspace_prepend
{
	PREPEND_NEVER, PREPEND_FIRST, PREPEND_ALWAYS
} metaspace_prepend;

typedef struct pretokenizer
{
	pretokenize_kind kind;
	pretokenize_pattern pattern;
	bool		digits;			/* cut numbers off before the pattern is applied ... */
	bool		single_digits;	/* ... each digit by itself */
	bool		prefix_space;	/* a space in front of a text that does not begin with one */
	metaspace_prepend prepend;
	bool		split;			/* metaspace: cut; else one piece */
	bool		words;			/* metaspace: white space separates words, and is dropped */
} pretokenizer;

#define METASPACE "\xE2\x96\x81"
#define METASPACE_LENGTH 3

typedef struct pretokenize_cursor
{
	const pretokenizer *p;
	const char *text;			/* valid UTF-8 */
	size_t		length;
	size_t		at;
	size_t		section_end;	/* what the pattern takes for the end of the text */
} pretokenize_cursor;

/* Start with {p, text, length}. The next piece is text[*start, *end); false at the end. */
extern bool pretokenize_next(pretokenize_cursor *c, size_t *start, size_t *end);

/* The known pattern written this way, or PATTERN_NONE. */
extern pretokenize_pattern pretokenize_find_pattern(const char *expression);

#endif							/* RAG_ENGINE_PRETOKENIZE_H */
