/*
 * test_model_gguf.c: models in GGUF files: config, tensors by role, and a clear
 * error for each thing that can be wrong with them.
 *
 * The files are tiny models made here. With RAG_TEST_MODELS set, SmolLM2 is read too.
 */
#include <math.h>
#include <sys/wait.h>

#include "gguf_models.h"
#include "tap.h"

static bool
is_tensor(const model *m, tensor_role role, int layer, const char *name, tensor_type type,
		  int64_t rows, int64_t columns)
{
	const model_tensor *t = model_get_tensor(m, role, layer);
	const tensor_type_info *info = tensor_type_get(type);

	return t && strcmp(t->name, name) == 0 && t->type == type && t->rows == rows &&
		t->columns == columns && (uintptr_t) t->data % 32 == 0 &&
		t->bytes == (size_t) (rows * columns / info->block_elements * info->block_bytes);
}

static void
test_llama(void)
{
	engine_error error;
	model	   *m = open_built(llama, NULL, &error);
	const model_config *c;
	size_t		count;

	if (!ok(m != NULL, "a llama model opens"))
	{
		tap_note("%s", error.message);
		return;
	}
	c = model_get_config(m);
	ok(c->architecture == MODEL_LLAMA && c->vocab_size == VOCAB && c->hidden_size == HIDDEN &&
	   c->ff_size == FF && c->layers == LAYERS && c->heads == HEADS && c->kv_heads == KV_HEADS &&
	   c->head_size == HEAD && c->max_positions == POSITIONS, "sizes");
	ok(c->norm_epsilon == 1e-5f && c->rope_theta == 50000 && c->rope_dims == HEAD &&
	   c->rope_scale_kind == ROPE_PLAIN && c->rope_interleaved && !c->attention_bias,
	   "rope and norm");
	ok(strcmp(c->name, "Tiny Llama") == 0, "a name without control characters");
	ok(c->tied_output && model_get_tensor(m, TENSOR_OUTPUT, 0)->data ==
	   model_get_tensor(m, TENSOR_TOKEN_EMBEDDING, 0)->data, "the output is tied to the embedding");
	ok(is_tensor(m, TENSOR_TOKEN_EMBEDDING, 0, "token_embd.weight", TYPE_Q8_0, VOCAB, HIDDEN) &&
	   is_tensor(m, TENSOR_OUTPUT_NORM, 0, "output_norm.weight", TYPE_F32, 1, HIDDEN),
	   "tensors of the model");
	ok(is_tensor(m, TENSOR_Q, 0, "blk.0.attn_q.weight", TYPE_Q4_0, HEADS * HEAD, HIDDEN) &&
	   is_tensor(m, TENSOR_V, 1, "blk.1.attn_v.weight", TYPE_F16, KV_HEADS * HEAD, HIDDEN) &&
	   is_tensor(m, TENSOR_ATTENTION_OUTPUT, 1, "blk.1.attn_output.weight", TYPE_BF16, HIDDEN,
				 HEADS * HEAD) &&
	   is_tensor(m, TENSOR_DOWN, 1, "blk.1.ffn_down.weight", TYPE_Q4_0, HIDDEN, FF),
	   "tensors of layers");
	ok(model_get_tensor(m, TENSOR_Q_BIAS, 0) == NULL && model_get_tensor(m, TENSOR_ROPE_FACTORS,
																		 0) == NULL &&
	   model_get_tensor(m, TENSOR_POOLER, 0) == NULL && model_get_tensor(m, TENSOR_Q,
																		 LAYERS) == NULL &&
	   model_get_tensor(m, TENSOR_Q, -1) == NULL && model_get_tensor(m, TENSOR_ROLES, 0) == NULL,
	   "what is not there is NULL");
	ok(model_get_bytes(m) == 64 * 34 + 5 * 128 + 2 * (576 + 288 + 1024 + 2048 + 3 * 1152),
	   "bytes of all tensors, the tied one once");
	ok(model_is_gguf(m) && model_meta_strings(m, "tokenizer.ggml.tokens", &count) &&
	   count == VOCAB &&
	   !model_meta_strings(m, "general.name", &count) && count == 0, "metadata is accessible");
	ok(model_read_file(m, "tokenizer.json", &count, &error) == NULL &&
	   error.code == ENGINE_NOT_FOUND,
	   "a file has no files");
	model_close(m);
}

