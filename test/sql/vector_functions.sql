-- Operators and functions over vectors.

-- arithmetic
SELECT '[1,2,3]'::vector + '[4,5,6]', '[1,2,3]'::vector - '[4,5,6]', '[1,2,3]'::vector * '[4,5,6]';
SELECT '[3e38]'::vector + '[3e38]';
SELECT '[-3e38]'::vector - '[3e38]';
SELECT '[1e37]'::vector * '[1e37]';
SELECT '[1e-37]'::vector * '[1e-37]';
SELECT '[1e-37,1e37]'::vector * '[1e-37,1e37]';
SELECT '[1e37,1e-37]'::vector * '[1e37,1e-37]';
SELECT '[1e-37,0]'::vector * '[0,1e-37]', '[1e-30]'::vector * '[1e-10]';
SELECT '[1,2]'::vector + '[3]';
SELECT '[1,2]'::vector - '[3]';
SELECT '[1,2]'::vector * '[3]';
SELECT '[1,2,3]'::vector || '[4,5]';
SELECT vector_dims(array_fill(0, ARRAY[15999])::vector || '[1]');
SELECT array_fill(0, ARRAY[16000])::vector || '[1]';
SELECT NULL || '[1]'::vector, '[1]'::vector + NULL;

-- comparison
SELECT a, b, a < b AS lt, a <= b AS le, a = b AS eq, a <> b AS ne, a >= b AS ge, a > b AS gt, vector_cmp(a, b)
FROM (VALUES ('[1,2,3]'::vector, '[1,2,3]'::vector), ('[1,2,3]', '[0,0,0]'), ('[0,0,0]', '[1,2,3]'),
	('[1,2,3]', '[1,2]'), ('[1,2]', '[1,2,3]'), ('[1,2]', '[2,3,4]'), ('[2,3]', '[1,2,3]'),
	('[0]', '[-0]'), ('[1]', NULL)) v(a, b);

-- parts and properties
SELECT vector_dims('[1,2,3]'::vector), vector_dims('[1]'::vector);
SELECT vector_norm('[3,4]'), vector_norm('[0,1]'), vector_norm('[0,0]'), vector_norm('[1,2,2,4]'),
	vector_norm('[1,1,1,1,1,1,1,1,1]');
SELECT round((vector_norm('[3e37,4e37]') / 1e37)::numeric, 5), vector_norm('[1e-45]') > 0;
SELECT l2_normalize('[3,4]'::vector), l2_normalize('[3,0]'::vector), l2_normalize('[0,0.1]'::vector),
	l2_normalize('[0,0]'::vector);
SELECT l2_normalize('[3e38]'::vector), l2_normalize('[1e-45]'::vector), l2_normalize('[3e38,1e-45]'::vector);
SELECT subvector('[1,2,3,4,5]'::vector, 1, 3), subvector('[1,2,3,4,5]'::vector, 3, 2),
	subvector('[1,2,3,4,5]'::vector, -1, 3), subvector('[1,2,3,4,5]'::vector, 3, 9),
	subvector('[1,2,3,4,5]'::vector, 5, 1), subvector('[1,2,3,4,5]'::vector, 1, 5);
SELECT subvector('[1,2,3,4,5]'::vector, 3, 2147483647), subvector('[1,2,3,4,5]'::vector, -2147483644, 2147483647);
SELECT subvector('[1,2,3,4,5]'::vector, 1, 0);
SELECT subvector('[1,2,3,4,5]'::vector, 3, -1);
SELECT subvector('[1,2,3,4,5]'::vector, -1, 2);
SELECT subvector('[1,2,3,4,5]'::vector, 6, 1);
SELECT subvector('[1,2,3,4,5]'::vector, 2147483647, 10);
SELECT subvector('[1,2,3,4,5]'::vector, -2147483648, 2147483647);
SELECT subvector('[1,2,3,4,5]'::vector, -2147483648, -2147483648);
SELECT binary_quantize('[1,0,-1]'::vector), binary_quantize('[-0,1e-45]'::vector),
	binary_quantize('[0,0.1,-0.2,-0.3,0.4,0.5,0.6,-0.7,0.8,-0.9,1]'::vector),
	binary_quantize('[1,1,1,1,1,1,1,1]'::vector), binary_quantize('[1,1,1,1,1,1,1,1,-1]'::vector);
SELECT length(binary_quantize(array_fill(1, ARRAY[16000])::vector)), binary_quantize(NULL::vector);

-- distances
SELECT l2_distance('[0,0]'::vector, '[3,4]'), l2_distance('[0,0]'::vector, '[0,1]'),
	l2_distance('[3e38]'::vector, '[-3e38]'), '[0,0]'::vector <-> '[3,4]',
	l2_distance('[1,1,1,1,1,1,1,1,1]'::vector, '[1,1,1,1,1,1,1,4,5]');
