/*
 * html_layout.h: writes text line by line as blocks, lists, tables and running text come in.
 *
 *     html_layout layout = {0};
 *     html_layout_break(&layout, 2);
 *     html_layout_text(&layout, "Hello\n world", 12);
 *     ... layout.text[0 .. layout.length) is "Hello world"
 *     free(layout.text);
 *
 * What separates two pieces of text (spaces, line ends, list markers, cell borders) is owed until the
 * next text comes, so nothing is written that would have to be taken back.
 */
#ifndef RAG_TEXT_HTML_LAYOUT_H
#define RAG_TEXT_HTML_LAYOUT_H

#include <stdbool.h>
#include <stddef.h>

/* Deeper lists and tables share the innermost level. */
#define HTML_LAYOUT_LEVELS 32

typedef struct html_list
{
	bool		numbered;
	int			next_number;
	size_t		start;			/* where the text of the open item begins */
} html_list;

typedef struct html_table
{
	size_t		row_start;		/* length of the text before the open row */
	bool		row_has_cell;
	size_t		start;			/* where the text of the open cell begins */
} html_table;

typedef struct html_layout
{
	char	   *text;
	size_t		length;
	size_t		room;
	bool		failed;			/* memory is out; nothing more is written */
	size_t		line_start;		/* length of the text up to and with its last line end */

	/* owed before the next text */
	int			breaks;			/* line ends: 2 make a blank line */
	bool		space;
	int			borders;		/* between cells */
	char		marker[40];		/* of a list item */
	size_t		marker_length;

	bool		tight;			/* right behind a marker: blocks that open add no line ends */
	size_t	   *start;			/* to be set to where the next text begins, or NULL */

	size_t		preformatted;	/* depth */
	bool		drop_line_end;	/* the first character of preformatted text, if a line end */
	size_t		list_depth;
	size_t		table_depth;
	html_list	lists[HTML_LAYOUT_LEVELS];
	html_table	tables[HTML_LAYOUT_LEVELS];
} html_layout;

/* UTF-8; outside preformatted text runs of white space become one space. */
extern void html_layout_text(html_layout *layout, const char *text, size_t length);

/* The next text starts a line (1) or comes after a blank line (2). */
extern void html_layout_break(html_layout *layout, int line_ends);
/* <br>: as often as it comes, up to a blank line. */
extern void html_layout_line_end(html_layout *layout);

extern void html_layout_begin_preformatted(html_layout *layout);
extern void html_layout_end_preformatted(html_layout *layout);
extern void html_layout_begin_list(html_layout *layout, bool numbered, int first_number);
extern void html_layout_end_list(html_layout *layout);
extern void html_layout_begin_item(html_layout *layout);
extern void html_layout_end_item(html_layout *layout);
extern void html_layout_begin_description(html_layout *layout);
extern void html_layout_end_description(html_layout *layout);
extern void html_layout_begin_table(html_layout *layout);
extern void html_layout_end_table(html_layout *layout);
extern void html_layout_begin_row(html_layout *layout);
extern void html_layout_end_row(html_layout *layout);
extern void html_layout_begin_cell(html_layout *layout);
extern void html_layout_end_cell(html_layout *layout);

#endif							/* RAG_TEXT_HTML_LAYOUT_H */
