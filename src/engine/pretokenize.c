/*
 * pretokenize.c: the regular expressions of byte-level BPE and BERT's word rule, each
 * written out as a scanner that looks at a character a bounded number of times.
 */
#include "engine/pretokenize.h"

#include <string.h>

#include "engine/unicode.h"

static const struct
{
	pretokenize_pattern pattern;
	const char *expression;
}			known_patterns[] = {
	{PATTERN_GPT2,
	 "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+"},
	{PATTERN_LLAMA3,
	 "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}|"
	 " ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"},
};

pretokenize_pattern
pretokenize_find_pattern(const char *expression)
{
	for (size_t i = 0; i < sizeof(known_patterns) / sizeof(known_patterns[0]); i++)
	{
		if (strcmp(expression, known_patterns[i].expression) == 0)
			return known_patterns[i].pattern;
	}
	return PATTERN_NONE;
}

/* The classes of the character at a place and where the next one begins; 0 at the end. */
static uint8_t
kind_at(const char *text, size_t at, size_t end, size_t *next)
{
	int			n;
	uint32_t	code;

	*next = at;
	if (at >= end)
		return 0;
	code = utf8_decode(text + at, &n);
	*next = at + (size_t) n;
	/* a class of its own for what has none, so that 0 means the end alone */
	return unicode_kind(code) | UNICODE_WORD;
}

/* The end of the run of characters whose classes include (or exclude) some of these. */
static size_t
skip_run(const char *text, size_t at, size_t end, uint8_t classes, bool include)
{
	size_t		next;

	while (at < end && ((kind_at(text, at, end, &next) & classes) != 0) == include)
		at = next;
	return at;
}

enum
{
	ALNUM_OR_SPACE = UNICODE_LETTER | UNICODE_NUMBER | UNICODE_SPACE
};

/*
 * The length of 's 't 're 've 'm 'll 'd at a place, or 0. Without regard to case, U+017F
 * (long s) counts as an s, as case folding has it.
 */
static size_t
contraction(const char *text, size_t at, size_t end, bool any_case)
{
	static const char *const suffixes[] = {"s", "t", "re", "ve", "m", "ll", "d"};

	if (text[at] != '\'')
		return 0;
	for (size_t i = 0; i < sizeof(suffixes) / sizeof(suffixes[0]); i++)
	{
		size_t		length = strlen(suffixes[i]);
		size_t		k = 0;

		while (k < length && at + 1 + k < end &&
			   (text[at + 1 + k] == suffixes[i][k] ||
				(any_case && text[at + 1 + k] == suffixes[i][k] - ('a' - 'A'))))
			k++;
		if (k == length)
			return 1 + length;
	}
	if (any_case && end - at >= 3 && memcmp(text + at + 1, "\xC5\xBF", 2) == 0)
		return 3;
	return 0;
}

/* \s+(?!\S)|\s+ : white space but its last character when something follows, which takes it. */
static size_t
spaces_end(const char *text, size_t at, size_t end)
{
	size_t		run = skip_run(text, at, end, UNICODE_SPACE, true);
	size_t		last = run;

	if (run == end)
		return run;
	do
		last--;
	while (((unsigned char) text[last] & 0xC0) == 0x80);
	return last > at ? last : run;
}

static size_t
gpt2_end(const char *text, size_t at, size_t end)
{
	size_t		n = contraction(text, at, end, false);
	size_t		body = at;
	size_t		next;
	uint8_t		kind;

	if (n > 0)
		return at + n;
	/* " ?" takes the space only when one of the three classes follows */
	if (text[at] == ' ')
		body = at + 1;
	kind = kind_at(text, body, end, &next);
	if (kind & UNICODE_LETTER)
		return skip_run(text, next, end, UNICODE_LETTER, true);
	if (kind & UNICODE_NUMBER)
		return skip_run(text, next, end, UNICODE_NUMBER, true);
	if (kind != 0 && !(kind & UNICODE_SPACE))
		return skip_run(text, next, end, ALNUM_OR_SPACE, false);
	return spaces_end(text, at, end);
}

/* \p{N}{1,3} */
static size_t
three_digits_end(const char *text, size_t at, size_t end)
{
	for (int i = 0; i < 3; i++)
	{
		size_t		next;

		if (!(kind_at(text, at, end, &next) & UNICODE_NUMBER))
			break;
		at = next;
	}
	return at;
}

