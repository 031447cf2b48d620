-- The sparsevec type: text form, type modifier, storage, order, what is none.

-- text form: zeros are left out, indices are sorted
SELECT '{1:1.5,3:3.5}/5'::sparsevec, '{3:3.5,1:1.5}/5'::sparsevec, '{}/5'::sparsevec, '{1:0,2:1,3:-0,9:0}/5'::sparsevec;
SELECT E' \t{\n 1 :\r1.5 , 3\f: 3.5\x0b}  /  5 \n'::sparsevec, '{ }/5'::sparsevec, '{+01:+.5,2:0x10}/+05'::sparsevec;
SELECT '{1:0.1,2:3.4028235e38,3:1e-45,1000000000:-2}/1000000000'::sparsevec;
SELECT '{1:1,1:0}/5'::sparsevec, '{-1:0,1:1}/5'::sparsevec;

-- type modifier
SELECT '{1:1}/5'::sparsevec(5), '{1:1}/5'::sparsevec::sparsevec(5), '{"{1:1}/5",NULL}'::sparsevec(5)[];
SELECT '{1:1}/5'::sparsevec(4);
SELECT '{"{1:1}/5"}'::sparsevec(4)[];
SELECT '{1:1}/5'::sparsevec(0);
SELECT '{1:1}/5'::sparsevec(1000000001);
SELECT '{1:1}/5'::sparsevec(1, 2);
SELECT sparsevec_typmod_in('{1000000000}'), sparsevec_in('{1:1}/5', 0, 5), sparsevec_in('{1:1}/5', 0, -1);
SELECT sparsevec_in('{1:1}/5', 0, 3);
CREATE TABLE sparsevec_type (id int, v sparsevec(5), w sparsevec);
SELECT attname, format_type(atttypid, atttypmod), attstorage
FROM pg_attribute WHERE attrelid = 'sparsevec_type'::regclass AND attnum > 0 ORDER BY attnum;
INSERT INTO sparsevec_type VALUES (1, '{1:1}/5', '{}/3'), (2, NULL, '{}/1');
INSERT INTO sparsevec_type (v) VALUES ('{1:1}/4');
UPDATE sparsevec_type SET v = w WHERE id = 1;
SELECT * FROM sparsevec_type ORDER BY id;
DROP TABLE sparsevec_type;

-- what is none: braces and dimensions
\set VERBOSITY sqlstate
SELECT '{1:x}/5'::sparsevec;
SELECT '{1:NaN}/5'::sparsevec;
SELECT '{1:inf}/5'::sparsevec;
SELECT '{1:4e38}/5'::sparsevec;
SELECT '{6:1}/5'::sparsevec;
SELECT '{}/0'::sparsevec;
SELECT '{}/1000000001'::sparsevec;
SELECT repeat(',', 16000)::sparsevec;
\set VERBOSITY default
SELECT ''::sparsevec;
SELECT '1:1}/5'::sparsevec;
SELECT '{'::sparsevec;
SELECT '{1:1'::sparsevec;
SELECT '{1:1}'::sparsevec;
SELECT '{1:1}x/5'::sparsevec;
SELECT '{1:1}/'::sparsevec;
SELECT '{1:1}/x'::sparsevec;
SELECT '{1:1}/5x'::sparsevec;
SELECT '{1:1}/5 5'::sparsevec;
SELECT '{1:1}/5.5'::sparsevec;
SELECT '{1:1}}/5'::sparsevec;
SELECT '{1:1}/0'::sparsevec;
SELECT '{}/-1'::sparsevec;
SELECT '{}/1000000001'::sparsevec;
SELECT '{}/99999999999999999999'::sparsevec;
SELECT '{}/-99999999999999999999'::sparsevec;

-- elements
SELECT '{,}/5'::sparsevec;
SELECT '{1:1,}/5'::sparsevec;
SELECT '{,1:1}/5'::sparsevec;
SELECT '{1}/5'::sparsevec;
SELECT '{1:}/5'::sparsevec;
SELECT '{:1}/5'::sparsevec;
SELECT '{1:1;2:2}/5'::sparsevec;
SELECT '{1 1:1}/5'::sparsevec;
SELECT '{1.5:1}/5'::sparsevec;
SELECT '{0x1:1}/5'::sparsevec;
SELECT '{a:1}/5'::sparsevec;
SELECT '{1:a}/5'::sparsevec;
SELECT '{1:nan}/5'::sparsevec;
SELECT '{1:-inf}/5'::sparsevec;
SELECT '{1:4e38}/5'::sparsevec;
SELECT '{1:1e-46}/5'::sparsevec;

