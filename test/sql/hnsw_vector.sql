-- The hnsw access method on vector: what is indexed, in which order it comes, and errors.
SET enable_seqscan = off;

CREATE FUNCTION uses_index(query text) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
	line text;
	used boolean := false;
BEGIN
	FOR line IN EXECUTE 'EXPLAIN (COSTS OFF) ' || query LOOP
		used := used OR line LIKE '%using t_val_idx%';
	END LOOP;
	RETURN used;
END
$$;

-- L2
CREATE TABLE t (val vector(3));
INSERT INTO t (val) VALUES ('[0,0,0]'), ('[1,2,3]'), ('[1,1,1]'), (NULL);
CREATE INDEX ON t USING hnsw (val vector_l2_ops);
INSERT INTO t (val) VALUES ('[1,2,4]'), (NULL);
EXPLAIN (COSTS OFF) SELECT * FROM t ORDER BY val <-> '[3,3,3]';
SELECT * FROM t ORDER BY val <-> '[3,3,3]';
SELECT * FROM t ORDER BY val <-> '[3,3,3]' LIMIT 2;
SELECT count(*) FROM (SELECT * FROM t ORDER BY val <-> (SELECT NULL::vector)) s;
SELECT count(*) FROM t;
SELECT * FROM t ORDER BY val <-> '[3,3]';
UPDATE t SET val = '[3,3,3]' WHERE val = '[0,0,0]';
SELECT * FROM t ORDER BY val <-> '[3,3,3]';
TRUNCATE t;
SELECT * FROM t ORDER BY val <-> '[3,3,3]';
INSERT INTO t (val) VALUES ('[5,5,5]');
SELECT * FROM t ORDER BY val <-> '[3,3,3]';
SELECT * FROM rag.hnsw_check('t_val_idx');
DROP TABLE t;

