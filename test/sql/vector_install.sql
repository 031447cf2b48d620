-- CREATE EXTENSION where another vector is, and into another schema.
\set SHOW_CONTEXT never

-- pgvector in this database: said at once, with a way out (what tells it is the library of its functions)
BEGIN;
SET LOCAL client_min_messages = warning;
DROP EXTENSION rag CASCADE;
CREATE EXTENSION vector;
UPDATE pg_proc SET probin = '$libdir/vector' WHERE prosrc = 'rag_vector_in';
CREATE EXTENSION rag;
\echo :LAST_ERROR_SQLSTATE
ROLLBACK;

-- a type of this name
BEGIN;
SET LOCAL client_min_messages = warning;
DROP EXTENSION rag CASCADE;
CREATE TYPE vector AS (x float8, y float8);
CREATE EXTENSION rag;
ROLLBACK;

-- the types live in the schema that is asked for, and need no search_path
BEGIN;
SET LOCAL client_min_messages = warning;
DROP EXTENSION rag CASCADE;
CREATE TYPE vector AS (x float8, y float8);
CREATE SCHEMA "Other place";
CREATE EXTENSION rag SCHEMA "Other place";
SELECT typnamespace::regnamespace, typtype FROM pg_type WHERE typname = 'vector' ORDER BY typtype;
SET LOCAL search_path = pg_catalog;
SELECT '[1,2]'::"Other place".vector OPERATOR("Other place".<->) '[4,6]' AS l2, ARRAY[1,2]::"Other place".vector(2),
	"Other place".avg(v), "Other place".vector_dims("Other place".sum(v))
FROM unnest('{"[1,2]","[3,4]"}'::"Other place".vector[]) v;
CREATE TEMP TABLE elsewhere (v "Other place".vector(2) UNIQUE);
INSERT INTO elsewhere VALUES ('[2,1]'), ('[1,2]');
SELECT v FROM elsewhere ORDER BY v;
ROLLBACK;

-- all of it undone
SELECT typnamespace::regnamespace, typtype FROM pg_type WHERE typname = 'vector';
