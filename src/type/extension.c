/*
 * extension.c: which of the extensions "rag" and "vector" has the types.
 *
 * The one that is created first has the types as its members; the other is then noted in
 * pg_depend as requiring it. So the types cannot be dropped below the other's feet, and
 * pg_dump writes the two in an order in which they can be created again.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/dependency.h"
#include "catalog/indexing.h"
#include "catalog/pg_depend.h"
#include "catalog/pg_extension.h"
#include "catalog/pg_namespace.h"
#include "catalog/pg_type.h"
#include "commands/extension.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/inval.h"
#include "utils/rel.h"
#include "utils/syscache.h"

#include "rag.h"

/* The namespace of a type, if it has the name of the types' first; InvalidOid: it has not. */
static Oid
NamespaceOfVector(Oid type)
{
	HeapTuple	tuple = SearchSysCache1(TYPEOID, ObjectIdGetDatum(type));
	Oid			namespace = InvalidOid;

	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for type %u", type);
	if (strcmp(NameStr(((Form_pg_type) GETSTRUCT(tuple))->typname), "vector") == 0)
		namespace = ((Form_pg_type) GETSTRUCT(tuple))->typnamespace;
	ReleaseSysCache(tuple);
	return namespace;
}

/* Where the types are that are members of an extension; InvalidOid: it has none. */
static Oid
NamespaceOfTypes(Oid extension)
{
	Relation	depend = table_open(DependRelationId, AccessShareLock);
	ScanKeyData keys[2];
	SysScanDesc scan;
	HeapTuple	tuple;
	Oid			namespace = InvalidOid;

	ScanKeyInit(&keys[0], Anum_pg_depend_refclassid, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(ExtensionRelationId));
	ScanKeyInit(&keys[1], Anum_pg_depend_refobjid, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(extension));
	scan = systable_beginscan(depend, DependReferenceIndexId, true, NULL, 2, keys);
	while (!OidIsValid(namespace) && HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		Form_pg_depend form = (Form_pg_depend) GETSTRUCT(tuple);

		if (form->deptype == DEPENDENCY_EXTENSION && form->classid == TypeRelationId)
			namespace = NamespaceOfVector(form->objid);
	}
	systable_endscan(scan);
	table_close(depend, AccessShareLock);
	return namespace;
}

static void
Require(Oid extension, Oid required)
{
	ObjectAddress who;
	ObjectAddress what;

	deleteDependencyRecordsForClass(ExtensionRelationId, extension, ExtensionRelationId,
									DEPENDENCY_NORMAL);
	deleteDependencyRecordsForClass(ExtensionRelationId, required, ExtensionRelationId,
									DEPENDENCY_NORMAL);
	ObjectAddressSet(who, ExtensionRelationId, extension);
	ObjectAddressSet(what, ExtensionRelationId, required);
	recordDependencyOn(&who, &what, DEPENDENCY_NORMAL);
}

/* An extension without members of its own is said to be where those are that it stands for. */
static void
SetNamespace(Oid extension, Oid namespace)
{
	Relation	catalog = table_open(ExtensionRelationId, RowExclusiveLock);
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;
	Form_pg_extension form;

	ScanKeyInit(&key, Anum_pg_extension_oid, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(extension));
	scan = systable_beginscan(catalog, ExtensionOidIndexId, true, NULL, 1, &key);
	tuple = systable_getnext(scan);
	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "could not find extension %u", extension);
	tuple = heap_copytuple(tuple);
	form = (Form_pg_extension) GETSTRUCT(tuple);
	if (form->extnamespace != namespace)
	{
		changeDependencyFor(ExtensionRelationId, extension, NamespaceRelationId, form->extnamespace,
							namespace);
		form->extnamespace = namespace;
		CatalogTupleUpdate(catalog, &tuple->t_self, tuple);
	}
	systable_endscan(scan);
	table_close(catalog, RowExclusiveLock);
}

/* To be called when one of the two has been created or updated, or members were moved. */
PG_FUNCTION_INFO_V1(rag_settle_vector);
Datum
rag_settle_vector(PG_FUNCTION_ARGS)
{
	Oid			rag = get_extension_oid("rag", true);
	Oid			vector = get_extension_oid("vector", true);
	Oid			namespace;

	if (!OidIsValid(rag) || !OidIsValid(vector))
		PG_RETURN_VOID();
	if (OidIsValid(NamespaceOfTypes(vector)))
		Require(rag, vector);
	else if (OidIsValid(namespace = NamespaceOfTypes(rag)))
	{
		Require(vector, rag);
		SetNamespace(vector, namespace);
	}
	else
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("neither extension \"rag\" nor \"vector\" has a type \"vector\"")));
	PG_RETURN_VOID();
}

/* Makes all sessions look anew at what an index is made of, its access method included. */
PG_FUNCTION_INFO_V1(rag_forget_index);
Datum
rag_forget_index(PG_FUNCTION_ARGS)
{
	CacheInvalidateRelcacheByRelid(PG_GETARG_OID(0));
	PG_RETURN_VOID();
}