-- indices
SELECT '{0:1}/5'::sparsevec;
SELECT '{-1:1}/5'::sparsevec;
SELECT '{6:1}/5'::sparsevec;
SELECT '{2147483648:1}/5'::sparsevec;
SELECT '{-2147483649:1}/5'::sparsevec;
SELECT '{99999999999999999999:1}/5'::sparsevec;
SELECT '{1:1,1:2}/5'::sparsevec;
SELECT '{5:1,5:2,0:1}/5'::sparsevec;
SELECT '{5:1,5:2,6:1}/5'::sparsevec;

-- 16,000 elements, zeros among them, are the most
SELECT pg_column_size(('{' || string_agg(i || ':1', ',') || '}/20000')::sparsevec) FROM generate_series(1, 16000) i;
SELECT ('{' || string_agg(i || ':1', ',') || '}/20000')::sparsevec FROM generate_series(1, 16001) i;
SELECT ('{' || string_agg(i || ':0', ',') || '}/20000')::sparsevec FROM generate_series(1, 16001) i;

-- storage: 16 bytes and 8 for each element, out of line when large
SELECT pg_column_size('{}/5'::sparsevec), pg_column_size('{1:1,2:2}/5'::sparsevec);
CREATE TABLE sparsevec_toast (id int, v sparsevec);
INSERT INTO sparsevec_toast SELECT n, ('{' || string_agg(i * n || ':' || i, ',') || '}/90000')::sparsevec
FROM generate_series(1, 3) n, generate_series(1, 10000) i GROUP BY n;
SELECT id, pg_column_size(v), v <-> v AS same, md5(v::text) = md5('{' || (SELECT string_agg(i * id || ':' || i, ',' ORDER BY i)
	FROM generate_series(1, 10000) i) || '}/90000') AS intact FROM sparsevec_toast ORDER BY id;
DROP TABLE sparsevec_toast;

-- order: that of the same elements as vectors
CREATE TABLE sparsevec_btree AS
SELECT n AS id, ARRAY[n % 3 - 1, n / 3 % 3 - 1, n / 9 % 3 - 1]::vector AS v, 1 AS one FROM generate_series(0, 26) n;
INSERT INTO sparsevec_btree SELECT id + 27, v || '[0]' FROM sparsevec_btree;
INSERT INTO sparsevec_btree SELECT id + 54, v || '[-1]' FROM sparsevec_btree WHERE id < 27;
SELECT count(*) AS pairs, count(*) FILTER (WHERE sparsevec_cmp(a.v, b.v) <> vector_cmp(a.v, b.v)) AS cmp,
	count(*) FILTER (WHERE (a.v::sparsevec < b.v::sparsevec) <> (a.v < b.v)) AS lt,
	count(*) FILTER (WHERE (a.v::sparsevec <= b.v::sparsevec) <> (a.v <= b.v)) AS le,
	count(*) FILTER (WHERE (a.v::sparsevec = b.v::sparsevec) <> (a.v = b.v)) AS eq,
	count(*) FILTER (WHERE (a.v::sparsevec <> b.v::sparsevec) <> (a.v <> b.v)) AS ne,
	count(*) FILTER (WHERE (a.v::sparsevec >= b.v::sparsevec) <> (a.v >= b.v)) AS ge,
	count(*) FILTER (WHERE (a.v::sparsevec > b.v::sparsevec) <> (a.v > b.v)) AS gt
FROM sparsevec_btree a, sparsevec_btree b;
CREATE TABLE sparsevec_index AS SELECT id, v::sparsevec AS v FROM sparsevec_btree;
CREATE INDEX ON sparsevec_index (v);
SET enable_seqscan = off;
SET enable_bitmapscan = off;
EXPLAIN (COSTS OFF) SELECT id FROM sparsevec_index WHERE v = '{2:1}/3';
SELECT id FROM sparsevec_index WHERE v = '{2:1}/3';
SELECT v FROM sparsevec_index WHERE v > '{1:1,2:1}/3' ORDER BY v;
RESET enable_seqscan;
RESET enable_bitmapscan;
DROP TABLE sparsevec_btree, sparsevec_index;

-- where PostgreSQL knows soft errors (16 and later), wrong input is one
DO $$
DECLARE
	input text;
	valid bool;
BEGIN
	IF current_setting('server_version_num')::int >= 160000 THEN
		FOREACH input IN ARRAY ARRAY['', '{', '{}', '{1:1}/5', '{1:1}/2x', '{1:nan}/2', '{1:1e99}/2', '{3:1}/2', '{1:1,1:1}/2',
			'{}/0', repeat(',', 16000)] LOOP
			EXECUTE 'SELECT pg_input_is_valid($1, $2)' INTO valid USING input, 'sparsevec(2)';
			ASSERT NOT valid, input;
		END LOOP;
		EXECUTE 'SELECT pg_input_is_valid($1, $2)' INTO valid USING '{1:1}/2', 'sparsevec(2)';
		ASSERT valid;
	END IF;
END
$$;
