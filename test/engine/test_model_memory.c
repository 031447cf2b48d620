/*
 * test_model_memory.c: opening a model with every allocation failing in turn: a clear
 * error or, where the library can do without, a model; never a leak.
 *
 * The program's own malloc counts down to the failure. The address sanitizer wants to
 * be the allocator itself, so under it there is nothing to test.
 */
#include <stddef.h>

#include "engine/model.h"
#include "tap.h"

#ifdef __has_feature
#if __has_feature(address_sanitizer)
#define __SANITIZE_ADDRESS__
#endif
#endif

#if defined(__GLIBC__) && !defined(__SANITIZE_ADDRESS__)

extern void *__libc_malloc(size_t size);
extern void *__libc_calloc(size_t count, size_t size);
extern void *__libc_realloc(void *p, size_t size);
extern void __libc_free(void *p);

static bool counting;
static long until_failure;		/* allocations that still succeed; negative: all do */
static long live;				/* blocks allocated and not freed while counting */

static bool
may_allocate(void)
{
	if (!counting)
		return true;
	if (until_failure == 0)
		return false;
	until_failure--;
	return true;
}

static void *
counted(void *p)
{
	if (counting && p)
		live++;
	return p;
}

/* visible, so that the C library's own calls come here too */
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

/* Open with the nth allocation and all after it failing; false when they are not needed. */
static bool
open_with(const char *path, long n, long *wrong)
{
	engine_error error = {0};
	model	   *m;
	bool		failed;

	live = 0;
	until_failure = n;
	counting = true;
	m = model_open(path, &error);
	failed = until_failure == 0;
	model_close(m);
	counting = false;
	*wrong += live != 0 || (m == NULL && error.code != ENGINE_NO_MEMORY);
	return failed;
}

static void
test_path(const char *path)
{
	long		wrong = 0;
	long		n = 0;

	while (n < 100000 && open_with(path, n, &wrong))
		n++;
	ok(wrong == 0 && n > 10 && n < 100000, "%s: %ld allocations failed in turn", path, n);
}

int
main(void)
{
	test_path("test/data/fuzz/fuzz_gguf/llama.gguf");
	test_path("test/data/fuzz/fuzz_gguf/bert.gguf");
	test_path("test/data/tiny-models/tiny_llama_gqa_tied");
	test_path("test/data/tiny-models/tiny_llama_rope_llama3");
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
