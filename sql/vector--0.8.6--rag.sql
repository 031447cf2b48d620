-- From pgvector to this library, in place. The types, operators, tables and views stay as they are;
-- the functions get another body, and the indexes, whose pages differ, are built anew.

\echo Use "ALTER EXTENSION vector UPDATE TO 'rag'" to load this file. \quit

\ir vector.sql functions

CREATE FUNCTION rag_forget_index(regclass) RETURNS void
	AS 'MODULE_PATHNAME', 'rag_forget_index' LANGUAGE C STRICT;

DO $move$
DECLARE
	index pg_catalog.regclass;
BEGIN
	FOR index IN
		SELECT c.oid
		FROM pg_catalog.pg_class c
		JOIN pg_catalog.pg_am a ON a.oid OPERATOR(pg_catalog.=) c.relam
		JOIN pg_catalog.pg_proc p ON p.oid OPERATOR(pg_catalog.=) a.amhandler
		JOIN pg_catalog.pg_depend d ON d.refclassid OPERATOR(pg_catalog.=) 'pg_catalog.pg_extension'::pg_catalog.regclass
			AND d.classid OPERATOR(pg_catalog.=) 'pg_catalog.pg_proc'::pg_catalog.regclass
			AND d.objid OPERATOR(pg_catalog.=) p.oid AND d.deptype OPERATOR(pg_catalog.=) 'e'
		JOIN pg_catalog.pg_extension e ON e.oid OPERATOR(pg_catalog.=) d.refobjid
		WHERE e.extname OPERATOR(pg_catalog.=) 'vector' AND c.relkind OPERATOR(pg_catalog.=) 'i'
			AND (c.relpersistence OPERATOR(pg_catalog.<>) 't'
				 OR c.relnamespace OPERATOR(pg_catalog.=) pg_catalog.pg_my_temp_schema())
		ORDER BY c.oid
	LOOP
		-- this session may have it open as pgvector's
		PERFORM rag_forget_index(index);
		EXECUTE pg_catalog.format('REINDEX INDEX %s', index);
	END LOOP;
END
$move$;

DROP FUNCTION rag_forget_index(regclass);
