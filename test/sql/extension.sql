-- What the extension installs is described, safe to call and complete.
-- every object has a comment
SELECT pg_describe_object(d.classid, d.objid, d.objsubid)
FROM pg_depend d
WHERE d.refclassid = 'pg_extension'::regclass AND d.deptype = 'e'
  AND d.refobjid = (SELECT oid FROM pg_extension WHERE extname = 'rag')
  AND d.classid NOT IN ('pg_cast'::regclass, 'pg_amop'::regclass, 'pg_amproc'::regclass,
                        'pg_opfamily'::regclass, 'pg_rewrite'::regclass, 'pg_sequence'::regclass)
  AND NOT (d.classid = 'pg_type'::regclass
           AND EXISTS (SELECT FROM pg_type t WHERE t.oid = d.objid AND (t.typtype = 'c' OR t.typcategory = 'A')))
  AND NOT (d.classid = 'pg_proc'::regclass
           AND EXISTS (SELECT FROM pg_operator o WHERE o.oprcode = d.objid))
  AND obj_description(d.objid, d.classid::regclass::name) IS NULL
ORDER BY 1;

-- SQL and PL/pgSQL functions fix their search_path or hold no name to look up
SELECT p.oid::regprocedure
FROM pg_proc p
JOIN pg_language l ON l.oid = p.prolang
JOIN pg_depend d ON d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e'
WHERE d.refobjid = (SELECT oid FROM pg_extension WHERE extname = 'rag')
  AND l.lanname IN ('sql', 'plpgsql')
  AND (p.proconfig IS NULL OR NOT EXISTS (SELECT FROM unnest(p.proconfig) c WHERE c LIKE 'search_path=%'))
ORDER BY 1;

-- nothing runs with its owner's rights
SELECT p.oid::regprocedure
FROM pg_proc p
JOIN pg_depend d ON d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e'
WHERE d.refobjid = (SELECT oid FROM pg_extension WHERE extname = 'rag') AND p.prosecdef
ORDER BY 1;

-- the extension can be dropped and made again
SET client_min_messages = warning;
DROP EXTENSION rag CASCADE;
CREATE EXTENSION rag;
