-- The vector type: text form, type modifier, storage, what the catalogs say of it.

-- text form
SELECT '[1,2,3]'::vector;
SELECT E' \t[ 1\n,  2 ,\r\f\x0b3  ] \n'::vector;
SELECT '[-1,+2,.5,5.,1e3,-2.5E-3]'::vector;
SELECT '[1.23456,0.1,0.3,3.1415927,123456789,16777217]'::vector;
SELECT '[100000,1000000,1e15,1e16,1e20,0.0001,0.00001]'::vector;
SELECT '[1.5e38,-1.5e+38,1.5e-38]'::vector;
SELECT '[3.4028235e38,-3.4028235e38,1.17549435e-38]'::vector;
SELECT '[0,-0,1e-40,1e-45,-1e-46,1e-4000]'::vector;
SELECT '[0x1p3,0x10,0X.8]'::vector;
SELECT '[1,2]'::vector::text, 'v=' || '[1,2]'::vector::text, format('%s', '[1,2]'::vector);
SELECT NULL::vector IS NULL;

-- every value is printed so that it reads back as itself
SELECT count(*) FROM (
	SELECT ARRAY[sin(n) * power(10, n % 70 - 35), 1.0 / n, n / 7.0]::real[] AS a
	FROM generate_series(1, 2000) n) s
WHERE a::vector::text::vector::real[] IS DISTINCT FROM a;

-- numbers are read as those of real are: of any length, and in the middle of two reals
SELECT count(*) FILTER (WHERE ('[' || x || ']')::vector::real[] IS DISTINCT FROM ARRAY[x::real]) AS wrong,
	count(DISTINCT x) > 4000 AS various FROM (
	SELECT CASE n % 3 WHEN 0 THEN '-' ELSE '' END || overlay(digits PLACING '.' FROM 1 + n % length(digits) FOR 0) ||
		CASE n % 5 WHEN 0 THEN '' WHEN 1 THEN 'E+' || n % 14 ELSE 'e' || n % 34 - 18 END AS x
	FROM (SELECT n, substr(translate(md5(n::text), 'abcdef', '012345'), 1, 1 + n % 18) AS digits
		FROM generate_series(1, 5000) n) d) s;
SELECT count(*) FROM (
	SELECT (power(2, n % 40 - 15)::numeric * (16777217 + 2 * n) / 2)::text AS x FROM generate_series(0, 999) n) s
WHERE ('[' || x || ']')::vector::real[] IS DISTINCT FROM ARRAY[x::real];
SELECT '[00000000000000000000000000000000000000000000000000000000000000000000000000012.5]'::vector, '[-0.0e5,1e-0]'::vector;
SELECT '[1e]'::vector;
SELECT '[.]'::vector;
SELECT '[-]'::vector;

-- type modifier
SELECT '[1,2,3]'::vector(3);
SELECT '[1,2,3]'::vector(2);
SELECT '[1,2,3]'::vector(16000);
SELECT '[1,2,3]'::vector::vector(3), '[1,2,3]'::vector(3)::vector;
SELECT '[1,2,3]'::vector::vector(4);
SELECT unnest('{"[1,2,3]", "[4,5,6]"}'::vector[]);
SELECT '{"[1,2,3]",NULL}'::vector(3)[];
SELECT '{"[1,2,3]","[1,2]"}'::vector(3)[];
SELECT vector_in('[1,2]', 0, -1), vector_in('[1,2]', 0, 2), vector_in(NULL, 0, 0);
SELECT vector_in('[1,2]', 0, 3);
SELECT vector_typmod_in('{3}'::cstring[]);

