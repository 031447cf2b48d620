-- COPY of halfvec, sparsevec and bit, and the binary form from hostile clients.

\set file `mktemp -u /tmp/rag-copy.XXXXXX`
\setenv RAG_TEST_FILE :file
CREATE TABLE copied (id int, h halfvec(3), s sparsevec(5), b bit(10));
INSERT INTO copied VALUES (1, '[1,-0,65504]', '{1:1.5,5:-1e-45}/5', '1010000011'), (2, '[6e-8,0.1,3]', '{}/5', '0000000000'),
	(3, NULL, NULL, NULL);
CREATE TABLE copies (LIKE copied);
COPY copied TO STDOUT;
COPY copied TO :'file';
COPY copies FROM :'file';
COPY copied TO :'file' WITH (FORMAT binary);
COPY copies FROM :'file' WITH (FORMAT binary);
SELECT c.id, count(*), bool_and((c.h, c.s, c.b) IS NOT DISTINCT FROM (d.h, d.s, d.b)) AS same
FROM copied c JOIN copies d USING (id) GROUP BY 1 ORDER BY 1;
COPY copied (h) FROM STDIN;
[1,2]
\.
COPY copied (s) FROM STDIN;
{1:1}/4
\.
SELECT halfvec_send('[1,-2,0.1]'), sparsevec_send('{1:1.5,3:3.5}/5'), sparsevec_send('{}/7');

-- receive(field, type): what a binary COPY with this one field brings
CREATE FUNCTION receive(file text, field bytea, type text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	stream bytea := '\x5047434f50590aff0d0a00'::bytea || int8send(0) || int2send(1::int2) ||
		int4send(length(field)) || field || '\xffff'::bytea;
	result text;
BEGIN
	PERFORM lo_from_bytea(4242, stream);
	PERFORM lo_export(4242, file);
	PERFORM lo_unlink(4242);
	EXECUTE format('CREATE TEMP TABLE received (v %s) ON COMMIT DROP', type);
	EXECUTE format('COPY received FROM %L (FORMAT binary)', file);
	EXECUTE 'SELECT v::text FROM received' INTO result;
	DROP TABLE received;
	RETURN result;
EXCEPTION WHEN OTHERS THEN
	RETURN SQLSTATE || ' ' || SQLERRM;
END
$$;
SELECT name, type, receive(:'file', field, type)
FROM (VALUES
	(1, 'right', 'halfvec', '\x00030000 3c00 8000 7bff'),
	(2, 'smallest', 'halfvec(3)', '\x00030000 0001 8001 0000'),
	(3, 'no dimension', 'halfvec', '\x00000000'),
	(4, 'negative dimension', 'halfvec', '\xffff0000'),
	(5, 'too many dimensions', 'halfvec', '\x3e810000'),
	(6, 'fewer elements', 'halfvec', '\x00030000 3c00 4000'),
	(7, 'more elements', 'halfvec', '\x00010000 3c00 4000'),
	(8, 'other dimension', 'halfvec(3)', '\x00010001 7e00'),
	(9, 'unused set', 'halfvec', '\x00010001 3c00'),
	(10, 'NaN', 'halfvec', '\x00020000 3c00 7e00'),
	(11, 'infinity', 'halfvec', '\x00020000 fc00 7e00'),
	(12, 'empty', 'halfvec', '\x'),
	(21, 'right', 'sparsevec', '\x00000005 00000002 00000000 00000000 00000002 3fc00000 40600000'),
	(22, 'none', 'sparsevec(5)', '\x00000005 00000000 00000000'),
	(23, 'no dimension', 'sparsevec', '\x00000000 00000001 00000000 00000000 3fc00000'),
	(24, 'negative dimension', 'sparsevec', '\xffffffff 00000000 00000000'),
	(25, 'too many dimensions', 'sparsevec', '\x3b9aca01 00000000 00000000'),
	(26, 'negative number', 'sparsevec(3)', '\x00000005 ffffffff 00000000'),
	(27, 'largest number', 'sparsevec', '\x3b9aca00 7fffffff 00000000'),
	(28, 'more than dimensions', 'sparsevec', '\x00000002 00000003 00000000'),
	(29, 'other dimension', 'sparsevec(3)', '\x00000005 00000001 00000001 00000009 3fc00000'),
	(30, 'unused set', 'sparsevec', '\x00000005 00000000 00000001'),
	(31, 'index beyond', 'sparsevec', '\x00000005 00000001 00000000 00000005 3fc00000'),
	(32, 'negative index', 'sparsevec', '\x00000005 00000001 00000000 ffffffff 3fc00000'),
	(33, 'falling indices', 'sparsevec', '\x00000005 00000002 00000000 00000002 00000001 3fc00000 40600000'),
	(34, 'one index twice', 'sparsevec', '\x00000005 00000002 00000000 00000002 00000002 3fc00000 40600000'),
	(35, 'zero', 'sparsevec', '\x00000005 00000001 00000000 00000000 00000000'),
	(36, 'negative zero', 'sparsevec', '\x00000005 00000001 00000000 00000000 80000000'),
	(37, 'NaN', 'sparsevec', '\x00000005 00000001 00000000 00000000 7fc00000'),
	(38, 'infinity', 'sparsevec', '\x00000005 00000001 00000000 00000000 7f800000'),
	(39, 'fewer values', 'sparsevec', '\x00000005 00000001 00000000 00000000'),
	(40, 'more values', 'sparsevec', '\x00000005 00000000 00000000 00000000')) c(n, name, type, hex),
	LATERAL (SELECT decode(replace(substr(hex, 3), ' ', ''), 'hex') AS field) f
ORDER BY n;
DROP FUNCTION receive;
\! rm -f "$RAG_TEST_FILE"
DROP TABLE copied, copies;
