/*
 * test_tokenizer_hostile.c: hostile vocabularies are refused with a reason; long and odd
 * texts stay cheap.
 */
#include <time.h>

#include "tokens.h"

static void
test_invalid_text(void)
{
	tokenizer  *t = open_tiny("tiny_llama3");
	engine_error error = {0};
	int32_t    *ids;
	size_t		count;

	ok(!tokenizer_encode(t, "ab\xC3(", 4, 0, &ids, &count, &error) && error.code == ENGINE_INVALID &&
	   strcmp(error.message, "text is not valid UTF-8 at byte 2") == 0, "invalid UTF-8: the offset");
	ok(tokenizer_encode(t, "", 0, TOKENIZE_PLAIN, &ids, &count, &error) && count == 0 && ids != NULL,
	   "an empty text has no tokens");
	free(ids);
	ok(comes_back(t, "a\0b", 3), "a NUL is a character like others");
	tokenizer_close(t);
}

/* One character over and over: quadratic work would take hours. */
static void
test_long_word(const char *name, const char *unit)
{
	tokenizer  *t = open_tiny(name);
	size_t		unit_length = strlen(unit);
	size_t		length = ((size_t) 4 << 20) / unit_length * unit_length;
	char	   *text = malloc(length);
	int32_t    *ids = NULL;
	size_t		count = 0;
	bool		done;

	for (size_t i = 0; i < length; i += unit_length)
		memcpy(text + i, unit, unit_length);
	done = t && tokenizer_encode(t, text, length, TOKENIZE_PLAIN, &ids, &count, NULL);
	ok(done && count > 0, "%s: a word of 4 MB of \"%s\": %zu tokens", name,
	   unit, count);
	free(ids);
	free(text);
	tokenizer_close(t);
}

/* A call through a view ends when its owner wants it to; the tokenizer itself goes on. */
static void
test_stopped(const char *name)
{
	tokenizer  *t = open_tiny(name);
	atomic_bool stop = false;
	tokenizer  *view = tokenizer_view(t, &stop, NULL);
	engine_error error = {0};
	int32_t    *ids = NULL;
	size_t		count = 0;
	bool		before;

	before = tokenizer_encode(view, "the cat sat", 11, 0, &ids, &count, &error) && count > 0;
	free(ids);
	stop = true;
	ok(before && !tokenizer_encode(view, "the cat sat", 11, 0, &ids, &count, &error) &&
	   error.code == ENGINE_CANCELED && ids == NULL, "%s: a call is stopped", name);
	ok(tokenizer_encode(t, "the cat sat", 11, 0, &ids, &count, &error), "%s: others are not", name);
	free(ids);
	tokenizer_view_free(view);
	tokenizer_close(t);
}

typedef struct bad_tokenizer
{
	const char *text;
	engine_code code;
	const char *message;		/* a part of it */
} bad_tokenizer;

#define BPE(rest) "{\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":0,\"b\":1,\"ab\":2},\"merges\":[\"a b\"]" rest

