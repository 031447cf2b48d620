/*
 * fuzz_html.c: any bytes are a page; its text is valid UTF-8 without NUL and not much longer.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "text/html.h"
#include "text/utf8.h"

extern int	LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char	   *text;
	size_t		length;
	size_t		used;

	if (text_from_html((const char *) data, size, NULL, NULL, &text, &length) != TEXT_HTML_DONE)
		abort();
	if (text[length] != '\0' || memchr(text, '\0', length) != NULL || length > 64 + 8 * size)
		abort();
	for (size_t i = 0; i < length; i += used)
	{
		if (utf8_decode(text + i, length - i, &used) == UINT32_MAX)
			abort();
	}
	free(text);
	return 0;
}
