-- What is no vector, and what is said then, with the SQLSTATE that drivers act on.
\set VERBOSITY sqlstate

SELECT '[hello,1]'::vector;
SELECT '[NaN,1]'::vector;
SELECT '[Infinity,1]'::vector;
SELECT '[4e38,1]'::vector;
SELECT '[]'::vector;
SELECT '[1,2,3]'::vector(2);
SELECT '[1,2,3]'::vector(0);
SELECT '[1,2,3]'::vector(16001);
SELECT '[1,2,3]'::vector(1, 2);
SELECT ('[' || repeat('1,', 16000) || '1]')::vector;
SELECT '[1,2]'::vector <-> '[3]';
SELECT '[3e38]'::vector + '[3e38]';
SELECT '{{1}}'::real[]::vector;
SELECT '{NULL}'::real[]::vector;
\set VERBOSITY default

-- brackets
SELECT ''::vector;
SELECT '  '::vector;
SELECT '1,2,3'::vector;
SELECT '{1,2}'::vector;
SELECT '(1,2)'::vector;
SELECT '['::vector;
SELECT '[ '::vector;
SELECT '[1,2,3'::vector;
SELECT '[1,2,3]9'::vector;
SELECT '[1,2,3] 9'::vector;
SELECT '[1,2]]'::vector;
SELECT '[[1,2]'::vector;
SELECT '[1][2]'::vector;

-- elements
SELECT '[,'::vector;
SELECT '[,]'::vector;
SELECT '[1,]'::vector;
SELECT '[1,'::vector;
SELECT '[1,,3]'::vector;
SELECT '[1, ,3]'::vector;
SELECT '[1 2]'::vector;
SELECT '[1;2]'::vector;
SELECT '[1a]'::vector;
SELECT '[1e,2]'::vector;
SELECT '[1d0]'::vector;
SELECT '[.]'::vector;
SELECT '[-]'::vector;
SELECT '[+ 1]'::vector;
SELECT '[--1]'::vector;
SELECT '[hello,1]'::vector;
SELECT '[null]'::vector;
SELECT '["1"]'::vector;
SELECT '[infinit]'::vector;
SELECT '[1é]'::vector;
SELECT U&'[1,\00a02]'::vector;
SELECT 'é[1]'::vector;

-- values
SELECT '[nan,1]'::vector;
SELECT '[nan(12),1]'::vector;
SELECT '[-NaN]'::vector;
SELECT '[inf,1]'::vector;
SELECT '[-Infinity,1]'::vector;
SELECT '[4e38,1]'::vector;
SELECT '[1,-4e38,x'::vector;
SELECT '[1e400,1'::vector;
SELECT '[3.4028236e38]'::vector;

-- dimensions
SELECT '[]'::vector;
SELECT '[ ] x'::vector;
SELECT ('[' || repeat('1,', 16000) || '1]')::vector;
SELECT ('[' || repeat('1,', 16000) || 'x')::vector;
SELECT ('[' || repeat('1,', 15999) || '1')::vector(3) IS NULL WHERE false;

-- type modifiers
SELECT '[1,2,3]'::vector('a');
SELECT '[1,2,3]'::vector(3, 2);
SELECT '[1,2,3]'::vector(0);
SELECT '[1,2,3]'::vector(-1);
SELECT '[1,2,3]'::vector(16001);
SELECT '[1,2,3]'::vector(99999999999);
SELECT '[1,2,3]'::vector(1.5);
CREATE TABLE no_vector (v vector(0));
CREATE TABLE no_vector (v vector(16001));
SELECT vector_typmod_in('{a}'::cstring[]);
SELECT vector_typmod_in('{}'::cstring[]);
SELECT vector_typmod_in(ARRAY[NULL]::cstring[]);
SELECT vector_typmod_in('{{3,4}}'::cstring[]);

-- megabytes of input: refused where the limit is passed, or at the first wrong byte
CREATE FUNCTION refused(input text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
	RETURN vector_dims(input::vector) || ' dimensions';
EXCEPTION WHEN OTHERS THEN
	RETURN SQLSTATE || ' ' || left(SQLERRM, 60);
END
$$;
SELECT refused('[' || repeat('1,', 5000000) || '1]') AS elements, refused('[' || repeat(',', 5000000)) AS commas,
	refused('[' || repeat('[', 5000000)) AS brackets, refused(repeat(' ', 5000000) || '[1]' || repeat(' ', 5000000)) AS spaces,
	refused('[' || repeat('1', 5000000) || ']') AS digits, refused('[0.' || repeat('0', 5000000) || '1]') AS zeros;

-- random text over the characters of a vector, the same in every run: a vector or one of
-- these errors, and a vector's text reads back as the same vector
CREATE FUNCTION random_vector_text(n int) RETURNS text LANGUAGE sql AS $$
	SELECT '[' || string_agg(substr('0123456789.,,,  +-eExX][naif', 1 + ('x' || substr(md5(n || '/' || i), 1, 7))::bit(28)::int % 28, 1), '' ORDER BY i) || ']'
	FROM generate_series(1, 1 + n % 12) i
$$;
CREATE TEMP TABLE random_input AS
SELECT n, random_vector_text(n) AS input, refused(random_vector_text(n)) AS result FROM generate_series(1, 5000) n;
SELECT outcome, count(*) AS times
FROM (SELECT regexp_replace(result, '^\d+ dimensions$|".*', '') COLLATE "C" AS outcome FROM random_input) s
GROUP BY 1 ORDER BY 1;
SELECT count(*) FROM random_input WHERE result LIKE '%dimensions' AND input::vector::text::vector <> input::vector;
DROP FUNCTION random_vector_text, refused;

-- where PostgreSQL knows soft errors (16 and later), wrong input is one
DO $$
DECLARE
	input text;
	valid bool;
BEGIN
	IF current_setting('server_version_num')::int >= 160000 THEN
		FOREACH input IN ARRAY ARRAY['', '[', '[]', '[1,2', '[1,2] x', '[1,2,3]', '[nan,1]', '[inf,1]', '[1,1e99]',
			'[' || repeat('1,', 16000) || '1]'] LOOP
			EXECUTE 'SELECT pg_input_is_valid($1, $2)' INTO valid USING input, 'vector(2)';
			ASSERT NOT valid, input;
		END LOOP;
		EXECUTE 'SELECT pg_input_is_valid($1, $2)' INTO valid USING '[1,2]', 'vector(2)';
		ASSERT valid;
	END IF;
END
$$;

-- the server reads on
SELECT '[1,2,3]'::vector;