static void
test_refused(void)
{
	static const bad_tokenizer cases[] = {
		{"{", ENGINE_CORRUPT, "tokenizer.json: invalid JSON at byte 1"},
		{"[]", ENGINE_CORRUPT, "no model"},
		{"{\"model\":{\"type\":\"WordLevel\"}}", ENGINE_UNSUPPORTED, "\"WordLevel\""},
		{"{\"model\":{\"type\":\"BPE\"}}", ENGINE_CORRUPT, "no vocabulary"},
		{"{\"model\":{\"type\":\"BPE\",\"vocab\":{}}}", ENGINE_CORRUPT, "no merges"},
		{"{\"model\":{\"type\":\"BPE\",\"vocab\":{},\"merges\":[]}}", ENGINE_CORRUPT, "vocabulary of 0"},
		{"{\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":-1},\"merges\":[]}}", ENGINE_CORRUPT, "\"a\" has no id"},
		{"{\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":4e9},\"merges\":[]}}", ENGINE_CORRUPT, "\"a\" has no id"},
		{"{\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":4000000},\"merges\":[]}}", ENGINE_CORRUPT, "1 tokens have ids up to 4000000"},
		{"{\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":1.5},\"merges\":[]}}", ENGINE_CORRUPT, "\"a\" has no id"},
		{"{\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":0},\"merges\":[\"a a\"]}}", ENGINE_CORRUPT,
		"merge 0 (\"a\" and \"a\") is not made of tokens"},
		{"{\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":0},\"merges\":[\"a\"]}}", ENGINE_CORRUPT, "no pair"},
		{"{\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":0},\"merges\":[\" a\"]}}", ENGINE_CORRUPT, "empty side"},
		{BPE(",\"end_of_word_suffix\":\"</w>\"}}"), ENGINE_UNSUPPORTED, "end_of_word_suffix"},
		{BPE("},\"pre_tokenizer\":{\"type\":\"Split\",\"pattern\":{\"Regex\":\"[a-z]+\"},"
			 "\"behavior\":\"Isolated\"}}"), ENGINE_UNSUPPORTED, "\"[a-z]+\" is not known"},
		{BPE("},\"pre_tokenizer\":{\"type\":\"Punctuation\"}}"), ENGINE_UNSUPPORTED, "\"Punctuation\""},
		{BPE("},\"normalizer\":{\"type\":\"Nmt\"}}"), ENGINE_UNSUPPORTED, "\"Nmt\""},
		{BPE("},\"normalizer\":{\"type\":\"Replace\",\"pattern\":{\"Regex\":\"x\"},\"content\":\"\"}}"),
		ENGINE_UNSUPPORTED, "\"x\" is not known"},
		{BPE("},\"normalizer\":{\"type\":\"Replace\",\"pattern\":{\"String\":\"\"},\"content\":\"a\"}}"),
		ENGINE_CORRUPT, "empty string"},
		{BPE("},\"post_processor\":{\"type\":\"Magic\"}}"), ENGINE_UNSUPPORTED, "\"Magic\""},
		{BPE("},\"post_processor\":{\"type\":\"TemplateProcessing\",\"single\":[{\"SpecialToken\":"
			 "{\"id\":\"x\"}}],\"pair\":[],\"special_tokens\":{\"x\":{\"ids\":[99]}}}}"), ENGINE_CORRUPT,
		"token 99"},
		{BPE("},\"added_tokens\":[{\"content\":\"x\"}]}"), ENGINE_CORRUPT, "\"x\" has no id"},
		{"{\"model\":{\"type\":\"WordPiece\",\"vocab\":{\"a\":0}}}", ENGINE_CORRUPT, "no unknown token"},
		{"{\"model\":{\"type\":\"Unigram\",\"vocab\":[[\"a\",0]]}}", ENGINE_CORRUPT, "no unknown token"},
		{"{\"model\":{\"type\":\"Unigram\",\"unk_id\":5,\"vocab\":[[\"a\",0]]}}", ENGINE_CORRUPT, "unknown token 5"},
		{"{\"model\":{\"type\":\"Unigram\",\"unk_id\":0,\"vocab\":[[\"a\"]]}}", ENGINE_CORRUPT, "token 0"},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
	{
		engine_error error = {0};
		tokenizer_files files = {.tokenizer_json = cases[i].text,
		.tokenizer_json_length = strlen(cases[i].text)};
		tokenizer  *t = tokenizer_open_files(&files, &error);

		if (!ok(t == NULL && error.code == cases[i].code && strstr(error.message, cases[i].message),
				"refused, case %zu: %s", i, cases[i].message))
			tap_note("got code %d: %s", error.code, error.message);
		tokenizer_close(t);
	}
}

