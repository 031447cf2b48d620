/*
 * test_model_folder.c: models in Hugging Face folders: config, weights in one file
 * and in shards, sentence-transformers' files, and what is refused.
 *
 * The tiny Llamas of test/data are read as they are and, cut in two, as shards; the
 * other folders are made here. With RAG_TEST_MODELS set, MiniLM is read too.
 */
#include <stdarg.h>

#include "engine/model.h"
#include "model_build.h"
#include "tap.h"

#define TINY "test/data/tiny-models/"

static char folder[300];

/* A new folder for the next model. */
static void
start_folder(void)
{
	static int	number;
	char		name[32];

	snprintf(name, sizeof(name), "folder%d", number++);
	snprintf(folder, sizeof(folder), "%s", build_path(name));
	if (mkdir(folder, 0755) != 0)
		abort();
}

static void
write_file(const char *name, const void *data, size_t length)
{
	char		path[600];
	FILE	   *file;

	snprintf(path, sizeof(path), "%s/%s", folder, name);
	file = fopen(path, "wb");
	if (file == NULL || fwrite(data, 1, length, file) != length || fclose(file) != 0)
		abort();
}

static void
write_text(const char *name, const char *text)
{
	write_file(name, text, strlen(text));
}

static model *
open_folder(engine_error *error)
{
	memset(error, 0, sizeof(*error));
	return model_open(folder, error);
}

/* The folder is refused with this code and text. */
static void
refuse(engine_code code, const char *text, const char *name)
{
	engine_error error;
	model	   *m = open_folder(&error);

	if (!ok(m == NULL && error.code == code && strstr(error.message, text), "refused: %s", name))
		tap_note("code %d: %s", error.code, error.message);
	model_close(m);
}

static bytes
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

static bool
is_tensor(const model *m, tensor_role role, int layer, const char *name, int64_t rows,
		  int64_t columns)
{
	const model_tensor *t = model_get_tensor(m, role, layer);

	return t && strcmp(t->name, name) == 0 && t->rows == rows && t->columns == columns &&
		(uintptr_t) t->data % 2 == 0;
}

static void
test_tiny_llamas(void)
{
	engine_error error = {0};
	model	   *m = model_open(TINY "tiny_llama_gqa_tied/", &error);
	const model_config *c;

	if (!ok(m != NULL, "the tied Llama opens"))
	{
		tap_note("%s", error.message);
		return;
	}
	c = model_get_config(m);
	ok(c->architecture == MODEL_LLAMA && c->vocab_size == 512 && c->hidden_size == 64 &&
	   c->ff_size == 160 && c->layers == 2 && c->heads == 4 && c->kv_heads == 2 &&
	   c->head_size == 16 && c->max_positions == 1024 && c->norm_epsilon == 1e-6f, "its sizes");
	ok(c->rope_theta == 10000 && c->rope_dims == 16 && c->rope_scale_kind == ROPE_PLAIN &&
	   !c->rope_interleaved && c->tied_output && !c->attention_bias, "its rope and head");
	ok(strcmp(c->name, "tiny_llama_gqa_tied") == 0, "its name");
	ok(is_tensor(m, TENSOR_K, 1, "model.layers.1.self_attn.k_proj.weight", 32, 64) &&
	   is_tensor(m, TENSOR_DOWN, 0, "model.layers.0.mlp.down_proj.weight", 64, 160) &&
	   is_tensor(m, TENSOR_OUTPUT, 0, "model.embed_tokens.weight", 512, 64), "its tensors");
	ok(!model_is_gguf(m) && model_get_bytes(m) == 476416, "its bytes");
	model_close(m);

	m = model_open(TINY "tiny_llama_rope_llama3", &error);
	c = m ? model_get_config(m) : NULL;
	ok(c && c->rope_scale_kind == ROPE_LLAMA3 && c->rope_scale_factor == 8 &&
	   c->rope_low_freq_factor == 1 && c->rope_high_freq_factor == 4 &&
	   c->rope_original_positions == 64 && !c->tied_output, "the Llama with rope scaling");
	ok(m && is_tensor(m, TENSOR_OUTPUT, 0, "lm_head.weight", 512, 64), "its own output");
	model_close(m);
}

