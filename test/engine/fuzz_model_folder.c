/*
 * fuzz_model_folder.c: the reader of Hugging Face folders: the input's first byte
 * says which file of a good folder the rest replaces.
 *
 * The folder holds symbolic links to files in memory, so nothing is written.
 */
#include <sys/stat.h>

#include "fuzz_model.h"

enum
{
	CONFIG, WEIGHTS, INDEX, MODULES, POOLING, LIMIT, TOKENIZER, FILES
};

static const char *const names[FILES] = {
	"config.json", "model.safetensors", "model.safetensors.index.json", "modules.json",
	"1_Pooling/config.json", "sentence_bert_config.json", "tokenizer_config.json"
};

static char folder[] = "/tmp/rag-fuzz-XXXXXX";
static memory_file files[FILES];
static char *weights;
static size_t weights_size;

/* The tensors of a BERT of one layer with vocabulary 2, hidden size 2 and ff size 2. */
static const struct
{
	const char *name;
	int			rows;
}			tensors[] = {
	{"embeddings.word_embeddings.weight", 2}, {"embeddings.position_embeddings.weight", 2},
	{"embeddings.token_type_embeddings.weight", 2}, {"embeddings.LayerNorm.weight", 1},
	{"embeddings.LayerNorm.bias", 1}, {"encoder.layer.0.attention.self.query.weight", 2},
	{"encoder.layer.0.attention.self.query.bias", 1}, {"encoder.layer.0.attention.self.key.weight",
	2},
	{"encoder.layer.0.attention.self.key.bias", 1}, {"encoder.layer.0.attention.self.value.weight",
	2},
	{"encoder.layer.0.attention.self.value.bias", 1},
	{"encoder.layer.0.attention.output.dense.weight", 2},
	{"encoder.layer.0.attention.output.dense.bias", 1},
	{"encoder.layer.0.attention.output.LayerNorm.weight", 1},
	{"encoder.layer.0.attention.output.LayerNorm.bias", 1},
	{"encoder.layer.0.intermediate.dense.weight", 2},
	{"encoder.layer.0.intermediate.dense.bias", 1}, {"encoder.layer.0.output.dense.weight", 2},
	{"encoder.layer.0.output.dense.bias", 1}, {"encoder.layer.0.output.LayerNorm.weight", 1},
	{"encoder.layer.0.output.LayerNorm.bias", 1},
};

static const char good_config[] =
	"{\"architectures\":[\"BertModel\"],\"model_type\":\"bert\",\"vocab_size\":2,\"hidden_size\":2,"
	"\"intermediate_size\":2,\"num_hidden_layers\":1,\"num_attention_heads\":1,"
	"\"max_position_embeddings\":2,\"hidden_act\":\"gelu\"}";

static const char good_modules[] = "[{\"type\":\"Pooling\",\"path\":\"1_Pooling\"}]";
static const char good_pooling[] = "{\"pooling_mode\":\"cls\"}";

static void
make_weights(void)
{
	char		header[8192];
	int			used = 0,
				offset = 0;
	uint64_t	length;

	for (size_t i = 0; i < sizeof(tensors) / sizeof(tensors[0]); i++)
	{
		int			end = offset + tensors[i].rows * 8;
		const char *shape = tensors[i].rows == 2 ? "2,2" : "2";

		used += snprintf(header + used, sizeof(header) - (size_t) used,
						 "%c\"%s\":{\"dtype\":\"F32\",\"shape\":[%s],\"data_offsets\":[%d,%d]}",
						 i == 0 ? '{' : ',', tensors[i].name, shape, offset, end);
		offset = end;
	}
	header[used++] = '}';
	length = (uint64_t) used;
	weights_size = 8 + (size_t) used + (size_t) offset;
	weights = calloc(1, weights_size);
	memcpy(weights, &length, 8);
	memcpy(weights + 8, header, (size_t) used);
}

static void
remove_folder(void)
{
	char		path[200];

	for (int i = FILES - 1; i >= 0; i--)
	{
		snprintf(path, sizeof(path), "%s/%s", folder, names[i]);
		unlink(path);
	}
	snprintf(path, sizeof(path), "%s/1_Pooling", folder);
	rmdir(path);
	rmdir(folder);
}

static void
make_folder(void)
{
	char		path[200];

	make_weights();
	if (mkdtemp(folder) == NULL)
		abort();
	atexit(remove_folder);
	snprintf(path, sizeof(path), "%s/1_Pooling", folder);
	if (mkdir(path, 0755) != 0)
		abort();
	for (int i = 0; i < FILES; i++)
	{
		memory_file_write(&files[i], "{}", 2);
		snprintf(path, sizeof(path), "%s/%s", folder, names[i]);
		if (symlink(files[i].path, path) != 0)
			abort();
	}
	memory_file_write(&files[CONFIG], good_config, strlen(good_config));
	memory_file_write(&files[MODULES], good_modules, strlen(good_modules));
	memory_file_write(&files[POOLING], good_pooling, strlen(good_pooling));
	memory_file_write(&files[WEIGHTS], weights, weights_size);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static bool made;
	engine_error error = {0};
	char	   *saved;
	size_t		saved_size;
	char		path[200];
	int			which;

	if (size == 0)
		return 0;
	if (!made)
		make_folder();
	made = true;
	which = data[0] % FILES;
	saved_size = (size_t) lseek(files[which].fd, 0, SEEK_END);
	saved = malloc(saved_size + 1);
	if (pread(files[which].fd, saved, saved_size, 0) != (ssize_t) saved_size)
		abort();
	memory_file_write(&files[which], data + 1, size - 1);

	/* an index is read only where there is no single file */
	snprintf(path, sizeof(path), "%s/%s", folder, names[WEIGHTS]);
	if (which == INDEX && unlink(path) != 0)
		abort();
	check_model(model_open(folder, &error), &error);
	if (which == INDEX && symlink(files[WEIGHTS].path, path) != 0)
		abort();
	memory_file_write(&files[which], saved, saved_size);
	free(saved);
	return 0;
}
