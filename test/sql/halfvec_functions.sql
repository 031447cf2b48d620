-- Operators, functions and aggregates over halfvecs.

-- arithmetic rounds once, to the nearest half
SELECT '[1,2,3]'::halfvec + '[4,5,6]', '[1,2,3]'::halfvec - '[4,5,6]', '[1,2,3]'::halfvec * '[4,5,6]';
SELECT '[2048]'::halfvec + '[1]', '[2048]'::halfvec + '[1.0009765]', '[0.1]'::halfvec * '[3]', '[1]'::halfvec - '[1e-5]';
SELECT '[65504]'::halfvec + '[15]', '[65504]'::halfvec - '[-15]';
SELECT '[65504]'::halfvec + '[16]';
SELECT '[-65504]'::halfvec - '[65504]';
SELECT '[256]'::halfvec * '[256]';
SELECT '[1e-7,1]'::halfvec * '[1e-1,1]';
SELECT '[256,1e-7]'::halfvec * '[256,1e-7]';
SELECT '[1e-7,256]'::halfvec * '[1e-7,256]';
SELECT '[1e-7,0]'::halfvec * '[0,1e-7]', '[1e-4]'::halfvec * '[1e-3]';
SELECT '[1,2]'::halfvec + '[3]';
SELECT '[1,2]'::halfvec - '[3]';
SELECT '[1,2]'::halfvec * '[3]';
SELECT '[1,2,3]'::halfvec || '[4,5]', vector_dims(array_fill(0, ARRAY[15999])::halfvec || '[1]');
SELECT array_fill(0, ARRAY[16000])::halfvec || '[1]';

-- parts and properties
SELECT vector_dims('[1,2,3]'::halfvec), l2_norm('[3,4]'::halfvec), l2_norm('[0]'::halfvec),
	round(l2_norm('[65504,65504]'::halfvec)::numeric, 4), l2_norm('[5.9604645e-08]'::halfvec) = power(2::float8, -24);
SELECT l2_normalize('[3,4]'::halfvec), l2_normalize('[0,0.1]'::halfvec), l2_normalize('[0,0]'::halfvec),
	l2_normalize('[65504,65504]'::halfvec), l2_normalize('[6e-8,6e-8]'::halfvec), l2_normalize('[65504,6e-8]'::halfvec);
SELECT subvector('[1,2,3,4,5]'::halfvec, 1, 3), subvector('[1,2,3,4,5]'::halfvec, -1, 3),
	subvector('[1,2,3,4,5]'::halfvec, 3, 2147483647), subvector('[1,2,3,4,5]'::halfvec, 5, 1);
SELECT subvector('[1,2,3,4,5]'::halfvec, 1, 0);
SELECT subvector('[1,2,3,4,5]'::halfvec, 2147483647, 10);
SELECT subvector('[1,2,3,4,5]'::halfvec, -2147483648, -2147483648);
SELECT binary_quantize('[1,0,-1,6e-8,-6e-8,-0]'::halfvec), binary_quantize('[1,1,1,1,1,1,1,1,-1]'::halfvec),
	length(binary_quantize(array_fill(1, ARRAY[16000])::halfvec));

-- distances
SELECT l2_distance('[0,0]'::halfvec, '[3,4]'), '[0,0]'::halfvec <-> '[3,4]', l2_distance('[65504,65504]'::halfvec, '[-65504,-65504]');
SELECT inner_product('[1,2]'::halfvec, '[3,4]'), '[1,2]'::halfvec <#> '[3,4]', inner_product('[65504]'::halfvec, '[65504]');
SELECT cosine_distance('[1,2]'::halfvec, '[2,4]'), '[1,0]'::halfvec <=> '[0,2]', cosine_distance('[1,1]'::halfvec, '[-1,-1]'),
	cosine_distance('[1,1]'::halfvec, '[1.1,1.1]'), cosine_distance('[1,2]'::halfvec, '[0,0]'), cosine_distance('[6e-8]'::halfvec, '[6e-8]');
