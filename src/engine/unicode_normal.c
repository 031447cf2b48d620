/*
 * unicode_normal.c: the four normalisation forms (Unicode Standard Annex 15).
 *
 * ASCII is copied. What stands between two ASCII characters, with the first of them
 * (it may compose), is decomposed into a list of code points, ordered, composed and
 * written.
 */
#include "engine/normalize.h"

#include "engine/unicode.h"
#include "engine/unicode_tables.h"

enum
{
	HANGUL_FIRST = 0xAC00, HANGUL_LAST = 0xD7A3,
	HANGUL_L = 0x1100, HANGUL_V = 0x1161, HANGUL_T = 0x11A7,
	HANGUL_L_COUNT = 19, HANGUL_V_COUNT = 21, HANGUL_T_COUNT = 28
};

static uint32_t
combining_class(uint32_t code)
{
	int			low = 0;
	int			high = unicode_combining_count - 1;

	if (code < unicode_combining[0].first)
		return 0;
	while (low <= high)
	{
		int			middle = (low + high) / 2;

		if (code < unicode_combining[middle].first)
			high = middle - 1;
		else if (code > unicode_combining[middle].last)
			low = middle + 1;
		else
			return unicode_combining[middle].combining_class;
	}
	return 0;
}

static const unicode_pair *
canonical_pair(uint32_t code)
{
	int			low = 0;
	int			high = unicode_canonical_count - 1;

	while (low <= high)
	{
		int			middle = (low + high) / 2;

		if (code < unicode_canonical[middle].code)
			high = middle - 1;
		else if (code > unicode_canonical[middle].code)
			low = middle + 1;
		else
			return &unicode_canonical[middle];
	}
	return NULL;
}

static const unicode_compat_range *
compat_range(uint32_t code)
{
	int			low = 0;
	int			high = unicode_compat_count - 1;

	while (low <= high)
	{
		int			middle = (low + high) / 2;
		const unicode_compat_range *r = &unicode_compat[middle];

		if (code < r->first)
			high = middle - 1;
		else if (code - r->first >= (uint32_t) (r->span > 0 ? r->span : 1))
			low = middle + 1;
		else
			return r;
	}
	return NULL;
}

/* Appends the full canonical decomposition: firsts are followed, seconds wait their turn. */
static bool
decompose_canonical(uint32_t code, code_list *out)
{
	uint32_t	seconds[4];		/* the deepest chain of the table has three */
	int			waiting = 0;
	const unicode_pair *pair;

	if (code >= HANGUL_FIRST && code <= HANGUL_LAST)
	{
		uint32_t	syllable = code - HANGUL_FIRST;
		uint32_t	t = syllable % HANGUL_T_COUNT;

		syllable /= HANGUL_T_COUNT;
		return code_append(out, HANGUL_L + syllable / HANGUL_V_COUNT) &&
			code_append(out, HANGUL_V + syllable % HANGUL_V_COUNT) &&
			(t == 0 || code_append(out, HANGUL_T + t));
	}
	while ((pair = canonical_pair(code)) != NULL)
	{
		if (pair->second != 0 && waiting < 4)
			seconds[waiting++] = pair->second;
		code = pair->first;
	}
	if (!code_append(out, code))
		return false;
	while (waiting > 0)
	{
		const unicode_pair *more = canonical_pair(seconds[--waiting]);

		/* the few seconds that decompose (U+0344) do so once */
		if (more == NULL)
		{
			if (!code_append(out, seconds[waiting]))
				return false;
		}
		else if (!code_append(out, more->first) ||
				 (more->second != 0 && !code_append(out, more->second)))
			return false;
	}
	return true;
}

static bool
decompose(uint32_t code, unicode_form form, code_list *out)
{
	if (code < 0xA0)			/* nothing below decomposes */
		return code_append(out, code);
	if (form == UNICODE_NFKC || form == UNICODE_NFKD)
	{
		const unicode_compat_range *r = compat_range(code);

		if (r && r->span > 0)
			return code_append(out, r->to + (code - r->first));
		for (int32_t i = 0; r && i < -r->span; i++)
		{
			if (!code_append(out, unicode_compat_pool[r->to + (uint32_t) i]))
				return false;
		}
		if (r)
			return true;
	}
	return decompose_canonical(code, out);
}

static uint32_t
compose_hangul(uint32_t a, uint32_t b)
{
	if (a - HANGUL_L < HANGUL_L_COUNT && b - HANGUL_V < HANGUL_V_COUNT)
		return HANGUL_FIRST +
			((a - HANGUL_L) * HANGUL_V_COUNT + (b - HANGUL_V)) * HANGUL_T_COUNT;
	if (a >= HANGUL_FIRST && a <= HANGUL_LAST && (a - HANGUL_FIRST) % HANGUL_T_COUNT == 0 &&
		b > HANGUL_T && b < HANGUL_T + HANGUL_T_COUNT)
		return a + (b - HANGUL_T);
	return 0;
}

