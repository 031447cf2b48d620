-- hnsw over bit strings: its operator classes and limits.

SET enable_seqscan = off;
CREATE TABLE bits (v bit(3));
INSERT INTO bits VALUES (B'000'), (B'100'), (B'111'), (NULL);
CREATE INDEX bits_v ON bits USING hnsw (v bit_hamming_ops);
INSERT INTO bits VALUES (B'110');
EXPLAIN (COSTS OFF) SELECT v FROM bits ORDER BY v <~> B'111';
SELECT v FROM bits ORDER BY v <~> B'111';
SELECT count(*) FROM (SELECT v FROM bits ORDER BY v <~> (SELECT NULL::bit)) s;
SELECT v FROM bits ORDER BY v <~> B'00';
INSERT INTO bits VALUES (B'11');
DROP INDEX bits_v;

-- a string of zeros has a place among the others
CREATE INDEX bits_v ON bits USING hnsw (v bit_jaccard_ops);
INSERT INTO bits VALUES (B'101');
SELECT v <%> B'111' AS jaccard, count(*) FROM (SELECT v FROM bits ORDER BY v <%> B'111') s GROUP BY 1 ORDER BY 1;
SELECT v FROM bits ORDER BY v <%> B'111' LIMIT 1;
DROP TABLE bits;

-- limits
CREATE TABLE large (v varbit, w varbit(3), x bit(64001), y bit(64000));
CREATE INDEX ON large USING hnsw (v bit_hamming_ops);
CREATE INDEX ON large USING hnsw (w bit_hamming_ops);
CREATE INDEX ON large USING hnsw (x bit_hamming_ops);
CREATE INDEX ON large USING hnsw (v);
CREATE INDEX ON large USING hnsw ((v::bit(10)) bit_hamming_ops);
CREATE INDEX large_y ON large USING hnsw (y bit_hamming_ops);
INSERT INTO large (v, y) SELECT '0101010101', repeat(n::bit(10)::text, 6400)::bit(64000) FROM generate_series(1, 30) n;
SELECT y <~> repeat('0000001001', 6400)::bit(64000) AS hamming FROM large ORDER BY y <~> repeat('0000001001', 6400)::bit(64000) LIMIT 3;
SELECT * FROM rag.hnsw_check('large_y');
DROP TABLE large;

-- vectors indexed by their signs, ordered again by their distance
CREATE TABLE vectors (id int, v vector(64));
INSERT INTO vectors SELECT n, (SELECT array_agg(sin(n * i * 0.37 + i) ORDER BY i) FROM generate_series(1, 64) i) FROM generate_series(1, 2000) n;
CREATE INDEX vectors_v ON vectors USING hnsw ((binary_quantize(v)::bit(64)) bit_hamming_ops);
EXPLAIN (COSTS OFF) SELECT id FROM vectors ORDER BY binary_quantize(v)::bit(64) <~> B'1'::bit(64) LIMIT 5;
SELECT count(*) AS queries, count(*) FILTER (WHERE nearest <> id) AS wrong
FROM (SELECT q.id, (SELECT id FROM (SELECT id, v FROM vectors w
		ORDER BY binary_quantize(w.v)::bit(64) <~> binary_quantize(q.v)::bit(64) LIMIT 20) s ORDER BY v <=> q.v LIMIT 1) AS nearest
	FROM vectors q WHERE id <= 50) s;
SELECT * FROM rag.hnsw_check('vectors_v');
DROP TABLE vectors;