SELECT inner_product('[1,2]'::vector, '[3,4]'), inner_product('[3e38]'::vector, '[3e38]'),
	inner_product('[3e38,3e38]'::vector, '[3e38,-3e38]'),
	inner_product('[1,1,1,1,1,1,1,1,1]'::vector, '[1,2,3,4,5,6,7,8,9]');
SELECT '[1,2]'::vector <#> '[3,4]', '[1]'::vector <#> '[-1]', '[3e38]'::vector <#> '[3e38]';
SELECT cosine_distance('[1,2]'::vector, '[2,4]'), cosine_distance('[1,0]'::vector, '[0,2]'),
	cosine_distance('[1,1]'::vector, '[-1,-1]'), '[1,2]'::vector <=> '[2,4]';
SELECT cosine_distance('[1,1]'::vector, '[1.1,1.1]'), cosine_distance('[1,1]'::vector, '[-1.1,-1.1]'),
	cosine_distance('[1,2,3,4,5,6,7,8,9]'::vector, '[1,2,3,4,5,6,7,8,9]'),
	cosine_distance('[1,2,3,4,5,6,7,8,9]'::vector, '[-1,-2,-3,-4,-5,-6,-7,-8,-9]');
-- a zero vector has no direction; sums out of range have no quotient
SELECT cosine_distance('[1,2]'::vector, '[0,0]'), cosine_distance('[0,0]'::vector, '[0,0]'),
	cosine_distance('[3e38]'::vector, '[3e38]'), cosine_distance('[1e-30]'::vector, '[1e-30]');
SELECT l1_distance('[0,0]'::vector, '[3,4]'), l1_distance('[3e38]'::vector, '[-3e38]'), '[0,0]'::vector <+> '[3,-4]',
	l1_distance('[1,2,3,4,5,6,7,8,9]'::vector, '[0,3,2,5,4,7,6,9,8]');
SELECT vector_l2_squared_distance('[0,0]', '[3,4]'), vector_negative_inner_product('[1,2]', '[3,4]');
SELECT vector_spherical_distance('[1,0]', '[0,1]'), vector_spherical_distance('[1,0]', '[1,0]'),
	vector_spherical_distance('[1,0]', '[-1,0]'), vector_spherical_distance('[3,0]', '[3,0]'),
	vector_spherical_distance('[3,0]', '[-3,0]'), round(vector_spherical_distance('[0.6,0.8]', '[0.8,0.6]')::numeric, 6);
SELECT vector_spherical_distance('[3e38,3e38]', '[3e38,-3e38]');
SELECT '[1]'::vector <-> NULL, NULL::vector <=> '[1]';

-- lengths around every step of the kernels: integers, so each sum is exact
WITH numbers AS (
	SELECT n, i, (i * 7 + n) % 5 - 2 AS x, (i * 3 + n) % 7 - 3 AS y
	FROM generate_series(1, 140) n, generate_series(1, n) i),
	wanted AS (
	SELECT n, array_agg(x ORDER BY i)::vector AS a, array_agg(y ORDER BY i)::vector AS b,
		sqrt(sum((x - y) * (x - y))::float8) AS l2, sum(x * y)::float8 AS ip, sum(abs(x - y))::float8 AS l1,
		sum(x * y) / sqrt(sum(x * x)::float8 * sum(y * y)) AS cosine
	FROM numbers GROUP BY n HAVING sum(x * x) > 0 AND sum(y * y) > 0)
SELECT count(*), count(*) FILTER (WHERE a <-> b <> l2) AS l2, count(*) FILTER (WHERE a <#> b <> -ip) AS ip,
	count(*) FILTER (WHERE a <+> b <> l1) AS l1, count(*) FILTER (WHERE abs((a <=> b) - (1 - cosine)) > 1e-12) AS cosine
FROM wanted;

-- vectors of different dimensions have no distance
SELECT l2_distance('[1,2]'::vector, '[3]');
SELECT inner_product('[1,2]'::vector, '[3]');
SELECT '[1,2]'::vector <#> '[3]';
SELECT cosine_distance('[1,2]'::vector, '[3]');
SELECT l1_distance('[1,2]'::vector, '[3]');
SELECT vector_l2_squared_distance('[0,0]', '[3]');
SELECT vector_spherical_distance('[0,0]', '[3]');

-- nearest neighbours without an index, NULLs last
CREATE TEMP TABLE points (id int, v vector(2));
INSERT INTO points SELECT n, ARRAY[n, n * n % 11] FROM generate_series(1, 20) n;
INSERT INTO points VALUES (21, NULL);
SELECT id, v, v <-> '[5,5]' AS distance FROM points ORDER BY v <-> '[5,5]', id LIMIT 5;
SELECT id FROM points ORDER BY v <#> '[1,-1]', id LIMIT 3;
SELECT id FROM points ORDER BY v <=> '[0,1]', id LIMIT 3;
SELECT id FROM points WHERE v <+> '[10,10]' < 5 ORDER BY id;
SELECT id FROM points ORDER BY v <-> NULL, id LIMIT 2;
