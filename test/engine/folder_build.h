/*
 * folder_build.h: makes Hugging Face folders for tests, and says how they open.
 */
#ifndef RAG_TEST_FOLDER_BUILD_H
#define RAG_TEST_FOLDER_BUILD_H

#include <stdarg.h>

#include "engine/model.h"
#include "model_build.h"
#include "tap.h"

#define TINY "test/data/tiny-models/"

static char folder[300];

/* A new folder for the next model. */
BUILD_UNUSED static void
start_folder(void)
{
	static int	number;
	char		name[32];

	snprintf(name, sizeof(name), "folder%d", number++);
	snprintf(folder, sizeof(folder), "%s", build_path(name));
	if (mkdir(folder, 0755) != 0)
		abort();
}

BUILD_UNUSED static void
write_file(const char *name, const void *data, size_t length)
{
	char		path[600];
	FILE	   *file;

	snprintf(path, sizeof(path), "%s/%s", folder, name);
	file = fopen(path, "wb");
	if (file == NULL || fwrite(data, 1, length, file) != length || fclose(file) != 0)
		abort();
}

BUILD_UNUSED static void
write_text(const char *name, const char *text)
{
	write_file(name, text, strlen(text));
}

BUILD_UNUSED static model *
open_folder(engine_error *error)
{
	memset(error, 0, sizeof(*error));
	return model_open(folder, error);
}

/* The folder is refused with this code and text. */
BUILD_UNUSED static void
refuse(engine_code code, const char *text, const char *name)
{
	engine_error error;
	model	   *m = open_folder(&error);

	if (!ok(m == NULL && error.code == code && strstr(error.message, text), "refused: %s", name))
		tap_note("code %d: %s", error.code, error.message);
	model_close(m);
}

BUILD_UNUSED static bytes
read_whole(const char *path)
{
	bytes		b = {0};
	char		buffer[65536];
	size_t		n;
	FILE	   *file = fopen(path, "rb");

	if (file == NULL)
		return b;
	while ((n = fread(buffer, 1, sizeof(buffer), file)) > 0)
		put(&b, buffer, n);
	fclose(file);
	return b;
}

BUILD_UNUSED static bool
is_tensor(const model *m, tensor_role role, int layer, const char *name, int64_t rows,
		  int64_t columns)
{
	const model_tensor *t = model_get_tensor(m, role, layer);

	return t && strcmp(t->name, name) == 0 && t->rows == rows && t->columns == columns &&
		(uintptr_t) t->data % 2 == 0;
}

BUILD_UNUSED static void
copy_file(const char *source, const char *name)
{
	bytes		b = read_whole(source);

	write_file(name, b.data, b.length);
	bytes_free(&b);
}

/*
 * A BERT of one layer, hidden size 4, ff 8, vocabulary 3, positions 5. The names get a prefix; the
 * header gets pad spaces, so that its data can be made to start anywhere.
 */
typedef struct bert_names
{
	const char *prefix;
	const char *norm_weight;
	const char *norm_bias;
	const char *dtype;
	int			labels;
	int			pad;
} bert_names;

BUILD_UNUSED static void
add_entry(bytes *header, size_t *offset, const bert_names *names, int rows, int columns,
		  const char *format, ...)
{
	char		name[160];
	char		shape[32];
	char		entry[400];
	size_t		width = strcmp(names->dtype, "F32") == 0 ? 4 : 2;
	size_t		bytes_of = (size_t) rows * (size_t) columns * width;
	va_list		args;

	va_start(args, format);
	vsnprintf(name, sizeof(name), format, args);
	va_end(args);
	if (rows > 1 || strstr(name, "classifier.weight"))
		snprintf(shape, sizeof(shape), "%d,%d", rows, columns);
	else
		snprintf(shape, sizeof(shape), "%d", columns);
	snprintf(entry, sizeof(entry),
			 "%s\"%s\":{\"dtype\":\"%s\",\"shape\":[%s],\"data_offsets\":[%zu,%zu]}",
			 header->length ? "," : "{", name, names->dtype, shape, *offset, *offset + bytes_of);
	put(header, entry, strlen(entry));
	*offset += bytes_of;
}

