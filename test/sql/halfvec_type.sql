-- The halfvec type: text form, type modifier, storage, order, what is none.

-- text form: a number is rounded to the nearest half, and printed so that it reads back
SELECT '[1,2,3]'::halfvec, E' \t[ 1\n,  2 ,\r\f\x0b3  ] \n'::halfvec, '[-1,+2,.5,5.,1e3,-2.5E-3,0x10]'::halfvec;
SELECT '[0.1,0.3,3.14159,2049,2051,4097,1.00048828125,1.000488282]'::halfvec;
SELECT '[65504,65519,-65519.99,6.1035156e-05,6.09756e-05,5.9604645e-08]'::halfvec;
SELECT '[0,-0,2.9802322e-08,2.9802323e-08,-1e-9,1e-46,1e-4000]'::halfvec;
SELECT count(*) AS halves, count(*) FILTER (WHERE v::text::halfvec IS DISTINCT FROM v) AS lost
FROM (SELECT ARRAY[sin(n) * power(2, n % 40 - 25)]::halfvec AS v FROM generate_series(1, 4000) n) s;

-- type modifier
SELECT '[1,2,3]'::halfvec(3), '[1,2,3]'::halfvec::halfvec(3), '{"[1,2,3]",NULL}'::halfvec(3)[];
SELECT '[1,2,3]'::halfvec(2);
SELECT '{"[1,2,3]","[1,2]"}'::halfvec(3)[];
SELECT '[1]'::halfvec('a');
SELECT '[1]'::halfvec(1, 2);
SELECT '[1]'::halfvec(0);
SELECT '[1]'::halfvec(16001);
SELECT halfvec_typmod_in('{3}'), halfvec_in('[1,2]', 0, 2), halfvec_in('[1,2]', 0, -1);
SELECT halfvec_in('[1,2]', 0, 3);
CREATE TABLE halfvec_type (id int, v halfvec(3), w halfvec);
SELECT attname, format_type(atttypid, atttypmod), attstorage
FROM pg_attribute WHERE attrelid = 'halfvec_type'::regclass AND attnum > 0 ORDER BY attnum;
INSERT INTO halfvec_type VALUES (1, '[1,2,3]', '[1]'), (2, NULL, '[1,2]');
INSERT INTO halfvec_type (v) VALUES ('[1,2]');
UPDATE halfvec_type SET v = w WHERE id = 1;
ALTER TABLE halfvec_type ALTER COLUMN v TYPE halfvec(2);
SELECT * FROM halfvec_type ORDER BY id;
DROP TABLE halfvec_type;

-- what is none
\set VERBOSITY sqlstate
SELECT '[hello,1]'::halfvec;
SELECT '[NaN]'::halfvec;
SELECT '[-Infinity]'::halfvec;
SELECT '[65520]'::halfvec;
SELECT '[]'::halfvec;
SELECT ('[' || repeat('1,', 16000) || '1]')::halfvec;
SELECT '[1,2]'::halfvec <-> '[3]';
SELECT '[6e4]'::halfvec + '[6e4]';
\set VERBOSITY default
SELECT ''::halfvec;
SELECT '1,2'::halfvec;
SELECT '[1,2'::halfvec;
SELECT '[1,2]]'::halfvec;
SELECT '[1,,2]'::halfvec;
SELECT '[1,]'::halfvec;
SELECT '[1 2]'::halfvec;
SELECT '[ ]'::halfvec;
SELECT '[nan,1]'::halfvec;
SELECT '[inf,1]'::halfvec;
SELECT '[65520,x]'::halfvec;
SELECT '[1, -65520.0 ]'::halfvec;
SELECT '[4e38]'::halfvec;
SELECT '[1e400,1'::halfvec;
SELECT ('[' || repeat('1,', 16000) || 'x')::halfvec;

-- storage: 8 bytes and 2 for each dimension, out of line when large
SELECT pg_column_size('[1,2,3]'::halfvec), pg_column_size(array_fill(1, ARRAY[16000])::halfvec);
CREATE TABLE halfvec_toast (id int, v halfvec);
INSERT INTO halfvec_toast
SELECT n, (SELECT array_agg((i * n) % 100 ORDER BY i) FROM generate_series(1, 16000) i)::halfvec
FROM generate_series(1, 3) n;
SELECT pg_relation_size(reltoastrelid) > 3 * 32000 AS out_of_line
FROM pg_class WHERE oid = 'halfvec_toast'::regclass;
SELECT id, vector_dims(v), pg_column_size(v), md5(v::text) = md5((SELECT '[' ||
	string_agg(((i * id) % 100)::text, ',' ORDER BY i) || ']' FROM generate_series(1, 16000) i)) AS intact
FROM halfvec_toast ORDER BY id;
DROP TABLE halfvec_toast;

-- order
CREATE TABLE halfvec_btree (id int, v halfvec);
INSERT INTO halfvec_btree VALUES (1, '[1,2,3]'), (2, '[1,2]'), (3, '[1]'), (4, '[-1,5]'), (5, '[1,2,3]'), (6, NULL),
	(7, '[0]'), (8, '[-0]'), (9, '[6e-8]'), (10, '[65504]'), (11, '[-6e-8]');
SELECT id, v FROM halfvec_btree ORDER BY v, id;
SELECT count(DISTINCT v), max(id) FROM halfvec_btree;
CREATE INDEX ON halfvec_btree (v);
SET enable_seqscan = off;
SET enable_bitmapscan = off;
EXPLAIN (COSTS OFF) SELECT id FROM halfvec_btree WHERE v = '[1,2,3]';
SELECT id FROM halfvec_btree WHERE v = '[1,2,3]' ORDER BY id;
SELECT id FROM halfvec_btree WHERE v BETWEEN '[-1]' AND '[0]' ORDER BY v, id;
SELECT v FROM halfvec_btree ORDER BY v DESC NULLS LAST LIMIT 1;
RESET enable_seqscan;
RESET enable_bitmapscan;
DROP TABLE halfvec_btree;
CREATE TABLE halfvec_unique (v halfvec(2) PRIMARY KEY);
INSERT INTO halfvec_unique VALUES ('[1,2]'), ('[1,3]');
INSERT INTO halfvec_unique VALUES ('[1,2.0001]');
DROP TABLE halfvec_unique;
SELECT a < b AS lt, a <= b AS le, a = b AS eq, a <> b AS ne, a >= b AS ge, a > b AS gt, halfvec_cmp(a, b)
FROM (VALUES ('[1,2,3]'::halfvec, '[1,2,3]'::halfvec), ('[1,2,3]', '[0,0,0]'), ('[1,2]', '[1,2,3]'), ('[2]', '[1,2]'),
	('[0]', '[-0]'), ('[-2]', '[-1]'), ('[1]', NULL)) v(a, b);

-- where PostgreSQL knows soft errors (16 and later), wrong input is one
DO $$
DECLARE
	input text;
	valid bool;
BEGIN
	IF current_setting('server_version_num')::int >= 160000 THEN
		FOREACH input IN ARRAY ARRAY['', '[', '[]', '[1,2', '[1,2] x', '[1,2,3]', '[nan,1]', '[inf,1]', '[1,65520]'] LOOP
			EXECUTE 'SELECT pg_input_is_valid($1, $2)' INTO valid USING input, 'halfvec(2)';
			ASSERT NOT valid, input;
		END LOOP;
		EXECUTE 'SELECT pg_input_is_valid($1, $2)' INTO valid USING '[1,2]', 'halfvec(2)';
		ASSERT valid;
	END IF;
END
$$;