/* The metadata of a GGUF file that lies. */
static void
test_refused_metadata(void)
{
	const model_string tokens[] = {{"a", 1}, {"b", 1}, {"ab", 2}};
	const model_string merges[] = {{"ab", 2}};
	const int32_t types[] = {1, 1};
	const tokenizer_metadata good = {.model = {"gpt2", 4},.pre = {"smollm", 6},.tokens = tokens,
		.n_tokens = 3,.bos = -1,.eos = -1,.unknown = -1,.separator = -1,.cls = -1,.eot = -1,.eom = -1,
	.add_bos = -1,.add_eos = -1,.add_space_prefix = -1};
	const char *messages[] = {"tokenizer.ggml.pre \"qwen9\"", "tokenizer.ggml.pre is missing",
		"tokenizer.ggml.model \"rwkv\"", "3 tokens, 2 types", "merges[0] has no space", "has 0 entries",
	"beginning token 3", "scores is missing", "no [CLS]"};

	for (int i = 0; i < 9; i++)
	{
		tokenizer_metadata meta = good;
		tokenizer_source source;
		engine_error error = {0};
		tokenizer  *t = NULL;

		if (i == 0)
			meta.pre = (model_string) {"qwen9", 5};
		else if (i == 1)
			meta.pre.length = 0;
		else if (i == 2)
			meta.model = (model_string) {"rwkv", 4};
		else if (i == 3)
			meta.types = types, meta.n_types = 2;
		else if (i == 4)
			meta.merges = merges, meta.n_merges = 1;
		else if (i == 5)
			meta.n_tokens = 0;
		else if (i == 6)
			meta.bos = 3;
		else if (i == 7)
			meta.model = (model_string) {"llama", 5};
		else
			meta.model = (model_string) {"bert", 4};
		tokenizer_source_init(&source);
		if (tokenizer_source_from_metadata(&source, &meta, &error))
			t = tokenizer_build(&source, &error);
		if (!ok(t == NULL && strstr(error.message, messages[i]), "refused metadata: %s", messages[i]))
			tap_note("got: %s", error.message);
		tokenizer_close(t);
		tokenizer_source_free(&source);
	}
}

/* Tokens and merges of a GGUF file may be any bytes; those that no text can reach do no harm. */
static void
test_odd_bytes(void)
{
	const model_string tokens[] = {{"a", 1}, {"\xF0\x9F", 2}, {"\xE2", 1}, {"a\xE2", 2}, {"", 0}, {"b", 1}};
	const model_string merges[] = {{"a \xE2", 3}};
	tokenizer_metadata meta = {.model = {"gpt2", 4},.pre = {"gpt-2", 5},.tokens = tokens,.n_tokens = 6,
		.merges = merges,.n_merges = 1,.bos = -1,.eos = 1,.unknown = -1,.separator = -1,.cls = -1,
		.eot = -1,.eom = -1,.add_bos = -1,.add_eos = -1,.add_space_prefix = -1,
	.chat_template = {"\xC3{{", 3}};
	tokenizer_source source;
	tokenizer  *t = NULL;
	int32_t    *ids = NULL;
	size_t		count = 0;

	tokenizer_source_init(&source);
	if (tokenizer_source_from_metadata(&source, &meta, NULL))
		t = tokenizer_build(&source, NULL);
	tokenizer_source_free(&source);
	ok(t && tokenizer_encode(t, "abxa", 4, TOKENIZE_PLAIN, &ids, &count, NULL) && count == 3 &&
	   ids[0] == 0 && ids[1] == 5 && ids[2] == 0 && tokenizer_is_end(t, 1),
	   "tokens that are no UTF-8; a byte without a token is dropped");
	free(ids);
	tokenizer_close(t);
}

int
main(void)
{
	test_invalid_text();
	test_stopped("tiny_llama3");
	test_stopped("tiny_unigram");
	test_long_word("tiny_llama3", "a");
	test_long_word("tiny_llama2", "ab");
	test_long_word("tiny_bert_cased", "a");
	test_long_word("tiny_unigram", "lorem");
	test_long_word("tiny_gpt2", " ");
	test_long_word("tiny_unigram", "\xCC\xB5\xCC\x81");
	test_refused();
	test_refused_metadata();
	test_odd_bytes();
	return tap_done();
}
