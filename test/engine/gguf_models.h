/*
 * gguf_models.h: tiny models in GGUF files for tests: a Llama, one with all that is
 * optional, a BERT, a reranker.
 */
#ifndef RAG_TEST_GGUF_MODELS_H
#define RAG_TEST_GGUF_MODELS_H

#include "engine/model.h"
#include "model_build.h"

enum
{
	VOCAB = 64, HIDDEN = 32, FF = 64, LAYERS = 2, HEADS = 4, KV_HEADS = 2, HEAD = 8, POSITIONS = 128
};

#define MATRIX(rows, columns) 2, (const uint64_t[]) {(columns), (rows)}
#define VECTOR(columns) 1, (const uint64_t[]) {(columns)}

typedef void (*builder) (gguf_build *g);

BUILD_UNUSED static void
layer_tensor(gguf_build *g, int layer, const char *name, uint32_t type, uint32_t dimensions,
			 const uint64_t *shape)
{
	char		full[96];

	snprintf(full, sizeof(full), "blk.%d.%s", layer, name);
	build_tensor(g, full, type, dimensions, shape);
}

BUILD_UNUSED static void
llama_metadata(gguf_build *g)
{
	build_text(g, "general.architecture", "llama");
	build_text(g, "general.name", "Tiny\nLlama");
	build_u32(g, "llama.context_length", POSITIONS);
	build_u32(g, "llama.embedding_length", HIDDEN);
	build_u32(g, "llama.feed_forward_length", FF);
	build_u32(g, "llama.block_count", LAYERS);
	build_u32(g, "llama.attention.head_count", HEADS);
	build_u32(g, "llama.attention.head_count_kv", KV_HEADS);
	build_f32(g, "llama.attention.layer_norm_rms_epsilon", 1e-5f);
	build_f32(g, "llama.rope.freq_base", 50000);
	build_texts(g, "tokenizer.ggml.tokens", VOCAB);
}

BUILD_UNUSED static void
llama_tensors(gguf_build *g)
{
	build_tensor(g, "token_embd.weight", 8, MATRIX(VOCAB, HIDDEN));
	build_tensor(g, "output_norm.weight", 0, VECTOR(HIDDEN));
	for (int i = 0; i < LAYERS; i++)
	{
		layer_tensor(g, i, "attn_norm.weight", 0, VECTOR(HIDDEN));
		layer_tensor(g, i, "attn_q.weight", 2, MATRIX(HEADS * HEAD, HIDDEN));
		layer_tensor(g, i, "attn_k.weight", 2, MATRIX(KV_HEADS * HEAD, HIDDEN));
		layer_tensor(g, i, "attn_v.weight", 1, MATRIX(KV_HEADS * HEAD, HIDDEN));
		layer_tensor(g, i, "attn_output.weight", 30, MATRIX(HIDDEN, HEADS * HEAD));
		layer_tensor(g, i, "ffn_norm.weight", 0, VECTOR(HIDDEN));
		layer_tensor(g, i, "ffn_gate.weight", 2, MATRIX(FF, HIDDEN));
		layer_tensor(g, i, "ffn_up.weight", 2, MATRIX(FF, HIDDEN));
		layer_tensor(g, i, "ffn_down.weight", 2, MATRIX(HIDDEN, FF));
	}
}

BUILD_UNUSED static void
llama(gguf_build *g)
{
	llama_metadata(g);
	llama_tensors(g);
}

/* Everything that is optional. */
BUILD_UNUSED static void
llama_full(gguf_build *g)
{
	llama(g);
	build_u32(g, "llama.vocab_size", 7);
	build_u32(g, "llama.rope.dimension_count", 4);
	build_u32(g, "llama.attention.key_length", HEAD);
	build_u32(g, "llama.attention.value_length", HEAD);
	build_u32(g, "llama.expert_count", 0);
	build_text(g, "llama.rope.scaling.type", "linear");
	build_f32(g, "llama.rope.scaling.factor", 4);
	build_tensor(g, "output.weight", 8, MATRIX(VOCAB, HIDDEN));
	build_tensor(g, "rope_freqs.weight", 0, VECTOR(2));
	for (int i = 0; i < LAYERS; i++)
	{
		layer_tensor(g, i, "attn_q.bias", 0, VECTOR(HEADS * HEAD));
		layer_tensor(g, i, "attn_k.bias", 0, VECTOR(KV_HEADS * HEAD));
		layer_tensor(g, i, "attn_v.bias", 0, VECTOR(KV_HEADS * HEAD));
		if (i == 0)
			layer_tensor(g, i, "attn_output.bias", 0, VECTOR(HIDDEN));
	}
}

