-- Recall of the hnsw index against the exact order, in each state that an index can be in.
SET client_min_messages = warning;
SET max_parallel_workers_per_gather = 0;
SET jit = off;
SELECT setseed(0.5);

CREATE FUNCTION random_vector(dimensions int) RETURNS vector LANGUAGE sql VOLATILE AS
	'SELECT array_agg(random() - 0.5)::vector FROM generate_series(1, dimensions)';
CREATE TABLE t (id int, val vector(24)) WITH (autovacuum_enabled = off);
INSERT INTO t SELECT i, random_vector(24) FROM generate_series(1, 3000) i;
CREATE TABLE query AS SELECT i AS id, random_vector(24)::vector(24) AS val FROM generate_series(1, 40) i;

-- the share of the ten nearest rows that the index finds, over all queries
CREATE FUNCTION recall(operator text) RETURNS float8 LANGUAGE plpgsql AS $$
DECLARE
	q record;
	exact int[];
	found int[];
	hits int := 0;
	wanted int := 0;
	statement text := format('SELECT array(SELECT id FROM t ORDER BY val %s $1 LIMIT 10)', operator);
	plan text;
BEGIN
	FOR q IN SELECT val FROM query LOOP
		SET LOCAL enable_indexscan = off;
		SET LOCAL enable_seqscan = on;
		EXECUTE statement INTO exact USING q.val;
		SET LOCAL enable_indexscan = on;
		SET LOCAL enable_seqscan = off;
		EXECUTE statement INTO found USING q.val;
		hits := hits + (SELECT count(*) FROM unnest(found) f WHERE f = ANY (exact));
		wanted := wanted + cardinality(exact);
	END LOOP;
	FOR plan IN EXECUTE 'EXPLAIN ' || format('SELECT id FROM t ORDER BY val %s %L LIMIT 10', operator, q.val) LOOP
		IF plan LIKE '%Index Scan%' THEN
			RETURN hits::float8 / wanted;
		END IF;
	END LOOP;
	RAISE 'the index was not used';
END
$$;

-- a threshold for each class: what a sound index exceeds by far, and a broken one cannot reach
CREATE FUNCTION check_recall(state text) RETURNS TABLE (state text, operator text, enough boolean)
LANGUAGE sql AS $$
	SELECT state, o, recall(o) >= least_recall
	FROM (VALUES ('<->', 0.95), ('<#>', 0.85), ('<=>', 0.95), ('<+>', 0.90)) v(o, least_recall)
$$;

CREATE FUNCTION problems() RETURNS TABLE (index text, problem text) LANGUAGE sql AS $$
	SELECT indexrelid::regclass::text, (rag.hnsw_check(indexrelid)).problem
	FROM pg_index WHERE indrelid = 't'::regclass
$$;

SET hnsw.ef_search = 60;

-- built in memory
CREATE INDEX l2 ON t USING hnsw (val vector_l2_ops);
CREATE INDEX ip ON t USING hnsw (val vector_ip_ops);
CREATE INDEX cosine ON t USING hnsw (val vector_cosine_ops);
CREATE INDEX l1 ON t USING hnsw (val vector_l1_ops);
SELECT * FROM check_recall('built in memory');
SELECT * FROM problems();

-- insert a third as many rows
INSERT INTO t SELECT i, random_vector(24) FROM generate_series(3001, 4000) i;
SELECT * FROM check_recall('after inserts');
SELECT * FROM problems();

-- delete half of the rows, and then most of the rest
DELETE FROM t WHERE id % 2 = 0;
VACUUM t;
SELECT * FROM check_recall('after deleting half');
SELECT * FROM problems();
DELETE FROM t WHERE id % 10 <> 1;
VACUUM t;
SELECT * FROM check_recall('after deleting more');
SELECT * FROM problems();

-- the room is used again, once a transaction has passed since the (parallel) vacuum
SELECT pg_current_xact_id() IS NOT NULL AS passed;
SELECT pg_relation_size('l2') AS size \gset
INSERT INTO t SELECT i, random_vector(24) FROM generate_series(5001, 6500) i;
SELECT * FROM check_recall('after inserts into free room');
SELECT * FROM problems();
SELECT pg_relation_size('l2') < :size * 1.1 AS "hardly larger than before";

-- an empty index, and one that is filled again
DELETE FROM t;
VACUUM t;
SELECT count(*) FROM (SELECT id FROM t ORDER BY val <-> (SELECT val FROM query LIMIT 1)) s;
SELECT * FROM problems();
SELECT pg_current_xact_id() IS NOT NULL AS passed;
INSERT INTO t SELECT i, random_vector(24) FROM generate_series(1, 1000) i;
SELECT * FROM check_recall('after emptying');
SELECT * FROM problems();
SELECT pg_relation_size('l2') < :size * 1.1 AS "hardly larger than before";

-- built on pages
DROP INDEX l2, ip, cosine, l1;
INSERT INTO t SELECT i, random_vector(24) FROM generate_series(1001, 3000) i;
SET maintenance_work_mem = '1MB';
CREATE INDEX l2 ON t USING hnsw (val vector_l2_ops);
CREATE INDEX ip ON t USING hnsw (val vector_ip_ops);
CREATE INDEX cosine ON t USING hnsw (val vector_cosine_ops) WITH (m = 10, ef_construction = 100);
CREATE INDEX l1 ON t USING hnsw (val vector_l1_ops) WITH (m = 30);
SELECT * FROM check_recall('built on pages');
SELECT * FROM problems();

-- a larger ef_search finds more
SET hnsw.ef_search = 1;
SELECT recall('<->') < 0.9 AS "ef_search = 1 misses some";
SET hnsw.ef_search = 1000;
SELECT recall('<->') > 0.999 AS "ef_search = 1000 finds all";

-- a parallel worker has the settings of its leader
SET parallel_setup_cost = 0;
SET parallel_tuple_cost = 0;
SET min_parallel_table_scan_size = 0;
SET max_parallel_workers_per_gather = 2;
SET parallel_leader_participation = off;
SET enable_seqscan = on;
SET hnsw.iterative_scan = off;
SET hnsw.ef_search = 3;
ALTER TABLE query SET (parallel_workers = 2);
CREATE FUNCTION near(v vector) RETURNS bigint LANGUAGE plpgsql STABLE PARALLEL SAFE
SET enable_seqscan = off AS $$
BEGIN
	RETURN (SELECT count(*) FROM (SELECT id FROM t ORDER BY val <-> v) s);
END
$$;
EXPLAIN (COSTS OFF) SELECT min(near(val)), max(near(val)) FROM query;
SELECT min(near(val)), max(near(val)) FROM query;

DROP TABLE t, query;
DROP FUNCTION near;
DROP FUNCTION problems, check_recall, recall, random_vector;
