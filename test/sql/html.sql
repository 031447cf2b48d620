-- rag.html_to_text(): what a page says, however broken it is.
\pset format unaligned
\pset tuples_only on
SELECT rag.html_to_text($$<!DOCTYPE html>
<html lang="en"><head><title>Title</title><meta charset="iso-8859-1"><style>p { color: red }</style>
<script>if (a < b) document.write("<p>no</p>")</script></head>
<body><nav><ul><li>Home<li>About</ul></nav><main><h1>The   heading</h1>
<p>A paragraph with <b>bold</b>, <a href="x">a link</a>&nbsp;and <code>code</code>,
over two lines.<p>Another&mdash;with &lt;entities&gt; &amp; &#8364; &#x1F600; &#150; caf&eacute; co&shy;op.
<ul><li>one<li><p>two</p></li><li>three<ol start=3><li>a</li><li><p>b</p><p>more</p></li></ol></ul>
<dl><dt>term<dd>what it means<dt>other<dd><p>something else</dl>
<pre class="programlisting">
SELECT 1,
       2;

-- done   </pre>
<table><caption>Numbers</caption><tr><th>n</th><th>name</th></tr><tr><td>1</td><td>one</td></tr>
<tr><td></td><td><p>empty</p></td><td></td></tr></table>
First<br>second<br><br>third
<footer>The end</footer></main></body></html>$$);
\echo === left out
SELECT rag.html_to_text('a<div hidden>b</div>c<div role="banner navigation">d<div>e</div></div>f'
    '<svg><text>g</text></svg><select><option>h</select><noscript>i</noscript><template><p>j</template>'
    '<div class="x navfooter">k</div><style>l</style><!-- m --><?n ?><textarea>o</textarea>p');
\echo === never closed
SELECT rag.html_to_text('<p>before<nav>menu<p>after');
SELECT rag.html_to_text('<p>before<script>var x = 1; <p>not text');
SELECT rag.html_to_text('<title>t</title><main>no body');
SELECT rag.html_to_text('<p>a</p></nav></body></html><p>b');
\echo === broken
SELECT quote_nullable(rag.html_to_text(t)) FROM unnest(ARRAY[NULL, '', ' ', '<', '<!--', '&', '&#', '&#0;',
    '&#xD800;', '&#99999999999999999999;', '&nosuch;', 'a < b > c', '<p', '<p class="', '<p class=''x', '<a><b><i>x</a></b></i>',
    '<table>x<tr>y<td>z', '<li>loose', '</p></p>x', '<!DOCTYPE x [<!ENTITY a "b">]>&a;', '<ol start="99999999999"><li>n',
    E'\u0001\u0002x\u000cy', '<P><B>UPPER</B></P>', '<x-y>custom</x-y>']) t;
SELECT rag.html_to_text('<?xml version="1.0"?><!DOCTYPE r [<!ENTITY x SYSTEM "file:///etc/passwd">]><p>&x;</p>');
\echo === the same twice
SELECT rag.html_to_text('just text, no markup: 1 < 2 && 3 > 2');
\echo === deep and large
SELECT length(rag.html_to_text(repeat('<div>', 100000) || 'deep')), length(rag.html_to_text(repeat('<ul><li>', 20000) || 'x'));
SELECT length(rag.html_to_text(repeat('<p>word</p>', 900000)));
SELECT length(rag.html_to_text('<p title="' || repeat('x', 11000000) || '">word<!--' || repeat('y', 11000000) || '-->s</p>'));
SELECT rag.html_to_text(repeat('<table><tr><td>', 5000) || 'cell');
SET statement_timeout = '100ms';
SELECT rag.html_to_text(repeat('<b>', 400000) || repeat('</i>', 400000));
RESET statement_timeout;
SELECT rag.html_to_text('still here');
