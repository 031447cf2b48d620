/*
 * fuzz_splitter.c: any bytes as text, separators and sizes; chunks lie in the text and in order.
 *
 * The first bytes choose the options: size, overlap, where the separator goes, separators. A cut
 * through the middle of a code point can make white space of one chunk what is none of the next, so
 * stripped chunks are in order only where text and separators are UTF-8.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "text/splitter.h"
#include "text/utf8.h"

#define OPTION_BYTES 8

extern int	LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static text_split_options
choose_options(const uint8_t *data, text_separator *separators)
{
	text_split_options options = text_split_defaults();

	options.size = 1 + data[0];
	options.overlap = data[1] % (options.size + 1);
	options.keep = (text_keep) (data[2] % 3);
	options.strip = (data[2] & 0x80) != 0;
	if (data[3] & 1)
	{
		options.separators = separators;
		options.separator_count = 1 + (data[3] >> 1) % 3;
		for (size_t i = 0; i < options.separator_count; i++)
			separators[i] = (text_separator) {(const char *) data + 4 + i, (data[3] >> (3 + i)) & 1};
	}
	return options;
}

static bool
is_utf8(const char *s, size_t length)
{
	size_t		used;

	for (; length > 0; s += used, length -= used)
	{
		if (utf8_decode(s, length, &used) == UINT32_MAX)
			return false;
	}
	return true;
}

static bool
chunks_are_in_order(const text_split_options *options, const char *text, size_t size)
{
	if (!options->strip)
		return true;
	for (size_t i = 0; i < options->separator_count; i++)
	{
		if (!is_utf8(options->separators[i].bytes, options->separators[i].length))
			return false;
	}
	return is_utf8(text, size);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	text_separator separators[3];
	text_split_options options;
	text_splitter *splitter;
	text_split_status status;
	text_chunk	chunk;
	size_t		last_start = 0;
	bool		in_order;

	if (size < OPTION_BYTES)
		return 0;
	options = choose_options(data, separators);
	data += OPTION_BYTES;
	size -= OPTION_BYTES;
	in_order = chunks_are_in_order(&options, (const char *) data, size);
	splitter = text_splitter_open(&options, (const char *) data, size);
	if (splitter == NULL)
		abort();
	while ((status = text_splitter_next(splitter, &chunk)) != TEXT_SPLIT_END)
	{
		if (status == TEXT_SPLIT_BUSY)
			continue;
		if (status != TEXT_SPLIT_CHUNK || chunk.length == 0 ||
			(in_order && chunk.start_byte < last_start) ||
			chunk.end_byte <= chunk.start_byte || chunk.end_byte > size || chunk.end < chunk.start)
			abort();
		if (options.keep != TEXT_KEEP_NONE &&
			(chunk.length != chunk.end_byte - chunk.start_byte ||
			 memcmp(chunk.bytes, data + chunk.start_byte, chunk.length) != 0))
			abort();
		last_start = chunk.start_byte;
	}
	text_splitter_close(splitter);
	return 0;
}
