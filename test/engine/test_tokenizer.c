/*
 * test_tokenizer.c: token ids equal those of the reference implementations; hostile
 * vocabularies are refused; long and odd texts stay cheap.
 */
#include <time.h>

#include "engine/unicode.h"
#include "tokens.h"

static void
test_pieces(const char *name, pretokenize_pattern pattern)
{
	json	   *doc = read_golden(name);
	const json_value *cases = json_get(json_root(doc), "cases");
	pretokenizer p = {.kind = PRETOKENIZE_PATTERN,.pattern = pattern};
	size_t		right = 0;

	ok(pretokenize_find_pattern(json_get_string(json_root(doc), "regex", "")) == pattern,
	   "the expression of %s is known", name);
	for (const json_value *one = cases->child; one; one = one->next)
	{
		const json_value *text = json_get(one, "text");
		const json_value *piece = json_get(one, "pieces")->child;
		pretokenize_cursor c = {.p = &p,.text = text->string,.length = text->length};
		size_t		start;
		size_t		end;
		bool		same = true;

		while (pretokenize_next(&c, &start, &end))
		{
			same = same && piece && piece->length == end - start &&
				memcmp(piece->string, text->string + start, end - start) == 0;
			piece = piece ? piece->next : NULL;
		}
		if (same && piece == NULL)
			right++;
		else
			tap_note("\"%s\"", text->string);
	}
	ok(right == cases->count && right > 0, "%s: %zu of %zu cases", name, right, cases->count);
	json_free(doc);
}

static void
test_minilm(void)
{
	model	   *m = open_test_model("minilm");
	tokenizer  *t = m ? tokenizer_open(m, NULL) : NULL;
	json	   *pairs = read_golden("wordpiece_pair.json");
	size_t		right = 0;

	if (m == NULL)
	{
		for (int i = 0; i < 3; i++)
			tap_skip("RAG_TEST_MODELS has no minilm");
		json_free(pairs);
		return;
	}
	check_golden(t, "wordpiece_minilm.json", "ids", TOKENIZE_SPECIAL | TOKENIZE_PARSE);
	check_golden(t, "minilm_and_smollm2.json", "bert_ids", TOKENIZE_SPECIAL | TOKENIZE_PARSE);
	for (const json_value *one = json_root(pairs)->child; one; one = one->next)
	{
		const json_value *a = json_get(one, "a");
		const json_value *b = json_get(one, "b");
		int32_t    *ids;
		int32_t    *types;
		size_t		count;

		if (!tokenizer_encode_pair(t, a->string, a->length, b->string, b->length, 0, &ids, &types,
								   &count, NULL))
			continue;
		right += same_ids(json_get(one, "ids"), ids, count) &&
			same_ids(json_get(one, "type_ids"), types, count);
		free(ids);
		free(types);
	}
	ok(right == json_root(pairs)->count, "wordpiece_pair.json: ids and types of %zu pairs", right);
	json_free(pairs);
	tokenizer_close(t);
	model_close(m);
}

/* vocab.txt alone must give what tokenizer.json gives. */
static void
test_vocab_txt(void)
{
	const char *folder = getenv("RAG_TEST_MODELS");
	char		path[1024];
	tokenizer_files files = {0};
	tokenizer  *t;
	char	   *text;

	if (folder == NULL)
	{
		tap_skip("RAG_TEST_MODELS has no minilm");
		return;
	}
	snprintf(path, sizeof(path), "%s/minilm/vocab.txt", folder);
	text = read_whole(path, &files.vocab_length);
	files.vocab = text;
	t = tokenizer_open_files(&files, NULL);
	check_golden(t, "wordpiece_minilm.json", "ids", TOKENIZE_SPECIAL | TOKENIZE_PARSE);
	tokenizer_close(t);
	free(text);
}

/* What the ids of a text add up to is the text. */
static bool
comes_back(const tokenizer *t, const char *text, size_t length)
{
	int32_t    *ids;
	size_t		count;
	char	   *out = malloc(length + 1);
	size_t		used = 0;
	bool		same;

	if (!tokenizer_encode(t, text, length, TOKENIZE_PLAIN, &ids, &count, NULL))
	{
		free(out);
		return false;
	}
	for (size_t i = 0; i < count && used <= length; i++)
		used += tokenizer_piece(t, ids[i], out + used, length - used);
	same = used == length && memcmp(out, text, length) == 0;
	free(ids);
	free(out);
	return same;
}

static uint64_t
random_next(uint64_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return *state;
}