static void
test_llama_full(void)
{
	engine_error error;
	model	   *m = open_built(llama_full, NULL, &error);
	const model_config *c;

	if (!ok(m != NULL, "a llama model with all options opens"))
	{
		tap_note("%s", error.message);
		return;
	}
	c = model_get_config(m);
	ok(c->vocab_size == VOCAB && c->rope_dims == 4 && c->rope_scale_kind == ROPE_LINEAR &&
	   c->rope_scale_factor == 4 && c->attention_bias && !c->tied_output, "its config");
	ok(is_tensor(m, TENSOR_OUTPUT, 0, "output.weight", TYPE_Q8_0, VOCAB, HIDDEN) &&
	   is_tensor(m, TENSOR_ROPE_FACTORS, 0, "rope_freqs.weight", TYPE_F32, 1, 2) &&
	   is_tensor(m, TENSOR_K_BIAS, 1, "blk.1.attn_k.bias", TYPE_F32, 1, KV_HEADS * HEAD) &&
	   is_tensor(m, TENSOR_ATTENTION_OUTPUT_BIAS, 0, "blk.0.attn_output.bias", TYPE_F32, 1,
				 HIDDEN) &&
	   model_get_tensor(m, TENSOR_ATTENTION_OUTPUT_BIAS, 1) == NULL, "its tensors");
	model_close(m);
}

static void
test_bert(void)
{
	engine_error error;
	model	   *m = open_built(bert, NULL, &error);
	const model_config *c;

	if (!ok(m != NULL, "a BERT model opens"))
	{
		tap_note("%s", error.message);
		return;
	}
	c = model_get_config(m);
	ok(c->architecture == MODEL_BERT && c->type_vocab_size == 2 && c->pooling == POOLING_CLS &&
	   c->normalize && c->labels == 0 && c->max_sequence == POSITIONS && c->kv_heads == HEADS &&
	   c->norm_epsilon == 1e-12f && strcmp(c->name, "model.gguf") == 0, "its config");
	ok(is_tensor(m, TENSOR_TYPE_EMBEDDING, 0, "token_types.weight", TYPE_F32, 2, HIDDEN) &&
	   is_tensor(m, TENSOR_FF_NORM_BIAS, 1, "blk.1.layer_output_norm.bias", TYPE_F32, 1, HIDDEN) &&
	   is_tensor(m, TENSOR_UP, 0, "blk.0.ffn_up.weight", TYPE_F16, FF, HIDDEN), "its tensors");
	model_close_files(m);
	ok(model_get_config(m)->hidden_size > 0 && model_get_tensor(m, TENSOR_TOKEN_EMBEDDING, 0) == NULL &&
	   !model_is_gguf(m), "bert: the config outlives its files");
	model_close(m);
	m = open_built(bert, &(tweak) {.key = "bert.pooling_type",.value = 1}, &error);
	ok(m && model_get_config(m)->pooling == POOLING_MEAN, "mean pooling");
	model_close(m);
	m = open_built(bert, &(tweak) {.omit = "bert.pooling_type"}, &error);
	ok(m && model_get_config(m)->pooling == POOLING_MEAN, "mean pooling where nothing is said");
	model_close(m);
	m = open_built(bert, &(tweak) {.key = "bert.pooling_type",.value = 0}, &error);
	ok(m && model_get_config(m)->pooling == POOLING_NONE, "no pooling");
	model_close(m);
	m = open_built(reranker, NULL, &error);
	ok(m && model_get_config(m)->labels == 3 && model_get_config(m)->pooling == POOLING_CLS &&
	   !model_get_config(m)->normalize, "a reranker");
	ok(m && is_tensor(m, TENSOR_POOLER, 0, "cls.weight", TYPE_F16, HIDDEN, HIDDEN) &&
	   is_tensor(m, TENSOR_CLASSIFIER, 0, "cls.output.weight", TYPE_F32, 3, HIDDEN) &&
	   is_tensor(m, TENSOR_CLASSIFIER_BIAS, 0, "cls.output.bias", TYPE_F32, 1, 3), "its head");
	model_close(m);
}

