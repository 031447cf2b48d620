/*
 * html.c: libxml2's HTML parser reads a page, html_layout.c writes its text.
 *
 * The parser's events are used as they come; no tree is built. So there is no limit on the depth of
 * elements and no recursion over them, and memory is the page, its text and the names of the open
 * elements. The handlers are the parser context's own: the process may have others (a PostgreSQL
 * backend with xml support has), and must keep them.
 */
#include "text/html.h"

#include <stdlib.h>
#include <string.h>

#include <libxml/HTMLparser.h>
#include <libxml/parserInternals.h>

#include "text/html_elements.h"
#include "text/html_layout.h"
#include "text/utf8.h"

/* Events between two looks for interrupts. */
#define EVENTS_PER_LOOK 256

typedef struct reader
{
	htmlParserCtxtPtr parser;
	html_layout layout;
	text_interrupted interrupted;
	void	   *interrupted_context;
	unsigned	events;
	bool		stopped;
	bool		no_memory;

	const xmlChar *skipped;		/* name of the element that is left out, or NULL */
	size_t		skipped_depth;	/* elements of that name that are open */
	bool		keep_asides;
	bool		lost_rest;		/* an aside was never closed, so all that followed was left out */
} reader;

/* ---------- what is left out ---------- */

static const char *
attribute(const xmlChar **attributes, const char *name)
{
	for (; attributes != NULL && attributes[0] != NULL; attributes += 2)
	{
		if (strcmp((const char *) attributes[0], name) == 0)
			return attributes[1] ? (const char *) attributes[1] : "";
	}
	return NULL;
}

static bool
has_word(const char *list, const char *word)
{
	size_t		length = strlen(word);

	for (list += strspn(list, " \t\n"); *list != '\0'; list += strspn(list, " \t\n"))
	{
		size_t		here = strcspn(list, " \t\n");

		if (here == length && memcmp(list, word, length) == 0)
			return true;
		list += here;
	}
	return false;
}

/* Hidden, or navigation by its role or in the pages of DocBook's stylesheets. */
static bool
is_marked_aside(const xmlChar **attributes)
{
	const char *role = attribute(attributes, "role");
	const char *class = attribute(attributes, "class");

	return attribute(attributes, "hidden") != NULL ||
		(role != NULL && has_word(role, "navigation")) ||
		(class != NULL && (has_word(class, "navheader") || has_word(class, "navfooter")));
}

/* ---------- events ---------- */

static void
look_for_stop(reader *r)
{
	if (++r->events % EVENTS_PER_LOOK == 0 && r->interrupted != NULL &&
		r->interrupted(r->interrupted_context))
		r->stopped = true;
	if (r->layout.failed)
		r->no_memory = true;
	if (r->stopped || r->no_memory)
		xmlStopParser(r->parser);
}

static int
first_number(const xmlChar **attributes)
{
	const char *start = attribute(attributes, "start");
	long		number = start ? strtol(start, NULL, 10) : 1;

	return number < 0 || number > 1000000000 ? 1 : (int) number;
}

static void
begin_element(html_layout *layout, html_role role, const xmlChar **attributes)
{
	switch (role)
	{
		case HTML_LINE:
		case HTML_ASIDE:
			html_layout_break(layout, 1);
			break;
		case HTML_PARAGRAPH:
			html_layout_break(layout, 2);
			break;
		case HTML_LINE_BREAK:
			html_layout_line_end(layout);
			break;
		case HTML_PREFORMATTED:
			html_layout_begin_preformatted(layout);
			break;
		case HTML_BULLET_LIST:
			html_layout_begin_list(layout, false, 1);
			break;
		case HTML_NUMBERED_LIST:
			html_layout_begin_list(layout, true, first_number(attributes));
			break;
		case HTML_ITEM:
			html_layout_begin_item(layout);
			break;
		case HTML_DESCRIPTION:
			html_layout_begin_description(layout);
			break;
		case HTML_TABLE:
			html_layout_begin_table(layout);
			break;
		case HTML_ROW:
			html_layout_begin_row(layout);
			break;
		case HTML_CELL:
			html_layout_begin_cell(layout);
			break;
		case HTML_INLINE:
		case HTML_CODE:
			break;
	}
}

