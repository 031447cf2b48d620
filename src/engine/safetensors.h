/*
 * safetensors.h: the safetensors container: a JSON header and one block of data.
 *
 *     if (safetensors_parse(&map, &table, &error)) ...
 *
 * Private to the model readers. Data stays in the map, which must live longer than
 * the table.
 */
#ifndef RAG_ENGINE_SAFETENSORS_H
#define RAG_ENGINE_SAFETENSORS_H

#include "engine/model_file.h"
#include "engine/model_table.h"

/* Longest header, in bytes; one of a thousand tensors has about a hundred thousand. */
#define SAFETENSORS_HEADER_MAX ((size_t) 16 << 20)

/* Adds the file's tensors to the table, unsorted, so that the shards of a model can share one. On
 * failure the table may hold some of them. */
extern bool safetensors_parse(const file_map *map, tensor_table *table, engine_error *error);

#endif							/* RAG_ENGINE_SAFETENSORS_H */
