/*
 * models.h: the catalog rag.model, as the model functions read it.
 *
 *     CatalogModel *model = ModelForCall(given, MODEL_EMBEDDING);
 *     ... &model->client names it to src/serve ...
 *
 * Models are known by name in a database. Who may use one: superusers, members of
 * rag_admin, and the roles that its row lists (rag.grant_model).
 */
#ifndef RAG_SQL_MODELS_H
#define RAG_SQL_MODELS_H

#include "fmgr.h"

#include "serve/client.h"

/* As the engine numbers them (protocol_model_info.kind). */
typedef enum ModelKind
{
	MODEL_ANY = 0,
	MODEL_EMBEDDING = 1,
	MODEL_GENERATION = 2,
	MODEL_RERANK = 3
} ModelKind;

typedef struct CatalogModel
{
	ClientModel client;			/* name, uri, options */
	ModelKind	kind;
	int			dimensions;		/* 0 unless it embeds */
	bool		usable;			/* by the current user */
} CatalogModel;

extern const char *ModelKindName(ModelKind kind);

/* MODEL_ANY if it is the name of none. */
extern ModelKind ModelKindByName(const char *name);

/* The row of that name, in the current memory context; NULL if there is none. */
extern CatalogModel *ModelLookup(const char *name);

/*
 * The model of a call: the one named, or, name being NULL, the one that the session's
 * setting for this kind names (for MODEL_ANY: of embeddings, then of generation). It
 * is of that kind and the current user may use it; anything else is an error.
 */
extern CatalogModel *ModelForCall(const char *name, ModelKind kind);

/* Whether the current user may load, drop and grant models. */
extern bool ModelIsAdmin(void);

/* An optional text argument as a string, NULL when it is. */
extern char *ModelTextArgument(FunctionCallInfo fcinfo, int number);

#endif							/* RAG_SQL_MODELS_H */
