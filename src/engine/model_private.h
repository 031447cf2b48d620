/*
 * model_private.h: what the parts of the model reader share.
 *
 * Reading takes three steps: a container reader (gguf.c, safetensors.c) fills the
 * table of tensors; a dialect (model_gguf.c, hf_*.c) fills the config; model_bind.c
 * finds each tensor that the config implies in the table and checks its shape.
 */
#ifndef RAG_ENGINE_MODEL_PRIVATE_H
#define RAG_ENGINE_MODEL_PRIVATE_H

#include "engine/gguf.h"
#include "engine/model.h"
#include "engine/model_file.h"
#include "engine/model_table.h"

/*
 * What a config may hold. Far above any model of these families, and low enough that every
 * product of two of them fits into 64 bits, and heads * head_size into an int.
 */
#define MODEL_MAX_VOCAB (1 << 22)
#define MODEL_MAX_HIDDEN (1 << 16)
#define MODEL_MAX_FF (1 << 20)
#define MODEL_MAX_LAYERS 1024
#define MODEL_MAX_HEADS 1024
#define MODEL_MAX_HEAD_SIZE 1024
#define MODEL_MAX_POSITIONS (1 << 26)
#define MODEL_MAX_TYPES 1024
#define MODEL_MAX_LABELS (1 << 16)

/* Longest text file of a folder, in bytes: the largest tokenizer.json have about 33 million. */
#define MODEL_TEXT_MAX ((size_t) 256 << 20)

/* Roles before this one occur once in a model, the others once in each layer. */
#define MODEL_FIRST_LAYER_ROLE TENSOR_ATTENTION_NORM

struct model
{
	char	   *file;			/* for messages: the last part of the path */
	model_config config;
	file_map   *maps;			/* one GGUF file, or the shards */
	size_t		map_count;
	gguf	   *metadata;		/* NULL for a folder */
	int			folder;			/* descriptor, -1 for a GGUF file */
	tensor_table table;
	model_tensor *tensors;		/* model roles, then the layer roles of each layer; data is NULL for
								 * those that the model does not have */
	void	  **copies;			/* of tensors that are not aligned in their file */
	size_t		copy_count;
	size_t		bytes;
};

/* model_gguf.c: config from metadata. */
extern bool model_gguf_config(model *m, engine_error *error);

/* hf_folder.c: config and maps of a folder whose descriptor is m->folder. */
extern bool hf_open(model *m, engine_error *error);

/* model_config.c: name for people, printable UTF-8, cut to fit. */
extern void model_set_name(model_config *config, const char *name, size_t length);

/* model_config.c: what must hold between the fields of a config, after each was range-checked. */
extern bool model_check_config(const model *m, engine_error *error);

/* model_bind.c: every tensor that the config implies. */
extern bool model_bind(model *m, engine_error *error);

#endif							/* RAG_ENGINE_MODEL_PRIVATE_H */
