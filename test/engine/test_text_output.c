/*
 * test_text_output.c: whole characters and stop strings, against looking at the whole text again
 * after each piece.
 */
#include "tap.h"

#include <stdlib.h>
#include <string.h>

#include "engine/text_output.h"

#define CASES 20000
#define LONGEST 64

static uint32_t seed = 5;

static int
draw(int limit)
{
	seed = seed * 1664525 + 1013904223;
	return (int) ((seed >> 8) % (uint32_t) limit);
}

/* Few letters, so that stop strings nearly occur, occur, and overlap. */
static size_t
random_text(char *out, int letters)
{
	static const char *const alphabet[] = {"a", "b", "ab", "\xC3\xA9", "\xE2\x82\xAC", "\xF0\x9F\x98\x80"};
	size_t		length = 0;

	for (int i = 0; i < letters; i++)
	{
		const char *letter = alphabet[draw(6)];

		memcpy(out + length, letter, strlen(letter));
		length += strlen(letter);
	}
	return length;
}

/* Where the text of whole characters in the first length bytes ends. */
static size_t
whole_characters(const char *text, size_t length)
{
	return utf8_validate(text, length);
}

/* The first stop string in the text, or length. */
static size_t
first_stop(const protocol_sampling *s, const char *text, size_t length)
{
	size_t		first = length;

	for (uint32_t i = 0; i < s->stops; i++)
	{
		const char *found = memmem(text, length, s->stop[i].data, s->stop[i].length);

		if (found && (size_t) (found - text) < first)
			first = (size_t) (found - text);
	}
	return first;
}

/* One text in pieces that end anywhere, given out now and then; true if what came is right. */
static bool
try_one(void)
{
	char		text[4 * LONGEST];
	char		stops[3][4 * 4];
	char		shown[4 * LONGEST];
	size_t		length = random_text(text, draw(LONGEST));
	size_t		got = 0;
	size_t		sent = 0;
	size_t		expected = SIZE_MAX;
	protocol_sampling s = {.stops = (uint32_t) draw(4)};
	text_output t = {.sampling = &s};
	bool		good = true;

	for (uint32_t i = 0; i < s.stops; i++)
	{
		s.stop[i].data = stops[i];
		s.stop[i].length = (uint32_t) random_text(stops[i], 1 + draw(4));
	}
	while (sent < length && expected == SIZE_MAX)
	{
		size_t		piece = (size_t) draw(7);
		size_t		whole;

		if (piece > length - sent)
			piece = length - sent;
		good &= text_output_push(&t, text + sent, piece);
		sent += piece;
		whole = whole_characters(text, sent);
		if (first_stop(&s, text, whole) < whole)
			expected = first_stop(&s, text, whole);
		good &= t.stopped == (expected != SIZE_MAX);
		if (draw(2) == 0)
		{
			memcpy(shown + got, t.data ? t.data : "", t.ready);
			got += t.ready;
			text_output_take(&t, t.ready);
		}
	}
	if (expected == SIZE_MAX)
	{
		expected = length;
		good &= text_output_finish(&t);
	}
	memcpy(shown + got, t.data ? t.data : "", t.ready);
	got += t.ready;
	text_output_free(&t);
	return good && got == expected && memcmp(shown, text, got) == 0;
}

static void
test_random(void)
{
	int			wrong = 0;

	for (int i = 0; i < CASES; i++)
		wrong += !try_one();
	ok(wrong == 0, "%d texts in pieces: what is shown ends where the first stop string begins", CASES);
}

static void
test_held(void)
{
	protocol_sampling s = {.stops = 1,.stop = {{"\n\nUser:", 7}}};
	text_output t = {.sampling = &s};

	text_output_push(&t, "Yes.\n", 5);
	ok(t.ready == 4, "what may begin a stop string is held back");
	text_output_push(&t, "No.", 3);
	ok(t.ready == 8, "and shown when it was none");
	text_output_push(&t, "\n\nUse", 5);
	ok(t.ready == 8 && text_output_finish(&t) && t.ready == 13, "or at the end");
	text_output_free(&t);
}

static void
test_broken(void)
{
	protocol_sampling s = {0};
	text_output t = {.sampling = &s};

	text_output_push(&t, "\xE2\x82", 2);
	ok(t.ready == 0, "half a character is not shown");
	text_output_push(&t, "x", 1);
	ok(t.ready == 4 && memcmp(t.data, "\xEF\xBF\xBDx", 4) == 0, "bytes that are none become U+FFFD");
	text_output_push(&t, "\xF0\x9F", 2);
	ok(text_output_finish(&t) && t.ready == 7, "at the end too");
	text_output_free(&t);
}

int
main(void)
{
	test_random();
	test_held();
	test_broken();
	return tap_done();
}