/*
 * Characters of every length of UTF-8, spaces, digits and repeated letters; returns bytes. No
 * control characters: six of them have no byte token in SmolLM2's vocabulary and are dropped.
 */
static size_t
random_text(uint64_t *state, char *out, int characters)
{
	static const uint32_t bases[] = {0x20, 0x30, 0x61, 0x61, 0x20, 0x41, 0xE0, 0x400, 0x5D0, 0x900,
	0x3040, 0x4E00, 0xAC00, 0x2000, 0x1F600, 0x0A};
	size_t		used = 0;

	for (int i = 0; i < characters; i++)
	{
		uint64_t	r = random_next(state);
		uint32_t	code = bases[r % 16];

		if (code >= 0x20)
			code += (uint32_t) (r >> 8) % (r & 0x80 ? 90 : 3);
		used += (size_t) utf8_encode(code, out + used);
	}
	return used;
}

static void
test_smollm2(void)
{
	model	   *m = open_test_model("smollm2.gguf");
	tokenizer  *t = m ? tokenizer_open(m, NULL) : NULL;
	uint64_t	state = 415;
	char		text[4096];
	int			back = 0;
	int			tried = 0;

	if (m == NULL)
	{
		for (int i = 0; i < 9; i++)
			tap_skip("RAG_TEST_MODELS has no smollm2.gguf");
		return;
	}
	check_golden(t, "bpe_smollm2.json", "ids_hf", TOKENIZE_SPECIAL | TOKENIZE_PARSE);
	check_golden(t, "bpe_smollm2.json", "ids_llamacpp_special", TOKENIZE_SPECIAL | TOKENIZE_PARSE);
	check_golden(t, "bpe_smollm2.json", "ids_llamacpp_nospecial", TOKENIZE_PLAIN);
	check_golden(t, "minilm_and_smollm2.json", "smollm2_ids", TOKENIZE_SPECIAL | TOKENIZE_PARSE);
	check_golden(t, "minilm_and_smollm2.json", "smollm2_ids_nospecial", TOKENIZE_PLAIN);
	if (t == NULL)
		return;
	for (; tried < 2000; tried++)
	{
		size_t		length = random_text(&state, text, 1 + tried % 300);

		back += comes_back(t, text, length);
	}
	ok(back == tried, "%d of %d random texts come back from their ids", back, tried);
	ok(tokenizer_bos(t) == 1 && tokenizer_eos(t) == 2 && tokenizer_vocab_size(t) == 49152,
	   "beginning, end and size");
	ok(tokenizer_is_end(t, 2) && tokenizer_is_end(t, 0) && !tokenizer_is_end(t, 1) &&
	   !tokenizer_is_end(t, -1) && !tokenizer_is_end(t, 49152), "tokens that end a generation");
	ok(tokenizer_find(t, "<|im_start|>") == 1 && tokenizer_find(t, " the") >= 0 &&
	   tokenizer_find(t, "<|no such|>") == -1 && tokenizer_is_special(t, 1) &&
	   !tokenizer_is_special(t, tokenizer_find(t, " the")) && tokenizer_piece(t, 1, text, 10) == 0 &&
	   tokenizer_piece(t, 70000, text, 10) == 0, "tokens by name; special ones add no text");
	tokenizer_close(t);
	model_close(m);
}

/* Gemma's vocabulary, cut down to what the golden texts can reach; ids go through a map. */
static void
test_gemma(void)
{
	json	   *vocab = read_golden("gemma3_reduced.json");
	json	   *cases = read_golden("spm_gemma3.json");
	size_t		n = json_root(vocab)->count;
	model_string *tokens = calloc(n, sizeof(*tokens));
	float	   *scores = calloc(n, sizeof(*scores));
	int32_t    *types = calloc(n, sizeof(*types));
	int32_t    *numbers = calloc(n, sizeof(*numbers));
	tokenizer_metadata meta = {.model = {"llama", 5},.tokens = tokens,.n_tokens = n,
		.scores = scores,.n_scores = n,.types = types,.n_types = n,.bos = 2,.eos = 1,.unknown = 3,
		.separator = -1,.cls = -1,.eot = -1,.eom = -1,.add_bos = 1,.add_eos = 0,
	.add_space_prefix = 0};
	tokenizer_source source;
	tokenizer  *t = NULL;
	size_t		right = 0;
	size_t		i = 0;

	for (const json_value *v = json_root(vocab)->child; v; v = v->next, i++)
	{
		const json_value *token = v->child->next;

		numbers[i] = (int32_t) v->child->number;
		tokens[i] = (model_string) {token->string, token->length};
		scores[i] = (float) token->next->number;
		types[i] = (int32_t) token->next->next->number;
	}
	tokenizer_source_init(&source);
	if (tokenizer_source_from_metadata(&source, &meta, NULL))
		t = tokenizer_build(&source, NULL);
	tokenizer_source_free(&source);
	for (const json_value *one = json_root(cases)->child; one && t; one = one->next)
	{
		const json_value *text = json_get(one, "text");
		int32_t    *ids;
		size_t		count;

		if (!tokenizer_encode(t, text->string, text->length, TOKENIZE_PARSE, &ids, &count, NULL))
			continue;
		for (size_t k = 0; k < count; k++)
			ids[k] = numbers[ids[k]];
		if (same_ids(json_get(one, "ids_llamacpp"), ids, count))
			right++;
		else
			tap_note("case \"%.60s\"", text->string);
		free(ids);
	}
	ok(right == json_root(cases)->count, "spm_gemma3.json: %zu of %zu cases", right,
	   json_root(cases)->count);
	ok(t && comes_back(t, "a  b\n\n\xF0\x9F\x98\x80 c", 12), "SentencePiece: a text comes back");
	tokenizer_close(t);
	free(tokens);
	free(scores);
	free(types);
	free(numbers);
	json_free(vocab);
	json_free(cases);
}

