/*
 * fuzz_splitter.c: any bytes as text, separators and sizes; chunks lie in the text and in order.
 *
 * The first bytes choose the options: size, overlap, where the separator goes, separators.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "text/splitter.h"

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

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	text_separator separators[3];
	text_split_options options;
	text_splitter *splitter;
	text_split_status status;
	text_chunk	chunk;
	size_t		last_start = 0;

	if (size < OPTION_BYTES)
		return 0;
	options = choose_options(data, separators);
	data += OPTION_BYTES;
	size -= OPTION_BYTES;
	splitter = text_splitter_open(&options, (const char *) data, size);
	if (splitter == NULL)
		abort();
	while ((status = text_splitter_next(splitter, &chunk)) != TEXT_SPLIT_END)
	{
		if (status == TEXT_SPLIT_BUSY)
			continue;
		if (status != TEXT_SPLIT_CHUNK || chunk.length == 0 || chunk.start_byte < last_start ||
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
