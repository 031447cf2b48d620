/*
 * test_tokenizer.c: token ids equal those of the reference implementations.
 */
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

/* A tokenizer as GGUF metadata, made of strings that the caller keeps. */
typedef struct metadata_builder
{
	tokenizer_metadata meta;
	model_string tokens[40000];
	int32_t		types[40000];
	model_string merges[1000];
} metadata_builder;

static metadata_builder *
builder_create(const char *model_name, const char *pre)
{
	metadata_builder *b = calloc(1, sizeof(*b));

	b->meta = (tokenizer_metadata) {.model = {model_name, strlen(model_name)},
		.pre = {pre, strlen(pre)},.tokens = b->tokens,.types = b->types,.merges = b->merges,
		.bos = -1,.eos = -1,.unknown = -1,.separator = -1,.cls = -1,.eot = -1,.eom = -1,
	.add_bos = -1,.add_eos = -1,.add_space_prefix = -1};
	return b;
}

static void
builder_set(metadata_builder *b, size_t id, const char *text, size_t length, int32_t type)
{
	b->tokens[id] = (model_string) {text, length};
	b->types[id] = type;
	if (b->meta.n_tokens <= id)
		b->meta.n_types = b->meta.n_tokens = id + 1;
}

static tokenizer *
builder_finish(metadata_builder *b)
{
	tokenizer_source source;
	tokenizer  *t = NULL;

	tokenizer_source_init(&source);
	if (tokenizer_source_from_metadata(&source, &b->meta, NULL))
		t = tokenizer_build(&source, NULL);
	tokenizer_source_free(&source);
	free(b);
	return t;
}

/* Llama 3 as GGUF writes it. Its rules for added tokens cannot be said there: texts without them. */
static void
test_gguf_llama3(void)
{
	json	   *doc = read_golden("tiny_llama3.tokenizer.json");
	json	   *cases = read_golden("tiny_llama3.json");
	const json_value *spec = json_get(json_root(doc), "model");
	metadata_builder *b = builder_create("gpt2", "llama-bpe");
	char	   *merges = malloc(1 << 20);
	size_t		used = 0;
	size_t		right = 0;
	size_t		count = 0;
	tokenizer  *t;

	for (const json_value *v = json_get(spec, "vocab")->child; v; v = v->next)
		builder_set(b, (size_t) v->number, v->key, v->key_length, 1);
	for (const json_value *v = json_get(json_root(doc), "added_tokens")->child; v; v = v->next)
	{
		const json_value *content = json_get(v, "content");

		builder_set(b, (size_t) json_get_int(v, "id", 0, 39999, 0), content->string, content->length, 3);
	}
	for (const json_value *v = json_get(spec, "merges")->child; v; v = v->next)
	{
		int			n = sprintf(merges + used, "%s %s", v->child->string, v->child->next->string);

		b->merges[b->meta.n_merges++] = (model_string) {merges + used, (size_t) n};
		used += (size_t) n;
	}
	b->meta.bos = 500;
	t = builder_finish(b);
	for (const json_value *one = json_root(cases)->child; one && t; one = one->next)
	{
		const char *text = json_get_string(one, "text", "");

		if (strstr(text, "keep") || strstr(text, "word"))
			continue;
		count++;
		right += encodes_as(t, one, "plain", TOKENIZE_SPECIAL);
	}
	ok(right == count && count > 60, "GGUF llama-bpe: %zu of %zu cases", right, count);
	tokenizer_close(t);
	free(merges);
	json_free(doc);
	json_free(cases);
}

/* MiniLM's vocabulary as GGUF writes it: words after U+2581, continuations as they are. */
static void
test_gguf_bert(void)
{
	const char *folder = getenv("RAG_TEST_MODELS");
	metadata_builder *b = builder_create("bert", "");
	char		path[1024];
	char	   *text;
	char	   *words;
	char	   *save = NULL;
	size_t		length;
	size_t		id = 0;
	size_t		used = 0;
	tokenizer  *t;

	if (folder == NULL)
	{
		tap_skip("RAG_TEST_MODELS has no minilm");
		free(b);
		return;
	}
	snprintf(path, sizeof(path), "%s/minilm/vocab.txt", folder);
	text = read_whole(path, &length);
	words = malloc(length * 4);
	for (char *line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save), id++)
	{
		int			n = sprintf(words + used, "%s%s", line[0] == '[' || strncmp(line, "##", 2) == 0 ? "" : METASPACE,
								strncmp(line, "##", 2) == 0 && line[2] ? line + 2 : line);

		builder_set(b, id, words + used, (size_t) n, line[0] == '[' && line[1] ? 3 : 1);
		if (line[0] == '[' && line[1] == '\0')
			builder_set(b, id, METASPACE "[", METASPACE_LENGTH + 1, 1);
		used += (size_t) n;
	}
	t = builder_finish(b);
	check_golden(t, "wordpiece_minilm.json", "ids", TOKENIZE_SPECIAL | TOKENIZE_PARSE);
	tokenizer_close(t);
	free(text);
	free(words);
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

int
main(void)
{
	test_pieces("pretok_gpt2.json", PATTERN_GPT2);
	test_pieces("pretok_llama3.json", PATTERN_LLAMA3);
	test_minilm();
	test_vocab_txt();
	test_smollm2();
	test_gemma();
	test_gguf_llama3();
	test_gguf_bert();
	test_unigram();
	test_tiny("tiny_llama3");
	test_tiny("tiny_llama2");
	test_tiny("tiny_bert_cased");
	test_tiny("tiny_gpt2");
	test_pair_limit();
	return tap_done();
}
