/*
 * splitter.h: cut a text into chunks at the coarsest separators that make them small enough.
 *
 *     text_split_options options = text_split_defaults();
 *     text_splitter *splitter = text_splitter_open(&options, text, length);
 *     while ((status = text_splitter_next(splitter, &chunk)) != TEXT_SPLIT_END)
 *         if (status == TEXT_SPLIT_CHUNK) ...
 *     text_splitter_close(splitter);
 *
 * The chunks are those of LangChain's RecursiveCharacterTextSplitter (langchain-text-splitters 1.1),
 * code point by code point. Time is linear in the text for a given list of separators. Memory is a
 * frame for each separator, and where separators are dropped one chunk; nothing grows with the text.
 *
 * The text is UTF-8, of which each byte that does not continue a code point begins one. Other bytes
 * do no harm, but then positions mean little. Nothing here knows of languages or tokens.
 */
#ifndef RAG_TEXT_SPLITTER_H
#define RAG_TEXT_SPLITTER_H

#include <stdbool.h>
#include <stddef.h>

/* Where a separator goes when the text is cut at it. */
typedef enum text_keep
{
	TEXT_KEEP_START,			/* it begins the next piece */
	TEXT_KEEP_END,				/* it ends the piece before */
	TEXT_KEEP_NONE				/* it is dropped; pieces merged into one chunk are joined by it */
} text_keep;

typedef struct text_separator
{
	const char *bytes;
	size_t		length;			/* 0: cut at each code point */
} text_separator;

typedef struct text_split_options
{
	size_t		size;			/* code points of a chunk, 1 .. TEXT_SPLIT_MAX_SIZE */
	size_t		overlap;		/* repeated from the chunk before, at most; not above size */
	const text_separator *separators;	/* from coarse to fine, at least one */
	size_t		separator_count;
	text_keep	keep;
	bool		strip;			/* white space off both ends of a chunk */
} text_split_options;

#define TEXT_SPLIT_MAX_SIZE ((size_t) 1 << 30)

typedef struct text_chunk
{
	const char *bytes;			/* valid until the next call */
	size_t		length;			/* in bytes */
	size_t		start;			/* code points of the text before the chunk */
	size_t		end;			/* code points of the text up to the chunk's end */
	size_t		start_byte;		/* the same in bytes: the chunk is text[start_byte .. end_byte), */
	size_t		end_byte;		/* but with TEXT_KEEP_NONE it may lack repeated separators of it */
} text_chunk;

typedef enum text_split_status
{
	TEXT_SPLIT_CHUNK,			/* *chunk is the next one */
	TEXT_SPLIT_BUSY,			/* no chunk yet: look for interrupts and call again */
	TEXT_SPLIT_END,
	TEXT_SPLIT_NO_MEMORY		/* final */
} text_split_status;

typedef struct text_splitter text_splitter;

/* 512 code points, 51 of overlap, cut at blank lines, lines, spaces, code points. */
extern text_split_options text_split_defaults(void);

/* NULL where the options are out of range (text_split_check) or memory is out. */
extern bool text_split_check(const text_split_options *options);

/* The text and the separators must outlive the splitter, the options need not. */
extern text_splitter *text_splitter_open(const text_split_options *options, const char *text,
										 size_t length);
extern text_split_status text_splitter_next(text_splitter *splitter, text_chunk *chunk);
extern void text_splitter_close(text_splitter *splitter);

#endif							/* RAG_TEXT_SPLITTER_H */
