/*
 * utf8.c: checking UTF-8 and cutting a stream of bytes into whole characters.
 */
#include <string.h>

#include "engine/tokenizer.h"

typedef enum utf8_state
{
	UTF8_VALID,					/* a whole character */
	UTF8_PARTIAL,				/* the beginning of one, cut by the end of the bytes */
	UTF8_INVALID				/* bytes that no further byte can make a character */
} utf8_state;

/*
 * Looks at the character at s[0 .. available). *length is what to consume: the
 * character, the partial one, or the "maximal subpart" of Unicode's chapter 3.9,
 * which is the unit that becomes one U+FFFD in every careful decoder.
 */
static utf8_state
utf8_scan(const unsigned char *s, size_t available, int *length)
{
	unsigned char low = 0x80;
	unsigned char high = 0xBF;
	int			need;

	*length = 1;
	if (s[0] < 0x80)
		return UTF8_VALID;
	if (s[0] < 0xC2 || s[0] > 0xF4)
		return UTF8_INVALID;
	need = s[0] < 0xE0 ? 2 : s[0] < 0xF0 ? 3 : 4;

	/* the second byte rules out overlong forms, surrogates and > U+10FFFF */
	if (s[0] == 0xE0)
		low = 0xA0;
	else if (s[0] == 0xED)
		high = 0x9F;
	else if (s[0] == 0xF0)
		low = 0x90;
	else if (s[0] == 0xF4)
		high = 0x8F;

	for (; *length < need; (*length)++)
	{
		if ((size_t) *length == available)
			return UTF8_PARTIAL;
		if (s[*length] < low || s[*length] > high)
			return UTF8_INVALID;
		low = 0x80;
		high = 0xBF;
	}
	return UTF8_VALID;
}

size_t
utf8_validate(const char *text, size_t length)
{
	const unsigned char *s = (const unsigned char *) text;
	size_t		i = 0;

	while (i < length)
	{
		int			n;

		if (s[i] < 0x80)
		{
			uint64_t	word;

			/* most text is ASCII: eight bytes at a time */
			while (length - i >= 8 &&
				   (memcpy(&word, s + i, 8), (word & UINT64_C(0x8080808080808080)) == 0))
				i += 8;
			while (i < length && s[i] < 0x80)
				i++;
			continue;
		}
		if (utf8_scan(s + i, length - i, &n) != UTF8_VALID)
			return i;
		i += (size_t) n;
	}
	return length;
}

size_t
utf8_stream_push(utf8_stream *s, const char *bytes, size_t length, char *out, bool finish)
{
	size_t		written = 0;
	size_t		i = 0;

	while (i < length || s->count > 0)
	{
		/* a window over what is held and the next bytes */
		unsigned char window[sizeof(s->held)];
		size_t		available = (size_t) s->count;
		int			n;
		utf8_state	state;

		memcpy(window, s->held, available);
		while (available < sizeof(window) && i + available - (size_t) s->count < length)
		{
			window[available] = (unsigned char) bytes[i + available - (size_t) s->count];
			available++;
		}
		state = utf8_scan(window, available, &n);
		if (state == UTF8_PARTIAL && !finish)
		{
			memcpy(s->held, window, available);
			s->count = (int) available;
			return written;
		}
		if (state == UTF8_VALID)
		{
			memcpy(out + written, window, (size_t) n);
			written += (size_t) n;
		}
		else
		{
			memcpy(out + written, "\xEF\xBF\xBD", 3);
			written += 3;
		}
		/* a held part begins one character, so nothing of it is left behind */
		i += (size_t) (n - s->count);
		s->count = 0;
	}
	return written;
}
