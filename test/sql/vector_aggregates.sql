-- avg(vector) and sum(vector), alone, in groups, windows and parallel plans.

SELECT avg(v), sum(v) FROM unnest(ARRAY['[1,2,3]'::vector, '[3,5,7]']) v;
SELECT avg(v), sum(v) FROM unnest(ARRAY['[1,2,3]'::vector, NULL, '[3,5,7]', NULL]) v;
SELECT avg(v), sum(v) FROM unnest(ARRAY[]::vector[]) v;
SELECT avg(v), sum(v) FROM unnest(ARRAY[NULL, NULL]::vector[]) v;
SELECT avg(v) FROM unnest(ARRAY['[1,2]'::vector, '[3]']) v;
SELECT sum(v) FROM unnest(ARRAY['[1,2]'::vector, '[3]']) v;
-- a sum in double does not overflow where a vector would
SELECT avg(v) FROM unnest(ARRAY['[3e38]'::vector, '[3e38]']) v;
SELECT sum(v) FROM unnest(ARRAY['[3e38]'::vector, '[3e38]']) v;

CREATE TABLE vector_agg (g int, v vector(3));
INSERT INTO vector_agg
SELECT n % 4, CASE WHEN n % 50 <> 0 THEN ARRAY[n % 1000, -(n % 1000), n % 7] END::vector(3) FROM generate_series(1, 10000) n;
ANALYZE vector_agg;
-- every sum is exact, and so the same in any order

SELECT g, count(v), avg(v), sum(v) FROM vector_agg WHERE v <+> '[0,0,0]' < 100 GROUP BY g ORDER BY g;
SELECT g, avg(v) FILTER (WHERE v <+> '[0,0,0]' < 10), avg(DISTINCT subvector(v, 3, 1)) FROM vector_agg GROUP BY g ORDER BY g;

-- a window's running state is final many times
SELECT n, avg(v) OVER (ORDER BY n), sum(v) OVER (ORDER BY n ROWS BETWEEN 1 PRECEDING AND CURRENT ROW)
FROM (SELECT n, ARRAY[n, 2 * n]::vector AS v FROM generate_series(1, 5) n) s ORDER BY n;

-- partial aggregates give what one gives
SET enable_hashagg = off;
SELECT avg(v) AS serial_avg, sum(v) AS serial_sum FROM vector_agg \gset
SET parallel_setup_cost = 0;
SET parallel_tuple_cost = 0;
SET min_parallel_table_scan_size = 0;
SET max_parallel_workers_per_gather = 2;
EXPLAIN (COSTS OFF) SELECT avg(v), sum(v) FROM vector_agg;
SELECT avg(v) = :'serial_avg' AS same_avg, sum(v) = :'serial_sum' AS same_sum FROM vector_agg;
SELECT avg(v), sum(v) FROM vector_agg WHERE g > 100;
RESET ALL;
DROP TABLE vector_agg;

-- the support functions take nothing but a state
SELECT vector_accum('{0}', '[1,2]'), vector_accum('{1,2,3}', '[1,2]'), vector_accum('{2,-1.5}', '[1.5]');
SELECT vector_combine('{0}', '{1,2,3}'), vector_combine('{1,2,3}', '{0}'), vector_combine('{1,2,3}', '{2,5,6}'), vector_combine('{0}', '{0}');
SELECT vector_avg('{0}'), vector_avg('{0,1}'), vector_avg('{1,2}'), vector_avg('{4,2,3}'), vector_avg(NULL);
SELECT vector_accum('[5:6]={1,2}', '[7]'), vector_combine('[5:6]={1,2}', '{1,4}'), vector_avg('[5:6]={1,2}');
SELECT vector_accum('{}', '[1]');
SELECT vector_accum('{NULL}', '[1]');
SELECT vector_accum('{{1,2}}', '[1]');
SELECT vector_accum('{1,2,3}', '[1]');
SELECT vector_accum('{1,Infinity}', '[1]');
SELECT vector_combine('{}', '{1,2}');
SELECT vector_combine('{1,2}', '{}');
SELECT vector_combine('{1,2,3}', '{2,5}');
SELECT vector_combine('{1,1.7976931348623157e308}', '{1,1.7976931348623157e308}');
SELECT vector_avg('{}');
SELECT vector_avg('{1}');
SELECT vector_avg('{1,1e39}');
SELECT vector_avg('{1,NaN}');
SELECT vector_avg('{NaN,1}');
SELECT vector_avg('{1,NULL}');
SELECT vector_avg('{{1,2},{3,4}}');
SELECT vector_avg(array_agg(n)) FROM generate_series(1, 16002) n;