/* tokenizer.json of several families, against Hugging Face: with and without parsing, pairs. */
static void
test_tiny(const char *name)
{
	char		file[64];
	tokenizer  *t = open_tiny(name);
	json	   *doc;
	size_t		right = 0;
	size_t		count = 0;

	snprintf(file, sizeof(file), "%s.json", name);
	check_golden(t, file, "parse", TOKENIZE_SPECIAL | TOKENIZE_PARSE);
	check_golden(t, file, "plain", TOKENIZE_SPECIAL);
	doc = read_golden(file);
	for (const json_value *one = json_root(doc)->child; one && t; one = one->next)
	{
		const json_value *text = json_get(one, "text");
		int32_t    *ids;
		int32_t    *types;
		size_t		n;

		count++;
		if (!tokenizer_encode_pair(t, text->string, text->length, "a second text", 13, 0, &ids,
								   &types, &n, NULL))
			continue;
		right += same_ids(json_get(one, "pair"), ids, n) && same_ids(json_get(one, "types"), types, n);
		free(ids);
		free(types);
	}
	ok(right == count && count > 0, "%s: %zu of %zu pairs", name, right, count);
	json_free(doc);
	tokenizer_close(t);
}

static void
test_unigram(void)
{
	tokenizer  *t = open_tiny("tiny_unigram");

	check_golden(t, "unigram_tiny.json", "ids", TOKENIZE_SPECIAL | TOKENIZE_PARSE);
	tokenizer_close(t);
}

static void
test_pair_limit(void)
{
	tokenizer  *t = open_tiny("tiny_bert_cased");
	engine_error error = {0};
	int32_t    *ids;
	int32_t    *types;
	size_t		count;

	ok(tokenizer_encode_pair(t, "a b", 3, "c d e f", 7, 8, &ids, &types, &count, &error) &&
	   count == 8 && ids[7] == 3 && types[7] == 1 && types[4] == 1 && types[3] == 0,
	   "the second text of a pair is cut to the limit");
	free(ids);
	free(types);
	ok(!tokenizer_encode_pair(t, "a b", 3, "c", 1, 4, &ids, &types, &count, &error) &&
	   error.code == ENGINE_TOO_LONG, "a first text that leaves no room is an error");
	tokenizer_close(t);
}

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

static double
seconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double) now.tv_sec + (double) now.tv_nsec * 1e-9;
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
	double		start = seconds();
	bool		done;

	for (size_t i = 0; i < length; i += unit_length)
		memcpy(text + i, unit, unit_length);
	done = t && tokenizer_encode(t, text, length, TOKENIZE_PLAIN, &ids, &count, NULL);
	ok(done && count > 0 && seconds() - start < 60, "%s: a word of 4 MB of \"%s\": %zu tokens", name,
	   unit, count);
	free(ids);
	free(text);
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
	test_pieces("pretok_gpt2.json", PATTERN_GPT2);
	test_pieces("pretok_llama3.json", PATTERN_LLAMA3);
	test_minilm();
	test_vocab_txt();
	test_smollm2();
	test_gemma();
	test_unigram();
	test_tiny("tiny_llama3");
	test_tiny("tiny_llama2");
	test_tiny("tiny_bert_cased");
	test_tiny("tiny_gpt2");
	test_pair_limit();
	test_invalid_text();
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
