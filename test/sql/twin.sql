-- The extensions rag and vector in one database: either may be created first, dropped first, or be alone.
\set SHOW_CONTEXT never
SET client_min_messages = warning;
CREATE DATABASE twin_test;
\c twin_test
SET client_min_messages = warning;

-- what there is of the types, by the extension that has it; and who needs whom
CREATE VIEW members AS
	SELECT e.extname, count(*) FILTER (WHERE i.schema IS DISTINCT FROM 'rag' AND i.identity !~ '(chunk|embed|generate\w*|token_count)\(') AS objects
	FROM pg_extension e
	LEFT JOIN pg_depend d ON d.refclassid = 'pg_extension'::regclass AND d.refobjid = e.oid AND d.deptype = 'e'
		AND d.classid <> 'pg_namespace'::regclass
	LEFT JOIN LATERAL pg_identify_object(d.classid, d.objid, d.objsubid) i ON true
	WHERE e.extname IN ('rag', 'vector')
	GROUP BY e.extname;
CREATE FUNCTION state(OUT extensions text, OUT needs text) LANGUAGE sql AS $$
	SELECT (SELECT string_agg(extname || CASE WHEN objects > 100 THEN ' with all' WHEN objects = 0 THEN ' with none' ELSE ' with some' END, ', ' ORDER BY extname) FROM members),
		(SELECT string_agg(a.extname || ' needs ' || b.extname, ', ') FROM pg_depend d
		 JOIN pg_extension a ON a.oid = d.objid JOIN pg_extension b ON b.oid = d.refobjid
		 WHERE d.classid = 'pg_extension'::regclass AND d.refclassid = 'pg_extension'::regclass)
$$;
GRANT SELECT ON members TO PUBLIC;
-- the types work, whoever has them
CREATE PROCEDURE work() LANGUAGE plpgsql AS $$
BEGIN
	CREATE TABLE t (id int, v vector(2), h halfvec(2), s sparsevec(2), b bit(4));
	INSERT INTO t VALUES (1, '[1,2]', '[1,2]', '{1:1}/2', '1010'), (2, '[3,4]', '[3,4]', '{2:1}/2', '0101');
	CREATE INDEX ON t USING hnsw (v vector_cosine_ops);
	CREATE INDEX ON t USING hnsw (h halfvec_l2_ops);
	CREATE INDEX ON t USING hnsw (s sparsevec_l1_ops);
	CREATE INDEX ON t USING hnsw (b bit_jaccard_ops);
	CREATE INDEX ON t USING ivfflat (v) WITH (lists = 7);
	ASSERT (SELECT id FROM t ORDER BY v <-> '[3,3]' LIMIT 1) = 2 AND (SELECT avg(v) FROM t) = '[2,3]';
	DROP TABLE t;
END
$$;

-- vector alone, then both, then either alone
CREATE EXTENSION vector;
CALL work();
CREATE EXTENSION rag;
SELECT * FROM state();
CALL work();
DROP EXTENSION rag;
SELECT * FROM state();
CALL work();
CREATE EXTENSION rag;
-- what the other needs stays
DROP EXTENSION vector;
-- unless it gets it
SELECT rag.move_vector('rag');
SELECT * FROM state();
CALL work();
DROP EXTENSION vector;
SELECT * FROM state();
CALL work();

-- rag first
CREATE EXTENSION IF NOT EXISTS vector;
SELECT * FROM state();
CALL work();
DROP EXTENSION vector;
SELECT * FROM state();
CREATE EXTENSION vector CASCADE;
DROP EXTENSION rag;
SELECT rag.move_vector('vector');
SELECT rag.move_vector('vector');
SELECT * FROM state();
DROP EXTENSION rag;
SELECT * FROM state();
CALL work();
-- both at once
CREATE EXTENSION rag;
DROP EXTENSION vector, rag;
SELECT * FROM state();

-- each has what the other would bring: in number, and no object of one is left to the other
CREATE EXTENSION vector;
CREATE TABLE counted AS SELECT objects FROM members;
CREATE EXTENSION rag;
SELECT rag.move_vector('rag');
SELECT m.extname, m.objects = c.objects AS all, m.objects = 0 AS none FROM members m, counted c ORDER BY 1;
DROP EXTENSION rag, vector;
CREATE EXTENSION rag;
SELECT m.extname, m.objects = c.objects AS all FROM members m, counted c;

-- wrong names
SELECT rag.move_vector('vector');
SELECT rag.move_vector('plpgsql');
SELECT rag.move_vector(NULL);

-- schemas: the types stay where they are
DROP EXTENSION rag;
CREATE SCHEMA "Some place";
CREATE SCHEMA app;
CREATE EXTENSION vector SCHEMA "Some place";
CREATE EXTENSION rag;
SELECT extname, extnamespace::regnamespace FROM pg_extension WHERE extname IN ('rag', 'vector') ORDER BY 1;
SELECT 'embed(text)'::regprocedure, prorettype::regtype FROM pg_proc WHERE oid = 'embed(text)'::regprocedure;
SELECT rag.move_vector('rag');
SELECT rag.move_vector('vector');
SELECT * FROM state();
ALTER EXTENSION vector SET SCHEMA app;
SELECT prorettype::regtype FROM pg_proc WHERE oid = 'embed(text)'::regprocedure;
SELECT rag.move_vector('rag');
SELECT * FROM state();
DROP EXTENSION vector, rag;
CREATE EXTENSION rag;
SET search_path = app, public;
CREATE EXTENSION vector;
SELECT extname, extnamespace::regnamespace FROM pg_extension WHERE extname IN ('rag', 'vector') ORDER BY 1;
RESET search_path;
CALL work();
DROP EXTENSION vector, rag;

-- an ordinary user may create and drop it where CREATE on the database is granted, and gets nobody's types
CREATE ROLE twin_user;
GRANT CREATE ON DATABASE twin_test TO twin_user;
SET ROLE twin_user;
CREATE SCHEMA hers;
CREATE EXTENSION vector SCHEMA hers;
CREATE EXTENSION rag;
CREATE TABLE hers.t (v hers.vector(2));
DROP TABLE hers.t;
-- before 14 an access method goes with its extension only if a superuser says so
SELECT current_setting('server_version_num')::int < 140000 AS before_14 \gset
\if :before_14
RESET ROLE;
\endif
DROP EXTENSION vector;
RESET ROLE;
CREATE EXTENSION rag;
SET ROLE twin_user;
CREATE EXTENSION vector;
SELECT * FROM state();
SELECT rag.move_vector('vector');
DROP EXTENSION vector CASCADE;
SELECT * FROM state();
RESET ROLE;

\c contrib_regression
DROP DATABASE twin_test;
DROP ROLE twin_user;
