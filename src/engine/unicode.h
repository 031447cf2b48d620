/*
 * unicode.h: what the tokenizers need to know of Unicode and UTF-8.
 *
 * Private to the engine. Text that reaches these functions was checked with
 * utf8_validate once, so decoding does not check again.
 */
#ifndef RAG_ENGINE_UNICODE_H
#define RAG_ENGINE_UNICODE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define UTF8_MAX 4				/* bytes of the longest character */

/* Bytes of the character that starts with this byte (valid UTF-8 only). */
static inline int
utf8_length(unsigned char first)
{
	return first < 0x80 ? 1 : first < 0xE0 ? 2 : first < 0xF0 ? 3 : 4;
}

/* The code point at s (valid UTF-8 only); *length bytes. */
static inline uint32_t
utf8_decode(const char *text, int *length)
{
	const unsigned char *s = (const unsigned char *) text;

	*length = utf8_length(s[0]);
	switch (*length)
	{
		case 1:
			return s[0];
		case 2:
			return (s[0] & 0x1Fu) << 6 | (s[1] & 0x3Fu);
		case 3:
			return (s[0] & 0x0Fu) << 12 | (s[1] & 0x3Fu) << 6 | (s[2] & 0x3Fu);
		default:
			return (s[0] & 0x07u) << 18 | (s[1] & 0x3Fu) << 12 | (s[2] & 0x3Fu) << 6 |
				(s[3] & 0x3Fu);
	}
}

/* Writes a code point (no surrogate, <= 0x10FFFF); returns the bytes written, 1 to UTF8_MAX. */
static inline int
utf8_encode(uint32_t code, char *out)
{
	if (code < 0x80)
	{
		out[0] = (char) code;
		return 1;
	}
	if (code < 0x800)
	{
		out[0] = (char) (0xC0 | code >> 6);
		out[1] = (char) (0x80 | (code & 0x3F));
		return 2;
	}
	if (code < 0x10000)
	{
		out[0] = (char) (0xE0 | code >> 12);
		out[1] = (char) (0x80 | (code >> 6 & 0x3F));
		out[2] = (char) (0x80 | (code & 0x3F));
		return 3;
	}
	out[0] = (char) (0xF0 | code >> 18);
	out[1] = (char) (0x80 | (code >> 12 & 0x3F));
	out[2] = (char) (0x80 | (code >> 6 & 0x3F));
	out[3] = (char) (0x80 | (code & 0x3F));
	return 4;
}

/* Classes of code points, as the parts of Hugging Face tokenizers see them. */
enum
{
	UNICODE_LETTER = 0x01,		/* \p{L} */
	UNICODE_NUMBER = 0x02,		/* \p{N} */
	UNICODE_SPACE = 0x04,		/* White_Space, the \s of regular expressions */
	UNICODE_PUNCTUATION = 0x08, /* what BERT cuts off */
	UNICODE_MARK = 0x10,		/* what BERT takes for an accent */
	UNICODE_CONTROL = 0x20,		/* what BERT drops */
	UNICODE_WORD = 0x40,		/* \w */
	UNICODE_IDEOGRAPH = 0x80	/* what BERT puts spaces around */
};

extern const uint8_t unicode_ascii[128];
extern uint8_t unicode_kind_beyond_ascii(uint32_t code);

static inline uint8_t
unicode_kind(uint32_t code)
{
	return code < 128 ? unicode_ascii[code] : unicode_kind_beyond_ascii(code);
}

#define UNICODE_LOWER_MAX 2		/* code points of a lower-case form */

/* Full lower case, without context (a final sigma is not told from others). */
extern int	unicode_lower(uint32_t code, uint32_t out[UNICODE_LOWER_MAX]);

/* What Python's str.strip() takes away: White_Space and the separators U+001C to U+001F. */
static inline bool
unicode_is_blank(uint32_t code)
{
	return (code >= 0x1C && code <= 0x1F) || (unicode_kind(code) & UNICODE_SPACE) != 0;
}

#endif							/* RAG_ENGINE_UNICODE_H */
