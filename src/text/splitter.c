/*
 * splitter.c: the recursive splitter as a state machine.
 *
 * A span of the text is cut at the first separator of the list that occurs in it. Pieces smaller
 * than a chunk are merged; a larger one is a span again, cut at the separators further down the
 * list. The spans being cut form a stack, never deeper than the list.
 *
 * The pieces of the growing chunk are not stored. They follow from the position of the first one
 * and the separator, so a second cutter, the tail, finds each again when it leaves the chunk.
 */
#include "text/splitter.h"

#include <stdlib.h>
#include <string.h>

#include "text/utf8.h"

/* Between two looks for interrupts; a step cuts one piece or looks for one separator. */
#define STEPS_PER_CALL 4096

/* A part of the text between two separators. */
typedef struct piece
{
	const char *start;
	size_t		length;			/* bytes */
	size_t		at;				/* code points of the text before it */
	size_t		size;			/* code points */
} piece;

/* Cuts a span into pieces, one at a time. */
typedef struct cutter
{
	const text_separator *separator;
	size_t		separator_size; /* code points */
	text_keep	keep;
	bool		on_separator;	/* TEXT_KEEP_START: position is at the next piece's separator */
	const char *position;
	const char *end;
	size_t		at;				/* code points of the text before position */
} cutter;

typedef struct frame
{
	cutter		cutter;
	piece		span;
	size_t		next_separator; /* to try while choosing, to hand down afterwards */
	bool		chosen;
} frame;

/* The chunk that grows: count pieces of the frame's span. */
typedef struct merge
{
	cutter		tail;			/* stands behind the first piece */
	piece		first;
	piece		last;
	size_t		count;
	size_t		total;			/* code points, joiners included */
	size_t		joiner;			/* code points between two pieces */
} merge;

struct text_splitter
{
	text_split_options options;
	const char *text;
	merge		merge;
	bool		has_large;		/* a piece that waits to be split further */
	piece		large;
	char	   *joined;			/* TEXT_KEEP_NONE: room for one chunk */
	size_t		joined_room;
	bool		failed;
	size_t		depth;
	frame		frames[];		/* as many as there are separators */
};

typedef enum step_result
{
	STEP_MORE,
	STEP_CHUNK,
	STEP_END,
	STEP_FAILED
} step_result;

/* ---------- options ---------- */

text_split_options
text_split_defaults(void)
{
	static const text_separator separators[] = {{"\n\n", 2}, {"\n", 1}, {" ", 1}, {"", 0}};
	text_split_options options = {
		.size = 512,
		.overlap = 51,
		.separators = separators,
		.separator_count = sizeof(separators) / sizeof(separators[0]),
		.keep = TEXT_KEEP_START,
		.strip = true,
	};

	return options;
}

bool
text_split_check(const text_split_options *options)
{
	return options->size >= 1 && options->size <= TEXT_SPLIT_MAX_SIZE &&
		options->overlap <= options->size && options->separator_count >= 1 &&
		options->separator_count < SIZE_MAX / sizeof(frame) - 1;
}

/* ---------- pieces ---------- */

static const char *
find(const char *start, const char *end, const text_separator *separator)
{
	return memmem(start, (size_t) (end - start), separator->bytes, separator->length);
}

static const char *
next_code_point(const char *position, const char *end)
{
	do
		position++;
	while (position < end && utf8_is_continuation(*position));
	return position;
}

/* The next piece that is not empty; false at the end of the span. */
static bool
cutter_next(cutter *c, piece *p)
{
	while (c->position < c->end)
	{
		const char *stop;		/* end of the piece */
		const char *resume;		/* where the next one starts */
		size_t		skipped = 0;	/* code points between the two */

		if (c->separator->length == 0)
			stop = resume = next_code_point(c->position, c->end);
		else
		{
			const char *from = c->position + (c->on_separator ? c->separator->length : 0);
			const char *found = find(from, c->end, c->separator);

			stop = resume = found ? found : c->end;
			if (found && c->keep == TEXT_KEEP_START)
				c->on_separator = true;
			else if (found)
			{
				resume = found + c->separator->length;
				if (c->keep == TEXT_KEEP_END)
					stop = resume;
				else
					skipped = c->separator_size;
			}
		}

		p->start = c->position;
		p->length = (size_t) (stop - c->position);
		p->at = c->at;
		p->size = utf8_count(p->start, p->length);
		c->at += p->size + skipped;
		c->position = resume;
		if (p->length > 0)
			return true;
	}
	return false;
}

static void
cutter_start(cutter *c, const text_splitter *splitter, const piece *span, size_t separator)
{
	c->separator = &splitter->options.separators[separator];
	c->separator_size = utf8_count(c->separator->bytes, c->separator->length);
	c->keep = splitter->options.keep;
	c->on_separator = false;
	c->position = span->start;
	c->end = span->start + span->length;
	c->at = span->at;
}

