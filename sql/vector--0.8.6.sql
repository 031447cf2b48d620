-- vector 0.8.6: pgvector's types, operators and index access methods, by the library of rag

\echo Use "CREATE EXTENSION vector" to load this file. \quit

DO $vector$
BEGIN
	-- rag brings them too
	IF EXISTS (
		SELECT FROM pg_catalog.pg_extension e
		JOIN pg_catalog.pg_depend d ON d.refclassid OPERATOR(pg_catalog.=) 'pg_catalog.pg_extension'::pg_catalog.regclass
			AND d.refobjid OPERATOR(pg_catalog.=) e.oid
			AND d.classid OPERATOR(pg_catalog.=) 'pg_catalog.pg_type'::pg_catalog.regclass
			AND d.deptype OPERATOR(pg_catalog.=) 'e'
		JOIN pg_catalog.pg_type t ON t.oid OPERATOR(pg_catalog.=) d.objid AND t.typname OPERATOR(pg_catalog.=) 'vector'
		WHERE e.extname OPERATOR(pg_catalog.=) 'rag')
	THEN
		PERFORM rag.settle_vector();
		RETURN;
	END IF;

	EXECUTE $objects$
\ir vector.sql
$objects$;
END
$vector$;
