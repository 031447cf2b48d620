/*
 * html_layout.c: blocks, lists, tables and running text become lines.
 */
#include "text/html_layout.h"

#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NO_TEXT SIZE_MAX		/* of an item or cell that has had none */
#define MAX_INDENT 8			/* levels; without a bound, deep lists would make long texts */
#define MAX_BORDERS 256			/* empty cells in a row, that are kept */

/* ---------- bytes ---------- */

static void
append(html_layout *layout, const char *bytes, size_t length)
{
	if (layout->failed || length == 0)
		return;
	if (length > layout->room - layout->length)
	{
		size_t		room = layout->room + layout->room / 2 + length + 256;
		char	   *larger = room > layout->room ? realloc(layout->text, room) : NULL;

		if (larger == NULL)
		{
			layout->failed = true;
			return;
		}
		layout->text = larger;
		layout->room = room;
	}
	memcpy(layout->text + layout->length, bytes, length);
	layout->length += length;
}

static void
append_line_end(html_layout *layout)
{
	append(layout, "\n", 1);
	layout->line_start = layout->length;
}

/* Writes what is owed. */
static void
settle(html_layout *layout)
{
	if (layout->length > 0 && layout->breaks > 0)
	{
		for (int i = 0; i < layout->breaks; i++)
			append_line_end(layout);
	}
	else if (layout->length > 0 && layout->space && layout->borders == 0)
		append(layout, " ", 1);
	for (int i = 0; i < layout->borders; i++)
	{
		if (layout->length == layout->line_start)
			append(layout, "|", 1);
		else
			append(layout, " |", 2);
	}
	if (layout->borders > 0)
		append(layout, " ", 1);
	append(layout, layout->marker, layout->marker_length);
	if (layout->start != NULL)
		*layout->start = layout->length;

	layout->breaks = 0;
	layout->space = false;
	layout->borders = 0;
	layout->marker_length = 0;
	layout->tight = false;
	layout->start = NULL;
}

/* ---------- text ---------- */

/* Bytes of white space at s, 0 for none. A no-break space is one: the lines are not ours to break. */
static size_t
space_length(const char *s, size_t length)
{
	if (s[0] == ' ' || (s[0] >= '\t' && s[0] <= '\r'))
		return 1;
	return length >= 2 && memcmp(s, "\xC2\xA0", 2) == 0 ? 2 : 0;
}

/* A soft hyphen says where a word may be broken; in a text it only hides the word. */
static bool
is_soft_hyphen(const char *s, size_t length)
{
	return length >= 2 && memcmp(s, "\xC2\xAD", 2) == 0;
}

static void
running_text(html_layout *layout, const char *text, size_t length)
{
	size_t		at = 0;

	while (at < length)
	{
		size_t		skip = space_length(text + at, length - at);
		size_t		word = at;

		if (skip > 0)
			layout->space = true;
		else if (is_soft_hyphen(text + at, length - at))
			skip = 2;
		at += skip;
		if (skip > 0)
			continue;
		while (at < length && space_length(text + at, length - at) == 0 &&
			   !is_soft_hyphen(text + at, length - at))
			at++;
		settle(layout);
		append(layout, text + word, at - word);
	}
}

static void
preformatted_text(html_layout *layout, const char *text, size_t length)
{
	const char *end = text + length;

	if (layout->drop_line_end && length > 0)
	{
		layout->drop_line_end = false;
		text += *text == '\n';
	}
	if (text == end)
		return;
	layout->space = false;
	settle(layout);
	while (text < end)
	{
		const char *line_end = memchr(text, '\n', (size_t) (end - text));

		append(layout, text, (size_t) ((line_end ? line_end : end) - text));
		if (line_end == NULL)
			break;
		append_line_end(layout);
		text = line_end + 1;
	}
}

void
html_layout_text(html_layout *layout, const char *text, size_t length)
{
	if (layout->preformatted > 0)
		preformatted_text(layout, text, length);
	else
		running_text(layout, text, length);
}

/* ---------- blocks ---------- */

void
html_layout_break(html_layout *layout, int line_ends)
{
	layout->space = false;
	if (!layout->tight && layout->breaks < line_ends)
		layout->breaks = line_ends;
}

void
html_layout_line_end(html_layout *layout)
{
	if (layout->preformatted > 0)
	{
		settle(layout);
		append_line_end(layout);
	}
	else
		html_layout_break(layout, layout->breaks < 2 ? layout->breaks + 1 : 2);
}

void
html_layout_begin_preformatted(html_layout *layout)
{
	html_layout_break(layout, 2);
	layout->preformatted++;
	layout->drop_line_end = true;
}

