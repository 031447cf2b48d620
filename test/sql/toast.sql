-- Distances of values that lie out of line are those of values that do not, to the last bit.

CREATE FUNCTION make(n int, dim int) RETURNS vector LANGUAGE sql IMMUTABLE AS
	$$ SELECT array_agg((n * 31 + i * 7) % 101 + n)::vector FROM generate_series(1, dim) i $$;

CREATE TABLE toasted (id int PRIMARY KEY, v vector(1200), w vector, h halfvec(1200), b bit(20000), s sparsevec);
ALTER TABLE toasted ALTER b SET STORAGE EXTERNAL;
INSERT INTO toasted
SELECT n, make(n, 1200), make(n, 1 + n % 3 * 900), make(n, 1200)::halfvec,
	repeat(n::bit(32)::text, 625)::bit(20000), make(n, 900)::sparsevec
FROM generate_series(1, 60) n;

-- how many rows have another distance than copies of their values have, which are in no table
CREATE VIEW wrong AS
SELECT count(*) AS rows,
	count(*) FILTER (WHERE v <-> q <> v::real[]::vector <-> q) AS v,
	count(*) FILTER (WHERE q <=> v <> q <=> v::real[]::vector) AS v_right,
	count(*) FILTER (WHERE v <#> v <> v::real[]::vector <#> v::real[]::vector) AS v_both,
	count(*) FILTER (WHERE l2_distance(w, w::real[]::vector) <> 0) AS w,
	count(*) FILTER (WHERE h <+> q::halfvec <> h::text::halfvec <+> q::halfvec) AS h,
	count(*) FILTER (WHERE b <~> qb <> length(replace((b # qb)::text, '0', ''))) AS b,
	count(*) FILTER (WHERE s <-> qs <> s::text::sparsevec <-> qs) AS s
FROM toasted, (SELECT make(7, 1200) AS q, repeat('01101', 4000)::bit(20000) AS qb, make(7, 900)::sparsevec AS qs OFFSET 0) x;

SELECT pg_relation_size(reltoastrelid) > 900000 AS out_of_line FROM pg_class WHERE relname = 'toasted';
SELECT * FROM wrong;
SELECT id, v <-> make(7, 1200) AS distance FROM toasted ORDER BY 2, 1 LIMIT 3;

-- in another order than they were written in, and with one value many times
SELECT count(*) FROM (SELECT *, lag(v) OVER (ORDER BY id * 37 % 61) AS before FROM toasted) t
WHERE before <-> v <> before::real[]::vector <-> v::real[]::vector;
SELECT count(*) FROM toasted a, toasted b WHERE a.id < 9 AND b.id < 9 AND (a.v <-> b.v = 0) <> (a.id = b.id);

-- rows that were deleted, updated, rolled back; their places used again
DELETE FROM toasted WHERE id % 5 = 0;
UPDATE toasted SET v = make(id + 100, 1200), s = NULL WHERE id % 7 = 0;
SELECT * FROM wrong;
BEGIN;
INSERT INTO toasted (id, v) SELECT n, make(n, 1200) FROM generate_series(100, 120) n;
SELECT rows, v FROM wrong;
ROLLBACK;
VACUUM toasted;
INSERT INTO toasted (id, v, h) SELECT n, make(n, 1200), make(n, 1200)::halfvec FROM generate_series(200, 240) n;
SELECT * FROM wrong;

-- compressed, in line and out of line
CREATE TABLE toast_compressed (id int, v vector(4000), s sparsevec, b bit(50000));
ALTER TABLE toast_compressed ALTER v SET STORAGE EXTENDED, ALTER s SET STORAGE MAIN;
INSERT INTO toast_compressed
SELECT n, (array_fill(n, ARRAY[2000 + n]) || (SELECT array_agg(('x' || left(md5(i::text), 4))::bit(16)::int) FROM generate_series(1, 2000 - n) i))::vector,
	array_fill(n, ARRAY[2000])::vector::sparsevec, repeat('1', n * 100)::bit(50000)
FROM generate_series(1, 20) n;
SELECT count(*) FILTER (WHERE pg_column_size(v) < 15900) AS v, count(*) FILTER (WHERE pg_column_size(s) < 15900) AS s,
	count(*) FILTER (WHERE pg_column_size(b) < 2000) AS b FROM toast_compressed;
SELECT count(*) FROM toast_compressed WHERE v <-> v::real[]::vector <> 0 OR s <-> s::text::sparsevec <> 0 OR b <~> repeat('0', 50000)::bit(50000) <> id * 100;

-- subtransactions, and changes under a cursor that began before them
BEGIN;
DECLARE c CURSOR FOR SELECT id, v <-> make(id, 1200) AS distance FROM toasted WHERE id BETWEEN 1 AND 4;
FETCH 1 FROM c;
SAVEPOINT a;
UPDATE toasted SET v = make(1, 1200) WHERE id < 10;
SELECT rows, v FROM wrong;
FETCH 1 FROM c;
ROLLBACK TO a;
FETCH 1 FROM c;
UPDATE toasted SET v = make(2, 1200) WHERE id < 10;
SELECT DISTINCT v <-> make(2, 1200) AS distance FROM toasted WHERE id < 10;
CLOSE c;
TRUNCATE toasted;
INSERT INTO toasted (id, v) SELECT n, make(n, 1200) FROM generate_series(1, 9) n;
SELECT rows, v FROM wrong;
ROLLBACK;
SELECT * FROM wrong;

-- one expression of a function over several transactions and rewrites of the table
DO $$
DECLARE
	one vector;
BEGIN
	FOR round IN 1 .. 3
	LOOP
		FOR n IN 1 .. 4
		LOOP
			SELECT v INTO one FROM toasted WHERE id = n;
			IF one <-> make(n, 1200) <> 0 THEN
				RAISE 'row % is wrong in round %', n, round;
			END IF;
		END LOOP;
		TRUNCATE toasted;
		INSERT INTO toasted (id, v) SELECT n, make(n, 1200) FROM generate_series(1, 40) n;
		COMMIT;
	END LOOP;
END $$;
VACUUM FULL toasted;
SELECT rows, v FROM wrong;

-- parallel workers
ALTER TABLE toasted SET (parallel_workers = 2);
SET parallel_setup_cost = 0;
SET parallel_tuple_cost = 0;
SET min_parallel_table_scan_size = 0;
EXPLAIN (COSTS OFF) SELECT sum(v <-> '[1]'::vector) FROM toasted;
SELECT count(*) FROM toasted WHERE v <-> v::real[]::vector <> 0;
DROP VIEW wrong;
DROP TABLE toasted, toast_compressed;
DROP FUNCTION make;
