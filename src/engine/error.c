/*
 * error.c: filling an engine_error.
 */
#include "engine/error.h"

#include <stdio.h>
#include <string.h>

/* Length of the valid UTF-8 sequence at s, or 0. */
static int
sequence_length(const unsigned char *s)
{
	int			n;

	if (s[0] < 0x80)
		return 1;
	if (s[0] >= 0xC2 && s[0] <= 0xDF)
		n = 2;
	else if (s[0] >= 0xE0 && s[0] <= 0xEF)
		n = 3;
	else if (s[0] >= 0xF0 && s[0] <= 0xF4)
		n = 4;
	else
		return 0;
	for (int i = 1; i < n; i++)
	{
		if ((s[i] & 0xC0) != 0x80)
			return 0;
	}
	if ((s[0] == 0xE0 && s[1] < 0xA0) || (s[0] == 0xED && s[1] > 0x9F) ||
		(s[0] == 0xF0 && s[1] < 0x90) || (s[0] == 0xF4 && s[1] > 0x8F))
		return 0;
	return n;
}

/* Names from hostile files reach logs and clients through messages. */
static void
make_printable(char *message)
{
	unsigned char *s = (unsigned char *) message;

	while (*s)
	{
		int			n = sequence_length(s);

		if (n == 0 || *s < 0x20 || *s == 0x7F)
			*s++ = '?';
		else
			s += n;
	}
}

bool
engine_fail(engine_error *error, engine_code code, const char *format,...)
{
	va_list		args;
	size_t		length;

	if (error == NULL)
		return false;
	error->code = code;
	va_start(args, format);
	vsnprintf(error->message, sizeof(error->message), format, args);
	va_end(args);

	/* a cut may have split a character */
	length = strlen(error->message);
	if (length == sizeof(error->message) - 1)
	{
		while (length > 0 && ((unsigned char) error->message[length - 1] & 0xC0) == 0x80)
			length--;
		if (length > 0 && (unsigned char) error->message[length - 1] >= 0xC0)
			length--;
		error->message[length] = '\0';
	}
	make_printable(error->message);
	return false;
}

bool
engine_fail_memory(engine_error *error, const char *what)
{
	return engine_fail(error, ENGINE_NO_MEMORY, "out of memory for %s", what);
}
