/*
 * model.h: a model's files, checked and mapped, under one set of names.
 *
 *     model *m = model_open("/models/smollm2.gguf", &error);
 *     const model_config *c = model_get_config(m);
 *     const model_tensor *q = model_get_tensor(m, TENSOR_Q, 3);
 *     model_close(m);
 *
 * Reads GGUF v2/v3 files and Hugging Face folders (config.json, *.safetensors,
 * sharded too). Knows names and shapes; knows nothing of computing or tokens.
 * Every tensor that model_get_tensor returns has the shape that the config
 * implies and lies inside its file: callers need not check again. Data is mapped
 * read-only and stays valid until model_close; a file that is truncated meanwhile
 * ends the process with SIGBUS. An open model is immutable: any number of threads
 * may read it.
 */
#ifndef RAG_ENGINE_MODEL_H
#define RAG_ENGINE_MODEL_H

#include <stddef.h>
#include <stdint.h>

#include "engine/error.h"

/* Weight types; block layouts as GGUF defines them. */
typedef enum tensor_type
{
	TYPE_F32, TYPE_F16, TYPE_BF16,
	TYPE_Q8_0, TYPE_Q4_0, TYPE_Q4_1, TYPE_Q5_0, TYPE_Q5_1,
	TYPE_Q4_K, TYPE_Q5_K, TYPE_Q6_K,
	TENSOR_TYPES
} tensor_type;

typedef struct tensor_type_info
{
	const char *name;			/* "Q4_1" */
	int			block_elements; /* 1, 32 or 256 */
	int			block_bytes;
} tensor_type_info;

extern const tensor_type_info *tensor_type_get(tensor_type type);

/* count elements (a multiple of block_elements) of type at data to f32: the oracle of
 * every kernel that reads packed weights. */
extern void tensor_dequantize(tensor_type type, const void *data, float *out, size_t count);

typedef struct model_tensor
{
	const char *name;			/* as in the file */
	tensor_type type;
	int64_t		rows;			/* outputs; 1 for a vector */
	int64_t		columns;		/* inputs: contiguous in memory */
	const void *data;			/* rows * columns elements, row-major; aligned for the element
								 * (F32 to 4 bytes, all else to 2) */
	size_t		bytes;
} model_tensor;

typedef enum model_architecture
{
	MODEL_BERT,					/* encoder, post-norm, learned positions, GELU */
	MODEL_LLAMA					/* decoder, RMSNorm, RoPE, gated SiLU, grouped-query attention */
} model_architecture;

typedef enum model_pooling
{
	POOLING_NONE, POOLING_MEAN, POOLING_CLS
} model_pooling;

typedef enum rope_scaling
{
	ROPE_PLAIN, ROPE_LINEAR, ROPE_LLAMA3
} rope_scaling;

typedef struct model_config
{
	model_architecture architecture;
	char		name[128];		/* for people: general.name, _name_or_path or the file's name */
	int			vocab_size;
	int			hidden_size;
	int			ff_size;
	int			layers;
	int			heads;
	int			kv_heads;		/* = heads without grouping */
	int			head_size;
	int			max_positions;	/* the longest context that the model was made for */
	float		norm_epsilon;

	/* MODEL_LLAMA */
	int			rope_dims;		/* rotated elements of a head */
	float		rope_theta;
	rope_scaling rope_scale_kind;
	float		rope_scale_factor;
	float		rope_low_freq_factor;
	float		rope_high_freq_factor;
	int			rope_original_positions;
	bool		rope_interleaved;	/* pairs (0,1),(2,3).. (GGUF llama); else (0,n/2).. (HF) */
	bool		attention_bias;
	bool		tied_output;	/* TENSOR_OUTPUT is the token embedding */

	/* MODEL_BERT */
	int			type_vocab_size;
	model_pooling pooling;		/* as modules.json / 1_Pooling / GGUF metadata say; MEAN if silent;
								 * CLS with a classifier */
	bool		normalize;		/* unit length, as modules.json says; true if silent; false with a
								 * classifier */
	int			max_sequence;	/* sentence-transformers' max_seq_length, else max_positions */
	bool		lower_case;		/* sentence-transformers' do_lower_case, on top of the tokenizer's */
	int			labels;			/* outputs of the classifier (cross-encoder), else 0 */
} model_config;