void
html_layout_end_preformatted(html_layout *layout)
{
	if (layout->preformatted > 0 && --layout->preformatted == 0)
	{
		/* white space at its end goes; its line ends count among those that are owed */
		while (layout->length > 0 && strchr(" \t\n", layout->text[layout->length - 1]) != NULL)
			layout->length--;
		if (layout->line_start > layout->length)
			layout->line_start = layout->length;
	}
	layout->drop_line_end = false;
	html_layout_break(layout, 2);
}

/* What follows goes on the same line as the marker or border. */
static void
begin_tight(html_layout *layout, size_t *start)
{
	*start = NO_TEXT;
	layout->start = start;
	layout->tight = true;
}

/* An item or cell without text owes no marker; one of a single line needs no blank line behind. */
static void
end_tight(html_layout *layout, const size_t *start, int line_ends)
{
	if (layout->start == start)
		layout->start = NULL;
	layout->tight = false;
	layout->marker_length = 0;
	if (*start != NO_TEXT && layout->line_start <= *start && layout->breaks > line_ends)
		layout->breaks = line_ends;
}

/* ---------- lists ---------- */

static html_list *
current_list(html_layout *layout)
{
	size_t		level = layout->list_depth > 0 ? layout->list_depth - 1 : 0;

	return &layout->lists[level < HTML_LAYOUT_LEVELS ? level : HTML_LAYOUT_LEVELS - 1];
}

void
html_layout_begin_list(html_layout *layout, bool numbered, int first_number)
{
	html_list  *list;

	html_layout_break(layout, layout->list_depth > 0 ? 1 : 2);
	layout->list_depth++;
	list = current_list(layout);
	list->numbered = numbered;
	list->next_number = first_number;
	list->start = NO_TEXT;
}

void
html_layout_end_list(html_layout *layout)
{
	if (layout->list_depth > 0)
		layout->list_depth--;
	html_layout_break(layout, layout->list_depth > 0 ? 1 : 2);
}

void
html_layout_begin_item(html_layout *layout)
{
	html_list  *list = current_list(layout);
	size_t		depth = layout->list_depth < MAX_INDENT ? layout->list_depth : MAX_INDENT;
	int			indent = depth > 1 ? 2 * (int) (depth - 1) : 0;
	int			length;

	html_layout_break(layout, 1);
	if (list->numbered)
		length = snprintf(layout->marker, sizeof(layout->marker), "%*s%d. ", indent, "",
						  list->next_number);
	else
		length = snprintf(layout->marker, sizeof(layout->marker), "%*s- ", indent, "");
	layout->marker_length = length > 0 ? (size_t) length : 0;
	if (list->next_number < INT_MAX)
		list->next_number++;
	begin_tight(layout, &list->start);
}

void
html_layout_end_item(html_layout *layout)
{
	end_tight(layout, &current_list(layout)->start, 1);
	html_layout_break(layout, 1);
}

void
html_layout_begin_description(html_layout *layout)
{
	html_layout_break(layout, 1);
	layout->tight = true;
}

void
html_layout_end_description(html_layout *layout)
{
	layout->tight = false;
	html_layout_break(layout, 2);
}

/* ---------- tables ---------- */

static html_table *
current_table(html_layout *layout)
{
	size_t		level = layout->table_depth > 0 ? layout->table_depth - 1 : 0;

	return &layout->tables[level < HTML_LAYOUT_LEVELS ? level : HTML_LAYOUT_LEVELS - 1];
}

void
html_layout_begin_table(html_layout *layout)
{
	html_table *table;

	html_layout_break(layout, 2);
	layout->table_depth++;
	table = current_table(layout);
	table->row_start = layout->length;
	table->row_has_cell = false;
	table->start = NO_TEXT;
}

void
html_layout_end_table(html_layout *layout)
{
	if (layout->table_depth > 0)
		layout->table_depth--;
	html_layout_break(layout, 2);
}

void
html_layout_begin_row(html_layout *layout)
{
	html_table *table = current_table(layout);

	html_layout_break(layout, 1);
	table->row_start = layout->length;
	table->row_has_cell = false;
}

void
html_layout_end_row(html_layout *layout)
{
	layout->borders = 0;
	layout->tight = false;
	html_layout_break(layout, 1);
}

void
html_layout_begin_cell(html_layout *layout)
{
	html_table *table = current_table(layout);

	layout->space = false;
	if (table->row_has_cell)
	{
		/* on the line of the cell before, if that has any text */
		if (layout->length > table->row_start)
			layout->breaks = 0;
		if (layout->borders < MAX_BORDERS)
			layout->borders++;
	}
	table->row_has_cell = true;
	begin_tight(layout, &table->start);
}

void
html_layout_end_cell(html_layout *layout)
{
	end_tight(layout, &current_table(layout)->start, 0);
	layout->space = false;
}
