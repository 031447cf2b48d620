-- COPY, text and binary; the binary form from hostile clients.
\set file `mktemp /tmp/rag-vector-copy.XXXXXX`
\setenv RAG_TEST_FILE :file

CREATE TABLE vector_copy (id int, v vector(3), w vector);
INSERT INTO vector_copy VALUES (1, '[0,-0,1e-45]', '[1]'), (2, '[3.4028235e38,-1.5,0.1]', NULL), (3, NULL, '[1,2,3,4,5]');
INSERT INTO vector_copy VALUES (4, '[1,2,3]', array_fill(0.1, ARRAY[16000]));
CREATE TABLE vector_copied (LIKE vector_copy);

COPY vector_copy TO :'file' (FORMAT text);
COPY vector_copied FROM :'file' (FORMAT text);
SELECT count(*) FROM vector_copy a JOIN vector_copied b USING (id)
WHERE a.v::text IS NOT DISTINCT FROM b.v::text AND a.w::text IS NOT DISTINCT FROM b.w::text;
TRUNCATE vector_copied;

COPY vector_copy TO :'file' (FORMAT binary);
COPY vector_copied FROM :'file' (FORMAT binary);
SELECT count(*) FROM vector_copy a JOIN vector_copied b USING (id)
WHERE a.v::text IS NOT DISTINCT FROM b.v::text AND a.w::text IS NOT DISTINCT FROM b.w::text;
DROP TABLE vector_copy, vector_copied;

COPY (SELECT '[1,2.5]'::vector, '[1.5]'::vector(1)) TO STDOUT;
COPY (SELECT '[1,2.5]'::vector, '[1.5]'::vector(1)) TO STDOUT (FORMAT csv);

-- the binary form: int16 dim, int16 0, float4 for each dimension, all big-endian
SELECT vector_send('[1,2.5,-3]'), length(vector_send(array_fill(0, ARRAY[16000])::vector));

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
	(1, 'right', '\x00030000 3f800000 40000000 40400000'),
	(2, 'smallest and largest', '\x00030000 80000000 00000001 7f7fffff'),
	(3, 'no dimension', '\x00000000'),
	(4, 'negative dimension', '\xffff0000'),
	(5, 'too many dimensions', '\x3e810000'),
	(6, 'fewer elements', '\x00030000 3f800000 40000000'),
	(7, 'part of an element', '\x00010000 3f8000'),
	(8, 'more elements', '\x00030000 3f800000 40000000 40400000 40400000'),
	(9, 'other dimension', '\x00020000 3f800000 40000000'),
	(10, 'unused set', '\x00030001 3f800000 40000000 40400000'),
	(11, 'unused negative', '\x0003fffb 3f800000 40000000 40400000'),
	(12, 'NaN', '\x00030000 3f800000 7fc00000 40400000'),
	(13, 'signalling NaN', '\x00030000 3f800000 7f800001 40400000'),
	(14, 'infinity', '\x00030000 3f800000 7f800000 40400000'),
	(15, 'negative infinity', '\x00030000 3f800000 ff800000 40400000'),
	(16, 'empty', '\x'),
	(17, 'one byte', '\x00'),
	(18, 'half a header', '\x0003')) c(n, name, hex),
	(VALUES ('vector'), ('vector(3)')) t(type),
	LATERAL (SELECT decode(replace(substr(hex, 3), ' ', ''), 'hex') AS field) f
ORDER BY n, type;
DROP FUNCTION receive;
\! rm -f "$RAG_TEST_FILE"

-- text from a client
CREATE TEMP TABLE vector_text (v vector(2));
COPY vector_text FROM STDIN;
[1,2]
 [ 3 , 4 ] 
\N
\.
COPY vector_text FROM STDIN;
[1,2
\.
COPY vector_text FROM STDIN;
[1,2,3]
\.
COPY vector_text FROM STDIN;

\.
SELECT * FROM vector_text;