/* \s*[\r\n]+|\s+(?!\S)|\s+ */
static size_t
line_end(const char *text, size_t at, size_t end)
{
	size_t		run = skip_run(text, at, end, UNICODE_SPACE, true);

	for (size_t i = run; i > at; i--)
	{
		if (text[i - 1] == '\n' || text[i - 1] == '\r')
			return i;
	}
	return spaces_end(text, at, end);
}

static size_t
llama3_end(const char *text, size_t at, size_t end)
{
	size_t		n = contraction(text, at, end, true);
	size_t		next;
	size_t		after;
	uint8_t		kind;

	if (n > 0)
		return at + n;
	kind = kind_at(text, at, end, &next);
	if (kind & UNICODE_LETTER)
		return skip_run(text, next, end, UNICODE_LETTER, true);
	if (kind & UNICODE_NUMBER)
		return three_digits_end(text, at, end);
	/* one character that is neither a line break, a letter nor a number may lead letters */
	if (text[at] != '\r' && text[at] != '\n' &&
		(kind_at(text, next, end, &after) & UNICODE_LETTER))
		return skip_run(text, after, end, UNICODE_LETTER, true);
	if (text[at] == ' ')
	{
		kind = kind_at(text, next, end, &after);
		if (kind != 0 && !(kind & ALNUM_OR_SPACE))
			next = after;
		else
			kind = UNICODE_SPACE;
	}
	if (kind & UNICODE_SPACE)
		return line_end(text, at, end);
	next = skip_run(text, next, end, ALNUM_OR_SPACE, false);
	while (next < end && (text[next] == '\r' || text[next] == '\n'))
		next++;
	return next;
}

static bool
next_by_pattern(pretokenize_cursor *c, size_t *start, size_t *end)
{
	size_t		next;

	if (c->at == c->length)
		return false;
	*start = c->at;
	if (c->at == c->section_end)
	{
		/* a new section: a number, or all up to the next one */
		bool		number = c->p->digits &&
			(kind_at(c->text, c->at, c->length, &next) & UNICODE_NUMBER);

		if (!c->p->digits)
			c->section_end = c->length;
		else if (number && c->p->single_digits)
			c->section_end = next;
		else
			c->section_end = skip_run(c->text, c->at, c->length, UNICODE_NUMBER, number);
	}
	switch (c->p->pattern)
	{
		case PATTERN_GPT2:
			*end = gpt2_end(c->text, c->at, c->section_end);
			break;
		case PATTERN_LLAMA3:
			*end = llama3_end(c->text, c->at, c->section_end);
			break;
		default:
			*end = c->section_end;
	}
	c->at = *end;
	return true;
}

static bool
next_bert_word(pretokenize_cursor *c, size_t *start, size_t *end)
{
	size_t		at = skip_run(c->text, c->at, c->length, UNICODE_SPACE, true);
	size_t		next;

	if (at == c->length)
		return false;
	*start = at;
	if (kind_at(c->text, at, c->length, &next) & UNICODE_PUNCTUATION)
		*end = next;
	else
		*end = skip_run(c->text, next, c->length, UNICODE_SPACE | UNICODE_PUNCTUATION, false);
	c->at = *end;
	return true;
}

/* The text has been through the replacement of spaces: a piece begins with each U+2581. */
static bool
next_metaspace(pretokenize_cursor *c, size_t *start, size_t *end)
{
	const char *found = NULL;

	if (c->at == c->length)
		return false;
	*start = c->at;
	if (c->p->split)
		found = memmem(c->text + c->at + 1, c->length - c->at - 1, METASPACE, METASPACE_LENGTH);
	*end = found ? (size_t) (found - c->text) : c->length;
	c->at = *end;
	return true;
}

bool
pretokenize_next(pretokenize_cursor *c, size_t *start, size_t *end)
{
	switch (c->p->kind)
	{
		case PRETOKENIZE_BERT:
			return next_bert_word(c, start, end);
		case PRETOKENIZE_PATTERN:
			return next_by_pattern(c, start, end);
		case PRETOKENIZE_METASPACE:
			return next_metaspace(c, start, end);
		case PRETOKENIZE_WHOLE:
			break;
	}
	*start = c->at;
	*end = c->length;
	c->at = c->length;
	return *start < *end;
}