typedef struct header_entry
{
	char		name[100];
	char		shape[100];
	unsigned long begin;
	unsigned long end;
} header_entry;

/* The next tensor of a header that transformers wrote; false at its end. */
static bool
next_entry(const char **at, header_entry *e)
{
	*at = strstr(*at, "\"model.");
	if (*at == NULL)
		return false;
	if (sscanf(*at, "\"%99[^\"]\":{\"dtype\":\"F32\",\"shape\":[%99[^]]],\"data_offsets\":[%lu,%lu]}",
			   e->name, e->shape, &e->begin, &e->end) != 4)
		abort();
	(*at)++;
	return true;
}

static const char *const shard_names[] = {"model-00001-of-00002.safetensors",
"model-00002-of-00002.safetensors"};

static void
write_shard(const char *name, bytes *header, const unsigned char *data, size_t length)
{
	bytes		file = {0};

	put(header, "}", 1);
	put_u64(&file, header->length);
	put(&file, header->data, header->length);
	put(&file, data, length);
	write_file(name, file.data, file.length);
	bytes_free(&file);
	bytes_free(header);
}

/* The tied Llama's file cut into two behind the tensor in its middle, with an index. */
static void
write_shards(void)
{
	bytes		whole = read_whole(TINY "tiny_llama_gqa_tied/model.safetensors");
	bytes		headers[2] = {{0}, {0}};
	bytes		index = {0};
	const unsigned char *data;
	uint64_t	header_length;
	size_t		length;
	size_t		cut = 0;
	char	   *text;
	const char *at;
	header_entry e;

	if (whole.length < 8)
		abort();
	memcpy(&header_length, whole.data, 8);
	text = strndup((char *) whole.data + 8, (size_t) header_length);
	data = whole.data + 8 + header_length;
	length = whole.length - 8 - (size_t) header_length;
	at = text;
	while (cut < length / 2 && next_entry(&at, &e))
		cut = e.end;
	at = text;
	while (next_entry(&at, &e))
	{
		int			shard = e.begin >= cut;
		size_t		base = shard ? cut : 0;
		char		entry[400];

		snprintf(entry, sizeof(entry),
				 "%s\"%s\":{\"dtype\":\"F32\",\"shape\":[%s],\"data_offsets\":[%zu,%zu]}",
				 headers[shard].length ? "," : "{", e.name, e.shape, e.begin - base, e.end - base);
		put(&headers[shard], entry, strlen(entry));
		snprintf(entry, sizeof(entry), "%s\"%s\":\"%s\"", index.length ? "," : "{\"weight_map\":{",
				 e.name, shard_names[shard]);
		put(&index, entry, strlen(entry));
	}
	put(&index, "}}", 2);
	write_file("model.safetensors.index.json", index.data, index.length);
	write_shard(shard_names[0], &headers[0], data, cut);
	write_shard(shard_names[1], &headers[1], data + cut, length - cut);
	free(text);
	bytes_free(&index);
	bytes_free(&whole);
}

static void
copy_file(const char *source, const char *name)
{
	bytes		b = read_whole(source);

	write_file(name, b.data, b.length);
	bytes_free(&b);
}

/* Every tensor of one model equals that of the other. */
static bool
same_tensors(const model *a, const model *b)
{
	for (int role = 0; role < TENSOR_ROLES; role++)
	{
		for (int layer = 0; layer < (role < TENSOR_ATTENTION_NORM ? 1 : 2); layer++)
		{
			const model_tensor *x = model_get_tensor(a, (tensor_role) role, layer);
			const model_tensor *y = model_get_tensor(b, (tensor_role) role, layer);

			if ((x == NULL) != (y == NULL) ||
				(x && (x->bytes != y->bytes || memcmp(x->data, y->data, x->bytes) != 0)))
				return false;
		}
	}
	return true;
}