/* One thing is wrong, and the message says what. */
typedef struct wrong_model
{
	builder		build;
	engine_code code;
	const char *message;
	tweak		tweak;
} wrong_model;

static const wrong_model wrong_models[] = {
	{llama, ENGINE_CORRUPT, "\"general.architecture\" is missing",
	{.omit = "general.architecture"}},
	{llama, ENGINE_UNSUPPORTED, "architecture \"gemma3\" is not supported",
	{.text_key = "general.architecture",.text = "gemma3"}},
	{llama, ENGINE_UNSUPPORTED, "architecture \"llama4\" is not supported",
	{.text_key = "general.architecture",.text = "llama4"}},
	{llama, ENGINE_CORRUPT, "\"llama.context_length\" is missing",
	{.omit = "llama.context_length"}},
	{llama, ENGINE_CORRUPT, "\"llama.embedding_length\" is missing",
	{.omit = "llama.embedding_length"}},
	{llama, ENGINE_CORRUPT, "\"llama.feed_forward_length\" is missing",
	{.omit = "llama.feed_forward_length"}},
	{llama, ENGINE_CORRUPT, "\"llama.block_count\" is missing", {.omit = "llama.block_count"}},
	{llama, ENGINE_CORRUPT, "\"llama.attention.head_count\" is missing",
	{.omit = "llama.attention.head_count"}},
	{llama, ENGINE_CORRUPT, "\"llama.attention.layer_norm_rms_epsilon\" is missing",
	{.omit = "llama.attention.layer_norm_rms_epsilon"}},
	{llama, ENGINE_CORRUPT, "\"llama.vocab_size\" is missing", {.omit = "tokenizer.ggml.tokens"}},
	{llama, ENGINE_CORRUPT, "\"llama.block_count\" is no whole number from 1 to 1024",
	{.key = "llama.block_count",.value = 0}},
	{llama, ENGINE_CORRUPT, "\"llama.block_count\" is no whole number",
	{.key = "llama.block_count",.value = UINT32_MAX}},
	{llama, ENGINE_CORRUPT, "\"blk.2.attn_norm.weight\" is missing",
	{.key = "llama.block_count",.value = 3}},
	{llama, ENGINE_UNSUPPORTED, "\"blk.1.attn_k.weight\" has no place",
	{.key = "llama.block_count",.value = 1}},
	{llama, ENGINE_CORRUPT, "\"llama.embedding_length\" is no whole number",
	{.key = "llama.embedding_length",.value = 65537}},
	{llama, ENGINE_CORRUPT, "33 elements cannot be split into 4 heads",
	{.key = "llama.embedding_length",.value = 33}},
	{llama, ENGINE_CORRUPT, "\"token_embd.weight\" has shape [64, 32] instead of [64, 64]",
	{.key = "llama.embedding_length",.value = 64}},
	{llama, ENGINE_CORRUPT, "\"blk.0.ffn_gate.weight\" has shape [64, 32] instead of [1048576, 32]",
	{.key = "llama.feed_forward_length",.value = 1048576}},
	{llama, ENGINE_CORRUPT, "cannot be split into 1000 heads",
	{.key = "llama.attention.head_count",.value = 1000}},
	{llama, ENGINE_CORRUPT, "4 heads cannot share 3 key-value heads",
	{.key = "llama.attention.head_count_kv",.value = 3}},
	{llama, ENGINE_CORRUPT, "4 heads cannot share 8 key-value heads",
	{.key = "llama.attention.head_count_kv",.value = 8}},
	{llama, ENGINE_CORRUPT, "epsilon",
	{.float_key = "llama.attention.layer_norm_rms_epsilon",.number = NAN}},
	{llama, ENGINE_CORRUPT, "epsilon",
	{.float_key = "llama.attention.layer_norm_rms_epsilon",.number = 0}},
	{llama, ENGINE_CORRUPT, "epsilon",
	{.float_key = "llama.attention.layer_norm_rms_epsilon",.number = -1}},
	{llama, ENGINE_CORRUPT, "rope theta of nan",
	{.float_key = "llama.rope.freq_base",.number = NAN}},
	{llama, ENGINE_CORRUPT, "rope theta of 0", {.float_key = "llama.rope.freq_base",.number = 0}},
	{llama, ENGINE_CORRUPT, "rope theta of inf",
	{.float_key = "llama.rope.freq_base",.number = INFINITY}},
	{llama_full, ENGINE_CORRUPT, "9 rotated elements of heads of 8",
	{.key = "llama.rope.dimension_count",.value = 9}},
	{llama_full, ENGINE_CORRUPT, "10 rotated elements of heads of 8",
	{.key = "llama.rope.dimension_count",.value = 10}},
	{llama_full, ENGINE_CORRUPT, "\"rope_freqs.weight\" has shape [2] instead of [1, 4]",
	{.key = "llama.rope.dimension_count",.value = 8}},
	{llama_full, ENGINE_UNSUPPORTED, "rope scaling \"yarn\" is not supported",
	{.text_key = "llama.rope.scaling.type",.text = "yarn"}},
	{llama_full, ENGINE_CORRUPT, "\"llama.rope.scaling.factor\" is missing",
	{.omit = "llama.rope.scaling.factor"}},
	{llama_full, ENGINE_CORRUPT, "rope scaling factor of 0",
	{.float_key = "llama.rope.scaling.factor",.number = 0}},
	{llama_full, ENGINE_UNSUPPORTED, "\"llama.expert_count\"",
	{.key = "llama.expert_count",.value = 8}},
	{llama_full, ENGINE_UNSUPPORTED, "\"llama.attention.value_length\"",
	{.key = "llama.attention.value_length",.value = 16}},
	{llama_full, ENGINE_CORRUPT, "\"blk.0.attn_q.weight\" has shape",
	{.key = "llama.attention.key_length",.value = 16,.omit = "llama.attention.value_length"}},
	{llama_full, ENGINE_CORRUPT, "\"blk.1.attn_k.bias\" is missing", {.omit = "blk.1.attn_k.bias"}},
	{llama_full, ENGINE_UNSUPPORTED, "\"blk.0.attn_k.bias\" has no place",
	{.omit = "blk.0.attn_q.bias"}},
	{llama, ENGINE_CORRUPT, "\"token_embd.weight\" is missing", {.omit = "token_embd.weight"}},
	{llama, ENGINE_CORRUPT, "\"output_norm.weight\" is missing", {.omit = "output_norm.weight"}},
	{llama, ENGINE_CORRUPT, "\"blk.1.ffn_down.weight\" is missing",
	{.omit = "blk.1.ffn_down.weight"}},
	{llama, ENGINE_CORRUPT, "\"blk.0.attn_norm.weight\" has shape [64] instead of [1, 32]",
	{.tensor = "blk.0.attn_norm.weight",.type = 0,.columns = 64}},
	{llama, ENGINE_UNSUPPORTED, "\"blk.1.ffn_up.weight\" has type Q2_K, which is not supported",
	{.tensor = "blk.1.ffn_up.weight",.type = 10}},
	{llama, ENGINE_UNSUPPORTED, "has type 1234,", {.tensor = "blk.1.ffn_up.weight",.type = 1234}},
	{bert, ENGINE_CORRUPT, "\"bert.attention.layer_norm_epsilon\" is missing",
	{.omit = "bert.attention.layer_norm_epsilon"}},
	{bert, ENGINE_CORRUPT, "\"position_embd.weight\" has shape [128, 32] instead of [129, 32]",
	{.key = "bert.context_length",.value = 129}},
	{bert, ENGINE_CORRUPT, "\"token_types.weight\" has shape",
	{.key = "tokenizer.ggml.token_type_count",.value = 1}},
	{bert, ENGINE_CORRUPT, "\"blk.0.attn_q.bias\" is missing", {.omit = "blk.0.attn_q.bias"}},
	{bert, ENGINE_UNSUPPORTED, "pooling type 3", {.key = "bert.pooling_type",.value = 3}},
	{bert, ENGINE_UNSUPPORTED, "a reranker without", {.key = "bert.pooling_type",.value = 4}},
};

