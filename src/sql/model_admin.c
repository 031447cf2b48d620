/*
 * model_admin.c: functions that change the catalog rag.model.
 *
 * Statements run with the rights of the caller; the script grants what rag_admin
 * needs. Names in them are qualified, since the search_path is the caller's.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "tcop/utility.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/jsonb.h"

#include "sql/models.h"

PG_FUNCTION_INFO_V1(rag_load_model);
PG_FUNCTION_INFO_V1(rag_unload_model);
PG_FUNCTION_INFO_V1(rag_drop_model);
PG_FUNCTION_INFO_V1(rag_grant_model);
PG_FUNCTION_INFO_V1(rag_revoke_model);
PG_FUNCTION_INFO_V1(rag_restart_engine);

static void
AdminCheck(const char *what)
{
	if (!ModelIsAdmin())
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("permission denied to %s", what),
				 errhint("Must be superuser or a member of rag_admin.")));
}

/* Runs a statement; returns how many rows it changed. */
static uint64
AdminExecute(const char *statement, int count, Oid *types, Datum *values, const char *nulls)
{
	uint64		changed;

	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "could not connect to SPI");
	if (SPI_execute_with_args(statement, count, types, values, nulls, false, 0) < 0)
		elog(ERROR, "could not execute \"%s\"", statement);
	changed = SPI_processed;
	SPI_finish();
	return changed;
}

/* Has the engine load it; what it is. */
static protocol_model_info
AdminLoad(const ClientModel *model)
{
	ClientSession *session = ClientOpen(PROTOCOL_LOAD, model->name);
	ClientRequest request = {.type = PROTOCOL_LOAD,.model = model};
	ClientReply reply;

	ClientSend(session, &request);
	if (!ClientReceive(session, &reply) || reply.type != PROTOCOL_LOADED)
		elog(ERROR, "unexpected reply %d to a request to load a model", reply.type);
	ClientClose(session);
	return reply.info;
}

static void
AdminInsert(const ClientModel *model, Jsonb *options, const protocol_model_info *info)
{
	Oid			types[] = {TEXTOID, TEXTOID, TEXTOID, JSONBOID, INT4OID, TEXTOID, INT4OID, INT8OID};
	Datum		values[] = {
		CStringGetTextDatum(model->name),
		CStringGetTextDatum(model->uri),
		CStringGetTextDatum(ModelKindName(info->kind)),
		JsonbPGetDatum(options),
		Int32GetDatum(info->dimensions),
		CStringGetTextDatum(info->architecture),
		Int32GetDatum(info->max_model_len),
		Int64GetDatum(info->parameters),
	};
	char		nulls[] = "        ";

	if (info->dimensions == 0)
		nulls[4] = 'n';
	if (AdminExecute("INSERT INTO rag.model (name, uri, kind, options, dimensions, architecture, max_model_len, parameters) "
					 "VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT DO NOTHING",
					 lengthof(types), types, values, nulls) == 0)
		ereport(ERROR,
				(errcode(ERRCODE_DUPLICATE_OBJECT),
				 errmsg("model \"%s\" already exists", model->name)));
}

static void
AdminCheckArguments(const ClientModel *model, const char *kind, Jsonb *options)
{
	if (model->name[0] == '\0' || strlen(model->name) >= NAMEDATALEN)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_NAME),
				 errmsg("name of a model must have 1 to %d bytes", NAMEDATALEN - 1)));
	if (!is_absolute_path(model->uri))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("uri of a model must be the absolute path of a file or folder on the server: \"%s\"",
						model->uri)));
	if (kind != NULL && ModelKindByName(kind) == MODEL_ANY)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("unrecognized kind of model: \"%s\"", kind),
				 errhint("Kinds are \"embedding\", \"generation\" and \"rerank\".")));
	if (!JB_ROOT_IS_OBJECT(options))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("options of a model must be a JSON object")));
}

static void
AdminRejectNulls(FunctionCallInfo fcinfo, int first, int second, const char *names)
{
	if (PG_ARGISNULL(first) || PG_ARGISNULL(second))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED), errmsg("%s must not be null", names)));
}

/* rag.load_model(name text, uri text, kind text, options jsonb, if_not_exists boolean) */
Datum
rag_load_model(PG_FUNCTION_ARGS)
{
	ClientModel model;
	protocol_model_info info;
	char	   *kind = ModelTextArgument(fcinfo, 2);
	char	   *uri;
	Jsonb	   *options;

	AdminCheck("load a model");
	AdminRejectNulls(fcinfo, 0, 1, "name and uri of a model");
	AdminRejectNulls(fcinfo, 3, 4, "options and if_not_exists");
	options = PG_GETARG_JSONB_P(3);
	model.uri = uri = ModelTextArgument(fcinfo, 1);
	model.name = ModelTextArgument(fcinfo, 0);
	model.options = DatumGetCString(DirectFunctionCall1(jsonb_out, JsonbPGetDatum(options)));
	AdminCheckArguments(&model, kind, options);
	canonicalize_path(uri);
	PreventCommandIfReadOnly("rag.load_model()");
	ClientCheckPreloaded();

	if (ModelLookup(model.name) != NULL)
	{
		ereport(PG_GETARG_BOOL(4) ? NOTICE : ERROR,
				(errcode(ERRCODE_DUPLICATE_OBJECT),
				 errmsg("model \"%s\" already exists%s", model.name,
						PG_GETARG_BOOL(4) ? ", skipping" : "")));
		PG_RETURN_VOID();
	}

	info = AdminLoad(&model);
	if (info.kind < MODEL_EMBEDDING || info.kind > MODEL_RERANK)
		elog(ERROR, "the model engine sent a model of kind %u", info.kind);
	if (kind != NULL && ModelKindByName(kind) != (ModelKind) info.kind)
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("the files at \"%s\" hold a model of kind \"%s\", not \"%s\"", model.uri,
						ModelKindName(info.kind), kind)));
	AdminInsert(&model, options, &info);
	PG_RETURN_VOID();
}