static void
test_shards(void)
{
	engine_error error;
	model	   *whole = model_open(TINY "tiny_llama_gqa_tied", &error);
	model	   *m;

	start_folder();
	copy_file(TINY "tiny_llama_gqa_tied/config.json", "config.json");
	write_shards();
	m = open_folder(&error);
	if (!ok(m != NULL, "two shards open"))
		tap_note("%s", error.message);
	ok(m && whole && same_tensors(m, whole), "the tensors are those of the one file");
	model_close(m);
	model_close(whole);

	write_text("model-00002-of-00002.safetensors", "");
	refuse(ENGINE_CORRUPT, "model-00002-of-00002.safetensors\" is empty", "an empty shard");
	copy_file(TINY "tiny_llama_gqa_tied/model.safetensors", "model-00002-of-00002.safetensors");
	refuse(ENGINE_CORRUPT, "occurs twice", "shards with the same tensors");
}

static void
refuse_index(const char *index, engine_code code, const char *text, const char *name)
{
	write_text("model.safetensors.index.json", index);
	refuse(code, text, name);
}

static void
test_wrong_indexes(void)
{
	start_folder();
	copy_file(TINY "tiny_llama_gqa_tied/config.json", "config.json");
	refuse(ENGINE_NOT_FOUND, "neither model.safetensors nor", "no weights");
	copy_file(TINY "tiny_llama_gqa_tied/model.safetensors", "a.safetensors");
	refuse_index("{", ENGINE_CORRUPT, "index.json: invalid JSON", "an index that is no JSON");
	refuse_index("{}", ENGINE_CORRUPT, "\"weight_map\" is missing", "no weight map");
	refuse_index("{\"weight_map\":{}}", ENGINE_CORRUPT, "\"weight_map\" is missing", "an empty weight map");
	refuse_index("{\"weight_map\":[\"a.safetensors\"]}", ENGINE_CORRUPT, "\"weight_map\" is missing",
				 "a list as weight map");
	refuse_index("{\"weight_map\":{\"t\":1}}", ENGINE_CORRUPT, "shard of \"t\" is no plain", "a number as shard");
	refuse_index("{\"weight_map\":{\"t\":\"../a.safetensors\"}}", ENGINE_CORRUPT,
				 "shard of \"t\" is no plain", "a way out of the folder");
	refuse_index("{\"weight_map\":{\"t\":\"/etc/passwd\"}}", ENGINE_CORRUPT, "shard of \"t\" is no plain",
				 "an absolute path");
	refuse_index("{\"weight_map\":{\"t\":\"..\"}}", ENGINE_CORRUPT, "shard of \"t\" is no plain", "the folder above");
	refuse_index("{\"weight_map\":{\"t\":\"\"}}", ENGINE_CORRUPT, "shard of \"t\" is no plain", "an empty name");
	refuse_index("{\"weight_map\":{\"t\":\"a.safetensors\\u0000.x\"}}", ENGINE_CORRUPT,
				 "shard of \"t\" is no plain", "a name with a NUL");
	refuse_index("{\"weight_map\":{\"t\":\"b.safetensors\"}}", ENGINE_NOT_FOUND, "b.safetensors",
				 "a shard that is not there");
	refuse_index("{\"weight_map\":{\"t\":\"a.safetensors\"}}", ENGINE_CORRUPT,
				 "tensor \"t\" is not in \"a.safetensors\"", "a tensor that is not in its shard");
	refuse_index("{\"weight_map\":{\"model.norm.weight\":\"config.json\"}}", ENGINE_CORRUPT, "config.json",
				 "a shard that is no safetensors file");
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

static void
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
	snprintf(entry, sizeof(entry), "%s\"%s\":{\"dtype\":\"%s\",\"shape\":[%s],\"data_offsets\":[%zu,%zu]}",
			 header->length ? "," : "{", name, names->dtype, shape, *offset, *offset + bytes_of);
	put(header, entry, strlen(entry));
	*offset += bytes_of;
}

static void
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
static void
write_bert_config(const char *class_name, const char *extra)
{
	char		text[1000];

	snprintf(text, sizeof(text),
			 "{%s\"architectures\":[\"%s\"],\"model_type\":\"bert\",\"vocab_size\":3,\"hidden_size\":4,"
			 "\"intermediate_size\":8,\"num_hidden_layers\":1,\"num_attention_heads\":2,"
			 "\"max_position_embeddings\":5,\"hidden_act\":\"gelu\"}", extra, class_name);
	write_text("config.json", text);
}

