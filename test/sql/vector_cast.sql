-- Arrays and vectors.

SELECT ARRAY[1,2,3]::vector, ARRAY[1.5,2,3]::vector, ARRAY[1,2,3]::real[]::vector, ARRAY[1,2,3]::float8[]::vector;
SELECT '{2147483647,-2147483648,16777217}'::int[]::vector;
SELECT '{0.1,1e20,123456789}'::numeric[]::vector, '{0.1,16777217,1e-40}'::float8[]::vector;
SELECT '{1e-46,-1e-46}'::float8[]::vector;
SELECT '{1,2,3}'::int[]::vector(3), '{1,2,3}'::real[]::vector(3), '{1,2,3}'::float8[]::vector(3), '{1,2,3}'::numeric[]::vector(3);
SELECT '[2:3]={1,2}'::int[]::vector, '[0:2]={1,2,3}'::real[]::vector;
SELECT (ARRAY[1,NULL,3]::int[])[3:3]::vector;
SELECT vector_dims(array_agg(n)::vector) FROM generate_series(1, 16000) n;
SELECT array_to_vector('{1,2}'::int[], -1, true), array_to_vector('{1,2}'::int[], 2, true);

-- what no vector can be
SELECT '{1,2,3}'::int[]::vector(2);
SELECT '{1,2,3}'::real[]::vector(2);
SELECT '{1,2,3}'::float8[]::vector(2);
SELECT '{1,2,3}'::numeric[]::vector(4);
SELECT '{NULL}'::real[]::vector;
SELECT ARRAY[1,NULL]::numeric[]::vector;
SELECT '{NULL}'::real[]::vector(3);
SELECT '{}'::real[]::vector;
SELECT '{{1}}'::real[]::vector;
SELECT '{{1,NULL}}'::int[]::vector;
SELECT '{NaN}'::real[]::vector;
SELECT '{NaN}'::float8[]::vector;
SELECT '{NaN}'::numeric[]::vector;
SELECT '{Infinity}'::real[]::vector;
SELECT '{-Infinity}'::real[]::vector;
SELECT '{4e38,-4e38}'::float8[]::vector;
SELECT '{4e38}'::numeric[]::vector;
SELECT array_agg(n)::vector FROM generate_series(1, 16001) n;
SELECT array_to_vector(array_agg(n), 16001, false) FROM generate_series(1, 16001) n;
SELECT ARRAY['a']::text[]::vector;
SELECT ARRAY[1]::bigint[]::vector;

-- and back
SELECT '[1,2,3]'::vector::real[], ('[1.5,2,3]'::vector::real[])[1];
SELECT '[0.1,1e-45,3.4e38]'::vector::real[], vector_to_float4('[1,2]', 5, false);
SELECT '[1]'::vector::float8[];
SELECT '[1]'::vector::int[];
SELECT array_length('[1,2,3]'::vector::real[], 1), array_ndims('[1]'::vector::real[]);
SELECT unnest('[1,2,3]'::vector::real[]);

-- assignment casts an array, an expression does not
CREATE TEMP TABLE vector_cast (v vector(3), f real[]);
INSERT INTO vector_cast VALUES (ARRAY[1,2,3], '[7,8]'::vector), (ARRAY[1.5,2,3]::float8[], NULL), (ARRAY[1,2,3.25], NULL);
INSERT INTO vector_cast VALUES (ARRAY[1,2], NULL);
INSERT INTO vector_cast (v) SELECT array_agg(n) FROM generate_series(1, 4) n;
SELECT * FROM vector_cast;
SELECT v <-> ARRAY[1,2,4] FROM vector_cast;
SELECT v <-> ARRAY[1,2,4]::vector AS l2 FROM vector_cast;

PREPARE nearest(real[]) AS SELECT v FROM vector_cast ORDER BY v <-> $1::vector LIMIT 1;
EXECUTE nearest('{1,2,4}');
DEALLOCATE nearest;
