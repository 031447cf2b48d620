-- rag.hnsw_check says nothing about a sound index, and what is broken about another.
CREATE TABLE t (id int, val vector(3));
INSERT INTO t SELECT i, ARRAY[i, i % 7, 1]::vector FROM generate_series(1, 300) i;
CREATE INDEX sound ON t USING hnsw (val vector_cosine_ops);
SELECT * FROM rag.hnsw_check('sound');
CREATE INDEX plain ON t (id);

SELECT * FROM rag.hnsw_check('plain');
SELECT * FROM rag.hnsw_check('t');
SELECT * FROM rag.hnsw_check('no_such_index');
SELECT * FROM rag.hnsw_check(NULL);

-- only those who may break things
CREATE ROLE regress_hnsw_reader;
SET ROLE regress_hnsw_reader;
SELECT * FROM rag.hnsw_check('sound');
RESET ROLE;
DROP ROLE regress_hnsw_reader;

-- an empty index
TRUNCATE t;
SELECT * FROM rag.hnsw_check('sound');
DROP TABLE t;
