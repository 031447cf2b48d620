-- Exact nearest neighbours as one node of a plan: when there is one, and that it returns
-- what a sort does.

SET max_parallel_workers_per_gather = 0;
SELECT setseed(0.25);
CREATE TABLE exact_rows (id int, gone text, kind int, v vector(3), h halfvec(3), s sparsevec(3), b bit(8), note text);
INSERT INTO exact_rows
SELECT n, 'x', n % 10, CASE WHEN n % 50 = 0 THEN NULL WHEN n % 51 = 0 THEN '[0,0,0]' ELSE x::vector END,
	x::halfvec, x::vector::sparsevec, n::bit(8), repeat(chr(97 + n % 26), 50)
FROM (SELECT n, (SELECT array_agg(random() - 0.5) FROM generate_series(1, 3 + n * 0)) AS x
	FROM generate_series(1, 1000) n) r;
ALTER TABLE exact_rows DROP COLUMN gone;
CREATE INDEX ON exact_rows (kind);
VACUUM ANALYZE exact_rows;

-- which plan, without what depends on the version or the machine
CREATE FUNCTION shape(query text) RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
	line text;
BEGIN
	FOR line IN EXECUTE 'EXPLAIN (COSTS OFF) ' || query
	LOOP
		RETURN NEXT line;
	END LOOP;
END $$;
CREATE FUNCTION is_exact(query text) RETURNS bool LANGUAGE sql AS $$
	SELECT bool_or(line LIKE '%(ExactNearest)%') FROM shape(query) line
