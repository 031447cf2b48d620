/*
 * html_elements.c: the table of HTML elements that are not simply part of a line.
 */
#include "text/html_elements.h"

#include <stdlib.h>
#include <string.h>

typedef struct element
{
	const char *name;
	html_role	role;
} element;

/*
 * Sorted by name. There is no <head>: its end tag may be left out, and libxml2 does not know from
 * which HTML 5 elements that follows; what a head can hold is here one by one.
 */
static const element elements[] = {
	{"address", HTML_LINE},
	{"applet", HTML_ASIDE},
	{"article", HTML_PARAGRAPH},
	{"aside", HTML_PARAGRAPH},
	{"audio", HTML_ASIDE},
	{"blockquote", HTML_PARAGRAPH},
	{"br", HTML_LINE_BREAK},
	{"canvas", HTML_ASIDE},
	{"caption", HTML_LINE},
	{"center", HTML_LINE},
	{"datalist", HTML_ASIDE},
	{"dd", HTML_DESCRIPTION},
	{"details", HTML_PARAGRAPH},
	{"dialog", HTML_PARAGRAPH},
	{"dir", HTML_BULLET_LIST},
	{"div", HTML_LINE},
	{"dl", HTML_PARAGRAPH},
	{"dt", HTML_LINE},
	{"fieldset", HTML_PARAGRAPH},
	{"figcaption", HTML_LINE},
	{"figure", HTML_PARAGRAPH},
	{"footer", HTML_PARAGRAPH},
	{"form", HTML_PARAGRAPH},
	{"frameset", HTML_ASIDE},
	{"h1", HTML_PARAGRAPH},
	{"h2", HTML_PARAGRAPH},
	{"h3", HTML_PARAGRAPH},
	{"h4", HTML_PARAGRAPH},
	{"h5", HTML_PARAGRAPH},
	{"h6", HTML_PARAGRAPH},
	{"header", HTML_PARAGRAPH},
	{"hgroup", HTML_PARAGRAPH},
	{"hr", HTML_PARAGRAPH},
	{"iframe", HTML_ASIDE},
	{"legend", HTML_LINE},
	{"li", HTML_ITEM},
	{"listing", HTML_PREFORMATTED},
	{"main", HTML_PARAGRAPH},
	{"menu", HTML_BULLET_LIST},
	{"nav", HTML_ASIDE},
	{"noembed", HTML_ASIDE},
	{"noframes", HTML_ASIDE},
	{"noscript", HTML_ASIDE},
	{"object", HTML_ASIDE},
	{"ol", HTML_NUMBERED_LIST},
	{"p", HTML_PARAGRAPH},
	{"plaintext", HTML_PREFORMATTED},
	{"pre", HTML_PREFORMATTED},
	{"rp", HTML_ASIDE},
	{"script", HTML_CODE},
	{"search", HTML_LINE},
	{"section", HTML_PARAGRAPH},
	{"select", HTML_ASIDE},
	{"style", HTML_CODE},
	{"summary", HTML_LINE},
	{"svg", HTML_ASIDE},
	{"table", HTML_TABLE},
	{"td", HTML_CELL},
	{"template", HTML_ASIDE},
	{"textarea", HTML_ASIDE},
	{"th", HTML_CELL},
	{"title", HTML_ASIDE},
	{"tr", HTML_ROW},
	{"ul", HTML_BULLET_LIST},
	{"video", HTML_ASIDE},
	{"xmp", HTML_PREFORMATTED},
};

static int
compare_name(const void *name, const void *entry)
{
	return strcmp(name, ((const element *) entry)->name);
}

html_role
html_element_role(const char *name)
{
	const element *found = bsearch(name, elements, sizeof(elements) / sizeof(elements[0]),
								   sizeof(elements[0]), compare_name);

	return found ? found->role : HTML_INLINE;
}
