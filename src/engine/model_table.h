/*
 * model_table.h: the tensors of a model's files by name, before anything is known
 * of what they are for.
 *
 * Private to the model readers: gguf.c and safetensors.c fill a table, model_bind.c
 * looks the model's tensors up in it. A tensor in the table lies inside its file;
 * its shape and type are as the file says and fit the number of its bytes.
 */
#ifndef RAG_ENGINE_MODEL_TABLE_H
#define RAG_ENGINE_MODEL_TABLE_H

#include "engine/model.h"

#define TABLE_MAX_DIMENSIONS 4
#define TYPE_UNKNOWN TENSOR_TYPES	/* a type that this engine does not compute with */

typedef struct table_tensor
{
	char	   *name;			/* malloc'd */
	const char *file;			/* whose, for messages: lives as long as the file's map */
	char		type_name[16];	/* as the file says, for messages */
	tensor_type type;			/* or TYPE_UNKNOWN */
	int			dimensions;		/* may be above TABLE_MAX_DIMENSIONS: then shape is not kept */
	int64_t		shape[TABLE_MAX_DIMENSIONS];	/* the last is contiguous in memory */
	const unsigned char *data;
	size_t		bytes;
	bool		used;			/* bound to a role of the model */
} table_tensor;

typedef struct tensor_table
{
	table_tensor *tensors;		/* sorted by name after tensor_table_sort */
	size_t		count;
	size_t		capacity;
} tensor_table;

/* Room for more tensors; callers bound their number by the size of the file first. */
extern bool tensor_table_reserve(tensor_table *table, size_t more, engine_error *error);

/* A new tensor of this name, all else zero; NULL when there is no memory or the name is empty or
 * holds a NUL. Needs tensor_table_reserve. */
extern table_tensor *tensor_table_add(tensor_table *table, const char *file, const char *name,
									  size_t length, engine_error *error);

/* Sort by name; equal names are an error. */
extern bool tensor_table_sort(tensor_table *table, engine_error *error);
extern table_tensor *tensor_table_find(const tensor_table *table, const char *name);

/* The tensors from first on, all of one file, in the order of their data. */
extern void tensor_table_sort_places(tensor_table *table, size_t first);
extern void tensor_table_free(tensor_table *table);

/* "[2048, 512]" for messages; out has TABLE_SHAPE_SIZE bytes. */
#define TABLE_SHAPE_SIZE 96
extern const char *tensor_shape_text(const table_tensor *t, char *out);

#endif							/* RAG_ENGINE_MODEL_TABLE_H */