$$;
-- do both plans return the same rows in the same order? (no two distances are equal, or all are)
CREATE FUNCTION same(query text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	ours text[];
	sorted text[];
BEGIN
	IF NOT is_exact(query) THEN
		RETURN 'another plan';
	END IF;
	EXECUTE format('SELECT array_agg(r::text) FROM (%s) r', query) INTO ours;
	SET LOCAL rag.enable_exact_nearest = off;
	EXECUTE format('SELECT array_agg(r::text) FROM (%s) r', query) INTO sorted;
	SET LOCAL rag.enable_exact_nearest = on;
	RETURN CASE WHEN ours IS NOT DISTINCT FROM sorted THEN cardinality(ours) || ' rows'
		ELSE format('%s is not %s', ours, sorted) END;
END $$;

SELECT shape($$SELECT id FROM exact_rows ORDER BY v <-> '[1,2,3]' LIMIT 10$$);
EXPLAIN (COSTS OFF, VERBOSE) SELECT id, v <=> '[1,2,3]' AS distance FROM exact_rows WHERE kind < 5 ORDER BY 2 LIMIT 3 OFFSET 4;

-- every type and operator, from either side, by function, of an expression
SELECT query, same('SELECT id FROM exact_rows ORDER BY ' || query || ' LIMIT 7') FROM unnest(ARRAY[
	$$v <-> '[1,2,3]'$$, $$v <=> '[1,2,3]'$$, $$v <#> '[1,2,3]'$$, $$v <+> '[1,2,3]'$$,
	$$h <-> '[1,2,3]'$$, $$h <=> '[1,2,3]'$$, $$h <#> '[1,2,3]'$$, $$h <+> '[1,2,3]'$$,
	$$s <-> '{1:1}/3'$$, $$s <=> '{1:1}/3'$$, $$s <#> '{1:1}/3'$$, $$s <+> '{1:1}/3'$$,
	$$'[1,2,3]' <-> v$$, $$l2_distance(v, '[1,2,3]')$$, $$v::halfvec(3) <-> '[1,2,3]'$$,
	$$subvector(v, 1, 2) <-> '[1,2]'$$, $$v <-> (SELECT '[3,2,1]'::vector)$$]) query;
SELECT query, same('SELECT b <~> 0::bit(8) AS d FROM exact_rows ORDER BY ' || query || ' LIMIT 7')
FROM unnest(ARRAY[$$b <~> 0::bit(8)$$, $$hamming_distance(b, 0::bit(8))$$]) query;
SELECT same($$SELECT b <%> 7::bit(8) AS d FROM exact_rows ORDER BY b <%> 7::bit(8) LIMIT 7$$);

-- what is returned: any columns, expressions, the row, its place; conditions by index or not; row counts
SELECT query, same(query) FROM unnest(ARRAY[
	$$SELECT * FROM exact_rows ORDER BY v <-> '[1,2,3]' LIMIT 5$$,
	$$SELECT exact_rows, ctid, tableoid::regclass FROM exact_rows ORDER BY v <-> '[1,2,3]' LIMIT 5$$,
	$$SELECT id, note || id, v <-> '[1,2,3]' FROM exact_rows ORDER BY 3 LIMIT 5$$,
	$$SELECT 1 FROM exact_rows ORDER BY v <-> '[1,2,3]' LIMIT 5$$,
	$$SELECT id FROM exact_rows WHERE kind = 3 ORDER BY v <-> '[1,2,3]' LIMIT 5$$,
	$$SELECT id FROM exact_rows WHERE note LIKE 'a%' ORDER BY v <-> '[1,2,3]' LIMIT 5$$,
	$$SELECT id FROM exact_rows WHERE v <-> '[1,2,3]' > 3.5 ORDER BY v <-> '[1,2,3]' LIMIT 5$$,
	$$SELECT id FROM exact_rows ORDER BY v <-> '[1,2,3]' LIMIT 5 OFFSET 20$$,
	$$SELECT id FROM exact_rows ORDER BY v <-> '[1,2,3]' LIMIT 1$$,
	$$SELECT id FROM exact_rows WHERE kind % 2 + 1 IN (3, 4, length(note) - 49) AND id < 5 ORDER BY v <-> '[1,2,3]' LIMIT 3$$,
	$$SELECT id FROM exact_rows WHERE kind < 0 ORDER BY v <-> '[1,2,3]' LIMIT 100$$,
	$$SELECT id FROM exact_rows WHERE (SELECT false) ORDER BY v <-> '[1,2,3]' LIMIT 100$$,
	$$SELECT id FROM exact_rows TABLESAMPLE bernoulli (50) REPEATABLE (7) ORDER BY v <-> '[1,2,3]' LIMIT 5$$]) query;
-- after all numbers NaN (zero vectors have no direction), then NULL; all are NULL
SELECT same($$SELECT CASE WHEN id BETWEEN 45 AND 55 THEN v END <=> '[1,2,3]' AS d FROM exact_rows
	ORDER BY CASE WHEN id BETWEEN 45 AND 55 THEN v END <=> '[1,2,3]' LIMIT 15$$);
SELECT CASE WHEN id BETWEEN 45 AND 55 THEN v END <=> '[1,2,3]' > 3 AS nan FROM exact_rows
	ORDER BY CASE WHEN id BETWEEN 45 AND 55 THEN v END <=> '[1,2,3]' OFFSET 8 LIMIT 4;
SELECT same($$SELECT v IS NULL FROM exact_rows WHERE v IS NULL ORDER BY v <-> '[1,2,3]' LIMIT 5$$);
SELECT count(*) FROM (SELECT id FROM exact_rows ORDER BY v <-> (SELECT NULL::vector) LIMIT 5) r;
SELECT count(*) FROM (SELECT id FROM exact_rows ORDER BY v <-> '[1,2,3]' LIMIT 0) r;
-- infinite and equal distances
SELECT same($$SELECT v <-> '[3e38,-3e38,3e38]' AS d FROM exact_rows ORDER BY v <-> '[3e38,-3e38,3e38]' LIMIT 9$$);
SELECT id FROM exact_rows ORDER BY v <-> '[1,2]' LIMIT 1;

-- a query of its own for each row of another one; the same one again
SELECT same($$SELECT q.id, n.id AS nearest FROM exact_rows q, LATERAL
	(SELECT id FROM exact_rows r WHERE r.kind = q.kind ORDER BY r.v <-> q.v LIMIT 2) n WHERE q.id < 20$$);
SELECT same($$SELECT q.id, (SELECT array_agg(n.id) FROM (SELECT id FROM exact_rows ORDER BY v <-> '[1,2,3]' LIMIT 2) n)
	FROM exact_rows q WHERE q.id < 4$$);
BEGIN;
DECLARE c SCROLL CURSOR FOR SELECT id FROM exact_rows ORDER BY v <-> '[1,2,3]' LIMIT 4;
FETCH 2 FROM c;
FETCH BACKWARD 1 FROM c;
FETCH ALL FROM c;
MOVE ABSOLUTE 0 IN c;
FETCH 1 FROM c;
COMMIT;
UPDATE exact_rows SET note = 'near' WHERE id IN (SELECT id FROM exact_rows ORDER BY v <-> '[1,2,3]' LIMIT 3);
SELECT count(*) FROM exact_rows WHERE note = 'near';

-- no such plan: order, number and kind of the rows are others than those that it can tell
SELECT query, is_exact(query) FROM unnest(ARRAY[
	$$SELECT id FROM exact_rows ORDER BY v <-> '[1,2,3]'$$,
	$$SELECT id FROM exact_rows ORDER BY v <-> '[1,2,3]' DESC LIMIT 5$$,
	$$SELECT id FROM exact_rows ORDER BY v <-> '[1,2,3]' NULLS FIRST LIMIT 5$$,
	$$SELECT id FROM exact_rows ORDER BY v <-> '[1,2,3]', id LIMIT 5$$,
	$$SELECT id FROM exact_rows ORDER BY v <-> '[1,2,3]' FETCH FIRST 5 ROWS WITH TIES$$,
	$$SELECT id FROM exact_rows ORDER BY v <-> '[1,2,3]' LIMIT length(current_setting('work_mem'))$$,
	$$SELECT id FROM exact_rows ORDER BY v <-> '[1,2,3]' LIMIT 5 FOR UPDATE SKIP LOCKED$$,
	$$SELECT DISTINCT v <-> '[1,2,3]' FROM exact_rows ORDER BY v <-> '[1,2,3]' LIMIT 5$$,
	$$SELECT id, rank() OVER (ORDER BY v <-> '[1,2,3]') FROM exact_rows ORDER BY v <-> '[1,2,3]' LIMIT 5$$,
	$$SELECT count(*) FROM exact_rows GROUP BY v <-> '[1,2,3]' ORDER BY v <-> '[1,2,3]' LIMIT 5$$,
	$$SELECT generate_series(1, 2) FROM exact_rows ORDER BY v <-> '[1,2,3]' LIMIT 5$$,
	$$SELECT a.id FROM exact_rows a JOIN exact_rows b USING (id) ORDER BY a.v <-> '[1,2,3]' LIMIT 5$$,
	$$SELECT id FROM exact_rows ORDER BY v <-> v LIMIT 5$$,
	$$SELECT id FROM exact_rows ORDER BY v <-> ARRAY[random(), 2, 3]::vector LIMIT 5$$,
	$$SELECT id FROM exact_rows ORDER BY 1 - (v <=> '[1,2,3]') LIMIT 5$$,
	$$SELECT id FROM exact_rows ORDER BY vector_norm(v) LIMIT 5$$,
	$$SELECT id FROM exact_rows ORDER BY v <-> '[1,2,3]' LIMIT 100000000$$]) query;
SET enable_sort = off;
SELECT is_exact($$SELECT id FROM exact_rows ORDER BY v <-> '[1,2,3]' LIMIT 10$$) AS without_sort;
RESET enable_sort;
-- parameters: of a custom plan they are constants, of a generic one LIMIT is not known
PREPARE near(vector, int) AS SELECT id FROM exact_rows ORDER BY v <-> $1 LIMIT $2;
SELECT is_exact($$EXECUTE near('[1,2,3]', 5)$$) AS custom;
SET plan_cache_mode = force_generic_plan;
SELECT is_exact($$EXECUTE near('[1,2,3]', 5)$$) AS generic;
PREPARE near_five(vector) AS SELECT id FROM exact_rows ORDER BY v <-> $1 LIMIT 5;
SELECT is_exact($$EXECUTE near_five('[1,2,3]')$$) AS generic_five;
EXECUTE near_five('[1,2,3]');
EXECUTE near_five('[-1,-2,-3]');
RESET plan_cache_mode;

-- an index on the distance is another way, where it is the faster one
CREATE TABLE exact_indexed AS SELECT id, kind, v FROM exact_rows, generate_series(1, 20);
CREATE INDEX ON exact_indexed USING hnsw (v vector_l2_ops);
VACUUM ANALYZE exact_indexed;
SELECT is_exact($$SELECT id FROM exact_indexed ORDER BY v <-> '[1,2,3]' LIMIT 10$$) AS indexed,
	is_exact($$SELECT id FROM exact_indexed ORDER BY v <=> '[1,2,3]' LIMIT 10$$) AS of_another_operator;
DROP TABLE exact_indexed;

-- partitions: the nearest of each, merged
CREATE TABLE exact_parts (kind int, id int, v vector(3)) PARTITION BY RANGE (kind);
CREATE TABLE exact_parts_1 PARTITION OF exact_parts FOR VALUES FROM (0) TO (3);
CREATE TABLE exact_parts_2 (v vector(3), extra text, id int, kind int) PARTITION BY LIST (kind);
ALTER TABLE exact_parts_2 DROP COLUMN extra;
CREATE TABLE exact_parts_2_1 PARTITION OF exact_parts_2 FOR VALUES IN (3, 4, 5);
CREATE TABLE exact_parts_2_2 PARTITION OF exact_parts_2 DEFAULT;
ALTER TABLE exact_parts ATTACH PARTITION exact_parts_2 FOR VALUES FROM (3) TO (10);
INSERT INTO exact_parts SELECT kind, id, v FROM exact_rows;
ANALYZE exact_parts;
SELECT shape($$SELECT id FROM exact_parts ORDER BY v <-> '[1,2,3]' LIMIT 10$$);
SELECT same($$SELECT kind, id FROM exact_parts ORDER BY v <-> '[1,2,3]' LIMIT 10$$),
	same($$SELECT id FROM exact_parts WHERE kind > 3 AND id < 500 ORDER BY v <-> '[1,2,3]' LIMIT 10$$),
	same($$SELECT exact_parts FROM exact_parts ORDER BY '[1,2,3]' <-> v LIMIT 10$$);
SELECT same($$SELECT id FROM (SELECT id, v FROM exact_parts_1 UNION ALL SELECT id, v FROM exact_rows WHERE kind > 3) u
	ORDER BY v <-> '[1,2,3]' LIMIT 10$$);
DROP TABLE exact_parts;

-- out of line
CREATE TABLE exact_wide AS SELECT id, array_fill(id, ARRAY[1000])::vector AS v FROM generate_series(1, 1000) id;
ANALYZE exact_wide;
SELECT same($$SELECT id, v <-> array_fill(50.2, ARRAY[1000])::vector FROM exact_wide
	ORDER BY v <-> array_fill(50.2, ARRAY[1000])::vector LIMIT 4$$);
SELECT same($$SELECT w.id, n.id AS nearest FROM exact_wide w, LATERAL
	(SELECT id FROM exact_wide n ORDER BY n.v <-> w.v LIMIT 3) n WHERE w.id < 4$$);
DROP TABLE exact_wide;

-- several processes, each with its own nearest
SET max_parallel_workers_per_gather = 2;
SET parallel_setup_cost = 0;
SET parallel_tuple_cost = 0;
SET min_parallel_table_scan_size = 0;
SELECT shape($$SELECT id FROM exact_rows ORDER BY v <-> '[1,2,3]' LIMIT 10$$);
SELECT same($$SELECT id FROM exact_rows ORDER BY v <-> '[1,2,3]' LIMIT 10$$),
	same($$SELECT * FROM exact_rows WHERE kind < 5 ORDER BY v <=> (SELECT '[1,2,3]'::vector) LIMIT 10$$);
-- so cheap a distance that the plain path is given up
SELECT same($$SELECT b <~> 3::bit(8) AS d FROM exact_rows WHERE id % 7 = 3 ORDER BY 1 LIMIT 50$$);
RESET max_parallel_workers_per_gather;
RESET parallel_setup_cost;
RESET parallel_tuple_cost;
RESET min_parallel_table_scan_size;

-- rows that a role may not see are none of the nearest; who may not call the function is told
CREATE ROLE exact_reader;
GRANT SELECT ON exact_rows TO exact_reader;
ALTER TABLE exact_rows ENABLE ROW LEVEL SECURITY;
CREATE POLICY low ON exact_rows USING (kind < 5);
SET ROLE exact_reader;
SELECT is_exact($$SELECT id FROM exact_rows ORDER BY v <-> '[1,2,3]' LIMIT 5$$), bool_and(kind < 5), count(*)
FROM (SELECT kind FROM exact_rows ORDER BY v <-> '[1,2,3]' LIMIT 5) r;
RESET ROLE;
DO $$ BEGIN EXECUTE format('REVOKE EXECUTE ON FUNCTION %s FROM PUBLIC', 'l2_distance(vector, vector)'::regprocedure); END $$;
SET ROLE exact_reader;
SELECT id FROM exact_rows ORDER BY v <-> '[1,2,3]' LIMIT 5;
RESET ROLE;
GRANT EXECUTE ON FUNCTION l2_distance(vector, vector) TO PUBLIC;
DROP TABLE exact_rows;
DROP ROLE exact_reader;
DROP FUNCTION shape, is_exact, same;
