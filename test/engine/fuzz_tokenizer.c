/*
 * fuzz_tokenizer.c: hostile texts, tokenizer.json files, GGUF metadata and chat templates.
 *
 * The first byte says which; run from the root of the repository:
 *
 *     fuzz_tokenizer -max_len=16384 CORPUS
 */
#include <stdio.h>

#include "engine/chat.h"
#include "engine/tokenizer_internal.h"

extern int	LLVMFuzzerInitialize(int *argc, char ***argv);
extern int	LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define TOKENIZERS 5

static tokenizer *tokenizers[TOKENIZERS];

int
LLVMFuzzerInitialize(int *argc, char ***argv)
{
	static const char *const names[TOKENIZERS] = {"tiny_llama3", "tiny_llama2", "tiny_bert_cased",
	"tiny_gpt2", "tiny_unigram"};

	(void) argc;
	(void) argv;
	for (int i = 0; i < TOKENIZERS; i++)
	{
		static char text[1 << 20];
		char		path[128];
		tokenizer_files files = {.tokenizer_json = text};
		FILE	   *f;

		snprintf(path, sizeof(path), "test/data/tokens/%s.tokenizer.json", names[i]);
		f = fopen(path, "rb");
		if (f)
		{
			files.tokenizer_json_length = fread(text, 1, sizeof(text), f);
			fclose(f);
			tokenizers[i] = tokenizer_open_files(&files, NULL);
		}
		if (tokenizers[i] == NULL)
		{
			fprintf(stderr, "cannot open %s\n", path);
			exit(1);
		}
	}
	return 0;
}

/* Ids must be in range, and their bytes fit where tokenizer_piece says. */
static size_t
decode(const tokenizer *t, const int32_t *ids, size_t count, char *out, size_t capacity)
{
	size_t		used = 0;

	for (size_t i = 0; i < count; i++)
	{
		size_t		length = tokenizer_piece(t, ids[i], out + used, capacity - used);

		if (ids[i] < 0 || ids[i] >= tokenizer_vocab_size(t))
			abort();
		if (length > capacity - used)
			return SIZE_MAX;
		used += length;
	}
	return used;
}

static void
encode(const tokenizer *t, const char *text, size_t length, int flags, bool comes_back)
{
	engine_error error = {0};
	int32_t    *ids;
	size_t		count;
	char	   *out = malloc(length + 1);

	if (out && tokenizer_encode(t, text, length, flags, &ids, &count, &error))
	{
		size_t		used = decode(t, ids, count, out, length);

		if (comes_back && (used != length || memcmp(out, text, length) != 0))
			abort();
		free(ids);
	}
	else if (utf8_validate(text, length) == length && error.code == ENGINE_INVALID)
		abort();
	free(out);
}

static void
fuzz_text(int which, const char *text, size_t length)
{
	const tokenizer *t = tokenizers[which % TOKENIZERS];
	int32_t    *ids;
	int32_t    *types;
	size_t		count;

	/* byte-level BPE loses nothing */
	encode(t, text, length, TOKENIZE_PLAIN, which % TOKENIZERS == 0);
	encode(t, text, length, TOKENIZE_SPECIAL | TOKENIZE_PARSE, false);
	if (tokenizer_encode_pair(t, text, length / 2, text + length / 2, length - length / 2, 20, &ids,
							  &types, &count, NULL))
	{
		if (count > 20)
			abort();
		free(ids);
		free(types);
	}
}

static void
try_tokenizer(tokenizer *t)
{
	static const char text[] = "Hello world's  12\n\xC3\xA9t\xC3\xA9 <s>[UNK] \xE4\xB8\xAD\xF0\x9F\x98\x80 ab aabb\xCC\x81";

	if (t == NULL)
		return;
	encode(t, text, sizeof(text) - 1, TOKENIZE_SPECIAL, false);
	encode(t, text, sizeof(text) - 1, TOKENIZE_PARSE, false);
	tokenizer_find(t, "ab");
	tokenizer_close(t);
}