static void
end_element(html_layout *layout, html_role role)
{
	switch (role)
	{
		case HTML_LINE:
		case HTML_ASIDE:
			html_layout_break(layout, 1);
			break;
		case HTML_PARAGRAPH:
			html_layout_break(layout, 2);
			break;
		case HTML_PREFORMATTED:
			html_layout_end_preformatted(layout);
			break;
		case HTML_BULLET_LIST:
		case HTML_NUMBERED_LIST:
			html_layout_end_list(layout);
			break;
		case HTML_ITEM:
			html_layout_end_item(layout);
			break;
		case HTML_DESCRIPTION:
			html_layout_end_description(layout);
			break;
		case HTML_TABLE:
			html_layout_end_table(layout);
			break;
		case HTML_ROW:
			html_layout_end_row(layout);
			break;
		case HTML_CELL:
			html_layout_end_cell(layout);
			break;
		case HTML_LINE_BREAK:
		case HTML_INLINE:
		case HTML_CODE:
			break;
	}
}

static void
on_start(void *context, const xmlChar *name, const xmlChar **attributes)
{
	reader	   *r = context;
	html_role	role;

	look_for_stop(r);
	if (r->skipped != NULL)
	{
		r->skipped_depth += xmlStrEqual(name, r->skipped);
		return;
	}
	role = html_element_role((const char *) name);
	if (role == HTML_CODE ||
		(!r->keep_asides && (role == HTML_ASIDE || is_marked_aside(attributes))))
	{
		/* what is before a block and what is behind it are not one line without it */
		if (role != HTML_INLINE && role != HTML_ASIDE && role != HTML_CODE)
			html_layout_break(&r->layout, 1);
		r->skipped = name;
		r->skipped_depth = 1;
		return;
	}
	begin_element(&r->layout, role, attributes);
}

static void
on_end(void *context, const xmlChar *name)
{
	reader	   *r = context;

	look_for_stop(r);
	if (r->skipped == NULL)
		end_element(&r->layout, html_element_role((const char *) name));
	else if (xmlStrEqual(name, r->skipped) && --r->skipped_depth == 0)
	{
		/* a line end follows each page, so only the end of the page closed this element */
		if (html_element_role((const char *) name) != HTML_CODE &&
			r->parser->input != NULL && r->parser->input->cur >= r->parser->input->end)
			r->lost_rest = true;
		r->skipped = NULL;
	}
}

/*
 * Character references 128 to 159 mean windows-1252, in every browser and by the HTML standard.
 * libxml2 takes them for control characters, and hands over each reference by itself.
 */
static bool
is_control_reference(const xmlChar *text, int length)
{
	return length == 2 && text[0] == 0xC2 && text[1] >= 0x80 && text[1] <= 0x9F;
}

static const char *
windows_character(xmlChar last_byte)
{
	static const char characters[32][4] = {
		"\xE2\x82\xAC", "", "\xE2\x80\x9A", "\xC6\x92", "\xE2\x80\x9E", "\xE2\x80\xA6",
		"\xE2\x80\xA0", "\xE2\x80\xA1", "\xCB\x86", "\xE2\x80\xB0", "\xC5\xA0", "\xE2\x80\xB9",
		"\xC5\x92", "", "\xC5\xBD", "", "", "\xE2\x80\x98", "\xE2\x80\x99", "\xE2\x80\x9C",
		"\xE2\x80\x9D", "\xE2\x80\xA2", "\xE2\x80\x93", "\xE2\x80\x94", "\xCB\x9C", "\xE2\x84\xA2",
		"\xC5\xA1", "\xE2\x80\xBA", "\xC5\x93", "", "\xC5\xBE", "\xC5\xB8",
	};

	return characters[last_byte - 0x80];
}

static void
on_text(void *context, const xmlChar *text, int length)
{
	reader	   *r = context;

	look_for_stop(r);
	if (r->skipped != NULL || length <= 0)
		return;
	if (is_control_reference(text, length))
	{
		const char *meant = windows_character(text[1]);

		html_layout_text(&r->layout, meant, strlen(meant));
	}
	else
		html_layout_text(&r->layout, (const char *) text, (size_t) length);
}

/*
 * Errors are expected and silent. Pages of nothing else must be interruptible, too. But where a name
 * is missing, libxml2 2.9 may go on to look for the end of the tag, and when stopped finds none.
 */
static void
note_error(reader *r, int code)
{
	if (code == XML_ERR_NO_MEMORY)
		r->no_memory = true;
	if (code != XML_ERR_NAME_REQUIRED)
		look_for_stop(r);
}

#if LIBXML_VERSION >= 21200
static void
on_error(void *context, const xmlError *error)
{
	note_error(context, error->code);
}
#else
static void
on_error(void *context, xmlErrorPtr error)
{
	note_error(context, error->code);
}
#endif

/* ---------- the page ---------- */

static size_t
clean_byte_length(const char *s, size_t length, size_t *used)
{
	return utf8_decode(s, length, used) == UINT32_MAX ? 3 : *used;
}

