/*
 * hf.h: what the parts of the reader of Hugging Face folders share.
 *
 * Private to hf_*.c. A folder is config.json (hf_config.c), one or more safetensors
 * files (hf_folder.c) and, for embedding models, what sentence-transformers wrote
 * beside them (hf_sentence.c). A value of the wrong kind is an error, a missing one
 * means what the transformers library takes it to mean.
 */
#ifndef RAG_ENGINE_HF_H
#define RAG_ENGINE_HF_H

#include "engine/json.h"
#include "engine/model_private.h"

/* Longest config or index, in bytes; the index of a thousand tensors has a hundred thousand. */
#define HF_JSON_MAX ((size_t) 16 << 20)

/* A JSON object of a folder's file, and where to report. */
typedef struct hf_object
{
	const model *m;
	const char *file;			/* "config.json" */
	const json_value *value;
	engine_error *error;
} hf_object;

/* False, with the key and what is wrong with it. */
extern bool hf_fail(const hf_object *o, engine_code code, const char *key, const char *problem);

/* The member, or NULL when it is absent or null. */
extern const json_value *hf_member(const hf_object *o, const char *key);

/* A whole number from 1 to high; otherwise < 0: the key must be there. */
extern bool hf_get_int(const hf_object *o, const char *key, int high, int otherwise, int *out);
extern bool hf_get_float(const hf_object *o, const char *key, float otherwise, float *out);
extern bool hf_get_bool(const hf_object *o, const char *key, bool otherwise, bool *out);
extern bool hf_get_string(const hf_object *o, const char *key, const char *otherwise,
						  const char **out);

/* May a folder's file refer to another one by this name? A plain name, no way out of the folder. */
extern bool hf_is_plain_name(const char *name, size_t length);

/* config.json to m->config. */
extern bool hf_read_config(model *m, const json_value *root, engine_error *error);

/* Pooling, normalisation and length limit of an embedding model. */
extern bool hf_read_sentence(model *m, engine_error *error);

#endif							/* RAG_ENGINE_HF_H */
