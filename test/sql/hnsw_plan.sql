-- The index is chosen where it is faster than an exact scan, and only there: each of
-- these is faster by several times, and cheaper by as much.

SET max_parallel_workers_per_gather = 0;
SELECT setseed(0.5);
CREATE TABLE plan_rows AS
SELECT n AS id, n % 100 AS percent, (SELECT array_agg(random()) FROM generate_series(1, 64 + n * 0) i)::vector(64) AS v
FROM generate_series(1, 5000) n;
CREATE INDEX ON plan_rows USING hnsw (v vector_l2_ops);
CREATE TABLE plan_few AS SELECT * FROM plan_rows WHERE id <= 100;
CREATE INDEX ON plan_few USING hnsw (v vector_l2_ops);
VACUUM ANALYZE plan_rows, plan_few;

CREATE FUNCTION plan(query text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	line text;
BEGIN
	FOR line IN EXECUTE 'EXPLAIN (COSTS OFF) ' || query
	LOOP
		IF line LIKE '%Order By: (v <-> %' THEN
			RETURN 'index';
		END IF;
	END LOOP;
	RETURN 'exact';
END $$;
CREATE FUNCTION nearest(source text, rest text DEFAULT '') RETURNS text LANGUAGE sql AS $$
	SELECT plan(format('SELECT id FROM %s ORDER BY v <-> %L %s', source, v, rest)) FROM plan_rows WHERE id = 1
$$;

-- how many rows are wanted
SELECT n, nearest('plan_rows', 'LIMIT ' || n) AS many, nearest('plan_few', 'LIMIT ' || n) AS few
FROM unnest(ARRAY['1', '10', '2000', 'ALL']) n;
-- a filter: as many more are walked through
SELECT p, nearest('plan_rows WHERE percent < ' || p, 'LIMIT 2') AS two, nearest('plan_rows WHERE percent < ' || p, 'LIMIT 20') AS twenty
FROM unnest(ARRAY[90, 50, 1]) p;
CREATE INDEX ON plan_rows (percent);
ANALYZE plan_rows;
SELECT nearest('plan_rows WHERE percent = 1', 'LIMIT 5') AS with_btree;
-- a search that is longer
SET hnsw.ef_search = 1000;
SELECT nearest('plan_rows', 'LIMIT 10') AS ef_1000;
RESET hnsw.ef_search;
-- with iterative scans off there is nothing beyond ef_search, as the user wants it
SET hnsw.iterative_scan = off;
SELECT nearest('plan_rows WHERE percent < 50', 'LIMIT 20') AS off;
RESET hnsw.iterative_scan;
-- a scan that would end before it has found enough
SET hnsw.max_scan_tuples = 30;
SELECT nearest('plan_rows WHERE percent < 50', 'LIMIT 20') AS short, nearest('plan_rows WHERE percent < 50', 'LIMIT 10') AS enough;
RESET hnsw.max_scan_tuples;
-- not known how many: taken for few
SET plan_cache_mode = force_generic_plan;
PREPARE few(vector, int) AS SELECT id FROM plan_rows ORDER BY v <-> $1 LIMIT $2;
SELECT plan(format('EXECUTE few(%L, 5)', v)) AS generic FROM plan_rows WHERE id = 1;
DEALLOCATE few;
RESET plan_cache_mode;
SELECT nearest('plan_rows') AS every_row;
SELECT plan(format('DECLARE c CURSOR FOR SELECT id FROM plan_rows ORDER BY v <-> %L', v)) AS cursor FROM plan_rows WHERE id = 1;

-- values out of line: the table looks small, but is not
CREATE TABLE plan_large AS
SELECT n AS id, n % 10 AS tenth, (SELECT array_agg(random()) FROM generate_series(1, 1024 + n * 0) i)::vector(1024) AS v
FROM generate_series(1, 1500) n;
CREATE INDEX ON plan_large USING hnsw (v vector_l2_ops);
VACUUM ANALYZE plan_large;
SELECT relpages < 50 AS small FROM pg_class WHERE relname = 'plan_large';
SELECT plan(format('SELECT id FROM plan_large ORDER BY v <-> %L LIMIT %s', v, n)), n
FROM plan_large, unnest(ARRAY[1, 10, 1000]) n WHERE id = 1;
-- where the column says nothing of dimensions, the statistics do
ALTER TABLE plan_large ALTER v TYPE vector;
ANALYZE plan_large;
CREATE FUNCTION cost(query text) RETURNS float8 LANGUAGE plpgsql AS $$
DECLARE
	plan json;
BEGIN
	EXECUTE 'EXPLAIN (FORMAT JSON) ' || query INTO plan;
	RETURN plan->0->'Plan'->>'Total Cost';
END $$;
SELECT cost('SELECT max(v <-> v) FROM plan_large') > 10 * cost('SELECT max(id) FROM plan_large') AS large,
	cost('SELECT max(v <-> v) FROM plan_few') < 2 * cost('SELECT max(id) FROM plan_few') AS small,
	cost('SELECT max(a.v <-> b.v) FROM (VALUES (''[1]''::vector)) a(v), (VALUES (''[2]''::vector)) b(v)') < 1 AS no_table;

DROP TABLE plan_rows, plan_few, plan_large;
DROP FUNCTION plan, nearest, cost;
RESET max_parallel_workers_per_gather;
