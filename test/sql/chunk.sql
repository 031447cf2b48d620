-- chunk(): LangChain's RecursiveCharacterTextSplitter, exact positions, wrong arguments.
\set data `echo "$RAG_TEST_DATA"`
CREATE TEMP TABLE golden AS SELECT pg_read_file(:'data' || '/splitter.json')::jsonb AS j;
CREATE TEMP TABLE texts AS SELECT key, value FROM golden, jsonb_each_text(j -> 'texts');
CREATE TEMP TABLE cases AS
SELECT texts.value AS text, (c ->> 'size')::int AS size, (c ->> 'overlap')::int AS overlap,
       CASE WHEN c ? 'separators' THEN ARRAY(SELECT jsonb_array_elements_text(c -> 'separators')) END AS separators,
       c ->> 'keep_separator' AS keep_separator, (c ->> 'strip_whitespace')::boolean AS strip_whitespace,
       ARRAY(SELECT s::int FROM jsonb_array_elements_text(c -> 'spans') WITH ORDINALITY e(s, n) ORDER BY n) AS spans,
       ARRAY(SELECT s FROM jsonb_array_elements_text(c -> 'chunks') WITH ORDINALITY e(s, n) ORDER BY n) AS chunks,
       c ? 'spans' AS exact
FROM golden, jsonb_array_elements(j -> 'cases') c JOIN texts ON key = c ->> 'text';

-- default separators: where each chunk starts and how long it is, in the order of the chunks
SELECT count(*) AS cases, sum(cardinality(spans) / 2) AS chunks,
       count(*) FILTER (WHERE spans <> ARRAY(
           SELECT v FROM chunk(text, size, overlap), LATERAL (VALUES (1, start_pos), (2, end_pos - start_pos)) u(i, v)
           ORDER BY ord, i)) AS wrong
FROM cases WHERE exact;
-- the other parameters: the texts of the chunks
SELECT coalesce(keep_separator, 'start') AS keep, strip_whitespace, separators, count(*) AS cases,
       sum(cardinality(chunks)) AS chunks,
       count(*) FILTER (WHERE chunks <> ARRAY(
           SELECT c.chunk FROM chunk(text, size, overlap, separators, keep_separator, strip_whitespace) c
           ORDER BY ord)) AS wrong
FROM cases WHERE NOT exact
GROUP BY 1, 2, 3 ORDER BY 1, 2, 3;
-- positions: characters before the chunk, characters up to its end
SELECT count(*) AS wrong
FROM cases, chunk(text, size, overlap) c
WHERE exact AND size > 50 AND c.chunk IS DISTINCT FROM substr(text, start_pos + 1, end_pos - start_pos);

SELECT * FROM chunk(E'Grüße aus Köln.\n\nZweiter Absatz, etwas länger.\nEnde.', 20, 5);
SELECT ord, chunk FROM chunk('one. two. three. four', 12, 0, ARRAY['. '], 'end');
SELECT ord, chunk, start_pos, end_pos FROM chunk('a,b,,c', 4, 0, ARRAY[','], 'none');
SELECT ord, '[' || chunk || ']' AS chunk FROM chunk('a b  c ', 3, 0, strip_whitespace => false);
-- NULL and nothing
SELECT * FROM chunk(NULL);
SELECT * FROM chunk('');
SELECT * FROM chunk(E' \n\n \t');
SELECT ord, length(chunk) FROM chunk(repeat('word ', 300), NULL, NULL, NULL, NULL, NULL);
SELECT ord, chunk FROM chunk('aa bb cc', 5, NULL, '{}');
-- in the SELECT list, ended early, for many rows
SELECT chunk(repeat('abc ', 1000), 8, 0) LIMIT 2;
SELECT n, count(*) FROM generate_series(0, 3) n, chunk(repeat('text ', n * 10), 10, 0) GROUP BY n ORDER BY n;
-- wrong arguments
SELECT * FROM chunk('text', 0);
SELECT * FROM chunk('text', -5);
SELECT * FROM chunk('text', 2147483647);
SELECT * FROM chunk('text', 100, -1);
SELECT * FROM chunk('text', 50);
SELECT * FROM chunk(NULL, 50);
SELECT * FROM chunk('text', 50, 5, ARRAY['a', NULL]);
SELECT * FROM chunk('text', 50, 5, ARRAY[['a'], ['b']]);
SELECT * FROM chunk('text', 50, 5, keep_separator => 'middle');
-- 10 MB, and one that is stopped
SELECT count(*), max(length(chunk)) FROM chunk(repeat(E'some words of a line\n', 500000));
SELECT count(*), max(length(chunk)) FROM chunk(repeat('x', 10000000));
SELECT count(*) FROM chunk(repeat(' ', 10000000));
SET statement_timeout = '300ms';
SELECT count(*) FROM chunk(repeat('x', 10000000), 10000, 9999);
RESET statement_timeout;
-- a database that is not in UTF-8: characters stay characters
SET client_min_messages = warning;
CREATE DATABASE regression_chunk_latin1 TEMPLATE template0 ENCODING 'LATIN1' LC_COLLATE 'C' LC_CTYPE 'C';
\connect regression_chunk_latin1
SET client_encoding = 'UTF8';
CREATE EXTENSION rag;
SELECT * FROM chunk('Grüße aus Köln', 6, 0, ARRAY['ß', ' ']);
SELECT rag.html_to_text('<p>caf&eacute; <b>Grüße</b>');
SELECT rag.html_to_text('<p>&hearts;');
\connect contrib_regression
DROP DATABASE regression_chunk_latin1;
