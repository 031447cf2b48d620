/*
 * test_html.c: the text of HTML pages: layout, what is left out, damage, interrupts, time.
 */
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "tap.h"
#include "text/html.h"
#include "text/utf8.h"

static bool
is_valid_utf8(const char *s, size_t length)
{
	size_t		used;

	for (size_t i = 0; i < length; i += used)
	{
		if (utf8_decode(s + i, length - i, &used) == UINT32_MAX)
			return false;
	}
	return true;
}

static void
reads_bytes(const char *name, const char *html, size_t html_length, const char *expected)
{
	char	   *text = NULL;
	size_t		length = 0;
	text_html_status status = text_from_html(html, html_length, NULL, NULL, &text, &length);

	if (!ok(status == TEXT_HTML_DONE && length == strlen(text) && strcmp(text, expected) == 0,
			"%s", name))
		tap_note("status %d: \"%s\"", (int) status, status == TEXT_HTML_DONE ? text : "");
	if (status == TEXT_HTML_DONE)
		free(text);
}

static void
reads(const char *name, const char *html, const char *expected)
{
	reads_bytes(name, html, strlen(html), expected);
}

static void
test_running_text(void)
{
	reads("white space becomes one space", "<p> a \n\t b&nbsp;&nbsp;c </p>", "a b c");
	reads("elements within a line", "<p>a<b>b</b> <i> c</i><x-y>d</x-y>", "ab cd");
	reads("space around inline elements", "<p>a <b> b </b> c", "a b c");
	reads("a line break", "a<br>b<br/>c", "a\nb\nc");
	reads("two line breaks, and three", "a<br><br>b<br><br><br>c", "a\n\nb\n\nc");
	reads("entities", "&lt;&amp;&gt;&quot;&eacute;&#233;&#xe9;", "<&>\"\xC3\xA9\xC3\xA9\xC3\xA9");
	reads("references to windows-1252", "&#147;x&#148; &#151; &#128;",
		  "\xE2\x80\x9Cx\xE2\x80\x9D \xE2\x80\x94 \xE2\x82\xAC");
	reads("references to no character", "a&#0;&#xD800;&#x110000;&#129;b", "ab");
	reads("a soft hyphen", "co&shy;operate", "cooperate");
	reads("characters beyond the BMP", "<p>\xF0\x9F\x98\x80&#x1F600;",
		  "\xF0\x9F\x98\x80\xF0\x9F\x98\x80");
	reads("nothing", "", "");
	reads("nothing but white space", " \n\n ", "");
	reads("no markup", "1 < 2 && x", "1 < 2 && x");
}

static void
test_blocks(void)
{
	reads("paragraphs", "<p>a<p>b</p>c", "a\n\nb\n\nc");
	reads("headings", "<h1>a</h1>b<h2>c</h2><p>d", "a\n\nb\n\nc\n\nd");
	reads("divisions", "<div>a</div><div>b<div>c</div></div>d", "a\nb\nc\nd");
	reads("a rule", "a<hr>b", "a\n\nb");
	reads("code", "<p>x<pre>\n  a\n\n    b &lt;c\t\n</pre>y", "x\n\n  a\n\n    b <c\n\ny");
	reads("code with markup", "<pre>a <b>b</b>\n<span>c</span></pre>", "a b\nc");
	reads("code with line breaks", "<pre>a<br>b\r\nc\rd</pre>", "a\nb\nc\nd");
	reads("code that is empty", "a<pre>\n\n</pre>b", "a\n\nb");
	reads("a list", "x<ul><li>a<li>b c</ul>y", "x\n\n- a\n- b c\n\ny");
	reads("a list of paragraphs", "<ul><li><p>a</p></li><li><p>b</p></li></ul>", "- a\n- b");
	reads("items of several paragraphs", "<ul><li><p>a</p><p>b</p></li><li>c</li></ul>",
		  "- a\n\nb\n\n- c");
	reads("numbers", "<ol><li>a<li>b</ol><ol start=9><li>c<li>d</ol>", "1. a\n2. b\n\n9. c\n10. d");
	reads("lists in lists", "<ul><li>a<ol><li>b</ol><li>c</ul>", "- a\n  1. b\n- c");
	reads("an empty item", "a<ul><li></li></ul>b", "a\n\nb");
	reads("terms", "<dl><dt>a<dd>b<dt>c<dd><p>d</p><p>e</p></dl>f", "a\nb\n\nc\nd\n\ne\n\nf");
	reads("a table", "<table><tr><th>a<th>b<tr><td>c<td>d</table>e", "a | b\nc | d\n\ne");
	reads("empty cells", "<table><tr><td>a<td><td>b<tr><td><td>c<td></table>", "a | | b\n| c");
	reads("paragraphs in cells", "<table><tr><td><p>a</p><td><p>b</p><tr><td><p>c</p></table>",
		  "a | b\nc");
	reads("a table in a cell", "<table><tr><td>a<td><table><tr><td>b<td>c</table></table>",
		  "a | b | c");
}

