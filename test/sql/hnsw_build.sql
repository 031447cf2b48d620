-- Builds by several processes, and builds that outgrow their memory.
SET client_min_messages = warning;
SET max_parallel_workers_per_gather = 0;
SET jit = off;
SELECT setseed(0.25);

-- values with a code (64 dimensions and more), and duplicates by the hundred
CREATE TABLE t (id int, val vector(64)) WITH (autovacuum_enabled = off);
INSERT INTO t SELECT i, (SELECT array_agg(random() - 0.5) FROM generate_series(1, 64) WHERE i > 0)::vector
	FROM generate_series(1, 4000) i;
INSERT INTO t SELECT 4000 + i, (SELECT val FROM t WHERE id = 1 + i % 3) FROM generate_series(1, 900) i;
INSERT INTO t VALUES (4901, NULL);
CREATE TABLE query AS SELECT (SELECT array_agg(random() - 0.5) FROM generate_series(1, 64) WHERE i > 0)::vector AS val
	FROM generate_series(1, 30) i;

-- Are all rows in, nothing broken, and nine of ten neighbours found? Rows of equal value are
-- one neighbour.
CREATE FUNCTION state_of(index regclass) RETURNS TABLE (problems bigint, entries real, duplicates bigint, enough boolean)
LANGUAGE plpgsql AS $$
DECLARE
	q record;
	hits int := 0;
	nearest float8;
BEGIN
	SELECT count(*) INTO problems FROM rag.hnsw_check(index);
	SELECT reltuples INTO entries FROM pg_class WHERE oid = index;
	SET LOCAL hnsw.ef_search = 100;
	SET LOCAL hnsw.iterative_scan = off;
	FOR q IN SELECT val FROM query LOOP
		SET LOCAL enable_indexscan = off;
		SET LOCAL enable_seqscan = on;
		nearest := max(d) FROM (SELECT DISTINCT val <-> q.val AS d FROM t ORDER BY d LIMIT 10) s;
		SET LOCAL enable_indexscan = on;
		SET LOCAL enable_seqscan = off;
		hits := hits + (SELECT count(DISTINCT d) FROM
			(SELECT val <-> q.val AS d FROM t WHERE val IS NOT NULL ORDER BY val <-> q.val LIMIT 1000) s WHERE d <= nearest);
	END LOOP;
	enough := hits >= 270;
	RESET hnsw.iterative_scan;
	SELECT count(*) INTO duplicates FROM
		(SELECT id FROM t ORDER BY val <-> (SELECT val FROM t WHERE id = 2) LIMIT 301) s WHERE id = 2 OR id > 4000;
	RETURN NEXT;
END
$$;

-- what few steps through the graph find: another graph shows other rows
CREATE FUNCTION walks() RETURNS text LANGUAGE plpgsql
SET enable_seqscan = off SET hnsw.ef_search = 5 SET hnsw.iterative_scan = off AS $$
DECLARE
	q record;
	result text := '';
BEGIN
	FOR q IN SELECT val FROM query LOOP
		result := result || (SELECT string_agg(id::text, ' ') FROM
			(SELECT id FROM t ORDER BY val <-> q.val LIMIT 5) s) || ';';
	END LOOP;
	RETURN result;
END
$$;

SET min_parallel_table_scan_size = 0;

-- alone
SET max_parallel_maintenance_workers = 0;
CREATE INDEX i ON t USING hnsw (val vector_l2_ops);
SELECT * FROM state_of('i');
-- the same rows make the same graph
SELECT walks() AS first \gset
DROP INDEX i;
CREATE INDEX i ON t USING hnsw (val vector_l2_ops);
SELECT walks() = :'first' AS same;
DROP INDEX i;

-- with workers
SET max_parallel_maintenance_workers = 2;
CREATE INDEX i ON t USING hnsw (val vector_l2_ops);
SELECT * FROM state_of('i');
REINDEX INDEX CONCURRENTLY i;
SELECT * FROM state_of('i');
DROP INDEX i;
CREATE INDEX CONCURRENTLY i ON t USING hnsw (val vector_l2_ops);
SELECT * FROM state_of('i');
DROP INDEX i;

-- with less memory than the graph needs: alone, and with workers, which only the table's
-- own option allows then
SET maintenance_work_mem = '1MB';
SET max_parallel_maintenance_workers = 0;
CREATE INDEX i ON t USING hnsw (val vector_l2_ops);
SELECT * FROM state_of('i');
DROP INDEX i;
SET max_parallel_maintenance_workers = 2;
ALTER TABLE t SET (parallel_workers = 2);
CREATE INDEX i ON t USING hnsw (val vector_l2_ops);
SELECT * FROM state_of('i');
DROP INDEX i;
RESET maintenance_work_mem;
ALTER TABLE t RESET (parallel_workers);

-- a build that is cancelled leaves nothing behind
SET statement_timeout = '200ms';
CREATE INDEX i ON t USING hnsw (val vector_l2_ops) WITH (m = 100, ef_construction = 1000);
RESET statement_timeout;
SELECT to_regclass('i') IS NULL AS gone;
SELECT count(*) AS workers FROM pg_stat_activity
	WHERE backend_type = 'parallel worker' AND datname = current_database();

-- of partitions, and of a table that is not logged
CREATE TABLE parted (id int, val vector(64)) PARTITION BY RANGE (id);
CREATE UNLOGGED TABLE low PARTITION OF parted FOR VALUES FROM (0) TO (2000);
CREATE TABLE high PARTITION OF parted FOR VALUES FROM (2000) TO (5000);
INSERT INTO parted SELECT * FROM t;
CREATE INDEX ON parted USING hnsw (val vector_cosine_ops);
SELECT i::regclass, (SELECT count(*) FROM rag.hnsw_check(i)) AS problems, reltuples
	FROM pg_class, LATERAL (SELECT oid AS i) o WHERE relname ~ '^(low|high)_val' ORDER BY 1;
DROP TABLE t, query, parted;
DROP FUNCTION state_of, walks;