/* ---------- chunks ---------- */

/* What Python's str.strip removes. */
static bool
is_space(uint32_t c)
{
	return (c >= 0x09 && c <= 0x0D) || (c >= 0x1C && c <= 0x20) || c == 0x85 || c == 0xA0 ||
		c == 0x1680 || (c >= 0x2000 && c <= 0x200A) || c == 0x2028 || c == 0x2029 || c == 0x202F ||
		c == 0x205F || c == 0x3000;
}

static size_t
leading_space(const char *s, size_t length)
{
	size_t		at = 0;
	size_t		used;

	while (at < length && is_space(utf8_decode(s + at, length - at, &used)))
		at += used;
	return at;
}

/* The length of s without the white space at its end. */
static size_t
without_trailing_space(const char *s, size_t length)
{
	while (length > 0)
	{
		size_t		at = length - 1;
		size_t		used;

		while (at > 0 && length - at < 4 && utf8_is_continuation(s[at]))
			at--;
		if (!is_space(utf8_decode(s + at, length - at, &used)) || at + used != length)
			break;
		length = at;
	}
	return length;
}

/* A chunk that is a span of the text; STEP_MORE where nothing is left of it. */
static step_result
emit_span(const text_splitter *splitter, const piece *span, bool strip, text_chunk *chunk)
{
	size_t		lead = strip ? leading_space(span->start, span->length) : 0;
	size_t		kept = strip ? without_trailing_space(span->start, span->length) : span->length;

	if (lead >= kept)
		return STEP_MORE;
	chunk->bytes = span->start + lead;
	chunk->length = kept - lead;
	chunk->start = span->at + utf8_count(span->start, lead);
	chunk->end = span->at + span->size - utf8_count(span->start + kept, span->length - kept);
	chunk->start_byte = (size_t) (chunk->bytes - splitter->text);
	chunk->end_byte = chunk->start_byte + chunk->length;
	return STEP_CHUNK;
}

/* Joins the pieces of the chunk in splitter->joined; false when memory is out. */
static bool
join_pieces(text_splitter *splitter, size_t *length)
{
	const merge *m = &splitter->merge;
	const text_separator *joiner = m->tail.separator;
	size_t		most = (size_t) (m->last.start - m->first.start) + m->last.length;
	cutter		rest = m->tail;
	piece		p = m->first;

	if (most > splitter->joined_room)
	{
		char	   *larger = realloc(splitter->joined, most);

		if (larger == NULL)
			return false;
		splitter->joined = larger;
		splitter->joined_room = most;
	}
	*length = 0;
	for (size_t i = 0; i < m->count; i++)
	{
		if (i > 0)
		{
			memcpy(splitter->joined + *length, joiner->bytes, joiner->length);
			*length += joiner->length;
			(void) cutter_next(&rest, &p);
		}
		memcpy(splitter->joined + *length, p.start, p.length);
		*length += p.length;
	}
	return true;
}

/*
 * Where a byte of the joined pieces stands in the text: the separator behind a piece is there too.
 * *before counts the code points that begin before that byte.
 */
static const char *
locate_joined(const merge *m, size_t offset, size_t *before)
{
	cutter		rest = m->tail;
	piece		p = m->first;
	const char *found;

	while (offset >= p.length + m->tail.separator->length)
	{
		offset -= p.length + m->tail.separator->length;
		if (!cutter_next(&rest, &p))
			break;
	}
	found = p.start + offset;
	*before = p.at + utf8_count(p.start, offset);
	return found;
}

/* A chunk without its separators, joined anew. */
static step_result
emit_joined(text_splitter *splitter, text_chunk *chunk)
{
	const merge *m = &splitter->merge;
	size_t		length;
	size_t		lead = 0;
	const char *start;
	const char *last;
	size_t		before_last;

	if (!join_pieces(splitter, &length))
		return STEP_FAILED;
	if (splitter->options.strip)
	{
		lead = leading_space(splitter->joined, length);
		length = without_trailing_space(splitter->joined, length);
	}
	if (lead >= length)
		return STEP_MORE;
	start = locate_joined(m, lead, &chunk->start);
	last = locate_joined(m, length - 1, &before_last);
	chunk->bytes = splitter->joined + lead;
	chunk->length = length - lead;
	chunk->end = before_last + !utf8_is_continuation(*last);
	chunk->start_byte = (size_t) (start - splitter->text);
	chunk->end_byte = (size_t) (last + 1 - splitter->text);
	return STEP_CHUNK;
}

static step_result
emit_merged(text_splitter *splitter, text_chunk *chunk)
{
	const merge *m = &splitter->merge;
	piece		span = m->first;

	if (splitter->options.keep == TEXT_KEEP_NONE && m->count > 1)
		return emit_joined(splitter, chunk);
	span.length = (size_t) (m->last.start - m->first.start) + m->last.length;
	span.size = m->last.at + m->last.size - m->first.at;
	return emit_span(splitter, &span, splitter->options.strip, chunk);
}