typedef enum tensor_role
{
	/* one per model */
	TENSOR_TOKEN_EMBEDDING,		/* [vocab, hidden] */
	TENSOR_POSITION_EMBEDDING,	/* BERT [max_positions, hidden] */
	TENSOR_TYPE_EMBEDDING,		/* BERT [type_vocab, hidden] */
	TENSOR_EMBEDDING_NORM, TENSOR_EMBEDDING_NORM_BIAS,	/* BERT [hidden] */
	TENSOR_OUTPUT_NORM,			/* Llama [hidden] */
	TENSOR_OUTPUT,				/* Llama [vocab, hidden]; the token embedding when tied */
	TENSOR_ROPE_FACTORS,		/* Llama [rope_dims / 2], optional: divides each frequency */
	TENSOR_POOLER, TENSOR_POOLER_BIAS,	/* BERT [hidden, hidden], [hidden], optional */
	TENSOR_CLASSIFIER, TENSOR_CLASSIFIER_BIAS,	/* BERT [labels, hidden], [labels], optional */
	/* one per layer */
	TENSOR_ATTENTION_NORM, TENSOR_ATTENTION_NORM_BIAS,	/* Llama: before attention; BERT: after */
	TENSOR_Q, TENSOR_K, TENSOR_V, TENSOR_ATTENTION_OUTPUT,	/* [heads*head_size or kv.., hidden] */
	TENSOR_Q_BIAS, TENSOR_K_BIAS, TENSOR_V_BIAS, TENSOR_ATTENTION_OUTPUT_BIAS,
	TENSOR_FF_NORM, TENSOR_FF_NORM_BIAS,	/* Llama: before the MLP; BERT: after */
	TENSOR_GATE,				/* Llama [ff, hidden] */
	TENSOR_UP, TENSOR_DOWN,		/* [ff, hidden], [hidden, ff] */
	TENSOR_UP_BIAS, TENSOR_DOWN_BIAS,
	TENSOR_ROLES
} tensor_role;

typedef struct model model;

/*
 * path: a GGUF file or a Hugging Face folder. NULL and *error on failure: ENGINE_NOT_FOUND,
 * ENGINE_DENIED or ENGINE_IO for the system's reasons, ENGINE_INVALID for what is no file,
 * ENGINE_CORRUPT, ENGINE_UNSUPPORTED (another architecture, weight type, activation ...).
 * Memory is bounded by a multiple of the size of the files.
 */
extern model *model_open(const char *path, engine_error *error);
extern void model_close(model *m);
/* The tensor has been read: its part of the file need not count as this process's memory. Its data
 * stays valid, and is read from the file again when somebody asks. */
extern void model_release_tensor(const model *m, const model_tensor *t);
/* When all has been read that is wanted of them. There is only the config from then on: no
 * tensors, no metadata, no files. */
extern void model_close_files(model *m);
extern const model_config *model_get_config(const model *m);
/* NULL only for an optional tensor that the model does not have. layer is 0 for model roles. */
extern const model_tensor *model_get_tensor(const model *m, tensor_role role, int layer);
extern size_t model_get_bytes(const model *m);	/* of all tensors, as mapped */

/*
 * What the tokenizer reads. A GGUF file has metadata; a folder has files.
 */
typedef struct model_string
{
	const char *data;			/* not NUL-terminated; not checked to be UTF-8 */
	size_t		length;
} model_string;

extern bool model_is_gguf(const model *m);
extern bool model_meta_string(const model *m, const char *key, model_string *out);
extern bool model_meta_int(const model *m, const char *key, int64_t *out);	/* any integer type */
extern bool model_meta_float(const model *m, const char *key, double *out);
extern bool model_meta_bool(const model *m, const char *key, bool *out);
/* Arrays: a pointer that lives as long as the model, or NULL; *count elements. */
extern const model_string *model_meta_strings(const model *m, const char *key, size_t *count);
extern const float *model_meta_floats(const model *m, const char *key, size_t *count);
extern const int32_t *model_meta_ints(const model *m, const char *key, size_t *count);	/* or u32 */
extern const unsigned char *model_meta_bytes(const model *m, const char *key, size_t *count);

/* Whole file of the folder, malloc'd with a final NUL for the caller to free; NULL with
 * code ENGINE_NOT_FOUND when there is none. name is fixed by our code, never by a file. */
extern char *model_read_file(const model *m, const char *name, size_t *length,
							 engine_error *error);

#endif							/* RAG_ENGINE_MODEL_H */
