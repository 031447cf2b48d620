/*
 * utf8.h: the little that this room needs to know of UTF-8.
 */
#ifndef RAG_TEXT_UTF8_H
#define RAG_TEXT_UTF8_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

static inline bool
utf8_is_continuation(char byte)
{
	return ((unsigned char) byte & 0xC0) == 0x80;
}

/* Code points that begin in s[0 .. length). */
static inline size_t
utf8_count(const char *s, size_t length)
{
	size_t		count = 0;

	for (size_t i = 0; i < length; i++)
		count += !utf8_is_continuation(s[i]);
	return count;
}

/*
 * The code point at s[0 .. length), length > 0; *used is its bytes, at least 1. Bytes that are no
 * UTF-8 give UINT32_MAX, one at a time.
 */
static inline uint32_t
utf8_decode(const char *s, size_t length, size_t *used)
{
	static const uint32_t lowest[5] = {0, 0, 0x80, 0x800, 0x10000};
	unsigned char lead = (unsigned char) s[0];
	size_t		need = lead < 0x80 ? 1 : lead < 0xC2 ? 0 : lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : lead < 0xF5 ? 4 : 0;
	uint32_t	c;

	*used = 1;
	if (need == 1)
		return lead;
	if (need == 0 || need > length)
		return UINT32_MAX;
	c = lead & (0x7F >> need);
	for (size_t i = 1; i < need; i++)
	{
		if (!utf8_is_continuation(s[i]))
			return UINT32_MAX;
		c = c << 6 | ((unsigned char) s[i] & 0x3F);
	}
	if (c < lowest[need] || c > 0x10FFFF || (c >= 0xD800 && c <= 0xDFFF))
		return UINT32_MAX;
	*used = need;
	return c;
}

#endif							/* RAG_TEXT_UTF8_H */
