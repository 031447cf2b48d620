/*
 * embed_memory.h: the last embeddings of this backend.
 *
 * embed('question') in a query's WHERE or ORDER BY is called once a row. The few last
 * results are remembered by model, kind, dimensions and text, until an engine is
 * started or a model is unloaded (then the same files may hold something else).
 */
#ifndef RAG_SQL_EMBED_MEMORY_H
#define RAG_SQL_EMBED_MEMORY_H

#include "serve/client.h"
#include "type/vector.h"

typedef struct EmbedKey
{
	const ClientModel *model;
	uint32		flags;
	uint32		dimensions;
	ClientText	input;
} EmbedKey;

/* A copy in the current memory context, or NULL. */
extern Vector *EmbedRecall(const EmbedKey *key);

/* Remembers a copy; long texts are not worth it. */
extern void EmbedRemember(const EmbedKey *key, const Vector *vector);

#endif							/* RAG_SQL_EMBED_MEMORY_H */