static void
start_bert(void)
{
	start_folder();
	write_bert_config("BertModel", "");
	write_bert(&(bert_names) {"", "weight", "bias", "F32", 0, 0});
}

static void
test_bert_names(void)
{
	static const bert_names all[] = {
		{"", "weight", "bias", "F32", 0, 0},
		{"bert.", "weight", "bias", "F16", 0, 0},
		{"bert.", "gamma", "beta", "BF16", 0, 0},
		{"", "gamma", "beta", "F32", 0, 0},
	};
	engine_error error;

	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
	{
		model	   *m;
		char		name[100];

		start_folder();
		write_bert_config("BertForMaskedLM", "");
		write_bert(&all[i]);
		m = open_folder(&error);
		if (!ok(m != NULL, "BERT with names %sLayerNorm.%s, %s", all[i].prefix, all[i].norm_weight,
				all[i].dtype))
			tap_note("%s", error.message);
		snprintf(name, sizeof(name), "%sencoder.layer.0.output.LayerNorm.%s", all[i].prefix,
				 all[i].norm_bias);
		ok(m && is_tensor(m, TENSOR_FF_NORM_BIAS, 0, name, 1, 4) &&
		   model_get_tensor(m, TENSOR_POOLER, 0) && !model_get_tensor(m, TENSOR_CLASSIFIER, 0),
		   "its tensors");
		model_close(m);
	}
}

/* Old writers did not align the data. */
static void
test_unaligned(void)
{
	engine_error error;
	int			good = 0;

	for (int pad = 0; pad < 4; pad++)
	{
		const model_tensor *t;
		model	   *m;

		start_folder();
		write_bert_config("BertModel", "");
		write_bert(&(bert_names) {"", "weight", "bias", "F32", 0, pad});
		m = open_folder(&error);
		t = m ? model_get_tensor(m, TENSOR_UP_BIAS, 0) : NULL;
		good += t && (uintptr_t) t->data % 4 == 0 && t->bytes == 32 &&
			((const unsigned char *) t->data)[3] == 0x3C;
		model_close(m);
	}
	ok(good == 4, "data at any place in the file is aligned for its reader");
}

static void
test_classifier(void)
{
	engine_error error;
	model	   *m;

	start_folder();
	write_bert(&(bert_names) {"bert.", "weight", "bias", "F32", 3, 0});
	write_bert_config("BertForSequenceClassification",
					  "\"id2label\":{\"0\":\"a\",\"1\":\"b\",\"2\":\"c\"},");
	m = open_folder(&error);
	if (!ok(m && model_get_config(m)->labels == 3 && model_get_config(m)->pooling == POOLING_CLS &&
			!model_get_config(m)->normalize, "a classifier of three labels"))
		tap_note("%s", error.message);
	ok(m && is_tensor(m, TENSOR_CLASSIFIER, 0, "classifier.weight", 3, 4) &&
	   is_tensor(m, TENSOR_CLASSIFIER_BIAS, 0, "classifier.bias", 1, 3), "its head");
	model_close(m);
	write_bert_config("BertForSequenceClassification", "");
	refuse(ENGINE_CORRUPT, "\"classifier.weight\" has shape [3, 4] instead of [2, 4]",
		   "other labels than the head has");
	write_bert_config("BertForSequenceClassification", "\"id2label\":[],");
	refuse(ENGINE_CORRUPT, "\"id2label\"", "labels that are no object");
	write_bert(&(bert_names) {"bert.", "weight", "bias", "F32", 1, 0});
	write_bert_config("BertForSequenceClassification", "\"id2label\":{\"0\":\"a\"},");
	m = open_folder(&error);
	ok(m && is_tensor(m, TENSOR_CLASSIFIER, 0, "classifier.weight", 1, 4), "a head of one label");
	model_close(m);
	write_bert(&(bert_names) {"bert.", "weight", "bias", "F32", 0, 0});
	refuse(ENGINE_CORRUPT, "\"classifier.weight\" is missing", "a classifier without head");
}