/* tokenizer.json, and after a NUL tokenizer_config.json */
static void
fuzz_files(const char *text, size_t length)
{
	const char *end = memchr(text, '\0', length);
	tokenizer_files files = {.tokenizer_json = text,.tokenizer_json_length = length};

	if (end)
	{
		files.tokenizer_json_length = (size_t) (end - text);
		files.tokenizer_config = end + 1;
		files.tokenizer_config_length = length - files.tokenizer_json_length - 1;
	}
	try_tokenizer(tokenizer_open_files(&files, NULL));
}

/* Lines: a token each; those with a space after the first byte are merges as well. */
static void
fuzz_metadata(int which, const char *text, size_t length)
{
	static const char *const algorithms[] = {"gpt2", "llama", "bert"};
	const char *algorithm = algorithms[which % 3];
	model_string tokens[256];
	model_string merges[256];
	float		scores[256];
	int32_t		types[256];
	tokenizer_metadata meta = {.model = {algorithm, strlen(algorithm)},.pre = {"smollm", 6},
		.tokens = tokens,.scores = scores,.types = types,.merges = merges,.bos = -1,.eos = -1,
		.unknown = which / 3 % 4 - 1,.separator = -1,.cls = -1,.eot = which,.eom = -1,
	.add_bos = -1,.add_eos = which / 12 % 3 - 1,.add_space_prefix = which / 36 % 3 - 1};
	const char *end = text + length;
	tokenizer_source source;

	while (text < end && meta.n_tokens < 256)
	{
		const char *line = memchr(text, '\n', (size_t) (end - text));
		model_string token = {text, (size_t) ((line ? line : end) - text)};

		if (token.length > 2 && memchr(token.data + 1, ' ', token.length - 1))
			merges[meta.n_merges++] = token;
		types[meta.n_tokens] = token.length > 0 ? token.data[0] & 7 : 1;
		scores[meta.n_tokens] = (float) token.length;
		tokens[meta.n_tokens++] = token;
		text = line ? line + 1 : end;
	}
	meta.n_types = meta.n_scores = meta.n_tokens;
	tokenizer_source_init(&source);
	if (tokenizer_source_from_metadata(&source, &meta, NULL))
		try_tokenizer(tokenizer_build(&source, NULL));
	tokenizer_source_free(&source);
}

/* A chat template, and after a NUL a message that must not become a special token. */
static void
fuzz_chat(const char *text, size_t length)
{
	static const char vocabulary[] =
		"{\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":0,\"b\":1,\"<\":2,\"|\":3,\">\":4},\"merges\":[]},"
		"\"added_tokens\":[{\"id\":5,\"content\":\"<|im_end|>\",\"special\":true},"
		"{\"id\":6,\"content\":\"<|im_start|>\",\"special\":true,\"rstrip\":true},"
		"{\"id\":7,\"content\":\"</s>\",\"special\":true,\"lstrip\":true}]}";
	static const char config[] = "{\"bos_token\":\"<|im_start|>\",\"eos_token\":\"</s>\"}";
	const char *end = memchr(text, '\0', length);
	tokenizer_files files = {.tokenizer_json = vocabulary,.tokenizer_json_length = sizeof(vocabulary) - 1,
		.tokenizer_config = config,.tokenizer_config_length = sizeof(config) - 1,
	.chat_template = text,.chat_template_length = end ? (size_t) (end - text) : length};
	chat_message messages[] = {{"user", "hello", 5}, {"assistant", "", 0}};
	tokenizer  *t = tokenizer_open_files(&files, NULL);
	chat_format format;
	char	   *rendered;
	int32_t    *ids;
	size_t		count;

	if (t == NULL)
		abort();
	if (end)
	{
		messages[1].content = end + 1;
		messages[1].length = length - files.chat_template_length - 1;
	}
	if (chat_format_of(t, &format, NULL))
	{
		if (chat_render(t, format, messages, 2, true, &rendered, &count, NULL))
			free(rendered);
		if (chat_encode(t, format, messages, 2, true, &ids, &count, NULL))
			free(ids);
	}
	tokenizer_close(t);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *text = (const char *) data + 1;

	if (size == 0)
		return 0;
	switch (data[0] & 3)
	{
		case 0:
			fuzz_text(data[0] >> 2, text, size - 1);
			break;
		case 1:
			fuzz_files(text, size - 1);
			break;
		case 2:
			fuzz_metadata(data[0] >> 2, text, size - 1);
			break;
		default:
			fuzz_chat(text, size - 1);
	}
	return 0;
}
