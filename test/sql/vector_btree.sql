-- Order of vectors: sorting, grouping, btree indexes.

CREATE TABLE vector_btree (id int, v vector);
INSERT INTO vector_btree VALUES (1, '[1,2,3]'), (2, '[1,2]'), (3, '[1]'), (4, '[-1,5]'), (5, '[1,2,3]'), (6, NULL),
	(7, '[0]'), (8, '[-0]'), (9, '[1e-45]'), (10, '[3e38]');
SELECT id, v FROM vector_btree ORDER BY v, id;
SELECT id, v FROM vector_btree ORDER BY v DESC NULLS LAST, id;
SELECT min(id), count(*) FROM vector_btree GROUP BY v ORDER BY v;
SELECT count(DISTINCT v) FROM vector_btree;
SELECT a.id, b.id FROM vector_btree a JOIN vector_btree b ON a.v = b.v AND a.id < b.id ORDER BY 1;
SELECT '[1]'::vector IN ('[1]', '[2]'), '[1]'::vector IS DISTINCT FROM '[2]', '[3]'::vector = ANY (ARRAY['[3]'::vector]);
SELECT greatest('[1]'::vector, '[1,1]', '[0,9]'), least('[1]'::vector, '[1,1]', '[0,9]');
SELECT max(v) FROM vector_btree;

CREATE INDEX vector_btree_v ON vector_btree (v);
SET enable_seqscan = off;
SET enable_bitmapscan = off;
EXPLAIN (COSTS OFF) SELECT id FROM vector_btree WHERE v = '[1,2,3]';
SELECT id FROM vector_btree WHERE v = '[1,2,3]' ORDER BY id;
SELECT id FROM vector_btree WHERE v < '[1,2]' ORDER BY v, id;
SELECT id FROM vector_btree WHERE v <= '[1,2]' ORDER BY v, id;
SELECT id FROM vector_btree WHERE v > '[1,2]' ORDER BY v, id;
SELECT id FROM vector_btree WHERE v >= '[1,2]' ORDER BY v, id;
SELECT id FROM vector_btree WHERE v BETWEEN '[0]' AND '[1]' ORDER BY v, id;
EXPLAIN (COSTS OFF) SELECT v FROM vector_btree ORDER BY v LIMIT 1;
SELECT v FROM vector_btree ORDER BY v LIMIT 1;
SELECT v FROM vector_btree ORDER BY v DESC NULLS LAST LIMIT 1;
RESET enable_seqscan;
RESET enable_bitmapscan;
DROP TABLE vector_btree;

-- a unique column is a target for upserts
CREATE TABLE vector_unique (v vector(2) PRIMARY KEY, n int DEFAULT 1);
INSERT INTO vector_unique VALUES ('[1,2]'), ('[1,3]');
INSERT INTO vector_unique VALUES ('[1,2]');
INSERT INTO vector_unique VALUES ('[1,2]'), ('[2,2]') ON CONFLICT (v) DO UPDATE SET n = vector_unique.n + 1;
SELECT * FROM vector_unique ORDER BY v;
DROP TABLE vector_unique;

-- sorted in memory, on disk and by the index alike, with vectors out of line
CREATE TABLE vector_sort AS
SELECT n, (ARRAY[n * 37 % 101] || array_fill(n % 3, ARRAY[CASE WHEN n % 10 = 0 THEN 2999 ELSE 20 END]))::vector AS v
FROM generate_series(1, 1000) n;
SELECT md5(string_agg(n::text, ',' ORDER BY v, n)) AS in_memory FROM vector_sort \gset
SET work_mem = '64kB';
SELECT md5(string_agg(n::text, ',' ORDER BY v, n)) = :'in_memory' AS on_disk FROM vector_sort;
RESET work_mem;
SELECT count(*) FROM (SELECT v, lag(v) OVER (ORDER BY v) AS before FROM vector_sort) s
WHERE before > v OR vector_cmp(before, v) = 1;
DROP TABLE vector_sort;

-- no hash operator class, as in pgvector
CREATE TABLE vector_hash (v vector(2)) PARTITION BY HASH (v);