static const struct
{
	engine_code code;
	const char *message;
	const char *class_name;
	const char *extra;
}			wrong_berts[] = {
	{ENGINE_UNSUPPORTED, "\"RobertaModel\" is not supported", "RobertaModel", ""},
	{ENGINE_UNSUPPORTED, "\"BertForTokenClassification\" is not", "BertForTokenClassification", ""},
	{ENGINE_UNSUPPORTED, "\"LlamaForCausalLM\" is not", "LlamaForCausalLM", ""},
	{ENGINE_UNSUPPORTED, "\"position_embedding_type\" of \"relative_key\"", "BertModel",
	"\"position_embedding_type\":\"relative_key\","},
	{ENGINE_UNSUPPORTED, "\"is_decoder\"", "BertModel", "\"is_decoder\":true,"},
	{ENGINE_CORRUPT, "\"is_decoder\" is neither", "BertModel", "\"is_decoder\":1,"},
	{ENGINE_CORRUPT, "\"type_vocab_size\" is no whole number", "BertModel", "\"type_vocab_size\":0,"},
	{ENGINE_CORRUPT, "token_type_embeddings.weight\" has shape", "BertModel", "\"type_vocab_size\":3,"},
	{ENGINE_CORRUPT, "epsilon of 0", "BertModel", "\"layer_norm_eps\":0,"},
	{ENGINE_CORRUPT, "\"layer_norm_eps\" is no number", "BertModel", "\"layer_norm_eps\":\"1e-5\","},
	{ENGINE_CORRUPT, "\"layer_norm_eps\" is no number", "BertModel", "\"layer_norm_eps\":1e300,"},
	{ENGINE_UNSUPPORTED, "\"quantization_config\"", "BertModel",
	"\"quantization_config\":{\"quant_method\":\"gptq\"},"},
	{ENGINE_CORRUPT, "\"_name_or_path\" is no text", "BertModel", "\"_name_or_path\":7,"},
};

static void
test_wrong_berts(void)
{
	start_bert();
	for (size_t i = 0; i < sizeof(wrong_berts) / sizeof(wrong_berts[0]); i++)
	{
		write_bert_config(wrong_berts[i].class_name, wrong_berts[i].extra);
		refuse(wrong_berts[i].code, wrong_berts[i].message, wrong_berts[i].message);
	}
	write_text("config.json", "[]");
	refuse(ENGINE_CORRUPT, "config.json is no object", "a config that is a list");
	write_text("config.json", "{\"architectures\": [\"Ber");
	refuse(ENGINE_CORRUPT, "config.json: invalid JSON at byte", "a truncated config");
	write_text("config.json", "{}");
	refuse(ENGINE_UNSUPPORTED, "\"unnamed\"", "a config that names nothing");
	write_text("config.json", "{\"model_type\":\"qwen2\"}");
	refuse(ENGINE_UNSUPPORTED, "\"qwen2\" is not supported", "another model type");
	write_text("config.json", "{\"model_type\":\"bert\",\"architectures\":7}");
	refuse(ENGINE_CORRUPT, "\"architectures\"", "architectures that are no list");
	write_text("config.json", "{\"model_type\":\"bert\",\"vocab_size\":3}");
	refuse(ENGINE_CORRUPT, "\"hidden_size\" is missing", "a missing size");
	write_text("config.json", "{\"model_type\":\"bert\",\"vocab_size\":3.5}");
	refuse(ENGINE_CORRUPT, "\"vocab_size\" is no whole number", "half a size");
	write_text("config.json", "{\"model_type\":\"bert\",\"vocab_size\":1e18}");
	refuse(ENGINE_CORRUPT, "\"vocab_size\" is no whole number", "a huge size");
}

/* The tied Llama with another config: members that come later win. */
static void
write_llama_config(const char *extra)
{
	char		text[1500];

	snprintf(text, sizeof(text),
			 "{\"architectures\":[\"LlamaForCausalLM\"],\"model_type\":\"llama\",\"vocab_size\":512,"
			 "\"hidden_size\":64,\"intermediate_size\":160,\"num_hidden_layers\":2,"
			 "\"num_attention_heads\":4,\"num_key_value_heads\":2,\"hidden_act\":\"silu\","
			 "\"max_position_embeddings\":1024,\"tie_word_embeddings\":true,\"rope_theta\":500000.0%s}",
			 extra);
	write_text("config.json", text);
}

