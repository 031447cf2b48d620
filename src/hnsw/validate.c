/*
 * validate.c: does an operator class make sense?
 */
#include "postgres.h"

#include "access/amvalidate.h"
#include "access/htup_details.h"
#include "catalog/pg_amop.h"
#include "catalog/pg_amproc.h"
#include "catalog/pg_opclass.h"
#include "catalog/pg_type.h"
#include "commands/defrem.h"
#include "utils/catcache.h"
#include "utils/lsyscache.h"
#include "utils/regproc.h"
#include "utils/syscache.h"

#include "hnsw/hnsw.h"

typedef struct Opclass
{
	char	   *name;
	Oid			family;
	Oid			type;
	char	   *method;
	int			procedures;		/* of the access method; the last one tells of the type */
} Opclass;

static void
Complain(const Opclass *opclass, const char *what, Oid function)
{
	ereport(INFO,
			(errcode(ERRCODE_INVALID_OBJECT_DEFINITION),
			 errmsg("operator class \"%s\" of access method %s %s%s%s", opclass->name, opclass->method, what,
					OidIsValid(function) ? ": " : "",
					OidIsValid(function) ? format_procedure(function) : "")));
}

static bool
ProcedureFits(const Opclass *opclass, const FormData_pg_amproc *procedure)
{
	if (procedure->amprocnum == opclass->procedures)
		return check_amproc_signature(procedure->amproc, INTERNALOID, true, 1, 1, INTERNALOID);
	switch (procedure->amprocnum)
	{
		case HNSW_DISTANCE_PROC:
		case IVFFLAT_CENTER_PROC:
			return check_amproc_signature(procedure->amproc, FLOAT8OID, true, 2, 2, opclass->type,
										  opclass->type);
		case HNSW_NORM_PROC:
		case IVFFLAT_CENTER_NORM_PROC:
			return check_amproc_signature(procedure->amproc, FLOAT8OID, true, 1, 1, opclass->type);
		default:
			return false;
	}
}

static bool
ValidateProcedures(const Opclass *opclass)
{
	CatCList   *list = SearchSysCacheList1(AMPROCNUM, ObjectIdGetDatum(opclass->family));
	bool		has_distance = false;
	bool		valid = true;

	for (int i = 0; i < list->n_members; i++)
	{
		Form_pg_amproc procedure = (Form_pg_amproc) GETSTRUCT(&list->members[i]->tuple);

		if (procedure->amproclefttype != opclass->type)
			continue;
		if (ProcedureFits(opclass, procedure))
			has_distance |= procedure->amprocnum == HNSW_DISTANCE_PROC;
		else
		{
			Complain(opclass, "has a support function of wrong number or signature",
					 procedure->amproc);
			valid = false;
		}
	}
	ReleaseCatCacheList(list);
	if (!has_distance)
	{
		Complain(opclass, "lacks support function 1 (distance)", InvalidOid);
		valid = false;
	}
	return valid;
}

static bool
ValidateOperators(const Opclass *opclass)
{
	CatCList   *list = SearchSysCacheList1(AMOPSTRATEGY, ObjectIdGetDatum(opclass->family));
	bool		valid = true;

	for (int i = 0; i < list->n_members; i++)
	{
		Form_pg_amop operator = (Form_pg_amop) GETSTRUCT(&list->members[i]->tuple);

		if (operator->amopstrategy != 1 || operator->amoppurpose != AMOP_ORDER ||
			!check_amop_signature(operator->amopopr, FLOAT8OID, opclass->type, opclass->type))
		{
			Complain(opclass, "has an operator that no distance can be ordered by",
					 get_opcode(operator->amopopr));
			valid = false;
		}
	}
	ReleaseCatCacheList(list);
	return valid;
}

bool
hnswvalidate(Oid oid)
{
	HeapTuple	tuple = SearchSysCache1(CLAOID, ObjectIdGetDatum(oid));
	Form_pg_opclass form;
	Opclass		opclass;
	bool		valid;

	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for operator class %u", oid);
	form = (Form_pg_opclass) GETSTRUCT(tuple);
	opclass.name = pstrdup(NameStr(form->opcname));
	opclass.family = form->opcfamily;
	opclass.type = form->opcintype;
	opclass.method = get_am_name(form->opcmethod);
	opclass.procedures = GetIndexAmRoutineByAmId(form->opcmethod, false)->amsupport;
	ReleaseSysCache(tuple);

	valid = ValidateProcedures(&opclass);
	valid &= ValidateOperators(&opclass);
	return valid;
}