-- inner product
CREATE TABLE t (val vector(3));
INSERT INTO t (val) VALUES ('[0,0,0]'), ('[1,2,3]'), ('[1,1,1]'), (NULL);
CREATE INDEX ON t USING hnsw (val vector_ip_ops);
INSERT INTO t (val) VALUES ('[1,2,4]');
SELECT * FROM t ORDER BY val <#> '[3,3,3]';
SELECT count(*) FROM (SELECT * FROM t ORDER BY val <#> (SELECT NULL::vector)) s;
DROP TABLE t;

-- cosine: a zero vector has no direction and is not indexed
CREATE TABLE t (val vector(3));
INSERT INTO t (val) VALUES ('[0,0,0]'), ('[1,2,3]'), ('[1,1,1]'), (NULL);
CREATE INDEX ON t USING hnsw (val vector_cosine_ops);
INSERT INTO t (val) VALUES ('[1,2,4]'), ('[0,0,0]');
SELECT * FROM t ORDER BY val <=> '[3,3,3]';
SELECT count(*) FROM (SELECT * FROM t ORDER BY val <=> '[0,0,0]') s;
SELECT count(*) FROM (SELECT * FROM t ORDER BY val <=> (SELECT NULL::vector)) s;
SELECT * FROM rag.hnsw_check('t_val_idx');
DROP TABLE t;

-- L1
CREATE TABLE t (val vector(3));
INSERT INTO t (val) VALUES ('[0,0,0]'), ('[1,2,3]'), ('[1,1,1]'), (NULL);
CREATE INDEX ON t USING hnsw (val vector_l1_ops);
INSERT INTO t (val) VALUES ('[1,2,4]');
SELECT * FROM t ORDER BY val <+> '[3,3,3]';
DROP TABLE t;

-- an operator of another class does not use the index
CREATE TABLE t (val vector(3));
CREATE INDEX ON t USING hnsw (val vector_l2_ops);
SELECT uses_index($$SELECT * FROM t ORDER BY val <=> '[3,3,3]'$$);
-- nor does a query without an order
SELECT uses_index('SELECT * FROM t WHERE val IS NOT NULL'), uses_index('SELECT count(*) FROM t');
DROP TABLE t;

-- a join gives each outer row its own scan
CREATE TABLE t (id int, val vector(2));
INSERT INTO t SELECT i, ARRAY[i, 0]::vector FROM generate_series(1, 100) i;
CREATE INDEX ON t USING hnsw (val vector_l2_ops);
EXPLAIN (COSTS OFF)
SELECT q, id FROM generate_series(10, 30, 10) q,
	LATERAL (SELECT id FROM t ORDER BY val <-> ARRAY[q, 0]::vector LIMIT 2) s;
SELECT q, id FROM generate_series(10, 30, 10) q,
	LATERAL (SELECT id FROM t ORDER BY val <-> ARRAY[q + 0.1, 0]::vector LIMIT 2) s;
DROP TABLE t;

-- large values lie on pages of their own
CREATE TABLE t (id int, val vector(4096));
INSERT INTO t SELECT i, array_fill(i::real, ARRAY[4096])::vector FROM generate_series(1, 20) i;
CREATE INDEX ON t USING hnsw (val vector_l2_ops);
INSERT INTO t SELECT i, array_fill(i::real, ARRAY[4096])::vector FROM generate_series(21, 40) i;
SELECT id FROM t ORDER BY val <-> array_fill(20.4::real, ARRAY[4096])::vector LIMIT 5;
SELECT count(*) FROM (SELECT id FROM t ORDER BY val <-> array_fill(1::real, ARRAY[4096])::vector) s;
SELECT * FROM rag.hnsw_check('t_val_idx');
DELETE FROM t WHERE id % 4 > 0 AND id > 1;
VACUUM t;
DELETE FROM t WHERE id = 1;
VACUUM t;
SELECT pg_relation_size('t_val_idx') AS size \gset
INSERT INTO t SELECT i, array_fill(i::real, ARRAY[4096])::vector FROM generate_series(41, 60) i;
SELECT pg_relation_size('t_val_idx') < :size * 1.1 AS "pages are used again";
SELECT id FROM t ORDER BY val <-> array_fill(20.4::real, ARRAY[4096])::vector LIMIT 5;
SELECT * FROM rag.hnsw_check('t_val_idx');
DROP TABLE t;
CREATE TABLE t (val vector(2000));
INSERT INTO t SELECT array_fill(i::real, ARRAY[2000])::vector FROM generate_series(1, 5) i;
CREATE INDEX ON t USING hnsw (val vector_cosine_ops) WITH (m = 100, ef_construction = 1000);
SELECT * FROM rag.hnsw_check('t_val_idx');
DROP TABLE t;

-- duplicates share a node
CREATE TABLE t (id int, val vector(3));
INSERT INTO t SELECT i, '[1,2,3]' FROM generate_series(1, 1000) i;
INSERT INTO t SELECT i, ARRAY[i, 0, 0]::vector FROM generate_series(1001, 1010) i;
CREATE INDEX ON t USING hnsw (val vector_l2_ops);
INSERT INTO t SELECT i, '[1,2,3]' FROM generate_series(1, 1000) i;
SELECT pg_relation_size('t_val_idx') < 100000 AS small;
SELECT count(DISTINCT s.ctid), count(*) FROM (SELECT ctid FROM t ORDER BY val <-> '[1,2,3]') s;
SELECT * FROM rag.hnsw_check('t_val_idx');
DELETE FROM t WHERE id % 3 = 0 AND id <= 1000;
VACUUM t;
SELECT count(DISTINCT s.ctid), count(*) FROM (SELECT ctid FROM t ORDER BY val <-> '[1,2,3]') s;
DELETE FROM t WHERE id <= 1000;
VACUUM t;
SELECT id FROM t ORDER BY val <-> '[1,2,3]' LIMIT 2;
SELECT * FROM rag.hnsw_check('t_val_idx');
DROP TABLE t;

-- unlogged and temporary tables, REINDEX, CONCURRENTLY
CREATE UNLOGGED TABLE t (val vector(3));
INSERT INTO t (val) VALUES ('[0,0,0]'), ('[1,2,3]');
CREATE INDEX ON t USING hnsw (val vector_l2_ops);
INSERT INTO t (val) VALUES ('[1,1,1]');
SELECT * FROM t ORDER BY val <-> '[3,3,3]';
REINDEX INDEX t_val_idx;
REINDEX INDEX CONCURRENTLY t_val_idx;
CREATE INDEX CONCURRENTLY other ON t USING hnsw (val vector_l1_ops);
SELECT * FROM t ORDER BY val <-> '[3,3,3]';
SELECT * FROM t ORDER BY val <+> '[3,3,3]';
SELECT * FROM rag.hnsw_check('other');
DROP TABLE t;
CREATE TEMP TABLE t (val vector(3));
INSERT INTO t (val) VALUES ('[0,0,0]'), ('[1,2,3]');
CREATE INDEX ON t USING hnsw (val vector_l2_ops);
INSERT INTO t (val) VALUES ('[1,1,1]');
DELETE FROM t WHERE val = '[0,0,0]';
VACUUM t;
SELECT * FROM t ORDER BY val <-> '[3,3,3]';
DROP TABLE t;

-- an expression
CREATE TABLE t (val real[]);
INSERT INTO t VALUES ('{0,0,0}'), ('{1,2,3}'), (NULL);
CREATE INDEX ON t USING hnsw ((val::vector(3)) vector_l2_ops);
SELECT * FROM t ORDER BY val::vector(3) <-> '[3,3,3]';
INSERT INTO t VALUES ('{1,2}');
DROP TABLE t;

-- a graph that outgrows maintenance_work_mem
CREATE TABLE t (val vector(3));
INSERT INTO t SELECT ARRAY[i, i % 7, i % 11]::vector FROM generate_series(1, 5000) i;
SET maintenance_work_mem = '1MB';
SET client_min_messages = warning;	-- the notice says after how many rows, which varies
CREATE INDEX ON t USING hnsw (val vector_l2_ops);
RESET client_min_messages;
RESET maintenance_work_mem;
SELECT * FROM rag.hnsw_check('t_val_idx');
SELECT * FROM t ORDER BY val <-> '[1500,0,0]' LIMIT 3;
DROP TABLE t;

-- options
CREATE TABLE t (val vector(3), plain vector);
CREATE INDEX ON t USING hnsw (val);
CREATE INDEX ON t USING hnsw (plain vector_l2_ops);
CREATE INDEX ON t USING hnsw ((plain::vector(4097)) vector_l2_ops);
CREATE INDEX ON t USING hnsw (val vector_l2_ops, plain vector_l2_ops);
CREATE UNIQUE INDEX ON t USING hnsw (val vector_l2_ops);
CREATE INDEX ON t USING hnsw (val vector_l2_ops) WITH (m = 1);
CREATE INDEX ON t USING hnsw (val vector_l2_ops) WITH (m = 101);
CREATE INDEX ON t USING hnsw (val vector_l2_ops) WITH (ef_construction = 3);
CREATE INDEX ON t USING hnsw (val vector_l2_ops) WITH (ef_construction = 1001);
CREATE INDEX ON t USING hnsw (val vector_l2_ops) WITH (m = 16, ef_construction = 31);
CREATE INDEX ON t USING hnsw (val vector_l2_ops) WITH (lists = 5);
DROP TABLE t;

-- settings
SHOW hnsw.ef_search;
SET hnsw.ef_search = 0;
SET hnsw.ef_search = 1001;
SHOW hnsw.iterative_scan;
SET hnsw.iterative_scan = on;
SHOW hnsw.max_scan_tuples;
SET hnsw.max_scan_tuples = 0;
SHOW hnsw.scan_mem_multiplier;
SET hnsw.scan_mem_multiplier = 0;
SET hnsw.scan_mem_multiplier = 1001;

-- what was set before the first use of the access method is checked and taken over then
\c -
SET hnsw.ef_search = 7;
SET hnsw.max_scan_tuples = 0;
CREATE TABLE t (val vector(3));
CREATE INDEX ON t USING hnsw (val vector_l2_ops);
SHOW hnsw.ef_search;
SHOW hnsw.max_scan_tuples;
SET hnsw.ef_search = 0;
RESET hnsw.ef_search;
SHOW hnsw.ef_search;
DROP TABLE t;

-- operator classes are complete
SELECT opcname, amvalidate(c.oid) FROM pg_opclass c JOIN pg_am a ON a.oid = opcmethod
WHERE amname = 'hnsw' ORDER BY opcname;

-- the planner takes the index for the first few rows of many, and for few rows the table
RESET enable_seqscan;
CREATE TABLE t (id int PRIMARY KEY, val vector(64));
INSERT INTO t SELECT i, (SELECT array_agg(random()) FROM generate_series(1, 64 + 0 * i))::vector
	FROM generate_series(1, 5000) i;
CREATE INDEX ON t USING hnsw (val vector_l2_ops);
ANALYZE t;
SELECT uses_index('SELECT id FROM t ORDER BY val <-> (SELECT val FROM t WHERE id = 1) LIMIT 10') AS few,
	uses_index('SELECT id FROM t WHERE id < 20 ORDER BY val <-> (SELECT val FROM t WHERE id = 1) LIMIT 10') AS filtered,
	uses_index('SELECT id FROM t ORDER BY val <-> (SELECT val FROM t WHERE id = 1)') AS all;
DELETE FROM t WHERE id > 20;
VACUUM ANALYZE t;
SELECT uses_index('SELECT id FROM t ORDER BY val <-> (SELECT val FROM t WHERE id = 1) LIMIT 10') AS of_few;
DROP TABLE t;
DROP FUNCTION uses_index;