#define LLAMA3(member) ",\"rope_scaling\":{\"rope_type\":\"llama3\",\"factor\":32.0," \
	"\"low_freq_factor\":1.0,\"high_freq_factor\":4.0,\"original_max_position_embeddings\":8192" member "}"

static const struct
{
	engine_code code;
	const char *message;
	const char *extra;
}			wrong_llamas[] = {
	{ENGINE_UNSUPPORTED, "\"hidden_act\" of \"gelu\"", ",\"hidden_act\":\"gelu\""},
	{ENGINE_UNSUPPORTED, "\"mlp_bias\"", ",\"mlp_bias\":true"},
	{ENGINE_CORRUPT, "self_attn.q_proj.bias\" is missing", ",\"attention_bias\":true"},
	{ENGINE_CORRUPT, "\"lm_head.weight\" is missing", ",\"tie_word_embeddings\":false"},
	{ENGINE_CORRUPT, "cannot share 3", ",\"num_key_value_heads\":3"},
	{ENGINE_CORRUPT, "instead of [64, 64]", ",\"num_key_value_heads\":null"},
	{ENGINE_CORRUPT, "instead of [32, 64]", ",\"head_dim\":8"},
	{ENGINE_CORRUPT, "cannot be split into 5 heads", ",\"num_attention_heads\":5"},
	{ENGINE_CORRUPT, "15 rotated elements", ",\"head_dim\":15"},
	{ENGINE_CORRUPT, "\"num_hidden_layers\" is no whole number", ",\"num_hidden_layers\":100000"},
	{ENGINE_UNSUPPORTED, "\"partial_rotary_factor\"", ",\"partial_rotary_factor\":0.5"},
	{ENGINE_UNSUPPORTED, "rope scaling \"yarn\"", ",\"rope_scaling\":{\"type\":\"yarn\",\"factor\":2}"},
	{ENGINE_UNSUPPORTED, "rope scaling \"dynamic\"", ",\"rope_scaling\":{\"rope_type\":\"dynamic\"}"},
	{ENGINE_CORRUPT, "\"rope_scaling\" is no object", ",\"rope_scaling\":[1]"},
	{ENGINE_CORRUPT, "\"factor\" of the rope scaling is missing", ",\"rope_scaling\":{\"type\":\"linear\"}"},
	{ENGINE_CORRUPT, "rope frequency factors of 4 and 4", LLAMA3(",\"low_freq_factor\":4")},
	{ENGINE_CORRUPT, "rope scaling factor of -1", LLAMA3(",\"factor\":-1")},
	{ENGINE_CORRUPT, "\"original_max_position_embeddings\" is missing",
	LLAMA3(",\"original_max_position_embeddings\":null")},
	{ENGINE_CORRUPT, "rope theta of 0", ",\"rope_theta\":0"},
};

static void
test_llama_configs(void)
{
	engine_error error;
	model	   *m;

	start_folder();
	copy_file(TINY "tiny_llama_gqa_tied/model.safetensors", "model.safetensors");
	write_llama_config("");
	m = open_folder(&error);
	ok(m && model_get_config(m)->rope_theta == 500000 && model_get_config(m)->head_size == 16 &&
	   model_get_config(m)->norm_epsilon == 1e-6f, "a config of transformers 4");
	model_close(m);
	write_llama_config(",\"rope_scaling\":null,\"head_dim\":null");
	m = open_folder(&error);
	ok(m && model_get_config(m)->rope_scale_kind == ROPE_PLAIN, "null means absent");
	model_close(m);
	write_llama_config(",\"rope_scaling\":{\"type\":\"linear\",\"factor\":2.0}");
	m = open_folder(&error);
	ok(m && model_get_config(m)->rope_scale_kind == ROPE_LINEAR &&
	   model_get_config(m)->rope_scale_factor == 2, "linear scaling, by its older name");
	model_close(m);
	write_llama_config(LLAMA3(""));
	m = open_folder(&error);
	ok(m && model_get_config(m)->rope_scale_kind == ROPE_LLAMA3 &&
	   model_get_config(m)->rope_original_positions == 8192, "Llama 3.2's scaling");
	model_close(m);
	for (size_t i = 0; i < sizeof(wrong_llamas) / sizeof(wrong_llamas[0]); i++)
	{
		write_llama_config(wrong_llamas[i].extra);
		refuse(wrong_llamas[i].code, wrong_llamas[i].message, wrong_llamas[i].message);
	}
}