BUILD_UNUSED static void
bert(gguf_build *g)
{
	static const char *const norms[] = {"attn_output_norm", "layer_output_norm"};
	static const char *const square[] = {"attn_q", "attn_k", "attn_v", "attn_output"};
	char		name[64];

	build_text(g, "general.architecture", "bert");
	build_u32(g, "bert.context_length", POSITIONS);
	build_u32(g, "bert.embedding_length", HIDDEN);
	build_u32(g, "bert.feed_forward_length", FF);
	build_u32(g, "bert.block_count", LAYERS);
	build_u32(g, "bert.attention.head_count", HEADS);
	build_f32(g, "bert.attention.layer_norm_epsilon", 1e-12f);
	build_u32(g, "bert.pooling_type", 2);
	build_u32(g, "tokenizer.ggml.token_type_count", 2);
	build_texts(g, "tokenizer.ggml.tokens", VOCAB);
	build_tensor(g, "token_embd.weight", 1, MATRIX(VOCAB, HIDDEN));
	build_tensor(g, "position_embd.weight", 0, MATRIX(POSITIONS, HIDDEN));
	build_tensor(g, "token_types.weight", 0, MATRIX(2, HIDDEN));
	build_tensor(g, "token_embd_norm.weight", 0, VECTOR(HIDDEN));
	build_tensor(g, "token_embd_norm.bias", 0, VECTOR(HIDDEN));
	for (int i = 0; i < LAYERS; i++)
	{
		for (int n = 0; n < 2; n++)
		{
			snprintf(name, sizeof(name), "%s.weight", norms[n]);
			layer_tensor(g, i, name, 0, VECTOR(HIDDEN));
			snprintf(name, sizeof(name), "%s.bias", norms[n]);
			layer_tensor(g, i, name, 0, VECTOR(HIDDEN));
		}
		for (int n = 0; n < 4; n++)
		{
			snprintf(name, sizeof(name), "%s.weight", square[n]);
			layer_tensor(g, i, name, 1, MATRIX(HIDDEN, HIDDEN));
			snprintf(name, sizeof(name), "%s.bias", square[n]);
			layer_tensor(g, i, name, 0, VECTOR(HIDDEN));
		}
		layer_tensor(g, i, "ffn_up.weight", 1, MATRIX(FF, HIDDEN));
		layer_tensor(g, i, "ffn_up.bias", 0, VECTOR(FF));
		layer_tensor(g, i, "ffn_down.weight", 1, MATRIX(HIDDEN, FF));
		layer_tensor(g, i, "ffn_down.bias", 0, VECTOR(HIDDEN));
	}
}

BUILD_UNUSED static void
reranker(gguf_build *g)
{
	g->tweak.key = "bert.pooling_type";
	g->tweak.value = 4;
	bert(g);
	build_tensor(g, "cls.weight", 1, MATRIX(HIDDEN, HIDDEN));
	build_tensor(g, "cls.bias", 0, VECTOR(HIDDEN));
	build_tensor(g, "cls.output.weight", 0, MATRIX(3, HIDDEN));
	build_tensor(g, "cls.output.bias", 0, VECTOR(3));
}

/* The model that build makes, with a tweak or none. */
BUILD_UNUSED static model *
open_built(builder build, const tweak *t, engine_error *error)
{
	gguf_build	g = {.version = 3};
	bytes		file = {0};
	model	   *m;

	if (t)
		g.tweak = *t;
	build(&g);
	build_finish(&g, &file);
	memset(error, 0, sizeof(*error));
	m = model_open(build_write("model.gguf", file.data, file.length), error);
	bytes_free(&file);
	return m;
}

#endif							/* RAG_TEST_GGUF_MODELS_H */