SELECT l1_distance('[0,0]'::halfvec, '[3,-4]'), '[65504]'::halfvec <+> '[-65504]';
SELECT halfvec_l2_squared_distance('[0,0]', '[3,4]'), halfvec_negative_inner_product('[1,2]', '[3,4]'),
	halfvec_spherical_distance('[1,0]', '[0,1]'), halfvec_spherical_distance('[3,0]', '[-3,0]');
SELECT l2_distance('[1,2]'::halfvec, '[3]');
SELECT '[1,2]'::halfvec <#> '[3]';
SELECT '[1,2]'::halfvec <=> '[3]';
SELECT '[1,2]'::halfvec <+> '[3]';
SELECT halfvec_spherical_distance('[1,2]', '[3]');
SELECT '[1]'::halfvec <-> NULL, NULL::halfvec <=> '[1]';

-- lengths around every step of the kernels: integers, so each sum is exact
WITH numbers AS (
	SELECT n, i, (i * 7 + n) % 5 - 2 AS x, (i * 3 + n) % 7 - 3 AS y
	FROM generate_series(1, 140) n, generate_series(1, n) i),
	wanted AS (
	SELECT n, array_agg(x ORDER BY i)::halfvec AS a, array_agg(y ORDER BY i)::halfvec AS b,
		sqrt(sum((x - y) * (x - y))::float8) AS l2, sum(x * y)::float8 AS ip, sum(abs(x - y))::float8 AS l1,
		sum(x * y) / sqrt(sum(x * x)::float8 * sum(y * y)) AS cosine
	FROM numbers GROUP BY n HAVING sum(x * x) > 0 AND sum(y * y) > 0)
SELECT count(*), count(*) FILTER (WHERE a <-> b <> l2) AS l2, count(*) FILTER (WHERE a <#> b <> -ip) AS ip,
	count(*) FILTER (WHERE a <+> b <> l1) AS l1, count(*) FILTER (WHERE abs((a <=> b) - (1 - cosine)) > 1e-12) AS cosine
FROM wanted;

-- aggregates: the average is summed in double
SELECT avg(v), sum(v) FROM unnest(ARRAY['[1,2,3]'::halfvec, NULL, '[3,5,7.5]']) v;
SELECT avg(v), sum(v) FROM unnest(ARRAY[NULL, NULL]::halfvec[]) v;
SELECT avg(v) FROM unnest(ARRAY['[65504,-0]'::halfvec, '[65504,-0]']) v;
SELECT avg(v) FROM unnest(ARRAY['[-0,1]'::halfvec]) v;
SELECT sum(v) FROM unnest(ARRAY['[65504]'::halfvec, '[65504]']) v;
SELECT avg(v) FROM unnest(ARRAY['[1,2]'::halfvec, '[3]']) v;
SELECT sum(v) FROM unnest(ARRAY['[1,2]'::halfvec, '[3]']) v;
SELECT halfvec_accum('{0}', '[1,2]'), halfvec_accum('{1,2,3}', '[1,2]'), halfvec_avg('{0}'), halfvec_avg('{4,2,3}'),
	halfvec_combine('{1,2,3}', '{2,5,6}');
SELECT halfvec_accum('{}', '[1]');
SELECT halfvec_accum('{1,2,3}', '[1]');
SELECT halfvec_avg('{}');
SELECT halfvec_avg('{1}');
SELECT halfvec_avg('{1,65520}');
SELECT halfvec_avg('{1,NaN}');
SELECT halfvec_combine('{1,2,3}', '{2,5}');
-- sums that are exact, and so the same in any order
CREATE TABLE halfvec_agg AS SELECT n, ARRAY[n % 2, -(n % 4 / 3)]::halfvec(2) AS v FROM generate_series(1, 2000) n;
ANALYZE halfvec_agg;
SET parallel_setup_cost = 0;
SET parallel_tuple_cost = 0;
SET min_parallel_table_scan_size = 0;
EXPLAIN (COSTS OFF) SELECT avg(v), sum(v) FROM halfvec_agg;
SELECT avg(v), sum(v) FROM halfvec_agg;
RESET ALL;
DROP TABLE halfvec_agg;
