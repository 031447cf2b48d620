/*
 * html.h: the text of an HTML page, as a reader would write it down.
 *
 *     char *text;
 *     size_t text_length;
 *     status = text_from_html(html, length, NULL, NULL, &text, &text_length);
 *     if (status == TEXT_HTML_DONE) { ... free(text); }
 *
 * Paragraphs, headings, lists and tables are set apart by blank lines; list items begin with "- " or
 * their number, table rows are lines with " | " between cells, code keeps its lines and spaces.
 * Scripts, styles, the head and navigation are left out. The language of the page does not matter,
 * its declared encoding is not looked at: the bytes are UTF-8, and what is not becomes U+FFFD.
 *
 * No page is refused: broken HTML is read as libxml2's parser recovers from it. There is no network
 * access, no external entity, no recursion, and no state outside the call.
 */
#ifndef RAG_TEXT_HTML_H
#define RAG_TEXT_HTML_H

#include <stdbool.h>
#include <stddef.h>

typedef enum text_html_status
{
	TEXT_HTML_DONE,
	TEXT_HTML_INTERRUPTED,
	TEXT_HTML_TOO_LONG,			/* the page is longer than TEXT_HTML_MAX_LENGTH */
	TEXT_HTML_NO_MEMORY
} text_html_status;

#define TEXT_HTML_MAX_LENGTH ((size_t) 1 << 30)

/* Asked often, must not block or jump; true ends the call with TEXT_HTML_INTERRUPTED. */
typedef bool (*text_interrupted) (void *context);

/*
 * On TEXT_HTML_DONE *text is the caller's to free, valid UTF-8 without NUL, of *text_length bytes
 * and a NUL behind them. interrupted may be NULL.
 */
extern text_html_status text_from_html(const char *html, size_t length,
									   text_interrupted interrupted, void *context,
									   char **text, size_t *text_length);

#endif							/* RAG_TEXT_HTML_H */
