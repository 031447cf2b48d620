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
#include "catalog/namespace.h"
#include "catalog/pg_namespace.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_type.h"
#include "commands/extension.h"
#include "port.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/syscache.h"

#include "rag.h"

/* What is looked for among the members of an extension; true: this is it. */
typedef bool (*MemberTest) (HeapTuple tuple);

/* Is there a member of this class for which the test holds? Then its namespace, else InvalidOid. */
static Oid
FindMember(Oid extension, Oid class, int cache, AttrNumber namespace, MemberTest test)
{
	Relation	depend = table_open(DependRelationId, AccessShareLock);
	ScanKeyData keys[2];
	SysScanDesc scan;
	HeapTuple	link;
	Oid			found = InvalidOid;

	ScanKeyInit(&keys[0], Anum_pg_depend_refclassid, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(ExtensionRelationId));
	ScanKeyInit(&keys[1], Anum_pg_depend_refobjid, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(extension));
	scan = systable_beginscan(depend, DependReferenceIndexId, true, NULL, 2, keys);
	while (!OidIsValid(found) && HeapTupleIsValid(link = systable_getnext(scan)))
	{
		Form_pg_depend form = (Form_pg_depend) GETSTRUCT(link);
		HeapTuple	tuple;
		bool		isnull;

		if (form->deptype != DEPENDENCY_EXTENSION || form->classid != class)
			continue;
		tuple = SearchSysCache1(cache, ObjectIdGetDatum(form->objid));
		if (!HeapTupleIsValid(tuple))
			elog(ERROR, "cache lookup failed for member %u of an extension", form->objid);
		if (test(tuple))
			found = DatumGetObjectId(SysCacheGetAttr(cache, tuple, namespace, &isnull));
		ReleaseSysCache(tuple);
	}
	systable_endscan(scan);
	table_close(depend, AccessShareLock);
	return found;
}

static bool
IsVector(HeapTuple type)
{
	return strcmp(NameStr(((Form_pg_type) GETSTRUCT(type))->typname), "vector") == 0;
}

/* Is it a C function of a library other than this one? */
static bool
IsForeign(HeapTuple function)
{
	bool		isnull;
	Datum		library = SysCacheGetAttr(PROCOID, function, Anum_pg_proc_probin, &isnull);
	const char *path;
	const char *name;

	if (isnull)
		return false;
	path = TextDatumGetCString(library);
	name = last_dir_separator(path) == NULL ? path : last_dir_separator(path) + 1;
	return strcmp(name, "rag") != 0 && strcmp(name, "rag" DLSUFFIX) != 0;
}

/* Where the types are that are members of an extension; InvalidOid: it has none. */
static Oid
NamespaceOfTypes(Oid extension)
{
	return FindMember(extension, TypeRelationId, TYPEOID, Anum_pg_type_typnamespace, IsVector);
}

/* The schema of the types of extension "vector"; NULL: rag is to create them. Called once, by
 * rag's script before it creates anything. */
PG_FUNCTION_INFO_V1(rag_vector_schema);
Datum
rag_vector_schema(PG_FUNCTION_ARGS)
{
	Oid			vector = get_extension_oid("vector", true);
	List	   *path = fetch_search_path(false);
	Oid			namespace;

	if (OidIsValid(vector) && OidIsValid(FindMember(vector, ProcedureRelationId, PROCOID,
													Anum_pg_proc_pronamespace, IsForeign)))
		ereport(ERROR,
				(errcode(ERRCODE_DUPLICATE_OBJECT),
				 errmsg("extension \"rag\" cannot be created beside pgvector"),
				 errdetail("Extension \"vector\" of this database is pgvector; both define the type "
						   "vector, its operators and the access method hnsw."),
				 errhint("Use another database, or move this one in place: run \"make install-vector\" "
						 "of rag, then ALTER EXTENSION vector UPDATE TO 'rag'.")));
	namespace = OidIsValid(vector) ? NamespaceOfTypes(vector) : InvalidOid;
	if (OidIsValid(namespace))
		PG_RETURN_DATUM(DirectFunctionCall1(namein, CStringGetDatum(get_namespace_name(namespace))));
	if (path != NIL && OidIsValid(GetSysCacheOid2(TYPENAMENSP, Anum_pg_type_oid, CStringGetDatum("vector"),
												  ObjectIdGetDatum(linitial_oid(path)))))
		ereport(ERROR,
				(errcode(ERRCODE_DUPLICATE_OBJECT),
				 errmsg("type \"vector\" already exists in schema \"%s\"",
						get_namespace_name(linitial_oid(path))),
				 errdetail("Extension \"rag\" brings a type of this name."),
				 errhint("Drop or rename that type, or choose another schema: CREATE EXTENSION rag SCHEMA ...")));
	PG_RETURN_NULL();
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
