/*
 * test_utf8.c: checking UTF-8, and characters out of a stream of bytes cut anywhere.
 */
#include <stdlib.h>
#include <string.h>

#include "engine/normalize.h"
#include "engine/tokenizer.h"
#include "engine/unicode.h"
#include "tap.h"

typedef struct utf8_case
{
	const char *bytes;
	size_t		length;
	size_t		valid;			/* offset of the first invalid byte, or length */
	const char *repaired;		/* what a stream makes of it */
} utf8_case;

#define BAD "\xEF\xBF\xBD"

static const utf8_case cases[] = {
	{"", 0, 0, ""},
	{"abc", 3, 3, "abc"},
	{"0123456789abcdef\xC3\xA9", 18, 18, "0123456789abcdef\xC3\xA9"},
	{"\xC2\x80\xDF\xBF\xE0\xA0\x80\xEF\xBF\xBF\xF0\x90\x80\x80\xF4\x8F\xBF\xBF", 18, 18,
	"\xC2\x80\xDF\xBF\xE0\xA0\x80\xEF\xBF\xBF\xF0\x90\x80\x80\xF4\x8F\xBF\xBF"},
	{"a\x80z", 3, 1, "a" BAD "z"},
	{"a\xC0\x80z", 4, 1, "a" BAD BAD "z"},
	{"a\xC1\xBFz", 4, 1, "a" BAD BAD "z"},
	{"a\xE0\x9F\xBFz", 5, 1, "a" BAD BAD BAD "z"},
	{"a\xED\xA0\x80z", 5, 1, "a" BAD BAD BAD "z"},
	{"a\xF0\x8F\xBF\xBFz", 6, 1, "a" BAD BAD BAD BAD "z"},
	{"a\xF4\x90\x80\x80z", 6, 1, "a" BAD BAD BAD BAD "z"},
	{"a\xF5\x80\x80\x80z", 6, 1, "a" BAD BAD BAD BAD "z"},
	{"a\xFFz", 3, 1, "a" BAD "z"},
	{"a\xC3", 2, 1, "a" BAD},
	{"a\xE2\x82", 3, 1, "a" BAD},
	{"a\xF0\x9F\x98", 4, 1, "a" BAD},
	{"\xE2\x82\xF0\x9F\x98\x80", 6, 0, BAD "\xF0\x9F\x98\x80"},
	{"\xF0\x9F\x98z\xF0\x9F", 6, 0, BAD "z" BAD},
};

/* Every cut of the bytes into three pushes gives the same characters. */
static bool
stream_is_right(const utf8_case *c)
{
	size_t		wanted = strlen(c->repaired);

	for (size_t a = 0; a <= c->length; a++)
	{
		for (size_t b = a; b <= c->length; b++)
		{
			utf8_stream s = {{0}, 0};
			char		out[128];
			size_t		used = utf8_stream_push(&s, c->bytes, a, out, false);

			used += utf8_stream_push(&s, c->bytes + a, b - a, out + used, false);
			if (utf8_validate(out, used) != used)
				return false;
			used += utf8_stream_push(&s, c->bytes + b, c->length - b, out + used, true);
			if (used != wanted || memcmp(out, c->repaired, wanted) != 0 || s.count != 0)
				return false;
		}
	}
	return true;
}

static void
test_cases(void)
{
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
	{
		ok(utf8_validate(cases[i].bytes, cases[i].length) == cases[i].valid, "validity, case %zu", i);
		ok(stream_is_right(&cases[i]), "stream, case %zu", i);
	}
}

static void
test_all_code_points(void)
{
	size_t		right = 0;

	for (uint32_t code = 0; code < 0x110000; code++)
	{
		char		bytes[UTF8_MAX];
		int			n;

		if (code >= 0xD800 && code <= 0xDFFF)
			continue;
		n = utf8_encode(code, bytes);
		if (utf8_validate(bytes, (size_t) n) == (size_t) n && utf8_decode(bytes, &n) == code)
			right++;
	}
	ok(right == 0x110000 - 0x800, "every code point: written, checked and read");
}