static void
make_subfolder(const char *name)
{
	char		path[600];

	snprintf(path, sizeof(path), "%s/%s", folder, name);
	if (mkdir(path, 0755) != 0)
		abort();
}

#define MODULES(pooling, more) "[{\"idx\":0,\"path\":\"\",\"type\":\"sentence_transformers.models.Transformer\"}," \
	"{\"idx\":1,\"path\":\"" pooling "\",\"type\":\"sentence_transformers.models.Pooling\"}" more "]"
#define NORMALIZE ",{\"idx\":2,\"path\":\"2_Normalize\",\"type\":\"sentence_transformers.models.Normalize\"}"

/* The folder opens as an embedding model of this kind. */
static void
expect(model_pooling pooling, bool normalize, int max_sequence, const char *name)
{
	engine_error error;
	model	   *m = open_folder(&error);
	const model_config *c = m ? model_get_config(m) : NULL;

	if (!ok(c && c->pooling == pooling && c->normalize == normalize && c->max_sequence == max_sequence,
			"%s", name))
		tap_note("%s", error.message);
	model_close(m);
}

static void
test_pooling(void)
{
	start_bert();
	make_subfolder("1_Pooling");
	expect(POOLING_MEAN, true, 5, "mean and unit length where nothing is said");
	write_text("modules.json", MODULES("1_Pooling", ""));
	refuse(ENGINE_NOT_FOUND, "1_Pooling/config.json", "a pooling step without config");
	write_text("1_Pooling/config.json", "{\"word_embedding_dimension\":4,\"pooling_mode_cls_token\":true,"
			   "\"pooling_mode_mean_tokens\":false,\"pooling_mode_max_tokens\":false}");
	expect(POOLING_CLS, false, 5, "CLS pooling, no normalisation");
	write_text("modules.json", MODULES("1_Pooling", NORMALIZE));
	expect(POOLING_CLS, true, 5, "CLS pooling, normalisation");
	write_text("1_Pooling/config.json", "{\"pooling_mode\":\"mean\"}");
	expect(POOLING_MEAN, true, 5, "mean pooling by name");
	write_text("1_Pooling/config.json", "{\"pooling_mode\":\"max\"}");
	refuse(ENGINE_UNSUPPORTED, "pooling mode \"max\"", "max pooling by name");
	write_text("1_Pooling/config.json", "{\"pooling_mode_lasttoken\":true}");
	refuse(ENGINE_UNSUPPORTED, "pooling mode \"lasttoken\"", "last-token pooling");
	write_text("1_Pooling/config.json", "{\"pooling_mode_cls_token\":true,\"pooling_mode_mean_tokens\":true}");
	refuse(ENGINE_UNSUPPORTED, "beside another pooling mode", "two pooling modes");
	write_text("1_Pooling/config.json", "{}");
	refuse(ENGINE_CORRUPT, "names no pooling mode", "no pooling mode");
	write_text("1_Pooling/config.json", "{\"word_embedding_dimension\":5,\"pooling_mode_cls_token\":true}");
	refuse(ENGINE_CORRUPT, "\"word_embedding_dimension\" is not the model's", "pooling of another width");
	write_text("modules.json", MODULES("../1_Pooling", ""));
	refuse(ENGINE_CORRUPT, "no plain name", "a pooling folder outside");
	write_text("modules.json", "[]");
	refuse(ENGINE_UNSUPPORTED, "no pooling step", "no steps");
	write_text("modules.json", MODULES("1_Pooling", ",{\"type\":\"sentence_transformers.models.Dense\"}"));
	write_text("1_Pooling/config.json", "{\"pooling_mode\":\"mean\"}");
	refuse(ENGINE_UNSUPPORTED, "models.Dense\" is not supported", "a dense step");
	write_text("modules.json", "[{\"path\":\"0_T\",\"type\":\"Transformer\"}]");
	refuse(ENGINE_UNSUPPORTED, "\"path\" of the transformer", "the transformer in a folder of its own");
}