static void
test_wrong_models(void)
{
	for (size_t i = 0; i < sizeof(wrong_models) / sizeof(wrong_models[0]); i++)
	{
		const wrong_model *w = &wrong_models[i];
		engine_error error;
		model	   *m = open_built(w->build, &w->tweak, &error);

		if (!ok(m == NULL && error.code == w->code && strstr(error.message, w->message) &&
				strncmp(error.message, "model.gguf: ", 12) == 0, "refused: %s", w->message))
			tap_note("code %d: %s", error.code, error.message);
		model_close(m);
	}
}

/* A value per layer, causal BERT: kinds that no tweak makes. */
static void
with_array(gguf_build *g)
{
	g->tweak.omit = "llama.attention.head_count_kv";
	llama(g);
	g->tweak.omit = NULL;
	build_pair(g, "llama.attention.head_count_kv", 9);
	put_u32(&g->pairs, 4);
	put_u64(&g->pairs, LAYERS);
	put_u32(&g->pairs, 2);
	put_u32(&g->pairs, 1);
}

static void
with_causal(gguf_build *g)
{
	bert(g);
	build_bool(g, "bert.attention.causal", true);
}

static void
with_old_scaling(gguf_build *g)
{
	llama(g);
	build_f32(g, "llama.rope.scale_linear", 2);
}