static void
test_left_out(void)
{
	reads("head, scripts, styles",
		  "<head><title>t</title><style>s</style><script>x<y</script></head><body>a", "a");
	reads("no end of the head", "<head><title>t</title><main>a</main>", "a");
	reads("navigation", "<p>a</p><nav><ul><li>b</ul></nav><p>c", "a\n\nc");
	reads("navigation within navigation", "a<nav>b<nav>c</nav>d</nav><p>e", "a\n\ne");
	reads("navigation at the end of the page", "a<nav>b</nav>", "a");
	reads("navigation that never ends", "<p>a</p><nav>b<p>c", "a\n\nb\n\nc");
	reads("roles and hidden parts", "<div role=navigation>a</div><p hidden>b</p><p>c", "c");
	reads("text around hidden parts", "<div>a<div hidden>b</div>c<b hidden>d</b>e</div>", "a\nce");
	reads("DocBook's headers", "<div class=\"navheader x\">a<div>b</div></div><p>c", "c");
	reads("comments and instructions", "a<!-- b --><?c ?>d", "ad");
	reads("replaced content", "a<svg><text>b</text></svg><video>c</video><select><option>d</select>e",
		  "ae");
}

static void
test_damage(void)
{
	static const char zero[] = "a\0b";

	reads("crossing elements", "<b><i>a</b>b</i>c", "abc");
	reads("ends without a start", "</div></p></table>a", "a");
	reads("a tag that is cut off", "a<p class=\"x", "a");
	reads("an entity that is cut off", "a&am", "a&am");
	reads("a comment that is cut off", "a<!-- b", "a");
	reads("a script that is cut off", "a<script>b", "a");
	reads("the declared encoding is ignored",
		  "<meta charset=iso-8859-1><meta http-equiv=Content-Type content='text/html; charset=utf-16'>"
		  "<p>\xC3\xA9", "\xC3\xA9");
	reads("a byte order mark", "\xEF\xBB\xBF<p>a", "a");
	reads("bytes that are no UTF-8", "a\xFF" "b\xC3", "a\xEF\xBF\xBD" "b\xEF\xBF\xBD");
	reads_bytes("a NUL", zero, 3, "a b");
	reads("no external entities", "<!DOCTYPE a [<!ENTITY b SYSTEM 'file:///etc/passwd'>]><p>&b;",
		  "]>\n\n&b;");
}

/* ---------- sizes ---------- */

static char *
repeat(const char *unit, size_t times, const char *then)
{
	size_t		length = strlen(unit);
	char	   *all = malloc(length * times + strlen(then) + 1);

	for (size_t i = 0; i < times; i++)
		memcpy(all + i * length, unit, length);
	strcpy(all + length * times, then);
	return all;
}

static bool
always(void *context)
{
	++*(int *) context;
	return true;
}

static void
test_sizes(void)
{
	size_t		times = getenv("RAG_TEST_QUICK") ? 20000 : 200000;
	char	   *deep = repeat("<div>", times, "a");
	char	   *lists = repeat("<ul><li>", times, "a");
	char	   *tables = repeat("<table><tr><td>", times, "a");
	char	   *nothing = repeat("</i>", times, "a");
	char	   *text = NULL;
	size_t		length;
	int			asked = 0;

	reads("deep elements", deep, "a");
	reads("deep tables", tables, "a");
	reads("only errors", nothing, "a");
	ok(text_from_html(lists, strlen(lists), NULL, NULL, &text, &length) == TEXT_HTML_DONE &&
	   length < 40, "deep lists are not indented without end");
	free(text);
	ok(text_from_html(deep, strlen(deep), always, &asked, &text, &length) == TEXT_HTML_INTERRUPTED &&
	   asked == 1, "an interrupt ends the call");
	asked = 0;
	ok(text_from_html(nothing, strlen(nothing), always, &asked, &text, &length) ==
	   TEXT_HTML_INTERRUPTED && asked == 1, "errors alone can be interrupted, too");
	ok(text_from_html(deep, TEXT_HTML_MAX_LENGTH + 1, NULL, NULL, &text, &length) ==
	   TEXT_HTML_TOO_LONG, "a page that is too long is refused unread");
	free(deep);
	free(lists);
	free(tables);
	free(nothing);
}

/* A page of 8 MB of one unit: work that grows with the square of the page would not end within hours. */
static void
test_long(const char *unit)
{
	size_t		bytes = getenv("RAG_TEST_QUICK") ? (size_t) 1 << 20 : (size_t) 8 << 20;
	char	   *html = repeat(unit, bytes / strlen(unit), "");
	char	   *text = NULL;
	size_t		length = 0;

	ok(text_from_html(html, strlen(html), NULL, NULL, &text, &length) == TEXT_HTML_DONE &&
	   is_valid_utf8(text, length), "%zu kB of %s", bytes / 1024, unit);
	free(html);
	free(text);
}

int
main(void)
{
	test_running_text();
	test_blocks();
	test_left_out();
	test_damage();
	test_sizes();
	test_long("<p>some words <b>of</b> a page</p>\n");
	test_long("<ul><li>");
	test_long("<table><tr><td>");
	test_long("&eacute;");
	test_long("<nav>");
	test_long("\xFF");
	return tap_done();
}
