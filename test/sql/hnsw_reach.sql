-- Every row can be found, whatever the values are: after builds, inserts, and deletes with vacuum.
SET client_min_messages = warning;
SET max_parallel_workers_per_gather = 0;
SET jit = off;
SELECT setseed(0.25);

CREATE TABLE t (id int, v vector(12)) WITH (autovacuum_enabled = off);

-- What the checker finds, and the rows that a scan does not come to
CREATE FUNCTION lost(index regclass, operator text, OUT problem text, OUT missed bigint) LANGUAGE plpgsql AS $$
BEGIN
	SET LOCAL enable_seqscan = off;
	SET LOCAL enable_sort = off;
	SET LOCAL hnsw.iterative_scan = relaxed_order;
	SET LOCAL hnsw.max_scan_tuples = 1000000;
	SET LOCAL hnsw.scan_mem_multiplier = 100;
	SELECT min(c.problem) INTO problem FROM rag.hnsw_check(index) c;
	EXECUTE format('SELECT (SELECT count(*) FROM t) - count(*) FROM (SELECT id FROM t ORDER BY v %s %L LIMIT 1000000) s',
		operator, '[1,2,3,4,5,6,7,8,9,10,11,12]') INTO missed;
END
$$;

/*
 * An index of these rows: built in memory, built in pages, filled by inserts in this order, and after each of some
 * vacuums, the last of which leaves a few rows.
 */
CREATE FUNCTION try(rows text, class text, operator text, options text) RETURNS TABLE (step text, problem text, missed bigint)
LANGUAGE plpgsql AS $$
BEGIN
	TRUNCATE t;
	EXECUTE 'INSERT INTO t ' || rows;
	EXECUTE format('CREATE INDEX t_v ON t USING hnsw (v %s) WITH (%s)', class, options);
	RETURN QUERY SELECT 'in memory', * FROM lost('t_v', operator);
	DROP INDEX t_v;
	SET LOCAL maintenance_work_mem = '1MB';
	EXECUTE format('CREATE INDEX t_v ON t USING hnsw (v %s) WITH (%s)', class, options);
	RETURN QUERY SELECT 'beyond it', * FROM lost('t_v', operator);
	TRUNCATE t;
	EXECUTE 'INSERT INTO t ' || rows;
	RETURN QUERY SELECT 'inserts', * FROM lost('t_v', operator);
END
$$;
CREATE PROCEDURE vacuum_some(share float8) LANGUAGE sql AS 'DELETE FROM t WHERE random() < share';

-- inner products: a few long vectors are nearest to all
\set rows 'SELECT i, (SELECT array_agg(round(random() * (1 + i % 5)) + 0 * j) FROM generate_series(1, 12) j)::vector FROM generate_series(1, 1500) i'
SELECT * FROM try(:'rows', 'vector_ip_ops', '<#>', 'm = 5, ef_construction = 20');
CALL vacuum_some(0.3);
VACUUM t;
SELECT * FROM lost('t_v', '<#>');
INSERT INTO t SELECT id + 10000, v * v FROM t;
SELECT * FROM lost('t_v', '<#>');
CALL vacuum_some(0.6);
VACUUM t;
SELECT * FROM lost('t_v', '<#>');
CALL vacuum_some(0.97);
VACUUM t;
INSERT INTO t SELECT id + 20000, v + v FROM t;
SELECT * FROM lost('t_v', '<#>');
DROP INDEX t_v;

-- as few links as there can be
SELECT * FROM try(:'rows', 'vector_ip_ops', '<#>', 'm = 2, ef_construction = 4');
CALL vacuum_some(0.5);
VACUUM t;
SELECT * FROM lost('t_v', '<#>');
INSERT INTO t SELECT id + 10000, v + v FROM t;
CALL vacuum_some(0.9);
VACUUM t;
SELECT * FROM lost('t_v', '<#>');
DROP INDEX t_v;

-- clusters, one after the other, each farther off than the last
\set rows 'SELECT i, (SELECT array_agg(random() + 10 ^ (i / 150) + 0 * j) FROM generate_series(1, 12) j)::vector FROM generate_series(1, 1500) i'
SELECT * FROM try(:'rows', 'vector_l2_ops', '<->', 'm = 3, ef_construction = 6');
DELETE FROM t WHERE id / 150 IN (2, 3, 7);
VACUUM t;
SELECT * FROM lost('t_v', '<->');
DROP INDEX t_v;

-- distances beyond what a float can hold
\set rows 'SELECT i, (SELECT array_agg((i * (j + 7919) % 1009 - 504) * 3e35::real) FROM generate_series(1, 12) j)::vector FROM generate_series(1, 1000) i'
SELECT * FROM try(:'rows', 'vector_l2_ops', '<->', 'm = 4, ef_construction = 8');
CALL vacuum_some(0.5);
VACUUM t;
SELECT * FROM lost('t_v', '<->');
DROP INDEX t_v;
SELECT * FROM try(:'rows', 'vector_ip_ops', '<#>', 'm = 4, ef_construction = 8');
DROP INDEX t_v;

-- nothing is left of what was there first
\set rows 'SELECT i, (SELECT array_agg(random() + 0 * i * j) FROM generate_series(1, 12) j)::vector FROM generate_series(1, 800) i'
SELECT * FROM try(:'rows', 'vector_cosine_ops', '<=>', 'm = 4, ef_construction = 16');
INSERT INTO t SELECT id + 10000, v - '[1,1,1,1,1,1,1,1,1,1,1,1]' FROM t;
DELETE FROM t WHERE id < 10000;
VACUUM t;
SELECT * FROM lost('t_v', '<=>');
DELETE FROM t;
VACUUM t;
INSERT INTO t SELECT i, ARRAY[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, i]::vector FROM generate_series(1, 300) i;
SELECT * FROM lost('t_v', '<=>');

DROP TABLE t;
DROP FUNCTION lost, try;
DROP PROCEDURE vacuum_some;