static void
with_leading_ones(gguf_build *g)
{
	g->tweak.omit = "output_norm.weight";
	llama(g);
	g->tweak.omit = NULL;
	build_tensor(g, "output_norm.weight", 0, 4, (const uint64_t[]) {HIDDEN, 1, 1, 1});
}

static void
with_wrong_kinds(gguf_build *g)
{
	llama(g);
	build_u32(g, "llama.rope.scaling.type", 1);
}

static void
without_tokens(gguf_build *g)
{
	g->tweak.omit = "tokenizer.ggml.tokens";
	llama(g);
	g->tweak.omit = NULL;
	build_texts(g, "tokenizer.ggml.tokens", 0);
}

/* An embedding of 2 MB. */
static void
with_many_tokens(gguf_build *g)
{
	enum {MANY = 1 << 16};

	g->tweak.omit = "tokenizer.ggml.tokens";
	llama_metadata(g);
	g->tweak.omit = "token_embd.weight";
	llama_tensors(g);
	g->tweak.omit = NULL;
	build_texts(g, "tokenizer.ggml.tokens", MANY);
	build_tensor(g, "token_embd.weight", 8, MATRIX(MANY, HIDDEN));
}

/* kB of the mapping around an address that are in this process's memory; -1 when nobody can say. */
static long
resident(const void *address)
{
	FILE	   *file = fopen("/proc/self/smaps", "r");
	char		line[512];
	bool		inside = false;
	long		kilobytes = -1;

	while (file != NULL && kilobytes < 0 && fgets(line, sizeof(line), file) != NULL)
	{
		unsigned long start;
		unsigned long end;

		if (sscanf(line, "%lx-%lx ", &start, &end) == 2)
			inside = (uintptr_t) address >= start && (uintptr_t) address < end;
		else if (inside)
			(void) sscanf(line, "Rss: %ld kB", &kilobytes);
	}
	if (file != NULL)
		fclose(file);
	return kilobytes;
}

static unsigned
sum_of(const model_tensor *t)
{
	unsigned	sum = 0;

	for (size_t i = 0; i < t->bytes; i++)
		sum = sum * 31 + ((const unsigned char *) t->data)[i];
	return sum;
}

