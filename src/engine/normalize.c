/*
 * normalize.c: the steps of a normalizer over whole texts.
 */
#include "engine/normalize.h"

#include "engine/unicode.h"

/* Drops control characters, turns white space into spaces, puts spaces around ideographs. */
static bool
bert_clean(const normalize_step *s, const char *text, size_t length, text_buffer *out)
{
	size_t		i = 0;

	while (i < length)
	{
		int			n;
		uint32_t	code = utf8_decode(text + i, &n);
		uint8_t		kind = unicode_kind(code);

		/* room for what is left as it stands, and for one ideograph with its spaces */
		if (!text_reserve(out, length - i + 2 + UTF8_MAX))
			return false;
		if (s->clean && (kind & UNICODE_CONTROL))
			;
		else if (s->clean && (kind & UNICODE_SPACE))
			out->data[out->used++] = ' ';
		else
		{
			bool		spaced = s->space_ideographs && (kind & UNICODE_IDEOGRAPH);

			if (spaced)
				out->data[out->used++] = ' ';
			for (int k = 0; k < n; k++)
				out->data[out->used++] = text[i + (size_t) k];
			if (spaced)
				out->data[out->used++] = ' ';
		}
		i += (size_t) n;
	}
	return true;
}

/* Drops marks (of text in NFD) and lowers, as asked for. */
static bool
fold(bool drop_marks, bool lower, const char *text, size_t length, text_buffer *out)
{
	size_t		i = 0;

	while (i < length)
	{
		int			n;
		uint32_t	code = utf8_decode(text + i, &n);
		uint32_t	lowered[UNICODE_LOWER_MAX];
		int			count = 1;

		if (!text_reserve(out, length - i + UNICODE_LOWER_MAX * UTF8_MAX))
			return false;
		i += (size_t) n;
		if (drop_marks && (unicode_kind(code) & UNICODE_MARK))
			continue;
		if (lower)
			count = unicode_lower(code, lowered);
		else
			lowered[0] = code;
		for (int k = 0; k < count; k++)
			out->used += (size_t) utf8_encode(lowered[k], out->data + out->used);
	}
	return true;
}

static bool
replace(const normalize_step *s, const char *text, size_t length, text_buffer *out)
{
	const char *end = text + length;

	while (text < end)
	{
		const char *found = memmem(text, (size_t) (end - text), s->pattern,
								   (size_t) s->pattern_length);

		if (found == NULL)
			return text_append(out, text, (size_t) (end - text));
		if (!text_append(out, text, (size_t) (found - text)) ||
			!text_append(out, s->replacement, (size_t) s->replacement_length))
			return false;
		text = found + s->pattern_length;
	}
	return true;
}

static bool
squeeze(const normalize_step *s, const char *text, size_t length, text_buffer *out)
{
	size_t		i = 0;

	while (i < length)
	{
		size_t		end = i + 1;
		bool		done;

		while (end < length && (text[end] == ' ') == (text[i] == ' '))
			end++;
		if (text[i] == ' ' && end - i > 1)
			done = text_append(out, s->replacement, (size_t) s->replacement_length);
		else
			done = text_append(out, text + i, end - i);
		if (!done)
			return false;
		i = end;
	}
	return true;
}

static bool
strip(const normalize_step *s, const char *text, size_t length, text_buffer *out)
{
	size_t		start = 0;
	size_t		end = length;
	int			n;

	while (s->left && start < end && (unicode_kind(utf8_decode(text + start, &n)) & UNICODE_SPACE))
		start += (size_t) n;
	while (s->right && end > start)
	{
		size_t		last = end - 1;

		while (((unsigned char) text[last] & 0xC0) == 0x80)
			last--;
		if (!(unicode_kind(utf8_decode(text + last, &n)) & UNICODE_SPACE))
			break;
		end = last;
	}
	return text_append(out, text + start, end - start);
}

/* The result of BERT's normalizer is in *out; the other buffer is scratch. */
static bool
bert(const normalize_step *s, const char *text, size_t length, text_buffer *out,
	 text_buffer *scratch)
{
	if (!bert_clean(s, text, length, out))
		return false;
	if (s->strip_accents)
	{
		scratch->used = 0;
		if (!unicode_normalize(out->data, out->used, UNICODE_NFD, scratch))
			return false;
		out->used = 0;
		return fold(true, s->lower, scratch->data, scratch->used, out);
	}
	if (s->lower)
	{
		text_buffer swap = *out;

		*out = *scratch;
		*scratch = swap;
		out->used = 0;
		return fold(false, true, scratch->data, scratch->used, out);
	}
	return true;
}

static bool
run_step(const normalize_step *s, const char *text, size_t length, text_buffer *out)
{
	switch (s->kind)
	{
		case NORMALIZE_FORM:
			return unicode_normalize(text, length, s->form, out);
		case NORMALIZE_LOWER:
			return fold(false, true, text, length, out);
		case NORMALIZE_STRIP:
			return strip(s, text, length, out);
		case NORMALIZE_PREPEND:
			return (length == 0 ||
					text_append(out, s->replacement, (size_t) s->replacement_length)) &&
				text_append(out, text, length);
		case NORMALIZE_REPLACE:
			return replace(s, text, length, out);
		case NORMALIZE_SQUEEZE:
			return squeeze(s, text, length, out);
		case NORMALIZE_BERT:	/* needs both buffers */
			break;
	}
	return false;
}

bool
normalize_text(const normalizer *n, const char *text, size_t length, text_buffer buffers[2],
			   const char **out, size_t *out_length)
{
	/* buffers[0] holds the last step's result, buffers[1] gets the next one's */
	for (int i = 0; i < n->count; i++)
	{
		text_buffer swap;
		bool		done;

		buffers[1].used = 0;
		if (n->steps[i].kind == NORMALIZE_BERT && i > 0)
		{
			/* its scratch would overwrite its input */
			text_buffer scratch = {0};

			done = bert(&n->steps[i], text, length, &buffers[1], &scratch);
			free(scratch.data);
		}
		else if (n->steps[i].kind == NORMALIZE_BERT)
			done = bert(&n->steps[i], text, length, &buffers[1], &buffers[0]);
		else
			done = run_step(&n->steps[i], text, length, &buffers[1]);
		if (!done)
			return false;
		swap = buffers[0];
		buffers[0] = buffers[1];
		buffers[1] = swap;
		text = buffers[0].used > 0 ? buffers[0].data : "";
		length = buffers[0].used;
	}
	*out = text;
	*out_length = length;
	return true;
}
