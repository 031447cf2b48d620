-- Iterative scans: a filter must not leave a LIMIT short of rows that the table has.
SET enable_seqscan = off;
SET max_parallel_workers_per_gather = 0;
SET jit = off;
SELECT setseed(0.25);

CREATE TABLE t (id int, category int, val vector(8));
INSERT INTO t SELECT i, i % 100, (SELECT array_agg(random()) FROM generate_series(1, 8 + 0 * i))::vector
	FROM generate_series(1, 5000) i;
CREATE INDEX ON t USING hnsw (val vector_l2_ops);

CREATE FUNCTION found(ratio int, wanted int) RETURNS bigint LANGUAGE sql AS $$
	SELECT count(*) FROM (SELECT id FROM t WHERE category < ratio
						  ORDER BY val <-> '[.1,.2,.3,.4,.5,.6,.7,.8]' LIMIT wanted) s
$$;
-- is the order that the index gives the order of the distances?
CREATE FUNCTION in_order() RETURNS boolean LANGUAGE sql AS $$
	SELECT bool_and(ok) FROM (
		SELECT d >= lag(d, 1, 0::float8) OVER (ORDER BY n) AS ok FROM (
			SELECT row_number() OVER () AS n, d FROM (
				SELECT val <-> '[.1,.2,.3,.4,.5,.6,.7,.8]' AS d FROM t
				ORDER BY val <-> '[.1,.2,.3,.4,.5,.6,.7,.8]') a) b) c
$$;
EXPLAIN (COSTS OFF) SELECT id FROM t WHERE category < 1 ORDER BY val <-> '[1,1,1,1,1,1,1,1]' LIMIT 10;

-- the default: iterative, in strict order
SELECT found(1, 10), found(10, 10), found(10, 300), found(100, 10), found(100, 1000);
SELECT in_order();
-- the rows are the nearest of those that pass the filter
WITH nearest AS (
	SELECT id, row_number() OVER (ORDER BY val <-> '[.1,.2,.3,.4,.5,.6,.7,.8]') AS rank FROM t WHERE category < 1)
SELECT count(*) >= 9 AS "nine of the nearest ten" FROM (
	SELECT id FROM t WHERE category < 1 ORDER BY val <-> '[.1,.2,.3,.4,.5,.6,.7,.8]' LIMIT 10) s
	JOIN nearest USING (id) WHERE rank <= 10;
-- every row, or in strict order nearly every one, once
SELECT count(*) > 4900 AS nearly_all, count(*) = count(DISTINCT id) AS once
	FROM (SELECT id FROM t ORDER BY val <-> '[.1,.2,.3,.4,.5,.6,.7,.8]') s;

SET hnsw.iterative_scan = relaxed_order;
SELECT found(1, 10), found(10, 10), found(10, 300);
SELECT count(*), count(DISTINCT id) FROM (SELECT id FROM t ORDER BY val <-> '[.1,.2,.3,.4,.5,.6,.7,.8]') s;

-- off: ef_search rows, of which the filter leaves some
SET hnsw.iterative_scan = off;
SELECT found(1, 10) < 10 AS few, found(100, 1000);
SET hnsw.ef_search = 100;
SELECT found(100, 1000);
RESET hnsw.ef_search;

-- hnsw.max_scan_tuples ends the search; what has been found by then is returned
SET hnsw.iterative_scan = relaxed_order;
SET hnsw.max_scan_tuples = 1000;
SELECT found(100, 10), found(100, 5000) BETWEEN 500 AND 2500 AS bounded;
SET hnsw.max_scan_tuples = 1;
SELECT found(100, 10), found(100, 5000) BETWEEN 40 AND 2500 AS bounded;
RESET hnsw.max_scan_tuples;

-- so does the memory, which is bounded by work_mem
SET work_mem = '64kB';
SELECT found(100, 10), found(100, 5000) < 4000 AS bounded;
SET hnsw.scan_mem_multiplier = 100;
SELECT found(100, 5000);
RESET work_mem;
RESET hnsw.scan_mem_multiplier;

-- a cursor goes on where it was
RESET hnsw.iterative_scan;
BEGIN;
DECLARE c CURSOR FOR SELECT category FROM t WHERE category < 2 ORDER BY val <-> '[0,0,0,0,0,0,0,0]';
MOVE 30 FROM c;
MOVE 30 FROM c;
CLOSE c;
COMMIT;

-- an order other than that of the index, on top of it
SELECT count(*) FROM (
	WITH near AS MATERIALIZED (
		SELECT id, val <-> '[1,1,1,1,1,1,1,1]' AS d FROM t WHERE category = 7
		ORDER BY val <-> '[1,1,1,1,1,1,1,1]' LIMIT 5)
	SELECT * FROM near ORDER BY d DESC) s;

-- names that are no settings are not taken for ones; before PostgreSQL 15 nothing can say so
DO $$
BEGIN
	PERFORM set_config('hnsw.ef', '1', false);
	IF current_setting('server_version_num')::int >= 150000 THEN
		RAISE 'hnsw.ef was set';
	END IF;
EXCEPTION WHEN invalid_name THEN
END $$;

DROP TABLE t;
DROP FUNCTION found, in_order;
