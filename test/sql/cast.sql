-- Casts of vector, halfvec, sparsevec and arrays to one another.

-- everything to everything
SELECT '[1,0,2.5]'::vector::halfvec, '[1,0,2.5]'::vector::sparsevec, '[1,0,2.5]'::vector::real[];
SELECT '[1,0,2.5]'::halfvec::vector, '[1,0,2.5]'::halfvec::sparsevec, '[1,0,2.5]'::halfvec::real[];
SELECT '{1:1,3:2.5}/3'::sparsevec::vector, '{1:1,3:2.5}/3'::sparsevec::halfvec;
SELECT ARRAY[1,0,-2]::vector, ARRAY[1,0,-2]::halfvec, ARRAY[1,0,-2]::sparsevec;
SELECT ARRAY[1.5,0,-2]::vector, ARRAY[1.5,0,-2]::halfvec, ARRAY[1.5,0,-2]::sparsevec;
SELECT '{1.5,-0,-2}'::real[]::vector, '{1.5,-0,-2}'::real[]::halfvec, '{1.5,-0,-2}'::real[]::sparsevec;
SELECT '{1.5,-0,1e-50}'::float8[]::vector, '{1.5,-0,1e-50}'::float8[]::halfvec, '{1.5,-0,1e-50}'::float8[]::sparsevec;
SELECT '{1:1}/3'::sparsevec::real[];

-- halves are rounded
SELECT '[0.1,2049,-65519,1e-8]'::vector::halfvec, '{0.1,2049}'::float8[]::halfvec::vector, '{16777217,65519}'::int[]::sparsevec;
SELECT '[65520]'::vector::halfvec;
SELECT '[-1e38]'::vector::halfvec;
SELECT '{65520,1}'::int[]::halfvec;
SELECT '{1e5}'::numeric[]::halfvec;
SELECT '{1e5,Infinity}'::real[]::halfvec;
SELECT '{Infinity,1e5}'::real[]::halfvec;
SELECT '{1:1,3:1e6}/3'::sparsevec::halfvec;

-- what no element can be
SELECT '{1,NULL}'::int[]::halfvec;
SELECT '{1,NULL}'::int[]::sparsevec;
SELECT '{NaN}'::real[]::halfvec;
SELECT '{NaN}'::real[]::sparsevec;
SELECT '{1e300}'::float8[]::halfvec;
SELECT '{-Infinity}'::float8[]::sparsevec;
SELECT '{1e39}'::numeric[]::sparsevec;

-- dimensions
SELECT '{}'::int[]::halfvec;
SELECT '{}'::int[]::sparsevec;
SELECT '{{1}}'::int[]::halfvec;
SELECT '{{1}}'::int[]::sparsevec;
SELECT array_fill(1, ARRAY[16001])::halfvec;
SELECT array_fill(1, ARRAY[16001])::sparsevec;
SELECT array_fill(0, ARRAY[16001])::sparsevec;
SELECT '{1:1}/16001'::sparsevec::vector;
SELECT '{1:1}/16001'::sparsevec::halfvec;
SELECT vector_dims('{1:1}/16000'::sparsevec::vector), vector_dims('{1:1}/16000'::sparsevec::halfvec);

-- type modifiers
SELECT '[1,2,3]'::vector::halfvec(3), '[1,2,3]'::halfvec::vector(3), '[1,2,3]'::vector::sparsevec(3), '{}/3'::sparsevec::vector(3);
SELECT '[1,2,3]'::vector::halfvec(2);
SELECT '[1,2,3]'::vector::sparsevec(2);
SELECT '[1,2,3]'::halfvec::vector(2);
SELECT '[1,2,3]'::halfvec::sparsevec(2);
SELECT '{}/3'::sparsevec::vector(2);
SELECT '{}/3'::sparsevec::halfvec(2);
SELECT '{1,2,3}'::real[]::halfvec(2);
SELECT '{1,2,3}'::real[]::sparsevec(2);

-- which casts are made without being asked for, or for an assignment
SELECT castsource::regtype, casttarget::regtype, castcontext, castfunc::regprocedure
FROM pg_cast WHERE castsource::regtype::text COLLATE "C" IN ('vector', 'halfvec', 'sparsevec')
	OR casttarget::regtype::text COLLATE "C" IN ('vector', 'halfvec', 'sparsevec')
ORDER BY castsource::regtype::text COLLATE "C", casttarget::regtype::text COLLATE "C";
CREATE TABLE assigned (v vector(2), h halfvec(2), s sparsevec(2));
INSERT INTO assigned VALUES ('[1,2]'::halfvec, '[1,2]'::vector, '[0,2]'::halfvec), ('{1:1}/2'::sparsevec, '{1:1}/2'::sparsevec, '{1,2}'::int[]);
INSERT INTO assigned (v) VALUES ('[1,2,3]'::halfvec);
INSERT INTO assigned (h) VALUES ('[1,2,3]'::vector);
INSERT INTO assigned (s) VALUES ('[1,2,3]'::vector);
SELECT * FROM assigned;
DROP TABLE assigned;
SELECT '[1,2]'::vector <-> '[1,4]'::halfvec AS halves, '[1,2]'::halfvec <-> '{1:1}/2'::sparsevec AS sparse;
SELECT '[1,2]' <-> '[1,4]';