static void
test_limits(void)
{
	engine_error error;
	model	   *m;

	start_bert();
	write_text("tokenizer_config.json", "{\"model_max_length\":1000000000000000019884624838656}");
	expect(POOLING_MEAN, true, 5, "no limit but the positions");
	write_text("tokenizer_config.json", "{\"model_max_length\":4}");
	expect(POOLING_MEAN, true, 4, "the tokenizer's limit");
	write_text("sentence_bert_config.json", "{\"max_seq_length\":null}");
	expect(POOLING_MEAN, true, 4, "a limit of null is none");
	write_text("sentence_bert_config.json", "{\"max_seq_length\":5,\"do_lower_case\":true}");
	expect(POOLING_MEAN, true, 5, "the limit of sentence-transformers goes first");
	m = open_folder(&error);
	ok(m && model_get_config(m)->lower_case, "lower case");
	model_close(m);
	write_text("sentence_bert_config.json", "{\"max_seq_length\":512}");
	expect(POOLING_MEAN, true, 5, "never more than the positions");
	write_text("sentence_bert_config.json", "{");
	refuse(ENGINE_CORRUPT, "sentence_bert_config.json: invalid JSON", "a broken limit");
}

static void
test_files(void)
{
	engine_error error = {0};
	char		path[400],
				blob[400];
	size_t		length = 0;
	char	   *text;
	model	   *m;

	start_bert();
	write_text("vocab.txt", "[PAD]\n");
	write_file("with_nul", "a\0b", 3);
	m = open_folder(&error);
	text = m ? model_read_file(m, "vocab.txt", &length, &error) : NULL;
	ok(text && length == 6 && strcmp(text, "[PAD]\n") == 0, "a file of the folder, with a final NUL");
	free(text);
	text = m ? model_read_file(m, "with_nul", &length, &error) : NULL;
	ok(text && length == 3 && memcmp(text, "a\0b", 4) == 0, "a file with a NUL");
	free(text);
	text = m ? model_read_file(m, "none.json", &length, &error) : NULL;
	ok(text == NULL && error.code == ENGINE_NOT_FOUND, "a file that is not there");
	free(text);
	model_close(m);

	/* as Hugging Face's cache has it: snapshots link to blobs */
	snprintf(path, sizeof(path), "%s/model.safetensors", folder);
	snprintf(blob, sizeof(blob), "%s/blob", folder);
	if (rename(path, blob) != 0 || symlink("blob", path) != 0)
		abort();
	m = open_folder(&error);
	ok(m != NULL, "weights behind a symbolic link");
	model_close(m);
	if (unlink(path) != 0 || mkfifo(path, 0600) != 0)
		abort();
	refuse(ENGINE_INVALID, "is not a regular file", "weights that are a FIFO");
}

static void
test_minilm(void)
{
	const char *models = getenv("RAG_TEST_MODELS");
	engine_error error = {0};
	char		path[512];
	const model_config *c;
	model	   *m;

	if (models == NULL)
	{
		tap_skip("MiniLM (set RAG_TEST_MODELS)");
		return;
	}
	snprintf(path, sizeof(path), "%s/minilm", models);
	m = model_open(path, &error);
	if (!ok(m != NULL, "MiniLM opens"))
	{
		tap_note("%s", error.message);
		return;
	}
	c = model_get_config(m);
	ok(c->architecture == MODEL_BERT && c->layers == 6 && c->hidden_size == 384 && c->heads == 12 &&
	   c->vocab_size == 30522 && c->pooling == POOLING_MEAN && c->normalize, "its config");
	ok(is_tensor(m, TENSOR_UP, 5, "encoder.layer.5.intermediate.dense.weight", 1536, 384),
	   "its tensors");
	model_close(m);
}

int
main(void)
{
	test_tiny_llamas();
	test_shards();
	test_wrong_indexes();
	test_bert_names();
	test_unaligned();
	test_classifier();
	test_wrong_berts();
	test_llama_configs();
	test_pooling();
	test_limits();
	test_files();
	test_minilm();
	build_cleanup();
	return tap_done();
}
