/*
 * unicode.c: classes and lower case of code points.
 */
#include "engine/unicode.h"

#include "engine/unicode_tables.h"

#define PAGED_CODES 0x20000		/* below this, unicode_pages narrows the search */

uint8_t
unicode_kind_beyond_ascii(uint32_t code)
{
	int			low = 0;
	int			high = unicode_runs_count - 1;

	if (code < PAGED_CODES)
	{
		low = unicode_pages[code >> 8];
		high = unicode_pages[(code >> 8) + 1];
	}
	else
		low = unicode_pages[PAGED_CODES >> 8];

	/* the last run that starts at or before code */
	while (low < high)
	{
		int			middle = (low + high + 1) / 2;

		if (unicode_runs[middle] >> 4 <= code)
			low = middle;
		else
			high = middle - 1;
	}
	return unicode_kinds[unicode_runs[low] & 0xF];
}

int
unicode_lower(uint32_t code, uint32_t out[UNICODE_LOWER_MAX])
{
	int			low = 0;
	int			high = unicode_lowers_count - 1;

	out[0] = code;
	if (code < 128)
	{
		if (code >= 'A' && code <= 'Z')
			out[0] = code + ('a' - 'A');
		return 1;
	}
	if (code == 0x130)			/* the only one that becomes two: i with a dot above */
	{
		out[0] = 'i';
		out[1] = 0x307;
		return 2;
	}
	while (low <= high)
	{
		int			middle = (low + high) / 2;
		const unicode_lower_range *r = &unicode_lowers[middle];

		if (code < r->first)
			high = middle - 1;
		else if (code > r->last)
			low = middle + 1;
		else
		{
			if (r->step == 0 || (code - r->first) % (uint32_t) r->step == 0)
				out[0] = (uint32_t) ((int32_t) code + r->delta);
			return 1;
		}
	}
	return 1;
}
