-- hnsw over sparsevecs: its operator classes and limits.

SET enable_seqscan = off;
CREATE TABLE points (v sparsevec(3));
INSERT INTO points VALUES ('{}/3'), ('{1:1,2:2,3:3}/3'), ('{1:1,2:1,3:1}/3'), (NULL);

CREATE INDEX points_v ON points USING hnsw (v sparsevec_l2_ops);
INSERT INTO points VALUES ('{1:1,2:2,3:4}/3');
EXPLAIN (COSTS OFF) SELECT v FROM points ORDER BY v <-> '{1:3,2:3,3:3}/3';
SELECT v FROM points ORDER BY v <-> '{1:3,2:3,3:3}/3';
SELECT count(*) FROM (SELECT v FROM points ORDER BY v <-> (SELECT NULL::sparsevec)) s;
SELECT v FROM points ORDER BY v <-> '{1:3}/2';
INSERT INTO points VALUES ('{1:1}/2');
DROP INDEX points_v;

CREATE INDEX points_v ON points USING hnsw (v sparsevec_ip_ops);
SELECT v FROM points ORDER BY v <#> '{1:3,2:3,3:3}/3';
DROP INDEX points_v;

-- a zero sparsevec has no direction: it is not indexed, and a query as far from one as from another
CREATE INDEX points_v ON points USING hnsw (v sparsevec_cosine_ops);
INSERT INTO points VALUES ('{}/3');
SELECT v FROM points ORDER BY v <=> '{1:3,2:3,3:3}/3';
SELECT count(*) FROM (SELECT v FROM points ORDER BY v <=> '{}/3') s;
DROP INDEX points_v;

CREATE INDEX points_v ON points USING hnsw (v sparsevec_l1_ops);
SELECT v FROM points WHERE v <> '{}/3' ORDER BY v <+> '{}/3';
DROP TABLE points;

-- limits: dimensions as many as there may be, but 1,000 elements; a query may have more
CREATE TABLE large (v sparsevec, w sparsevec(1000000000));
CREATE INDEX ON large USING hnsw (v sparsevec_l2_ops);
CREATE INDEX ON large USING hnsw (w sparsevec_l2_ops);
INSERT INTO large (w) VALUES ('{7:1,1000000000:2}/1000000000');
SELECT w FROM large ORDER BY w <-> '{}/1000000000';
DROP TABLE large;
CREATE TABLE large (id int, v sparsevec(1500));
INSERT INTO large SELECT 0, (array_fill(1, ARRAY[1001]) || array_fill(0, ARRAY[499]))::sparsevec;
CREATE INDEX ON large USING hnsw (v sparsevec_l2_ops);
TRUNCATE large;
CREATE INDEX large_v ON large USING hnsw (v sparsevec_l2_ops);
INSERT INTO large SELECT 0, (array_fill(1, ARRAY[1001]) || array_fill(0, ARRAY[499]))::sparsevec;
INSERT INTO large SELECT n, (array_fill(n, ARRAY[1000]) || array_fill(0, ARRAY[500]))::sparsevec FROM generate_series(1, 30) n;
INSERT INTO large SELECT n, (array_fill(0, ARRAY[n]) || array_fill(n, ARRAY[n]) || array_fill(0, ARRAY[1500 - 2 * n]))::sparsevec
FROM generate_series(31, 60) n;
SELECT id FROM large ORDER BY v <-> (array_fill(7, ARRAY[1001]) || array_fill(0, ARRAY[499]))::sparsevec LIMIT 1;
SELECT count(*) AS queries, count(*) FILTER (WHERE found <> id) AS wrong
FROM large a, LATERAL (SELECT id AS found FROM large b ORDER BY b.v <-> a.v LIMIT 1) s;
SELECT * FROM rag.hnsw_check('large_v');
DROP TABLE large;

-- values of different sizes, and recall
CREATE TABLE documents (id int, v sparsevec(1000));
INSERT INTO documents SELECT n, (SELECT '{' || string_agg(word || ':' || weight, ',') || '}/1000' FROM (
	SELECT DISTINCT ON (word) word, 1 + i % 5 AS weight
	FROM generate_series(1, 5 + n % 40) i, LATERAL (SELECT 1 + (i * i * 7 + (n % 50) * 31 + n / 50 * i) % 1000 AS word) w) s)::sparsevec
FROM generate_series(1, 1500) n;
CREATE INDEX documents_v ON documents USING hnsw (v sparsevec_cosine_ops);
SET hnsw.ef_search = 100;
SELECT avg((SELECT count(*) FROM (SELECT id FROM documents d ORDER BY d.v <=> q.v LIMIT 5) s WHERE id = ANY (q.nearest))) >= 4.5 AS found
FROM (SELECT v, ARRAY(SELECT id FROM documents w ORDER BY (w.v <=> u.v) + 0 LIMIT 5) AS nearest
	FROM documents u WHERE id <= 40) q;
SELECT * FROM rag.hnsw_check('documents_v');
DROP TABLE documents;
