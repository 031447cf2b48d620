/*
 * test_splitter.c: the splitter against LangChain's chunks (test/data/splitter.json), hostile sizes
 * and texts, and time that grows with the text alone.
 */
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "engine/json.h"
#include "tap.h"
#include "text/splitter.h"
#include "text/utf8.h"

#define MAX_SEPARATORS 16

static char *
read_file(const char *path, size_t *length)
{
	FILE	   *file = fopen(path, "rb");
	char	   *bytes = NULL;

	*length = 0;
	if (file == NULL)
		return NULL;
	if (fseek(file, 0, SEEK_END) == 0 && ftell(file) > 0)
	{
		*length = (size_t) ftell(file);
		rewind(file);
		bytes = malloc(*length);
		if (bytes != NULL && fread(bytes, 1, *length, file) != *length)
		{
			free(bytes);
			bytes = NULL;
		}
	}
	fclose(file);
	return bytes;
}

static text_split_status
next_chunk(text_splitter *splitter, text_chunk *chunk)
{
	text_split_status status;

	do
		status = text_splitter_next(splitter, chunk);
	while (status == TEXT_SPLIT_BUSY);
	return status;
}

/* ---------- LangChain's cases ---------- */

static text_split_options
case_options(const json_value *item, text_separator *separators)
{
	text_split_options options = text_split_defaults();
	const json_value *list = json_get(item, "separators");
	const char *keep = json_get_string(item, "keep_separator", "start");

	options.size = (size_t) json_get_int(item, "size", 1, 1 << 20, 0);
	options.overlap = (size_t) json_get_int(item, "overlap", 0, 1 << 20, 1 << 20);
	options.strip = json_get_bool(item, "strip_whitespace", true);
	options.keep = strcmp(keep, "none") == 0 ? TEXT_KEEP_NONE
		: strcmp(keep, "end") == 0 ? TEXT_KEEP_END : TEXT_KEEP_START;
	if (list != NULL)
	{
		options.separators = separators;
		options.separator_count = 0;
		for (const json_value *s = list->child; s != NULL && options.separator_count < MAX_SEPARATORS;
			 s = s->next)
			separators[options.separator_count++] = (text_separator) {s->string, s->length};
	}
	return options;
}

/* What must hold for each chunk, whatever the options: the span is where it says it is. */
static bool
positions_agree(const text_chunk *chunk, const json_value *text, bool joined)
{
	if (chunk->end_byte < chunk->start_byte || chunk->end_byte > text->length ||
		utf8_count(text->string, chunk->start_byte) != chunk->start ||
		utf8_count(text->string, chunk->end_byte) != chunk->end)
		return false;
	return joined || (chunk->end_byte - chunk->start_byte == chunk->length &&
					  memcmp(chunk->bytes, text->string + chunk->start_byte, chunk->length) == 0);
}

/* expected: NULL, or the next of "chunks" (a text) or of "spans" (start, then length). */
static bool
chunk_agrees(const text_chunk *chunk, const json_value *expected)
{
	if (expected == NULL)
		return false;
	if (expected->kind == JSON_STRING)
		return chunk->length == expected->length &&
			memcmp(chunk->bytes, expected->string, chunk->length) == 0;
	return (double) chunk->start == expected->number &&
		(double) (chunk->end - chunk->start) == expected->next->number;
}

static void
test_case(const json_value *item, const json_value *text, int number)
{
	text_separator separators[MAX_SEPARATORS];
	text_split_options options = case_options(item, separators);
	const json_value *spans = json_get(item, "spans");
	const json_value *expected = spans ? spans->child : json_get(item, "chunks")->child;
	text_splitter *splitter = text_splitter_open(&options, text->string, text->length);
	text_chunk	chunk;
	text_split_status status;
	int			count = 0;
	bool		good = true;

	while (good && (status = next_chunk(splitter, &chunk)) == TEXT_SPLIT_CHUNK)
	{
		good = positions_agree(&chunk, text, options.keep == TEXT_KEEP_NONE) &&
			chunk_agrees(&chunk, expected);
		if (good)
			expected = spans ? expected->next->next : expected->next;
		count++;
	}
	ok(good && status == TEXT_SPLIT_END && expected == NULL,
	   "case %d: %s in chunks of %zu, overlap %zu, %s", number, text->key, options.size,
	   options.overlap, json_get_string(item, "keep_separator", "default separators"));
	if (!good)
		tap_note("chunk %d is [%zu, %zu)", count, chunk.start, chunk.end);
	text_splitter_close(splitter);
}

static void
test_golden(const char *path)
{
	size_t		length;
	char	   *bytes = read_file(path, &length);
	engine_error error;
	json	   *doc = bytes ? json_parse(bytes, length, &error) : NULL;
	const json_value *cases = doc ? json_get(json_root(doc), "cases") : NULL;
	int			number = 0;

	if (!ok(cases != NULL && cases->count > 300, "%s holds LangChain's cases", path))
		return;
	for (const json_value *item = cases->child; item != NULL; item = item->next)
	{
		const json_value *text = json_get(json_get(json_root(doc), "texts"),
										  json_get_string(item, "text", ""));

		number++;
		if (text == NULL)
			ok(false, "case %d names a text", number);
		else
			test_case(item, text, number);
	}
	json_free(doc);
	free(bytes);
}

/* ---------- limits ---------- */

