/*
 * tap.h: the few lines a C test needs to print the Test Anything Protocol.
 *
 *     int main(void) { ok(1 + 1 == 2, "addition"); return tap_done(); }
 */
#ifndef RAG_TEST_TAP_H
#define RAG_TEST_TAP_H

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>

static int	tap_count = 0;
static int	tap_failed = 0;

/* One test: passes when condition holds; the rest is its name, printf style. */
__attribute__((format(printf, 2, 3), unused))
static bool
ok(bool condition, const char *format,...)
{
	va_list		args;

	tap_count++;
	if (!condition)
		tap_failed++;
	printf("%sok %d - ", condition ? "" : "not ", tap_count);
	va_start(args, format);
	vprintf(format, args);
	va_end(args);
	putchar('\n');
	fflush(stdout);
	return condition;
}

__attribute__((format(printf, 1, 2), unused))
static void
tap_skip(const char *format,...)
{
	va_list		args;

	printf("ok %d # SKIP ", ++tap_count);
	va_start(args, format);
	vprintf(format, args);
	va_end(args);
	putchar('\n');
	fflush(stdout);
}

/* A line of diagnosis under the last test. */
__attribute__((format(printf, 1, 2), unused))
static void
tap_note(const char *format,...)
{
	va_list		args;

	printf("# ");
	va_start(args, format);
	vprintf(format, args);
	va_end(args);
	putchar('\n');
}

/* The plan; the value for main to return. */
__attribute__((unused))
static int
tap_done(void)
{
	printf("1..%d\n", tap_count);
	return tap_failed == 0 ? 0 : 1;
}

#endif							/* RAG_TEST_TAP_H */