static void
test_classes(void)
{
	uint32_t	out[UNICODE_LOWER_MAX];

	ok(unicode_kind('a') & UNICODE_LETTER && unicode_kind(0x4E2D) & UNICODE_LETTER &&
	   unicode_kind(0x10FFFF) == 0 && unicode_kind(0xE0001) & UNICODE_CONTROL, "letters and none");
	ok(unicode_kind('7') & UNICODE_NUMBER && unicode_kind(0xBD) & UNICODE_NUMBER &&
	   unicode_kind(0x0663) & UNICODE_NUMBER, "numbers");
	ok(unicode_kind(0x3000) & UNICODE_SPACE && !(unicode_kind(0x200B) & UNICODE_SPACE) &&
	   unicode_is_blank(0x1F) && !(unicode_kind(0x1F) & UNICODE_SPACE), "white space");
	ok(unicode_kind('$') & UNICODE_PUNCTUATION && unicode_kind(0x3002) & UNICODE_PUNCTUATION &&
	   unicode_kind(0x0301) & UNICODE_MARK && unicode_kind(0x20000) & UNICODE_IDEOGRAPH,
	   "punctuation, marks, ideographs");
	ok(unicode_lower('Q', out) == 1 && out[0] == 'q' && unicode_lower(0x130, out) == 2 &&
	   out[1] == 0x307 && unicode_lower(0x0410, out) == 1 && out[0] == 0x0430 &&
	   unicode_lower(0x101, out) == 1 && out[0] == 0x101 && unicode_lower(0x100, out) == 1 &&
	   out[0] == 0x101 && unicode_lower(0x1E9E, out) == 1 && out[0] == 0xDF, "lower case");
}

static bool
becomes(const char *text, unicode_form form, const char *wanted)
{
	text_buffer out = {0};
	bool		same = unicode_normalize(text, strlen(text), form, &out) &&
		out.used == strlen(wanted) && memcmp(out.data, wanted, out.used) == 0;

	free(out.data);
	return same;
}

static void
test_forms(void)
{
	text_buffer out = {0};
	size_t		length = 3 << 20;
	char	   *text = malloc(length);
	bool		ordered = true;

	ok(becomes("\xC3\xA9", UNICODE_NFD, "e\xCC\x81") && becomes("e\xCC\x81", UNICODE_NFC, "\xC3\xA9"),
	   "a letter with an accent");
	ok(becomes("a\xCC\x81\xCC\xA3", UNICODE_NFD, "a\xCC\xA3\xCC\x81") &&
	   becomes("a\xCC\x81\xCC\xA3", UNICODE_NFC, "\xE1\xBA\xA1\xCC\x81"), "marks in order");
	ok(becomes("\xED\x95\x9C", UNICODE_NFD, "\xE1\x84\x92\xE1\x85\xA1\xE1\x86\xAB") &&
	   becomes("\xE1\x84\x92\xE1\x85\xA1\xE1\x86\xAB", UNICODE_NFC, "\xED\x95\x9C"), "Hangul");
	ok(becomes("\xEF\xAC\x81\xC2\xBD\xEF\xBC\xA1\xC2\xA0", UNICODE_NFKC, "fi1\xE2\x81\x84" "2A ") &&
	   becomes("\xEF\xAC\x81", UNICODE_NFC, "\xEF\xAC\x81"), "compatibility characters");
	ok(becomes("\xEF\xB7\xBA", UNICODE_NFKD, "\xD8\xB5\xD9\x84\xD9\x89 \xD8\xA7\xD9\x84\xD9\x84\xD9\x87 "
			   "\xD8\xB9\xD9\x84\xD9\x8A\xD9\x87 \xD9\x88\xD8\xB3\xD9\x84\xD9\x85"), "the longest of them");

	/* a starter with 1.5 million marks, each pair in the wrong order */
	for (size_t i = 0; i < length; i += 4)
		memcpy(text + i, "\xCC\x81\xCC\xA3", 4);
	ok(unicode_normalize(text, length, UNICODE_NFD, &out) && out.used == length,
	   "millions of marks in a row");
	for (size_t i = 0; i < out.used; i += 2)
		ordered = ordered && memcmp(out.data + i, i < length / 2 ? "\xCC\xA3" : "\xCC\x81", 2) == 0;
	ok(ordered, "are ordered too");
	free(text);
	free(out.data);
}

int
main(void)
{
	test_cases();
	test_all_code_points();
	test_classes();
	test_forms();
	return tap_done();
}