CREATE TABLE vector_type (id int, v3 vector(3), v vector, vs vector(2)[]);
SELECT attname, format_type(atttypid, atttypmod), attstorage
FROM pg_attribute WHERE attrelid = 'vector_type'::regclass AND attnum > 0 ORDER BY attnum;
INSERT INTO vector_type VALUES (1, '[1,2,3]', '[1]', '{"[1,2]","[3,4]"}'), (2, NULL, '[1,2]', NULL);
INSERT INTO vector_type (v3) VALUES ('[1,2]');
INSERT INTO vector_type (vs) VALUES ('{"[1,2,3]"}');
UPDATE vector_type SET v3 = v WHERE id = 1;
SELECT * FROM vector_type ORDER BY id;
ALTER TABLE vector_type ALTER COLUMN v3 TYPE vector(2);
ALTER TABLE vector_type ALTER COLUMN v3 TYPE vector;
ALTER TABLE vector_type ALTER COLUMN v3 TYPE vector(3);
DROP TABLE vector_type;

CREATE DOMAIN unit_vector AS vector(2) CHECK (abs(vector_norm(VALUE) - 1) < 1e-6);
SELECT '[0.6,0.8]'::unit_vector;
SELECT '[1,1]'::unit_vector;
SELECT '[1,0,0]'::unit_vector;
DROP DOMAIN unit_vector;

-- the largest vector, and what its storage takes: 8 bytes and 4 for each dimension
SELECT pg_column_size('[1,2,3]'::vector), pg_column_size(array_fill(1, ARRAY[16000])::vector);
SELECT vector_dims(('[' || repeat('1.5,', 15999) || '2]')::vector(16000));
SELECT length(array_fill(-1.1754944e-38, ARRAY[16000])::vector::text);

-- out of line
CREATE TABLE vector_toast (id int, v vector);
INSERT INTO vector_toast
SELECT n, (SELECT array_agg((i * n) % 100 ORDER BY i) FROM generate_series(1, 16000) i)::vector
FROM generate_series(1, 5) n;
INSERT INTO vector_toast VALUES (6, '[1]'), (7, NULL);
SELECT pg_relation_size(reltoastrelid) > 5 * 64000 AS out_of_line
FROM pg_class WHERE oid = 'vector_toast'::regclass;
SELECT id, vector_dims(v), pg_column_size(v), md5(v::text) = md5((SELECT '[' ||
	string_agg(((i * id) % 100)::text, ',' ORDER BY i) || ']' FROM generate_series(1, 16000) i)) AS intact
FROM vector_toast ORDER BY id;
SELECT a.id, b.id, a.v <-> b.v AS l2, a.v <#> b.v AS ip, a.v <+> b.v AS l1
FROM vector_toast a JOIN vector_toast b ON a.id = 1 AND b.id BETWEEN 1 AND 3 ORDER BY 1, 2;
SELECT id FROM vector_toast WHERE v = (SELECT v FROM vector_toast WHERE id = 4);
SELECT vector_dims(avg(v)), vector_dims(sum(v)) FROM vector_toast WHERE id <= 5;
DROP TABLE vector_toast;

-- in the catalogs
SELECT typlen, typbyval, typtype, typcategory, typispreferred, typalign, typstorage, typdelim
FROM pg_type WHERE oid = 'vector'::regtype;
SELECT castsource::regtype, casttarget::regtype, castfunc::regprocedure, castcontext, castmethod
FROM pg_cast
WHERE 'vector'::regtype IN (castsource, casttarget)
  AND (castsource IN ('vector'::regtype, 'int[]'::regtype, 'real[]'::regtype, 'float8[]'::regtype, 'numeric[]'::regtype)
	   AND casttarget IN ('vector'::regtype, 'real[]'::regtype))
ORDER BY castsource::regtype::text, casttarget::regtype::text;
SELECT oprname, oprcode::regprocedure, oprresult::regtype, oprcom::regoperator, oprnegate::regoperator, oprrest, oprjoin,
	oprcanmerge OR oprcanhash AS joins
FROM pg_operator WHERE oprleft = 'vector'::regtype AND oprright = 'vector'::regtype
ORDER BY oprname COLLATE "C";
SELECT count(*) FROM pg_proc WHERE prosrc LIKE 'rag\_%' AND 'vector'::regtype = ANY (proargtypes) AND prokind = 'f'
	AND proname ~ '^(vector|l2|l1|inner|cosine|subvector|binary)'
	AND NOT (provolatile = 'i' AND proisstrict AND proparallel = 's');