/* Has the engine let go of its memory; the next use loads it again. */
static void
AdminUnload(const ClientModel *model)
{
	ClientSession *session = ClientOpen(PROTOCOL_UNLOAD, model->name);
	ClientRequest request = {.type = PROTOCOL_UNLOAD,.model = model};
	ClientReply reply;

	ClientSend(session, &request);
	ClientReceive(session, &reply);
	ClientClose(session);
}

static CatalogModel *
AdminLookup(const char *name)
{
	CatalogModel *model = ModelLookup(name);

	if (model == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT), errmsg("model \"%s\" does not exist", name)));
	return model;
}

/* rag.unload_model(name text) */
Datum
rag_unload_model(PG_FUNCTION_ARGS)
{
	AdminCheck("unload a model");
	ClientCheckPreloaded();
	AdminUnload(&AdminLookup(text_to_cstring(PG_GETARG_TEXT_PP(0)))->client);
	PG_RETURN_VOID();
}

/* Whether a row of this database has the model that the engine knows by this path and these options. */
static bool
AdminModelInUse(const ClientModel *model)
{
	Oid			types[] = {TEXTOID, TEXTOID};
	Datum		values[] = {CStringGetTextDatum(model->uri), CStringGetTextDatum(model->options)};

	return AdminExecute("SELECT FROM rag.model WHERE uri OPERATOR(pg_catalog.=) $1 "
						"AND options OPERATOR(pg_catalog.=) $2::pg_catalog.jsonb",
						lengthof(types), types, values, NULL) > 0;
}

/*
 * rag.drop_model(name text, if_exists boolean): forgets it, and at the end of the transaction the engine does.
 * If another database has the same model, its next use there loads it again.
 */
Datum
rag_drop_model(PG_FUNCTION_ARGS)
{
	Oid			type = TEXTOID;
	Datum		name = PG_GETARG_DATUM(0);
	CatalogModel *model;

	AdminCheck("drop a model");
	model = ModelLookup(TextDatumGetCString(name));
	if (AdminExecute("DELETE FROM rag.model WHERE name OPERATOR(pg_catalog.=) $1", 1, &type, &name, NULL) == 0)
		ereport(PG_GETARG_BOOL(1) ? NOTICE : ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("model \"%s\" does not exist%s", TextDatumGetCString(name),
						PG_GETARG_BOOL(1) ? ", skipping" : "")));
	else if (model && !AdminModelInUse(&model->client))
		ClientUnloadAtCommit(&model->client);
	PG_RETURN_VOID();
}

static void
AdminChangeUsers(FunctionCallInfo fcinfo, const char *statement)
{
	Oid			types[] = {TEXTOID, TEXTOID};
	char	   *name = text_to_cstring(PG_GETARG_TEXT_PP(0));
	char	   *role = NameStr(*PG_GETARG_NAME(1));
	Datum		values[] = {CStringGetTextDatum(name), CStringGetTextDatum(role)};

	AdminLookup(name);
	AdminExecute(statement, lengthof(types), types, values, NULL);
}

/* rag.grant_model(name text, role name) */
Datum
rag_grant_model(PG_FUNCTION_ARGS)
{
	char	   *role = NameStr(*PG_GETARG_NAME(1));

	AdminCheck("grant a model");
	/* revoking takes any name, since a role that is dropped leaves its name behind */
	if (strcmp(role, "public") != 0)
		(void) get_role_oid(role, false);
	AdminChangeUsers(fcinfo,
					 "UPDATE rag.model SET users = pg_catalog.array_append(pg_catalog.array_remove(users, $2), $2) "
					 "WHERE name OPERATOR(pg_catalog.=) $1");
	PG_RETURN_VOID();
}

/* rag.revoke_model(name text, role name) */
Datum
rag_revoke_model(PG_FUNCTION_ARGS)
{
	AdminCheck("revoke a model");
	AdminChangeUsers(fcinfo,
					 "UPDATE rag.model SET users = pg_catalog.array_remove(users, $2) "
					 "WHERE name OPERATOR(pg_catalog.=) $1");
	PG_RETURN_VOID();
}

/* rag.restart_engine() */
Datum
rag_restart_engine(PG_FUNCTION_ARGS)
{
	AdminCheck("restart the model engine");
	ClientRestartEngine();
	PG_RETURN_VOID();
}