/*
 * A copy that the parser reads as it stands: valid UTF-8, no NUL or other control characters, line
 * ends as the HTML standard normalizes them, and one line end more.
 */
static char *
clean_copy(const char *html, size_t length, size_t *clean_length)
{
	size_t		at = 0;
	size_t		used;
	size_t		to = 1;
	char	   *copy;

	if (length >= 3 && memcmp(html, "\xEF\xBB\xBF", 3) == 0)
		at = 3;
	for (size_t i = at; i < length; i += used)
		to += clean_byte_length(html + i, length - i, &used);
	copy = malloc(to + 1);
	if (copy == NULL)
		return NULL;

	to = 0;
	for (; at < length; at += used)
	{
		uint32_t	c = utf8_decode(html + at, length - at, &used);

		if (c == UINT32_MAX || c == 0)
		{
			/* a NUL is one byte and was counted as such */
			if (c == 0)
				copy[to++] = ' ';
			else
			{
				memcpy(copy + to, "\xEF\xBF\xBD", 3);
				to += 3;
			}
		}
		else if (c == '\r')
		{
			if (at + 1 == length || html[at + 1] != '\n')
				copy[to++] = '\n';
		}
		else if (c < 0x20 && c != '\t' && c != '\n')
			copy[to++] = ' ';
		else
		{
			memcpy(copy + to, html + at, used);
			to += used;
		}
	}
	copy[to++] = '\n';
	copy[to] = '\0';
	*clean_length = to;
	return copy;
}

static htmlParserCtxtPtr
open_parser(reader *r, const char *html, size_t length)
{
	htmlParserCtxtPtr parser = htmlCreateMemoryParserCtxt(html, (int) length);

	if (parser == NULL)
		return NULL;
	(void) htmlCtxtUseOptions(parser, HTML_PARSE_RECOVER | HTML_PARSE_NOERROR | HTML_PARSE_NOWARNING |
							  HTML_PARSE_NONET | HTML_PARSE_NODEFDTD | HTML_PARSE_IGNORE_ENC);
#if LIBXML_VERSION < 21400
	/* comments and attributes of any length: the page as a whole is bounded */
	parser->options |= XML_PARSE_HUGE;
#endif
	memset(parser->sax, 0, sizeof(*parser->sax));
	parser->sax->initialized = XML_SAX2_MAGIC;	/* there is a structured error handler */
	parser->sax->serror = on_error;
	parser->sax->startElement = on_start;
	parser->sax->endElement = on_end;
	parser->sax->characters = on_text;
	parser->sax->ignorableWhitespace = on_text;
	parser->userData = r;
	(void) xmlSwitchEncoding(parser, XML_CHAR_ENCODING_UTF8);
	return parser;
}

/* Reads the page once; false when memory is out. */
static bool
read_page(reader *r, const char *html, size_t length)
{
	memset(&r->layout, 0, sizeof(r->layout));
	r->skipped = NULL;
	r->lost_rest = false;
	r->parser = open_parser(r, html, length);
	if (r->parser == NULL)
		return false;
	(void) htmlParseDocument(r->parser);
	htmlFreeParserCtxt(r->parser);
	r->parser = NULL;
	return !r->no_memory && !r->layout.failed;
}

text_html_status
text_from_html(const char *html, size_t length, text_interrupted interrupted, void *context,
			   char **text, size_t *text_length)
{
	reader		r = {.interrupted = interrupted, .interrupted_context = context};
	text_html_status status = TEXT_HTML_DONE;
	char	   *page;
	char	   *result;
	bool		good;

	if (length > TEXT_HTML_MAX_LENGTH)
		return TEXT_HTML_TOO_LONG;
	page = clean_copy(html, length, &length);
	if (page == NULL)
		return TEXT_HTML_NO_MEMORY;
	if (length > TEXT_HTML_MAX_LENGTH)
	{
		free(page);
		return TEXT_HTML_TOO_LONG;
	}
	good = read_page(&r, page, length);
	if (good && r.lost_rest && !r.stopped)
	{
		/* better some navigation in the text than no text */
		free(r.layout.text);
		r.keep_asides = true;
		good = read_page(&r, page, length);
	}
	free(page);

	result = good && !r.stopped ? realloc(r.layout.text, r.layout.length + 1) : NULL;
	if (result == NULL)
	{
		free(r.layout.text);
		return good && r.stopped ? TEXT_HTML_INTERRUPTED : TEXT_HTML_NO_MEMORY;
	}
	result[r.layout.length] = '\0';
	*text = result;
	*text_length = r.layout.length;
	return status;
}
