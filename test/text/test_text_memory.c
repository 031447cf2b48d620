/*
 * test_text_memory.c: each allocation fails in turn, and the next ones succeed, as when a large one
 * is too much: the splitter and the HTML reader say so, or do without. The splitter leaks nothing;
 * libxml2 2.9, which the HTML reader stands on, does, and prints what it cannot report.
 *
 * The program's own malloc counts down to the failure. The address sanitizer wants to be the
 * allocator itself, so under it there is nothing to test.
 */
#include <stddef.h>
#include <string.h>

#include "tap.h"
#include "text/html.h"
#include "text/splitter.h"

#ifdef __has_feature
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define __SANITIZE_ADDRESS__
#endif
#endif

#if defined(__GLIBC__) && !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)

extern void *__libc_malloc(size_t size);
extern void *__libc_calloc(size_t count, size_t size);
extern void *__libc_realloc(void *p, size_t size);
extern void __libc_free(void *p);

static bool counting;
static long until_failure;		/* allocations before the one that fails; then negative */
static long live;				/* blocks allocated and not freed while counting */

static bool
may_allocate(void)
{
	return !counting || until_failure-- != 0;
}

static void *
counted(void *p)
{
	if (counting && p)
		live++;
	return p;
}

/* visible, so that the calls of libxml2 come here too */
#define VISIBLE __attribute__((visibility("default")))

extern VISIBLE void *malloc(size_t size);
extern VISIBLE void *calloc(size_t count, size_t size);
extern VISIBLE void *realloc(void *p, size_t size);
extern VISIBLE void free(void *p);

void *
malloc(size_t size)
{
	return may_allocate() ? counted(__libc_malloc(size)) : NULL;
}

void *
calloc(size_t count, size_t size)
{
	return may_allocate() ? counted(__libc_calloc(count, size)) : NULL;
}

void *
realloc(void *p, size_t size)
{
	if (!may_allocate())
		return NULL;
	return p ? __libc_realloc(p, size) : counted(__libc_realloc(p, size));
}

void
free(void *p)
{
	if (counting && p)
		live--;
	__libc_free(p);
}

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

		live = 0;
		until_failure = n;
		counting = true;
		got = call();
		failed = until_failure < 0;
		counting = false;
		leaks += live != 0;
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
