/*
 * byte_alphabet.c: the 256 characters that GPT-2's vocabulary writes bytes with.
 *
 * Bytes that print stand for themselves, the other 68 for U+0100 and what follows.
 */
#include "engine/tokenizer_internal.h"
#include "engine/unicode.h"

static bool
prints(int byte)
{
	return (byte >= 0x21 && byte <= 0x7E) || (byte >= 0xA1 && byte <= 0xAC) || byte >= 0xAE;
}

/* The byte that a code point stands for, or -1. */
static int
byte_of(uint32_t code)
{
	int			nth = (int) code - 0x100;

	if (code < 0x100)
		return prints((int) code) ? (int) code : -1;
	for (int byte = 0; byte < 0x100 && nth >= 0; byte++)
	{
		if (!prints(byte) && nth-- == 0)
			return byte;
	}
	return -1;
}

bool
byte_alphabet_decode(const char *text, size_t length, text_buffer *out)
{
	size_t		start = out->used;
	size_t		i = 0;

	if (!text_reserve(out, length + 1))
		return false;
	if (utf8_validate(text, length) < length)
		return text_append(out, text, length);
	while (i < length)
	{
		int			n;
		int			byte = byte_of(utf8_decode(text + i, &n));

		if (byte < 0)
		{
			out->used = start;
			return text_append(out, text, length);
		}
		out->data[out->used++] = (char) byte;
		i += (size_t) n;
	}
	return true;
}