/* The composite of a and b, or 0. */
static uint32_t
compose_pair(uint32_t a, uint32_t b)
{
	int			low = 0;
	int			high = unicode_compositions_count - 1;

	if (b < 0x300)				/* nothing below is a second */
		return 0;
	while (low <= high)
	{
		int			middle = (low + high) / 2;
		const unicode_pair *pair = &unicode_canonical[unicode_compositions[middle]];

		if (pair->first == a && pair->second == b)
			return pair->code;
		if (pair->first < a || (pair->first == a && pair->second < b))
			low = middle + 1;
		else
			high = middle - 1;
	}
	return compose_hangul(a, b);
}

/* Stable order of marks by class: a merge sort, since a text may hold millions in a row. */
static bool
sort_marks(uint32_t *codes, size_t count)
{
	uint32_t   *from = codes;
	uint32_t   *to;
	uint32_t   *spare = NULL;
	bool		sorted = true;

	for (size_t i = 1; i < count && sorted; i++)
		sorted = combining_class(codes[i - 1]) <= combining_class(codes[i]);
	if (sorted)
		return true;
	spare = malloc(count * sizeof(*spare));
	if (spare == NULL)
		return false;
	to = spare;
	for (size_t width = 1; width < count; width *= 2)
	{
		uint32_t   *swap = from;

		for (size_t start = 0; start < count; start += 2 * width)
		{
			size_t		a = start;
			size_t		a_end = start + width < count ? start + width : count;
			size_t		b = a_end;
			size_t		b_end = a_end + width < count ? a_end + width : count;

			for (size_t i = start; i < b_end; i++)
			{
				if (a < a_end &&
					(b == b_end || combining_class(from[a]) <= combining_class(from[b])))
					to[i] = from[a++];
				else
					to[i] = from[b++];
			}
		}
		from = to;
		to = swap;
	}
	if (from != codes)
		memcpy(codes, from, count * sizeof(*codes));
	free(spare);
	return true;
}

static bool
order_marks(code_list *codes)
{
	size_t		i = 0;

	while (i < codes->used)
	{
		size_t		end = i;

		while (end < codes->used && combining_class(codes->data[end]) != 0)
			end++;
		if (end - i > 1 && !sort_marks(codes->data + i, end - i))
			return false;
		i = end + 1;
	}
	return true;
}

/* Composes in place: each code point with the last starter unless something between blocks it. */
static void
compose(code_list *codes)
{
	size_t		starter = SIZE_MAX;
	uint32_t	last_class = 0;
	size_t		kept = 0;

	for (size_t i = 0; i < codes->used; i++)
	{
		uint32_t	code = codes->data[i];
		uint32_t	class = combining_class(code);
		bool		adjacent = starter != SIZE_MAX && starter == kept - 1;

		if (starter != SIZE_MAX && (adjacent || last_class < class))
		{
			uint32_t	composite = compose_pair(codes->data[starter], code);

			if (composite != 0)
			{
				codes->data[starter] = composite;
				continue;
			}
		}
		if (class == 0)
			starter = kept;
		last_class = class;
		codes->data[kept++] = code;
	}
	codes->used = kept;
}

static bool
flush(code_list *codes, unicode_form form, text_buffer *out)
{
	if (!order_marks(codes))
		return false;
	if (form == UNICODE_NFC || form == UNICODE_NFKC)
		compose(codes);
	if (codes->used > SIZE_MAX / UTF8_MAX || !text_reserve(out, codes->used * UTF8_MAX))
		return false;
	for (size_t i = 0; i < codes->used; i++)
		out->used += (size_t) utf8_encode(codes->data[i], out->data + out->used);
	codes->used = 0;
	return true;
}

bool
unicode_normalize(const char *text, size_t length, unicode_form form, text_buffer *out)
{
	code_list	codes = {0};
	bool		done = true;
	size_t		i = 0;

	while (done && i < length)
	{
		size_t		run = i;
		int			n;
		uint32_t	code;

		/* ASCII never changes; only its last character may compose with what follows */
		while (run < length && (unsigned char) text[run] < 0x80)
			run++;
		if (run > i)
		{
			done = flush(&codes, form, out) && text_append(out, text + i, run - i - 1) &&
				code_append(&codes, (unsigned char) text[run - 1]);
			i = run;
			continue;
		}
		code = utf8_decode(text + i, &n);
		done = decompose(code, form, &codes);
		i += (size_t) n;
	}
	done = done && flush(&codes, form, out);
	free(codes.data);
	return done;
}
