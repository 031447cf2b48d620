-- Operators and functions over sparsevecs.

SELECT l2_distance('{}/2'::sparsevec, '{1:3,2:4}/2'), '{1:3}/2'::sparsevec <-> '{2:4}/2', '{1:3e38}/1'::sparsevec <-> '{1:-3e38}/1';
SELECT inner_product('{1:1,2:2}/2'::sparsevec, '{1:2,2:4}/2'), '{1:1,2:2}/2'::sparsevec <#> '{1:2,2:4}/2',
	inner_product('{1:1}/3'::sparsevec, '{2:4,3:1}/3'), inner_product('{1:3e38}/1'::sparsevec, '{1:3e38}/1');
SELECT cosine_distance('{1:1,2:2}/2'::sparsevec, '{1:2,2:4}/2'), '{1:1}/2'::sparsevec <=> '{2:2}/2',
	cosine_distance('{1:1,2:1}/2'::sparsevec, '{1:-1,2:-1}/2'), cosine_distance('{1:1}/2'::sparsevec, '{}/2'),
	cosine_distance('{1:3e38}/1'::sparsevec, '{1:3e38}/1'), cosine_distance('{1:1,2:1}/2'::sparsevec, '{1:1.1,2:1.1}/2');
SELECT l1_distance('{}/2'::sparsevec, '{1:3,2:-4}/2'), '{1:3,3:1}/3'::sparsevec <+> '{2:4,3:3}/3';
SELECT sparsevec_l2_squared_distance('{}/2', '{1:3,2:4}/2'), sparsevec_negative_inner_product('{1:1,2:2}/2', '{1:2,2:4}/2');
SELECT l2_distance('{1:1}/2'::sparsevec, '{1:1}/3');
SELECT '{1:1}/2'::sparsevec <#> '{1:1}/3';
SELECT '{1:1}/2'::sparsevec <=> '{1:1}/3';
SELECT '{1:1}/2'::sparsevec <+> '{1:1}/3';
SELECT '{1:1}/2'::sparsevec <-> NULL, NULL::sparsevec <=> '{1:1}/2';

SELECT l2_norm('{1:3,2:4}/2'::sparsevec), l2_norm('{}/2'::sparsevec), l2_norm('{5:1e-45}/9'::sparsevec) > 0,
	round((l2_norm('{1:3e37,2:4e37}/2'::sparsevec) / 1e37)::numeric, 5);
SELECT l2_normalize('{1:3,2:4}/2'::sparsevec), l2_normalize('{1:3}/2'::sparsevec), l2_normalize('{}/2'::sparsevec),
	l2_normalize('{1:1e-45,2:3e38}/3'::sparsevec), l2_normalize('{7:1e-45}/9'::sparsevec);

-- the distances are those of the same elements as vectors
WITH numbers AS (
	SELECT n, i, (i * 7 + n) % 5 / 2 - 1 AS x, (i * 3 + n) % 7 / 3 - 1 AS y
	FROM generate_series(1, 60) n, generate_series(1, n) i),
	vectors AS (
	SELECT n, array_agg(x ORDER BY i)::vector AS a, array_agg(y ORDER BY i)::vector AS b FROM numbers GROUP BY n)
SELECT count(*), count(*) FILTER (WHERE a <-> b <> (a::sparsevec <-> b::sparsevec)) AS l2,
	count(*) FILTER (WHERE a <#> b <> (a::sparsevec <#> b::sparsevec)) AS ip,
	count(*) FILTER (WHERE a <+> b <> (a::sparsevec <+> b::sparsevec)) AS l1,
	count(*) FILTER (WHERE a <=> b IS DISTINCT FROM (a::sparsevec <=> b::sparsevec)) AS cosine,
	count(*) FILTER (WHERE vector_norm(a) <> l2_norm(a::sparsevec)) AS norm
FROM vectors;