static void
refuses(const char *name, size_t size, size_t overlap, size_t separators)
{
	text_split_options options = text_split_defaults();

	options.size = size;
	options.overlap = overlap;
	options.separator_count = separators;
	ok(!text_split_check(&options) && text_splitter_open(&options, "text", 4) == NULL,
	   "refuses %s", name);
}

/* Splits everything, returns the number of chunks, or -1 where a chunk is longer than allowed. */
static long
count_chunks(const text_split_options *options, const char *text, size_t length)
{
	text_splitter *splitter = text_splitter_open(options, text, length);
	text_chunk	chunk;
	long		count = 0;

	while (next_chunk(splitter, &chunk) == TEXT_SPLIT_CHUNK)
	{
		if (chunk.end - chunk.start > options->size)
			return -1;
		count++;
	}
	if (text_splitter_next(splitter, &chunk) != TEXT_SPLIT_END)
		count = -1;
	text_splitter_close(splitter);
	return count;
}

static void
test_limits(void)
{
	text_split_options options = text_split_defaults();
	static const char broken[] = "\x80\xFF\xC3 \xE2\x82\n\n\xF0\x9F\x98";

	refuses("a size of 0", 0, 0, 4);
	refuses("a size above the limit", TEXT_SPLIT_MAX_SIZE + 1, 0, 4);
	refuses("an overlap above the size", 5, 6, 4);
	refuses("no separators", 5, 1, 0);
	text_splitter_close(NULL);

	ok(count_chunks(&options, "", 0) == 0, "an empty text has no chunk");
	ok(count_chunks(&options, " \n\n\t ", 5) == 0, "white space alone has no chunk");
	options.size = TEXT_SPLIT_MAX_SIZE;
	options.overlap = TEXT_SPLIT_MAX_SIZE;
	ok(count_chunks(&options, "a b", 3) == 1, "the largest size and overlap");
	for (size_t size = 1; size < 12; size++)
		for (int keep = TEXT_KEEP_START; keep <= TEXT_KEEP_NONE; keep++)
		{
			options.size = size;
			options.overlap = size / 2;
			options.keep = (text_keep) keep;
			if (count_chunks(&options, broken, sizeof(broken) - 1) < 0)
			{
				ok(false, "bytes that are no UTF-8, size %zu", size);
				return;
			}
		}
	ok(true, "bytes that are no UTF-8 do no harm");
}

/* Where separators are dropped, the span still tells where the chunk came from. */
static void
test_dropped_separators(void)
{
	static const text_separator separators[] = {{"--", 2}};
	text_split_options options = text_split_defaults();
	static const char text[] = "ab----cd-- \xC3\xA9--x";
	text_splitter *splitter;
	text_chunk	chunk;

	options.separators = separators;
	options.separator_count = 1;
	options.keep = TEXT_KEEP_NONE;
	options.size = 8;
	options.overlap = 0;
	splitter = text_splitter_open(&options, text, sizeof(text) - 1);
	ok(next_chunk(splitter, &chunk) == TEXT_SPLIT_CHUNK && chunk.length == 6 &&
	   memcmp(chunk.bytes, "ab--cd", 6) == 0 && chunk.start == 0 && chunk.end == 8,
	   "an empty piece leaves one separator");
	ok(next_chunk(splitter, &chunk) == TEXT_SPLIT_CHUNK && chunk.length == 5 &&
	   memcmp(chunk.bytes, "\xC3\xA9--x", 5) == 0 && chunk.start == 11 && chunk.end == 15 &&
	   chunk.start_byte == 11 && chunk.end_byte == 16, "positions after stripping a joined chunk");
	ok(next_chunk(splitter, &chunk) == TEXT_SPLIT_END, "no more chunks");
	text_splitter_close(splitter);
}

/* ---------- long texts ---------- */

/* 10 MB of one unit: work that grows with the square of the text would not end within hours. */
static void
test_long(const char *name, const text_split_options *options, const char *unit)
{
	size_t		length = (size_t) 10 << 20;
	char	   *text = malloc(length);
	long		chunks;

	for (size_t i = 0; i < length; i++)
		text[i] = unit[i % strlen(unit)];
	chunks = count_chunks(options, text, length);
	ok(chunks >= 0, "%s: 10 MB in %ld chunks", name, chunks);
	free(text);
}

static void
test_long_texts(void)
{
	text_split_options options = text_split_defaults();

	if (getenv("RAG_TEST_QUICK"))
	{
		tap_skip("a sanitizer's memmem looks at the whole text at each call");
		return;
	}
	test_long("running text", &options, "some words that make a line\nand a paragraph\n\n");
	test_long("one word", &options, "x");
	test_long("white space", &options, " ");
	test_long("line ends", &options, "\n");
	options.overlap = options.size - 1;
	test_long("an overlap of all but one", &options, "words, words ");
	options.size = 1;
	options.overlap = 0;
	test_long("single code points", &options, "a b");
	options.size = options.overlap = TEXT_SPLIT_MAX_SIZE;
	test_long("one chunk of everything", &options, "words and words ");
	options.keep = TEXT_KEEP_NONE;
	test_long("one chunk, joined anew", &options, "words and words ");
	options.size = 512;
	options.overlap = 51;
	test_long("separators dropped", &options, "a few words\n\n");
}

int
main(void)
{
	test_golden("test/data/splitter.json");
	test_limits();
	test_dropped_separators();
	test_long_texts();
	return tap_done();
}
