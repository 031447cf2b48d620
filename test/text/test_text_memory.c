/*
 * test_text_memory.c: each allocation fails in turn, and the next ones succeed, as when a large one
 * is too much: the splitter and the HTML reader say so, or do without. The splitter leaks nothing;
 * libxml2 2.9, which the HTML reader stands on, does, and prints what it cannot report.
 */
#include "failing_malloc.h"
#include "tap.h"
#include "text/html.h"
#include "text/splitter.h"

#ifdef CAN_FAIL_MALLOC

/* What a call gave that had too little memory. */
typedef enum result
{
	GOOD,
	NO_MEMORY,
	WRONG
} result;

static result
read_html(void)
{
	static const char page[] = "<title>t</title><ul><li class='x y'>a &eacute; b<p>c</ul><table><tr><td>d"
		"<nav>e<p>f</i><pre>\n g\n</pre><!-- a comment --><script>x</script>";
	char	   *text;
	size_t		length;

	switch (text_from_html(page, sizeof(page) - 1, NULL, NULL, &text, &length))
	{
		case TEXT_HTML_DONE:
			free(text);
			return GOOD;
		case TEXT_HTML_NO_MEMORY:
			return NO_MEMORY;
		default:
			return WRONG;
	}
}

static result
split(void)
{
	text_split_options options = text_split_defaults();
	text_splitter *splitter;
	text_split_status status;
	text_chunk	chunk;

	options.keep = TEXT_KEEP_NONE;
	options.size = 8;
	options.overlap = 3;
	splitter = text_splitter_open(&options, "aa bb cc dd ee ff", 17);
	if (splitter == NULL)
		return NO_MEMORY;
	do
		status = text_splitter_next(splitter, &chunk);
	while (status == TEXT_SPLIT_CHUNK || status == TEXT_SPLIT_BUSY);
	text_splitter_close(splitter);
	return status == TEXT_SPLIT_END ? GOOD : NO_MEMORY;
}

static void
test_failures(const char *name, result (*call) (void), bool may_leak)
{
	long		wrong = 0;
	long		leaks = 0;
	long		n = 0;
	bool		failed = true;

	/* what libraries allocate once */
	ok(call() == GOOD, "%s, with all memory", name);
	for (; failed && n < 100000; n++)
	{
		result		got;

		malloc_fails_at(n, true);
		got = call();
		leaks += malloc_works_again(&failed) != 0;
		wrong += got == WRONG || (got == NO_MEMORY && !failed) || (got == GOOD && n == 0);
	}
	ok(wrong == 0 && n > 1 && n < 100000, "%s: %ld allocations failed in turn", name, n - 1);
	if (!may_leak)
		ok(leaks == 0, "%s: nothing leaked", name);
}

int
main(void)
{
	test_failures("HTML", read_html, true);
	test_failures("the splitter", split, false);
	return tap_done();
}

#else

int
main(void)
{
	tap_skip("allocations cannot be counted here");
	return tap_done();
}

#endif