static void
test_release(void)
{
	engine_error error;
	model	   *m = open_built(with_many_tokens, NULL, &error);
	const model_tensor *t = m ? model_get_tensor(m, TENSOR_TOKEN_EMBEDDING, 0) : NULL;
	unsigned	sum;
	long		before;
	long		after;

	if (!ok(t != NULL, "a model of many tokens opens"))
		return;
	sum = sum_of(t);
	before = resident(t->data);
	model_release_tensor(m, t);
	after = resident(t->data);
	if (before < 0)
		tap_skip("memory in use (no /proc/self/smaps)");
	else
		ok((size_t) (before - after) > t->bytes / 1024 * 9 / 10,
		   "a tensor that is released takes no memory: %ld kB of the file before, %ld kB after", before,
		   after);
	ok(sum_of(t) == sum, "and can be read again");
	model_close(m);
}

/* What a tokenizer asks for. */
static void
with_metadata(gguf_build *g)
{
	llama(g);
	build_u32(g, "tokenizer.ggml.bos_token_id", 1);
	build_bool(g, "tokenizer.ggml.add_bos_token", true);
	build_pair(g, "tokenizer.ggml.precompiled_charsmap", 9);
	put_u32(&g->pairs, 0);
	put_u64(&g->pairs, 3);
	put(&g->pairs, "map", 3);
	build_pair(g, "tokenizer.ggml.scores", 9);
	put_u32(&g->pairs, 6);
	put_u64(&g->pairs, 1);
	put(&g->pairs, &(float) {-1.5f}, 4);
}

static void
test_metadata(void)
{
	engine_error error;
	model	   *m = open_built(with_metadata, NULL, &error);
	model_string s = {0};
	int64_t		i = 0;
	double		d = 0;
	bool		b = false;
	size_t		count;
	const float *scores = m ? model_meta_floats(m, "tokenizer.ggml.scores", &count) : NULL;

	ok(scores && count == 1 && scores[0] == -1.5f, "an array of floats");
	ok(m && model_meta_string(m, "general.architecture", &s) && s.length == 5 &&
	   model_meta_int(m, "tokenizer.ggml.bos_token_id", &i) && i == 1 &&
	   model_meta_float(m, "llama.rope.freq_base", &d) && d == 50000 &&
	   model_meta_bool(m, "tokenizer.ggml.add_bos_token", &b) && b, "single values");
	ok(m && memcmp(model_meta_bytes(m, "tokenizer.ggml.precompiled_charsmap", &count), "map",
				   3) == 0 &&
	   count == 3, "an array of bytes");
	ok(m && !model_meta_string(m, "none", &s) && !model_meta_int(m, "none", &i) &&
	   !model_meta_ints(m, "tokenizer.ggml.scores", &count) && count == 0, "what is not there");
	model_close(m);
}

static void
test_other_models(void)
{
	engine_error error;
	model	   *m = open_built(with_array, NULL, &error);

	ok(m == NULL && error.code == ENGINE_UNSUPPORTED && strstr(error.message, "value per layer"),
	   "refused: a value per layer");
	m = open_built(with_causal, NULL, &error);
	ok(m == NULL && error.code == ENGINE_UNSUPPORTED && strstr(error.message, "causal"),
	   "refused: causal BERT");
	m = open_built(with_old_scaling, NULL, &error);
	ok(m && model_get_config(m)->rope_scale_kind == ROPE_LINEAR &&
	   model_get_config(m)->rope_scale_factor == 2, "linear scaling of old files");
	model_close(m);
	m = open_built(with_leading_ones, NULL, &error);
	ok(m && is_tensor(m, TENSOR_OUTPUT_NORM, 0, "output_norm.weight", TYPE_F32, 1, HIDDEN),
	   "leading dimensions of one do not count");
	model_close(m);
	m = open_built(with_wrong_kinds, NULL, &error);
	ok(m == NULL && error.code == ENGINE_CORRUPT && strstr(error.message, "is no string"),
	   "refused: a scaling type that is a number");
	m = open_built(without_tokens, NULL, &error);
	ok(m == NULL && error.code == ENGINE_CORRUPT && strstr(error.message, "has 0 tokens"),
	   "refused: no tokens");
}

/* Opening this path fails with this code. */
static void
refuse_path(const char *path, engine_code code, const char *name)
{
	engine_error error = {0};
	model	   *m = model_open(path, &error);

	if (!ok(m == NULL && error.code == code && error.message[0] != '\0', "refused: %s", name))
		tap_note("code %d: %s", error.code, error.message);
	model_close(m);
}

