-- A distance that only orders the rows is not computed for each of them: the index has the
-- order. It is where anybody reads it.

SELECT setseed(0.5);
CREATE TABLE unread AS
SELECT n AS id, (SELECT array_agg(random()) FROM generate_series(1, 3 + n * 0) i)::vector(3) AS v
FROM generate_series(1, 2000) n;
INSERT INTO unread SELECT id + 2000, v FROM unread;
CREATE INDEX ON unread USING hnsw (v vector_l2_ops);
CREATE TABLE unread_parts (LIKE unread) PARTITION BY RANGE (id);
CREATE TABLE unread_part_1 PARTITION OF unread_parts FOR VALUES FROM (0) TO (1000);
CREATE TABLE unread_part_2 PARTITION OF unread_parts FOR VALUES FROM (1000) TO (9000);
INSERT INTO unread_parts SELECT * FROM unread;
CREATE INDEX ON unread_parts USING hnsw (v vector_l2_ops);
VACUUM ANALYZE unread, unread_parts;

-- what a query does with the distance, and whether its rows are those of an exact search
CREATE FUNCTION distance(query text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	line text;
	uses text := 'no index, ';
	computes text := 'not computed, ';
	found text;
	exact text;
	agg text := format('SELECT string_agg(to_jsonb(q)::text, %L) FROM (%s) q', ' ', query);
BEGIN
	SET LOCAL enable_seqscan = off;
	FOR line IN EXECUTE 'EXPLAIN (VERBOSE, COSTS OFF) ' || query
	LOOP
		IF line LIKE '%Order By: (%<->%' THEN
			uses := '';
		ELSIF line LIKE '%Output:%<->%' THEN
			computes := 'computed, ';
		END IF;
	END LOOP;
	EXECUTE agg INTO found;
	RESET enable_seqscan;
	SET LOCAL enable_indexscan = off;
	EXECUTE agg INTO exact;
	RESET enable_indexscan;
	RETURN uses || computes || CASE WHEN found = exact THEN 'exact' ELSE 'not exact' END;
END $$;

SELECT distance($$SELECT v FROM unread ORDER BY v <-> '[.5,.5,.5]' LIMIT 10$$) AS limited;
SELECT distance($$SELECT v FROM unread ORDER BY v <-> '[.5,.5,.5]' LIMIT 10 OFFSET 5$$) AS later;
SELECT distance($$SELECT v FROM (SELECT * FROM unread ORDER BY v <-> '[.5,.5,.5]' LIMIT 10) s WHERE id > 0$$) AS subquery;
SELECT distance($$WITH c AS MATERIALIZED (SELECT v FROM unread ORDER BY v <-> '[.5,.5,.5]' LIMIT 10) SELECT c.v, d.v AS w FROM c JOIN c d ON c.v = d.v$$) AS cte;
SELECT distance($$(SELECT v FROM unread ORDER BY v <-> '[.5,.5,.5]' LIMIT 2) UNION ALL (SELECT v FROM unread ORDER BY v <-> '[.1,.1,.1]' LIMIT 2)$$) AS both;
SELECT distance($$SELECT (SELECT s.v FROM unread s ORDER BY s.v <-> t.v LIMIT 1) FROM unread t WHERE t.id < 5$$) AS each;
-- it is read
SELECT distance($$SELECT v, v <-> '[.5,.5,.5]' AS d FROM unread ORDER BY v <-> '[.5,.5,.5]' LIMIT 10$$) AS returned;
SELECT distance($$SELECT v, 1 - (v <-> '[.5,.5,.5]') AS d FROM unread ORDER BY v <-> '[.5,.5,.5]' LIMIT 10$$) AS a_part;
-- (by the index where the server can sort its rows further)
SELECT replace(distance($$SELECT id FROM unread ORDER BY v <-> '[.5,.5,.5]', id DESC LIMIT 10$$), 'no index, ', '') AS and_id;
SELECT distance($$SELECT v FROM unread ORDER BY v <-> '[.5,.5,.5]' FETCH FIRST 9 ROWS WITH TIES$$) AS ties;
SELECT distance($$SELECT v FROM unread_parts ORDER BY v <-> '[.5,.5,.5]' LIMIT 10$$) AS partitions;
SELECT distance($$SELECT v, row_number() OVER (ORDER BY v <-> '[.5,.5,.5]') AS n FROM unread ORDER BY v <-> '[.5,.5,.5]' LIMIT 10$$) AS numbered;
-- a plan that is kept
SET plan_cache_mode = force_generic_plan;
SET enable_seqscan = off;
PREPARE near(vector) AS SELECT v FROM unread ORDER BY v <-> $1 LIMIT 3;
EXPLAIN (VERBOSE, COSTS OFF) EXECUTE near('[.5,.5,.5]');
DEALLOCATE near;
DROP FUNCTION distance;
DROP TABLE unread, unread_parts;
