/*
 * test_model_config.c: config.json and sentence-transformers' files of Hugging Face
 * folders: what they mean, and a clear error for each thing that can be wrong.
 */
#include "folder_build.h"

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
	{ENGINE_CORRUPT, "\"type_vocab_size\" is no whole number", "BertModel",
	"\"type_vocab_size\":0,"},
	{ENGINE_CORRUPT, "token_type_embeddings.weight\" has shape", "BertModel",
	"\"type_vocab_size\":3,"},
	{ENGINE_CORRUPT, "epsilon of 0", "BertModel", "\"layer_norm_eps\":0,"},
	{ENGINE_CORRUPT, "\"layer_norm_eps\" is no number", "BertModel",
	"\"layer_norm_eps\":\"1e-5\","},
	{ENGINE_CORRUPT, "\"layer_norm_eps\" is no number", "BertModel", "\"layer_norm_eps\":1e300,"},
	{ENGINE_UNSUPPORTED, "\"quantization_config\"", "BertModel",
	"\"quantization_config\":{\"quant_method\":\"gptq\"},"},
	{ENGINE_CORRUPT, "\"_name_or_path\" is no text", "BertModel", "\"_name_or_path\":7,"},
};

static void
write_huge_config(void)
{
	bytes		huge = {0};

	put_zeros(&huge, (16 << 20) + 1);
	write_file("config.json", huge.data, huge.length);
	bytes_free(&huge);
	refuse(ENGINE_CORRUPT, "has 16777217 bytes, limit is 16777216", "a config beyond the limit");
}

static void
test_wrong_berts(void)
{
	start_bert();
	for (size_t i = 0; i < sizeof(wrong_berts) / sizeof(wrong_berts[0]); i++)
	{
		write_bert_config(wrong_berts[i].class_name, wrong_berts[i].extra);
		refuse(wrong_berts[i].code, wrong_berts[i].message, wrong_berts[i].message);
	}
	write_huge_config();
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
	write_text("config.json", "{\"model_type\":\"bert\",\"vocab_size\":3,\"hidden_size\":4,"
			   "\"intermediate_size\":8,\"num_hidden_layers\":1,\"num_attention_heads\":3,"
			   "\"max_position_embeddings\":5}");
	refuse(ENGINE_CORRUPT, "4 elements cannot be split into 3 heads", "heads that do not divide");
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
	{ENGINE_UNSUPPORTED, "rope scaling \"yarn\"",
	",\"rope_scaling\":{\"type\":\"yarn\",\"factor\":2}"},
	{ENGINE_UNSUPPORTED, "rope scaling \"dynamic\"",
	",\"rope_scaling\":{\"rope_type\":\"dynamic\"}"},
	{ENGINE_CORRUPT, "\"rope_scaling\" is no object", ",\"rope_scaling\":[1]"},
	{ENGINE_CORRUPT, "\"factor\" of the rope scaling is missing",
	",\"rope_scaling\":{\"type\":\"linear\"}"},
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

#define MODULES(pooling, more) \
	"[{\"idx\":0,\"path\":\"\",\"type\":\"sentence_transformers.models.Transformer\"}," \
	"{\"idx\":1,\"path\":\"" pooling "\",\"type\":\"sentence_transformers.models.Pooling\"}" more "]"
#define NORMALIZE \
	",{\"idx\":2,\"path\":\"2_Normalize\",\"type\":\"sentence_transformers.models.Normalize\"}"

/* The folder opens as an embedding model of this kind. */
static void
expect(model_pooling pooling, bool normalize, int max_sequence, const char *name)
{
	engine_error error;
	model	   *m = open_folder(&error);
	const model_config *c = m ? model_get_config(m) : NULL;

	if (!ok(c && c->pooling == pooling && c->normalize == normalize &&
			c->max_sequence == max_sequence,
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
	write_text("1_Pooling/config.json",
			   "{\"word_embedding_dimension\":4,\"pooling_mode_cls_token\":true,"
			   "\"pooling_mode_mean_tokens\":false,\"pooling_mode_max_tokens\":false}");
	expect(POOLING_CLS, false, 5, "CLS pooling, no normalisation");
	write_text("modules.json", MODULES("1_Pooling",
									   NORMALIZE ",{\"type\":\"sentence_transformers.models.Dropout\"}"));
	expect(POOLING_CLS, true, 5, "CLS pooling, normalisation, dropout");
	write_text("1_Pooling/config.json", "{\"pooling_mode\":\"mean\"}");
	expect(POOLING_MEAN, true, 5, "mean pooling by name");
	write_text("1_Pooling/config.json", "{\"pooling_mode\":\"max\"}");
	refuse(ENGINE_UNSUPPORTED, "pooling mode \"max\"", "max pooling by name");
	write_text("1_Pooling/config.json", "{\"pooling_mode_lasttoken\":true}");
	refuse(ENGINE_UNSUPPORTED, "pooling mode \"lasttoken\"", "last-token pooling");
	write_text("1_Pooling/config.json",
			   "{\"pooling_mode_cls_token\":true,\"pooling_mode_mean_tokens\":true}");
	refuse(ENGINE_UNSUPPORTED, "beside another pooling mode", "two pooling modes");
	write_text("1_Pooling/config.json", "{}");
	refuse(ENGINE_CORRUPT, "names no pooling mode", "no pooling mode");
	write_text("1_Pooling/config.json",
			   "{\"word_embedding_dimension\":5,\"pooling_mode_cls_token\":true}");
	refuse(ENGINE_CORRUPT, "\"word_embedding_dimension\" is not the model's",
		   "pooling of another width");
	write_text("modules.json", MODULES("../1_Pooling", ""));
	refuse(ENGINE_CORRUPT, "no plain name", "a pooling folder outside");
	write_text("modules.json", "[]");
	refuse(ENGINE_UNSUPPORTED, "no pooling step", "no steps");
	write_text("modules.json", MODULES("1_Pooling",
									   ",{\"type\":\"sentence_transformers.models.Dense\"}"));
	write_text("1_Pooling/config.json", "{\"pooling_mode\":\"mean\"}");
	refuse(ENGINE_UNSUPPORTED, "models.Dense\" is not supported", "a dense step");
	write_text("modules.json", "[{\"path\":\"0_T\",\"type\":\"Transformer\"}]");
	refuse(ENGINE_UNSUPPORTED, "\"path\" of the transformer",
		   "the transformer in a folder of its own");
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

int
main(void)
{
	test_wrong_berts();
	test_llama_configs();
	test_pooling();
	test_limits();
	build_cleanup();
	return tap_done();
}