/* As a user whom no file mode stops, the test of modes would test nothing. */
static void
test_denied(const char *path)
{
	int			status;
	pid_t		child;

	if (chmod(path, 0) != 0)
		abort();
	child = fork();
	if (child == 0)
	{
		engine_error error = {0};

		_exit((geteuid() == 0 && setuid(65534) != 0) || model_open(path, &error) != NULL ||
			  error.code != ENGINE_DENIED);
	}
	ok(child > 0 && waitpid(child, &status, 0) == child && status == 0,
	   "refused: a file without permission");
}

static void
test_paths(void)
{
	engine_error error;
	model	   *m;

	model_close(open_built(llama, NULL, &error));
	if (symlink("model.gguf", build_path("link.gguf")) != 0 || mkfifo(build_path("fifo"),
																	  0600) != 0)
		abort();
	m = model_open(build_path("link.gguf"), &error);
	ok(m != NULL, "a symbolic link is followed");
	model_close(m);
	refuse_path("", ENGINE_NOT_FOUND, "an empty path");
	refuse_path(build_path("none.gguf"), ENGINE_NOT_FOUND, "no file");
	refuse_path(build_path("model.gguf/none"), ENGINE_NOT_FOUND, "a file as a folder");
	refuse_path(build_path("fifo"), ENGINE_INVALID, "a FIFO (without waiting)");
	refuse_path("/dev/zero", ENGINE_INVALID, "a device");
	refuse_path(build_write("empty", "", 0), ENGINE_CORRUPT, "an empty file");
	refuse_path(build_write("text", "GGUG\3\0\0\0", 8), ENGINE_CORRUPT, "a file of something else");
	refuse_path(build_path(""), ENGINE_NOT_FOUND, "a folder without config.json");
	chmod(build_path(""), 0755);
	test_denied(build_path("model.gguf"));
}

static void
test_smollm2(void)
{
	const char *folder = getenv("RAG_TEST_MODELS");
	int			types[TENSOR_TYPES] = {0};
	engine_error error = {0};
	char		path[512];
	model	   *m;
	size_t		count;
	const model_string *tokens;
	const float *none;

	if (folder == NULL)
	{
		tap_skip("SmolLM2 (set RAG_TEST_MODELS)");
		return;
	}
	snprintf(path, sizeof(path), "%s/smollm2.gguf", folder);
	m = model_open(path, &error);
	if (!ok(m != NULL, "SmolLM2 opens"))
	{
		tap_note("%s", error.message);
		return;
	}
	for (int role = 0; role < TENSOR_ROLES; role++)
	{
		for (int layer = 0; layer < (role < TENSOR_ATTENTION_NORM ? 1 : 30); layer++)
		{
			const model_tensor *t = model_get_tensor(m, (tensor_role) role, layer);

			if (t && role != TENSOR_OUTPUT)
				types[t->type]++;
		}
	}
	ok(types[TYPE_Q4_1] == 210 && types[TYPE_Q8_0] == 1 && types[TYPE_F32] == 61,
	   "its tensors by type");
	ok(model_get_config(m)->tied_output && model_get_config(m)->kv_heads == 3 &&
	   model_get_config(m)->max_positions == 8192 && model_get_config(m)->rope_theta == 100000,
	   "its config");
	tokens = model_meta_strings(m, "tokenizer.ggml.tokens", &count);
	ok(tokens && count == 49152 && tokens[1].length == 12 && memcmp(tokens[1].data, "<|im_start|>",
																	12) == 0,
	   "its tokens");
	ok(model_meta_ints(m, "tokenizer.ggml.token_type", &count) && count == 49152, "their types");
	none = model_meta_floats(m, "tokenizer.ggml.scores", &count);
	ok(none == NULL && count == 0, "no scores");
	model_close(m);
}

int
main(void)
{
	test_llama();
	test_llama_full();
	test_bert();
	test_wrong_models();
	test_other_models();
	test_metadata();
	test_release();
	test_paths();
	test_smollm2();
	build_cleanup();
	return tap_done();
}