BUILD_UNUSED static void
write_bert(const bert_names *n)
{
	static const char *const square[] = {"attention.self.query", "attention.self.key",
	"attention.self.value", "attention.output.dense"};
	static const char *const norms[] = {"attention.output", "output"};
	bytes		header = {0};
	bytes		file = {0};
	size_t		offset = 0;
	char		layer[100];

	snprintf(layer, sizeof(layer), "%sencoder.layer.0", n->prefix);
	add_entry(&header, &offset, n, 3, 4, "%sembeddings.word_embeddings.weight", n->prefix);
	add_entry(&header, &offset, n, 5, 4, "%sembeddings.position_embeddings.weight", n->prefix);
	add_entry(&header, &offset, n, 2, 4, "%sembeddings.token_type_embeddings.weight", n->prefix);
	add_entry(&header, &offset, n, 1, 4, "%sembeddings.LayerNorm.%s", n->prefix, n->norm_weight);
	add_entry(&header, &offset, n, 1, 4, "%sembeddings.LayerNorm.%s", n->prefix, n->norm_bias);
	for (int i = 0; i < 4; i++)
	{
		add_entry(&header, &offset, n, 4, 4, "%s.%s.weight", layer, square[i]);
		add_entry(&header, &offset, n, 1, 4, "%s.%s.bias", layer, square[i]);
	}
	for (int i = 0; i < 2; i++)
	{
		add_entry(&header, &offset, n, 1, 4, "%s.%s.LayerNorm.%s", layer, norms[i], n->norm_weight);
		add_entry(&header, &offset, n, 1, 4, "%s.%s.LayerNorm.%s", layer, norms[i], n->norm_bias);
	}
	add_entry(&header, &offset, n, 8, 4, "%s.intermediate.dense.weight", layer);
	add_entry(&header, &offset, n, 1, 8, "%s.intermediate.dense.bias", layer);
	add_entry(&header, &offset, n, 4, 8, "%s.output.dense.weight", layer);
	add_entry(&header, &offset, n, 1, 4, "%s.output.dense.bias", layer);
	add_entry(&header, &offset, n, 4, 4, "%spooler.dense.weight", n->prefix);
	add_entry(&header, &offset, n, 1, 4, "%spooler.dense.bias", n->prefix);
	if (n->labels > 0)
	{
		add_entry(&header, &offset, n, n->labels, 4, "classifier.weight");
		add_entry(&header, &offset, n, 1, n->labels, "classifier.bias");
	}
	add_entry(&header, &offset, n, 1, 3, "cls.predictions.bias");
	put(&header, "}", 1);
	for (int i = 0; i < n->pad; i++)
		put(&header, " ", 1);
	put(&header, "", 1);
	build_safetensors(&file, (const char *) header.data, offset);
	write_file("model.safetensors", file.data, file.length);
	bytes_free(&header);
	bytes_free(&file);
}

/* config.json of that BERT; extra: more members, each with a comma after it. */
BUILD_UNUSED static void
write_bert_config(const char *class_name, const char *extra)
{
	char		text[1000];

	snprintf(text, sizeof(text),
			 "{%s\"architectures\":[\"%s\"],\"model_type\":\"bert\",\"vocab_size\":3,\"hidden_size\":4,"
			 "\"intermediate_size\":8,\"num_hidden_layers\":1,\"num_attention_heads\":2,"
			 "\"max_position_embeddings\":5,\"hidden_act\":\"gelu\"}", extra, class_name);
	write_text("config.json", text);
}

BUILD_UNUSED static void
start_bert(void)
{
	start_folder();
	write_bert_config("BertModel", "");
	write_bert(&(bert_names) {"", "weight", "bias", "F32", 0, 0});
}

#endif							/* RAG_TEST_FOLDER_BUILD_H */
