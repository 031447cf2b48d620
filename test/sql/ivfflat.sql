-- The access method ivfflat: pgvector's definitions of indexes and settings, kept as graphs.
SET enable_seqscan = off;
CREATE TABLE t (id serial, v vector(3), h halfvec(3), b bit(8));

-- it needs no rows to learn from, but says what pgvector says where there are fewer than lists
CREATE INDEX v_l2 ON t USING ivfflat (v) WITH (lists = 100);
CREATE INDEX v_ip ON t USING ivfflat (v vector_ip_ops) WITH (lists = 1);
CREATE INDEX v_cosine ON t USING ivfflat (v vector_cosine_ops);
CREATE INDEX h_l2 ON t USING ivfflat (h halfvec_l2_ops) WITH (lists = 10);
CREATE INDEX h_ip ON t USING ivfflat (h halfvec_ip_ops);
CREATE INDEX h_cosine ON t USING ivfflat (h halfvec_cosine_ops);
CREATE INDEX b_hamming ON t USING ivfflat (b bit_hamming_ops) WITH (m = 8, ef_construction = 32, lists = 5);
INSERT INTO t (v, h, b)
	SELECT ARRAY[i % 10, i / 10, 1]::vector, ARRAY[i % 10, i / 10, 1]::vector::halfvec, i::bit(8)
	FROM generate_series(0, 99) i;

-- each orders by its operator, as a sequential scan does
CREATE FUNCTION same(expression text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	statement text := format('SELECT array_agg(d) FROM (SELECT %1$s AS d FROM t ORDER BY %1$s LIMIT 7) s', expression);
	by_index text;
	by_scan text;
	plan text := '';
	line text;
BEGIN
	FOR line IN EXECUTE 'EXPLAIN (COSTS OFF) ' || statement LOOP
		plan := plan || line;
	END LOOP;
	EXECUTE statement INTO by_index;
	SET LOCAL enable_seqscan = on;
	SET LOCAL enable_indexscan = off;
	EXECUTE statement INTO by_scan;
	SET LOCAL enable_seqscan = off;
	SET LOCAL enable_indexscan = on;
	RETURN format('%s: %s', substring(plan FROM 'using (\w+)'), by_index = by_scan);
END
$$;
SELECT same('v <-> ''[3,4,5]''');
SELECT same('v <#> ''[3,4,5]''');
SELECT same('v <=> ''[3,4,5]''');
SELECT same('h <-> ''[3,4,5]''');
SELECT same('h <#> ''[3,4,5]''');
SELECT same('h <=> ''[3,4,5]''');
SELECT same('b <~> ''10110100''');
-- with a filter LIMIT rows come, whatever probes says
SELECT count(*) FROM (SELECT id FROM t WHERE id % 20 = 0 ORDER BY v <-> '[3,4,5]' LIMIT 5) s;

SELECT indexrelid::regclass FROM pg_index i JOIN pg_class c ON c.oid = indexrelid JOIN pg_am a ON a.oid = relam
	CROSS JOIN LATERAL rag.hnsw_check(indexrelid) WHERE amname = 'ivfflat';
SELECT pg_get_indexdef('v_l2'::regclass), pg_get_indexdef('b_hamming'::regclass);
SELECT opcname, amvalidate(o.oid) FROM pg_opclass o JOIN pg_am a ON a.oid = opcmethod WHERE amname = 'ivfflat' ORDER BY 1;
SELECT progress FROM (SELECT pg_indexam_progress_phasename(oid, 2) AS progress FROM pg_am WHERE amname = 'ivfflat') s;

-- a row that is not indexed is none
BEGIN;
CREATE TABLE few (v vector(3));
INSERT INTO few VALUES ('[1,2,3]'), ('[0,0,0]'), (NULL), ('[1,2,3]');
CREATE INDEX three_l2 ON few USING ivfflat (v vector_l2_ops) WITH (lists = 3);
CREATE INDEX four_l2 ON few USING ivfflat (v vector_l2_ops) WITH (lists = 4);
CREATE INDEX three_cosine ON few USING ivfflat (v vector_cosine_ops) WITH (lists = 3);
DROP INDEX four_l2, three_cosine;
TRUNCATE few;
ROLLBACK;

-- options and settings have pgvector's limits
CREATE INDEX ON t USING ivfflat (v) WITH (lists = 0);
CREATE INDEX ON t USING ivfflat (v) WITH (lists = 32769);
ALTER INDEX v_l2 SET (lists = 50);
CREATE INDEX ON t USING hnsw (v vector_l2_ops) WITH (lists = 1);
CREATE INDEX ON t USING ivfflat (v vector_l1_ops);
SHOW ivfflat.probes;
SET ivfflat.probes = 0;
SET ivfflat.probes = 10;
SHOW ivfflat.probes;
SHOW ivfflat.iterative_scan;
SET ivfflat.iterative_scan = strict_order;
SET ivfflat.iterative_scan = relaxed_order;
SHOW ivfflat.max_probes;
SET ivfflat.max_probes = 32769;

-- a class for another type must say which
CREATE TABLE other (x text);
BEGIN;
CREATE FUNCTION text_distance(text, text) RETURNS float8 LANGUAGE sql IMMUTABLE AS 'SELECT 1.0::float8';
CREATE OPERATOR <-> (LEFTARG = text, RIGHTARG = text, FUNCTION = text_distance);
CREATE OPERATOR CLASS text_ops FOR TYPE text USING ivfflat AS
	OPERATOR 1 <-> (text, text) FOR ORDER BY float_ops, FUNCTION 1 text_distance(text, text);
CREATE INDEX text_index ON other USING ivfflat (x text_ops);
ROLLBACK;

DROP TABLE t, other;
DROP FUNCTION same(text);
