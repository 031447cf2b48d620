/*
 * models.c: reads the catalog rag.model.
 *
 * Read by index scan, not through SPI: functions that use a model run in parallel
 * workers, index expressions and generated columns, under any search_path and with
 * the rights of users that may not see the paths in it.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/namespace.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/jsonb.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"

#include "serve/settings.h"
#include "sql/models.h"

#define ADMIN_ROLE "rag_admin"

/* Columns of rag.model, as sql/rag--1.0.sql has them. */
enum
{
	COLUMN_NAME = 1,
	COLUMN_URI,
	COLUMN_KIND,
	COLUMN_OPTIONS,
	COLUMN_DIMENSIONS,
	COLUMN_USERS
};

static const char *const kind_names[] = {"any", "embedding", "generation", "rerank"};

const char *
ModelKindName(ModelKind kind)
{
	return kind_names[kind];
}

ModelKind
ModelKindByName(const char *name)
{
	for (int kind = MODEL_EMBEDDING; kind <= MODEL_RERANK; kind++)
	{
		if (strcmp(name, kind_names[kind]) == 0)
			return kind;
	}
	return MODEL_ANY;
}

char *
ModelTextArgument(FunctionCallInfo fcinfo, int number)
{
	return PG_ARGISNULL(number) ? NULL : text_to_cstring(PG_GETARG_TEXT_PP(number));
}

bool
ModelIsAdmin(void)
{
	Oid			admin;

	if (superuser())
		return true;
	admin = get_role_oid(ADMIN_ROLE, true);
	return OidIsValid(admin) && has_privs_of_role(GetUserId(), admin);
}

/* Whether the list of a row names a role whose rights the current user has. */
static bool
ModelListsUser(Datum users)
{
	Datum	   *names;
	int			count;

	deconstruct_array(DatumGetArrayTypeP(users), TEXTOID, -1, false, TYPALIGN_INT, &names, NULL, &count);
	for (int i = 0; i < count; i++)
	{
		char	   *name = TextDatumGetCString(names[i]);
		Oid			role;

		if (strcmp(name, "public") == 0)
			return true;
		role = get_role_oid(name, true);
		if (OidIsValid(role) && has_privs_of_role(GetUserId(), role))
			return true;
	}
	return false;
}

static CatalogModel *
ModelFromRow(HeapTuple row, TupleDesc columns)
{
	CatalogModel *model = palloc0(sizeof(CatalogModel));
	bool		null;
	Datum		value;

	model->client.name = TextDatumGetCString(heap_getattr(row, COLUMN_NAME, columns, &null));
	model->client.uri = TextDatumGetCString(heap_getattr(row, COLUMN_URI, columns, &null));
	model->kind = ModelKindByName(TextDatumGetCString(heap_getattr(row, COLUMN_KIND, columns, &null)));
	value = heap_getattr(row, COLUMN_OPTIONS, columns, &null);
	model->client.options = DatumGetCString(DirectFunctionCall1(jsonb_out, value));
	value = heap_getattr(row, COLUMN_DIMENSIONS, columns, &null);
	model->dimensions = null ? 0 : DatumGetInt32(value);
	value = heap_getattr(row, COLUMN_USERS, columns, &null);
	model->usable = ModelIsAdmin() || (!null && ModelListsUser(value));
	return model;
}

CatalogModel *
ModelLookup(const char *name)
{
	Oid			namespace = get_namespace_oid("rag", false);
	Relation	table = table_open(get_relname_relid("model", namespace), AccessShareLock);
	CatalogModel *model = NULL;
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	row;

	ScanKeyInit(&key, COLUMN_NAME, BTEqualStrategyNumber, F_TEXTEQ, CStringGetTextDatum(name));
	scan = systable_beginscan(table, get_relname_relid("model_pkey", namespace), true, NULL, 1, &key);
	row = systable_getnext(scan);
	if (HeapTupleIsValid(row))
		model = ModelFromRow(row, RelationGetDescr(table));
	systable_endscan(scan);
	table_close(table, AccessShareLock);
	return model;
}

/* The setting that stands in for a model that a call does not name. */
static const char *
ModelDefaultName(ModelKind kind)
{
	if (kind == MODEL_GENERATION)
		return rag_settings.generation_model;
	if (kind == MODEL_ANY && rag_settings.embedding_model[0] == '\0')
		return rag_settings.generation_model;
	return rag_settings.embedding_model;
}

CatalogModel *
ModelForCall(const char *name, ModelKind kind)
{
	CatalogModel *model;

	if (name == NULL)
	{
		name = ModelDefaultName(kind);
		if (name[0] == '\0')
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("no model was named"),
					 errhint("Name one in the call, or set rag.%s_model.",
							 kind == MODEL_GENERATION ? "generation" : "embedding")));
	}
	model = ModelLookup(name);
	if (model == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("model \"%s\" does not exist", name),
				 errhint("rag.model lists the models of this database; rag.load_model() adds one.")));
	if (!model->usable)
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("permission denied for model \"%s\"", name),
				 errhint("A superuser or a member of " ADMIN_ROLE " can allow it with rag.grant_model().")));
	if (kind != MODEL_ANY && model->kind != kind)
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("model \"%s\" is of kind \"%s\"", name, ModelKindName(model->kind)),
				 errdetail("This call needs a model of kind \"%s\".", ModelKindName(kind))));
	return model;
}
