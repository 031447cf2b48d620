/*
 * html_elements.h: what each HTML element means for the text of a page.
 */
#ifndef RAG_TEXT_HTML_ELEMENTS_H
#define RAG_TEXT_HTML_ELEMENTS_H

typedef enum html_role
{
	HTML_INLINE,				/* part of a line, as is every unknown element */
	HTML_LINE,					/* lines of its own */
	HTML_PARAGRAPH,				/* blank lines around it */
	HTML_LINE_BREAK,
	HTML_PREFORMATTED,
	HTML_BULLET_LIST,
	HTML_NUMBERED_LIST,
	HTML_ITEM,
	HTML_DESCRIPTION,			/* dd */
	HTML_TABLE,
	HTML_ROW,
	HTML_CELL,
	HTML_ASIDE,					/* no part of the text: navigation, controls, replaced content */
	HTML_CODE					/* never text: scripts and styles */
} html_role;

/* By the name as libxml2 gives it, in lower case. */
extern html_role html_element_role(const char *name);

#endif							/* RAG_TEXT_HTML_ELEMENTS_H */
