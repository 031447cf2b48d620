-- What the members of extension "vector" are to SQL, a line for each property. All but what tells the
-- planner the cost of a distance, which pgvector has not.
WITH member AS (
	SELECT d.classid, d.objid, i.identity
	FROM pg_depend d, pg_identify_object(d.classid, d.objid, d.objsubid) i
	WHERE d.refclassid = 'pg_extension'::regclass AND d.deptype = 'e'
	  AND d.refobjid = (SELECT oid FROM pg_extension WHERE extname = 'vector')
	  AND i.identity !~ '^public\.(vector|halfvec)_distance_support\('
), property AS (
	SELECT classid, identity, '' AS what FROM member
	UNION ALL
	SELECT classid, identity, concat_ws(' ', p.prokind, prorettype::regtype, proretset, provolatile, proisstrict, proparallel,
		prosecdef, proleakproof, procost, pronargs, proargnames)
	FROM member JOIN pg_proc p ON p.oid = objid AND classid = 'pg_proc'::regclass
	UNION ALL
	SELECT classid, identity, concat_ws(' ', aggtransfn, aggfinalfn, aggcombinefn, aggserialfn, aggmtransfn, aggfinalextra,
		aggsortop, aggtranstype::regtype, agginitval)
	FROM member JOIN pg_aggregate a ON a.aggfnoid = objid AND classid = 'pg_proc'::regclass
	UNION ALL
	SELECT classid, identity, concat_ws(' ', typlen, typbyval, typtype, typcategory, typispreferred, typdelim, typinput, typoutput,
		typreceive, typsend, typmodin, typmodout, typanalyze, typsubscript, typalign, typstorage)
	FROM member JOIN pg_type t ON t.oid = objid AND classid = 'pg_type'::regclass
	UNION ALL
	SELECT classid, identity, concat_ws(' ', oprcanmerge, oprcanhash, oprresult::regtype, oprcom::regoperator,
		oprnegate::regoperator, oprcode, oprrest, oprjoin)
	FROM member JOIN pg_operator o ON o.oid = objid AND classid = 'pg_operator'::regclass
	UNION ALL
	SELECT classid, identity, concat_ws(' ', castfunc::regprocedure, castcontext, castmethod)
	FROM member JOIN pg_cast c ON c.oid = objid AND classid = 'pg_cast'::regclass
	UNION ALL
	SELECT classid, identity, concat_ws(' ', opcintype::regtype, opcdefault, opckeytype::regtype)
	FROM member JOIN pg_opclass o ON o.oid = objid AND classid = 'pg_opclass'::regclass
	UNION ALL
	SELECT classid, identity, concat_ws(' ', amopstrategy, amoppurpose, amopopr::regoperator, amopsortfamily)
	FROM member JOIN pg_amop o ON o.amopfamily = objid AND classid = 'pg_opfamily'::regclass
	UNION ALL
	SELECT classid, identity, concat_ws(' ', amprocnum, amproc::regprocedure, amproclefttype::regtype, amprocrighttype::regtype)
	FROM member JOIN pg_amproc p ON p.amprocfamily = objid AND classid = 'pg_opfamily'::regclass
	UNION ALL
	SELECT classid, identity, concat_ws(' ', amtype, amhandler)
	FROM member JOIN pg_am a ON a.oid = objid AND classid = 'pg_am'::regclass
)
SELECT concat_ws(' ', classid::regclass || ':', identity, what) FROM property ORDER BY 1;
