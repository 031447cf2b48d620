/*
 * test_model_folder.c: models in Hugging Face folders: weights in one file and in
 * shards, under old and new names, and what is refused of them.
 *
 * The tiny Llamas of test/data are read as they are and, cut in two, as shards; the
 * other folders are made here. With RAG_TEST_MODELS set, MiniLM is read too.
 */
#include "folder_build.h"

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
	if (sscanf(*at,
			   "\"%99[^\"]\":{\"dtype\":\"F32\",\"shape\":[%99[^]]],\"data_offsets\":[%lu,%lu]}",
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
test_many_shards(void)
{
	bytes		index = {0};
	char		entry[64];

	put(&index, "{\"weight_map\":{", 15);
	for (int i = 0; i < 1025; i++)
	{
		snprintf(entry, sizeof(entry), "%s\"t%d\":\"s%d\"", i ? "," : "", i, i);
		put(&index, entry, strlen(entry));
	}
	put(&index, "}}", 3);
	refuse_index((char *) index.data, ENGINE_UNSUPPORTED, "1025 shards, limit is 1024",
				 "1025 shards");
	bytes_free(&index);
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
	refuse_index("{\"weight_map\":{}}", ENGINE_CORRUPT, "\"weight_map\" is missing",
				 "an empty weight map");
	refuse_index("{\"weight_map\":[\"a.safetensors\"]}", ENGINE_CORRUPT,
				 "\"weight_map\" is missing",
				 "a list as weight map");
	refuse_index("{\"weight_map\":{\"t\":1}}", ENGINE_CORRUPT, "shard of \"t\" is no plain",
				 "a number as shard");
	refuse_index("{\"weight_map\":{\"t\":\"../a.safetensors\"}}", ENGINE_CORRUPT,
				 "shard of \"t\" is no plain", "a way out of the folder");
	refuse_index("{\"weight_map\":{\"t\":\"/etc/passwd\"}}", ENGINE_CORRUPT,
				 "shard of \"t\" is no plain",
				 "an absolute path");
	refuse_index("{\"weight_map\":{\"t\":\"..\"}}", ENGINE_CORRUPT, "shard of \"t\" is no plain",
				 "the folder above");
	refuse_index("{\"weight_map\":{\"t\":\"\"}}", ENGINE_CORRUPT, "shard of \"t\" is no plain",
				 "an empty name");
	refuse_index("{\"weight_map\":{\"t\":\"a.safetensors\\u0000.x\"}}", ENGINE_CORRUPT,
				 "shard of \"t\" is no plain", "a name with a NUL");
	refuse_index("{\"weight_map\":{\"t\":\"b.safetensors\"}}", ENGINE_NOT_FOUND, "b.safetensors",
				 "a shard that is not there");
	refuse_index("{\"weight_map\":{\"t\":\"a.safetensors\"}}", ENGINE_CORRUPT,
				 "tensor \"t\" is not in \"a.safetensors\"", "a tensor that is not in its shard");
	refuse_index("{\"weight_map\":{\"model.norm.weight\":\"config.json\"}}", ENGINE_CORRUPT,
				 "config.json",
				 "a shard that is no safetensors file");
	test_many_shards();
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
	ok(text && length == 6 && strcmp(text, "[PAD]\n") == 0,
	   "a file of the folder, with a final NUL");
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
	test_files();
	test_minilm();
	build_cleanup();
	return tap_done();
}
