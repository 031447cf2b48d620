/*
 * unicode_tables.h: the layout of the generated tables (unicode_classes.c,
 * unicode_canonical.c, unicode_compat.c); only unicode.c and unicode_normal.c look
 * inside.
 */
#ifndef RAG_ENGINE_UNICODE_TABLES_H
#define RAG_ENGINE_UNICODE_TABLES_H

#include <stdint.h>

/* Lower case of first, first + step ... last is the code point + delta. */
typedef struct unicode_lower_range
{
	uint32_t	first;
	uint32_t	last;
	int32_t		step;			/* 0 when first = last */
	int32_t		delta;
} unicode_lower_range;

/* One step of canonical decomposition; second is 0 for a singleton. */
typedef struct unicode_pair
{
	uint32_t	code;
	uint32_t	first;
	uint32_t	second;
} unicode_pair;

/*
 * Full compatibility decomposition. span > 0: the span code points first + i become
 * to + i; span < 0: first becomes the -span code points at unicode_compat_pool[to].
 */
typedef struct unicode_compat_range
{
	uint32_t	first;
	int32_t		span;
	uint32_t	to;
} unicode_compat_range;

typedef struct unicode_class_range
{
	uint32_t	first;
	uint32_t	last;
	uint32_t	combining_class;
} unicode_class_range;

/*
 * Runs of equal classes: code << 4 | index into unicode_kinds, ascending. The run of the
 * first code point of each 256-block below 0x20000 is unicode_pages[block].
 */
extern const uint8_t unicode_kinds[];
extern const uint32_t unicode_runs[];
extern const int unicode_runs_count;
extern const uint16_t unicode_pages[];

extern const unicode_lower_range unicode_lowers[];
extern const int unicode_lowers_count;
extern const unicode_pair unicode_canonical[];
extern const int unicode_canonical_count;
extern const uint16_t unicode_compositions[];	/* into unicode_canonical, by (first, second) */
extern const int unicode_compositions_count;
extern const unicode_compat_range unicode_compat[];
extern const int unicode_compat_count;
extern const uint32_t unicode_compat_pool[];
extern const unicode_class_range unicode_combining[];
extern const int unicode_combining_count;

#endif							/* RAG_ENGINE_UNICODE_TABLES_H */
