-- Vectors of many dimensions are stored as codes: what comes back is in the exact order all the
-- same, whatever the values are.
SET client_min_messages = warning;
SET max_parallel_workers_per_gather = 0;
SET jit = off;
SELECT setseed(0.5);

CREATE FUNCTION random_vector(dimensions int) RETURNS vector LANGUAGE sql VOLATILE AS
	'SELECT array_agg(random() - 0.5)::vector FROM generate_series(1, dimensions)';
CREATE TABLE t (id int, val vector(80)) WITH (autovacuum_enabled = off);
-- neighbours far nearer to each other than a code can tell
INSERT INTO t SELECT i, (SELECT array_agg(random() - 0.5 + 0 * j) FROM generate_series(1, 80 + 0 * i) j)::vector FROM generate_series(1, 100) i;
INSERT INTO t SELECT 1000 * c.id + i, c.val + (SELECT array_agg((random() - 0.5) / 10 ^ (1 + i % 7) + 0 * j) FROM generate_series(1, 80) j)::vector
	FROM t c, generate_series(1, 7) i WHERE c.id <= 100;
-- the same rows again, and again scaled
INSERT INTO t SELECT id + 500000, val FROM t WHERE id % 9 = 7;
INSERT INTO t SELECT id + 600000, val * array_fill(3::real, ARRAY[80])::vector FROM t WHERE id % 10 = 0 AND id < 500000;
CREATE TABLE query AS SELECT id, val FROM t WHERE id % 40 = 3 ORDER BY id LIMIT 12;
INSERT INTO query SELECT -i, random_vector(80) FROM generate_series(1, 6) i;

/*
 * The rows of each query whose distance is less than that of the row before, and the share of the
 * nearest 20 that are found.
 */
CREATE FUNCTION check_order(operator text, OUT returned bigint, OUT wrong bigint, OUT enough boolean)
LANGUAGE plpgsql AS $$
DECLARE
	q vector;
	part record;
	farthest float8;
	found bigint := 0;
	queries bigint := 0;
BEGIN
	returned := 0;
	wrong := 0;
	FOR q IN SELECT val FROM query LOOP
		SET LOCAL enable_indexscan = off;
		SET LOCAL enable_seqscan = on;
		EXECUTE format('SELECT max(d) FROM (SELECT val %1$s $1 AS d FROM t ORDER BY 1 LIMIT 20) s', operator)
			INTO farthest USING q;
		SET LOCAL enable_indexscan = on;
		SET LOCAL enable_seqscan = off;
		EXECUTE format('SELECT count(*) AS n, count(*) FILTER (WHERE d < before) AS wrong,
			count(*) FILTER (WHERE d <= $2 AND at <= 20) AS found
			FROM (SELECT d, at, lag(d) OVER (ORDER BY at) AS before
				FROM (SELECT val %1$s $1 AS d, row_number() OVER () AS at
					FROM (SELECT val FROM t ORDER BY val %1$s $1 LIMIT 300) a) b) c', operator)
			INTO part USING q, farthest;
		returned := returned + part.n;
		wrong := wrong + part.wrong;
		found := found + part.found;
		queries := queries + 1;
	END LOOP;
	enough := found > 0.8 * 20 * queries;
END
$$;

CREATE FUNCTION check_all(OUT operator text, OUT returned bigint, OUT wrong bigint, OUT enough boolean)
RETURNS SETOF record LANGUAGE sql AS
	$$SELECT o, c.* FROM unnest(ARRAY['<->', '<#>', '<=>']) o, check_order(o) c$$;

CREATE INDEX l2 ON t USING hnsw (val vector_l2_ops);
CREATE INDEX ip ON t USING hnsw (val vector_ip_ops);
CREATE INDEX cosine ON t USING hnsw (val vector_cosine_ops);
SET hnsw.ef_search = 100;
SELECT operator, returned > 5000 AS many, wrong, enough FROM check_all();
SET hnsw.iterative_scan = off;
SELECT operator, returned > 1700 AS many, wrong, enough FROM check_all();
RESET hnsw.iterative_scan;
SELECT (rag.hnsw_check(i)).* FROM unnest(ARRAY['l2', 'ip', 'cosine']::regclass[]) i;

-- the very same value is one node, a value that only has the same code is not taken for it
SET enable_seqscan = off;
SELECT count(*) AS same FROM (SELECT val FROM t ORDER BY val <-> (SELECT val FROM t WHERE id = 9007 LIMIT 1) LIMIT 2) s
	WHERE val = (SELECT val FROM t WHERE id = 9007 LIMIT 1);

-- values at the ends of what a float can hold, whose operators overflow or lose all their bits
INSERT INTO t SELECT 700000 + i, array_fill((1e37 * i)::real, ARRAY[40])::vector || array_fill((-1e37)::real, ARRAY[40])::vector
	FROM generate_series(1, 20) i;
INSERT INTO t SELECT 710000 + i, array_fill((1e-38 * i)::real, ARRAY[79])::vector || '[1e-40]'::vector FROM generate_series(1, 20) i;
INSERT INTO t SELECT 720000 + i, array_fill((1e-22 * i)::real, ARRAY[79])::vector || '[-1e-22]'::vector FROM generate_series(1, 20) i;
INSERT INTO t VALUES (730000, array_fill(0, ARRAY[80])::vector);
INSERT INTO query SELECT id, val FROM t WHERE id IN (700007, 710003, 720005, 730000);
SELECT operator, returned > 0 AS some, wrong FROM check_all();
SELECT (rag.hnsw_check(i)).* FROM unnest(ARRAY['l2', 'ip', 'cosine']::regclass[]) i;
DROP INDEX l2, ip, cosine;

-- halfvec
DELETE FROM t WHERE id > 690000;
DELETE FROM query WHERE id > 690000;
CREATE TABLE h AS SELECT id, val::halfvec(80) FROM t;
CREATE INDEX ON h USING hnsw (val halfvec_cosine_ops);
SELECT count(*), count(*) FILTER (WHERE d < before) AS wrong
FROM (SELECT d, lag(d) OVER (ORDER BY at) AS before
	FROM (SELECT val <=> (SELECT val FROM h WHERE id = 40003 LIMIT 1) AS d, row_number() OVER () AS at
		FROM (SELECT val FROM h ORDER BY val <=> (SELECT val FROM h WHERE id = 40003 LIMIT 1) LIMIT 200) a) b) c;

DROP TABLE t, h, query;
DROP FUNCTION check_all, check_order, random_vector;
