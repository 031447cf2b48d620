/*
 * text_output.c: stop strings and whole characters.
 */
#include "engine/text_output.h"

#include <stdlib.h>
#include <string.h>

static bool
grow(text_output *t, size_t more)
{
	size_t		capacity = t->capacity ? t->capacity : 64;
	char	   *data;

	if (t->length + more <= t->capacity)
		return true;
	while (capacity < t->length + more)
		capacity *= 2;
	data = realloc(t->data, capacity);
	if (data == NULL)
		return false;
	t->data = data;
	t->capacity = capacity;
	return true;
}

/* The first stop string in the text: true, and the text is cut there. */
static bool
cut_at_stop(text_output *t)
{
	const protocol_sampling *s = t->sampling;
	size_t		first = t->length;

	for (uint32_t i = 0; i < s->stops; i++)
	{
		const char *found;

		if (s->stop[i].length == 0)
			continue;
		found = memmem(t->data + t->searched, t->length - t->searched, s->stop[i].data,
					   s->stop[i].length);
		if (found && (size_t) (found - t->data) < first)
			first = (size_t) (found - t->data);
	}
	if (first == t->length)
		return false;
	t->length = first;
	return true;
}

/* Bytes at the end that are the beginning of a stop string. */
static size_t
held_back(const text_output *t)
{
	const protocol_sampling *s = t->sampling;
	size_t		longest = 0;

	for (uint32_t i = 0; i < s->stops; i++)
	{
		size_t		n = s->stop[i].length ? s->stop[i].length - 1 : 0;

		if (n > t->length)
			n = t->length;
		for (; n > longest; n--)
		{
			if (memcmp(t->data + t->length - n, s->stop[i].data, n) == 0)
				longest = n;
		}
	}
	return longest;
}

static bool
append(text_output *t, const char *bytes, size_t length, bool finish)
{
	if (t->stopped)
		return true;
	if (!grow(t, 3 * (length + 4)))
		return false;
	t->length += utf8_stream_push(&t->utf8, bytes, length, t->data + t->length, finish);
	if (cut_at_stop(t))
	{
		t->stopped = true;
		t->ready = t->length;
		return true;
	}
	t->ready = t->length - (finish ? 0 : held_back(t));
	t->searched = t->ready;
	return true;
}

bool
text_output_push(text_output *t, const char *bytes, size_t length)
{
	return append(t, bytes, length, false);
}

bool
text_output_finish(text_output *t)
{
	return append(t, "", 0, true);
}

void
text_output_take(text_output *t, size_t length)
{
	memmove(t->data, t->data + length, t->length - length);
	t->length -= length;
	t->ready -= length;
	t->searched = t->searched > length ? t->searched - length : 0;
}

void
text_output_free(text_output *t)
{
	free(t->data);
	t->data = NULL;
	t->length = t->capacity = t->ready = t->searched = 0;
}
