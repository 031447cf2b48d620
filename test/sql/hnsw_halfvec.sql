-- hnsw over halfvecs: its operator classes, limits and large values.

SET enable_seqscan = off;
CREATE TABLE points (v halfvec(3));
INSERT INTO points VALUES ('[0,0,0]'), ('[1,2,3]'), ('[1,1,1]'), (NULL);

CREATE INDEX points_v ON points USING hnsw (v halfvec_l2_ops);
INSERT INTO points VALUES ('[1,2,4]');
EXPLAIN (COSTS OFF) SELECT v FROM points ORDER BY v <-> '[3,3,3]';
SELECT v FROM points ORDER BY v <-> '[3,3,3]';
SELECT count(*) FROM (SELECT v FROM points ORDER BY v <-> (SELECT NULL::halfvec)) s;
SELECT v FROM points ORDER BY v <-> '[3,3]';
INSERT INTO points VALUES ('[1,2]');
DROP INDEX points_v;

CREATE INDEX points_v ON points USING hnsw (v halfvec_ip_ops);
SELECT v FROM points ORDER BY v <#> '[3,3,3]';
DROP INDEX points_v;

-- a zero halfvec has no direction: it is not indexed, and a query as far from one as from another
CREATE INDEX points_v ON points USING hnsw (v halfvec_cosine_ops);
INSERT INTO points VALUES ('[0,0,0]');
SELECT v FROM points ORDER BY v <=> '[3,3,3]';
SELECT count(*) FROM (SELECT v FROM points ORDER BY v <=> '[0,0,0]') s;
DROP INDEX points_v;

CREATE INDEX points_v ON points USING hnsw (v halfvec_l1_ops);
SELECT v FROM points WHERE v <> '[0,0,0]' ORDER BY v <+> '[0,0,0]';
DROP TABLE points;

-- limits
CREATE TABLE large (v halfvec, w halfvec(8193));
CREATE INDEX ON large USING hnsw (v halfvec_l2_ops);
CREATE INDEX ON large USING hnsw (w halfvec_l2_ops);
CREATE INDEX ON large USING hnsw ((v::halfvec(8192)) halfvec_l2_ops);
CREATE INDEX ON large USING hnsw ((v::halfvec(3)) vector_l2_ops);
CREATE INDEX ON large USING hnsw (v);
DROP TABLE large;

-- the largest: over more than two pages each, in a build and by insert
CREATE TABLE large (id int, v halfvec(8192));
INSERT INTO large SELECT n, (SELECT array_agg((i * n) % 100 ORDER BY i) FROM generate_series(1, 8192) i)::halfvec
FROM generate_series(1, 20) n;
CREATE INDEX large_v ON large USING hnsw (v halfvec_l2_ops);
INSERT INTO large SELECT n, (SELECT array_agg((i * n) % 100 ORDER BY i) FROM generate_series(1, 8192) i)::halfvec
FROM generate_series(21, 40) n;
SELECT count(*) AS queries, count(*) FILTER (WHERE found <> id) AS wrong
FROM large a, LATERAL (SELECT id AS found FROM large b ORDER BY b.v <-> a.v LIMIT 1) s;
SELECT * FROM rag.hnsw_check('large_v');
DROP TABLE large;

-- a vector column indexed by halves: the expression is what queries order by
CREATE TABLE vectors (id int, v vector(16));
INSERT INTO vectors SELECT n, (SELECT array_agg(sin(n * i) ORDER BY i) FROM generate_series(1, 16) i) FROM generate_series(1, 2000) n;
CREATE INDEX vectors_v ON vectors USING hnsw ((v::halfvec(16)) halfvec_cosine_ops);
EXPLAIN (COSTS OFF) SELECT id FROM vectors ORDER BY v::halfvec(16) <=> '[1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16]' LIMIT 5;
SET hnsw.ef_search = 100;
SELECT avg((SELECT count(*) FROM (SELECT id FROM vectors v ORDER BY v.v::halfvec(16) <=> q.v::halfvec(16) LIMIT 10) s
	WHERE id = ANY (q.nearest))) >= 9.5 AS found
FROM (SELECT v, ARRAY(SELECT id FROM vectors w ORDER BY (w.v <=> u.v) + 0 LIMIT 10) AS nearest
	FROM vectors u WHERE id <= 40) q;
SELECT * FROM rag.hnsw_check('vectors_v');
DROP TABLE vectors;
