/*
 * failing_malloc.h: a malloc that fails when told to and counts what is not freed.
 *
 * The program's own malloc counts down to the failure. The address sanitizer wants to
 * be the allocator itself: under it, and without glibc, CAN_FAIL_MALLOC is not defined.
 */
#ifndef RAG_TEST_FAILING_MALLOC_H
#define RAG_TEST_FAILING_MALLOC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>			/* tells which C library this is */

#ifdef __has_feature
#if __has_feature(address_sanitizer)
#define __SANITIZE_ADDRESS__
#endif
#endif

#if defined(__GLIBC__) && !defined(__SANITIZE_ADDRESS__)
#define CAN_FAIL_MALLOC

extern void *__libc_malloc(size_t size);
extern void *__libc_calloc(size_t count, size_t size);
extern void *__libc_realloc(void *p, size_t size);
extern void __libc_free(void *p);

static bool counting;
static long until_failure;		/* allocations that still succeed; negative: all do */
static bool only_one;			/* after the one that fails all succeed */
static bool has_failed;
static long live;				/* blocks allocated and not freed while counting */

static bool
may_allocate(void)
{
	if (!counting || (has_failed && only_one))
		return true;
	if (until_failure == 0)
	{
		has_failed = true;
		return false;
	}
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

/* From here on the nth allocation (from 0) fails, and unless once all after it; negative n: none does. */
static void
malloc_fails_at(long n, bool once)
{
	live = 0;
	only_one = once;
	has_failed = false;
	until_failure = n;
	counting = true;
}

/* Ends it. *reached: whether n allocations were asked for. Returns the blocks that were not freed. */
static long
malloc_works_again(bool *reached)
{
	counting = false;
	*reached = until_failure == 0;
	return live;
}

#endif
#endif							/* RAG_TEST_FAILING_MALLOC_H */