/* ---------- merging ---------- */

static size_t
joiner_size(const merge *m)
{
	return m->count > 0 ? m->joiner : 0;
}

static void
drop_first(merge *m)
{
	m->total -= m->first.size;
	m->count--;
	m->total -= joiner_size(m);
	if (m->count > 0)
		(void) cutter_next(&m->tail, &m->first);
}

/* Adds a piece that the cutter has just found; first emits what it does not fit in with. */
static step_result
merge_add(text_splitter *splitter, const cutter *c, const piece *p, text_chunk *chunk)
{
	merge	   *m = &splitter->merge;
	const text_split_options *options = &splitter->options;
	step_result result = STEP_MORE;

	if (m->count > 0 && m->total + p->size + m->joiner > options->size)
	{
		result = emit_merged(splitter, chunk);
		while (m->total > options->overlap ||
			   (m->total > 0 && m->total + p->size + joiner_size(m) > options->size))
			drop_first(m);
	}
	if (m->count == 0)
	{
		m->first = *p;
		m->tail = *c;
		m->joiner = c->keep == TEXT_KEEP_NONE ? c->separator_size : 0;
	}
	m->total += p->size + joiner_size(m);
	m->count++;
	m->last = *p;
	return result;
}

static step_result
merge_flush(text_splitter *splitter, text_chunk *chunk)
{
	step_result result = splitter->merge.count > 0 ? emit_merged(splitter, chunk) : STEP_MORE;

	splitter->merge.count = 0;
	splitter->merge.total = 0;
	return result;
}

/* ---------- the machine ---------- */

static void
push_span(text_splitter *splitter, const piece *span, size_t next_separator)
{
	frame	   *f = &splitter->frames[splitter->depth++];

	f->span = *span;
	f->next_separator = next_separator;
	f->chosen = false;
}

/* Tries one separator: the first that occurs is taken, the last one in any case. */
static void
choose_separator(const text_splitter *splitter, frame *f)
{
	size_t		tried = f->next_separator++;
	const text_separator *separator = &splitter->options.separators[tried];
	bool		is_last = f->next_separator == splitter->options.separator_count;

	if (separator->length > 0 && !is_last &&
		find(f->span.start, f->span.start + f->span.length, separator) == NULL)
		return;
	/* what is cut into code points is never cut further */
	if (separator->length == 0)
		f->next_separator = splitter->options.separator_count;
	cutter_start(&f->cutter, splitter, &f->span, tried);
	f->chosen = true;
}

static step_result
step(text_splitter *splitter, text_chunk *chunk)
{
	frame	   *f;
	piece		p;

	if (splitter->depth == 0)
		return STEP_END;
	f = &splitter->frames[splitter->depth - 1];
	if (splitter->has_large)
	{
		splitter->has_large = false;
		if (f->next_separator == splitter->options.separator_count)
			return emit_span(splitter, &splitter->large, false, chunk);
		push_span(splitter, &splitter->large, f->next_separator);
		return STEP_MORE;
	}
	if (!f->chosen)
	{
		choose_separator(splitter, f);
		return STEP_MORE;
	}
	if (!cutter_next(&f->cutter, &p))
	{
		splitter->depth--;
		return merge_flush(splitter, chunk);
	}
	if (p.size < splitter->options.size)
		return merge_add(splitter, &f->cutter, &p, chunk);
	splitter->large = p;
	splitter->has_large = true;
	return merge_flush(splitter, chunk);
}

text_splitter *
text_splitter_open(const text_split_options *options, const char *text, size_t length)
{
	text_splitter *splitter;
	piece		whole = {.start = text, .length = length};

	if (!text_split_check(options))
		return NULL;
	splitter = calloc(1, sizeof(*splitter) + options->separator_count * sizeof(frame));
	if (splitter == NULL)
		return NULL;
	splitter->options = *options;
	splitter->text = text;
	if (length > 0)
		push_span(splitter, &whole, 0);
	return splitter;
}

text_split_status
text_splitter_next(text_splitter *splitter, text_chunk *chunk)
{
	if (splitter->failed)
		return TEXT_SPLIT_NO_MEMORY;
	for (int i = 0; i < STEPS_PER_CALL; i++)
	{
		switch (step(splitter, chunk))
		{
			case STEP_MORE:
				break;
			case STEP_CHUNK:
				return TEXT_SPLIT_CHUNK;
			case STEP_END:
				return TEXT_SPLIT_END;
			case STEP_FAILED:
				splitter->failed = true;
				return TEXT_SPLIT_NO_MEMORY;
		}
	}
	return TEXT_SPLIT_BUSY;
}

void
text_splitter_close(text_splitter *splitter)
{
	if (splitter == NULL)
		return;
	free(splitter->joined);
	free(splitter);
}
