/*
 * test_tokenizer_memory.c: opening a tokenizer and using it with every allocation failing
 * in turn: an error that says so, and never a leak.
 */
#include "engine/chat.h"
#include "failing_malloc.h"
#include "tokens.h"

#ifdef CAN_FAIL_MALLOC

static const char template[] =
	"{% for message in messages %}{% if loop.first and messages[0]['role'] != 'system' %}"
	"{{ '<|im_start|>system\nBe kind.<|im_end|>\n' }}{% endif %}"
	"{{'<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>\n'}}{% endfor %}"
	"{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}";

/* What an engine does with a tokenizer; false when something failed, as *error says. */
static bool
use(const tokenizer_files *files, engine_error *error)
{
	static const char text[] = "word <s>  keep\xE4\xB8\xAD\xE6\x96\x87 \xC3\xA9t\xC3\xA9 aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
		"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\xCC\x81\xCC\xA3\xCC\x81";
	chat_message message = {"user", "hi", 2};
	tokenizer  *t = tokenizer_open_files(files, error);
	int32_t    *ids = NULL;
	int32_t    *pair = NULL;
	int32_t    *types = NULL;
	int32_t    *chat = NULL;
	char	   *rendered = NULL;
	size_t		n;
	bool		done;

	done = t && tokenizer_encode(t, text, sizeof(text) - 1, TOKENIZE_SPECIAL, &ids, &n, error) &&
		chat_render(t, CHAT_CHATML, &message, 1, true, &rendered, &n, error) &&
		chat_encode(t, CHAT_CHATML, &message, 1, true, &chat, &n, error);
	if (done && t->pair.count > 0)
		done = tokenizer_encode_pair(t, text, 20, "b", 1, 0, &pair, &types, &n, error);
	free(ids);
	free(pair);
	free(types);
	free(chat);
	free(rendered);
	tokenizer_close(t);
	return done;
}

static void
test_tokenizer(const char *name)
{
	char		path[128];
	tokenizer_files files = {.chat_template = template,.chat_template_length = sizeof(template) - 1,
	.tokenizer_config = "{}",.tokenizer_config_length = 2};
	char	   *text;
	long		wrong = 0;
	long		n = 0;
	bool		reached = true;

	snprintf(path, sizeof(path), "test/data/tokens/%s.tokenizer.json", name);
	text = read_whole(path, &files.tokenizer_json_length);
	files.tokenizer_json = text;
	for (; reached && n < 100000; n++)
	{
		engine_error error = {0};
		bool		done;

		malloc_fails_at(n, false);
		done = use(&files, &error);
		wrong += malloc_works_again(&reached) != 0 || (!done && error.code != ENGINE_NO_MEMORY) ||
			(!done && !reached);
	}
	ok(wrong == 0 && !reached && n > 20, "%s: %ld allocations failed in turn", name, n - 1);
	free(text);
}

int
main(void)
{
	test_tokenizer("tiny_llama3");
	test_tokenizer("tiny_llama2");
	test_tokenizer("tiny_bert_cased");
	test_tokenizer("tiny_gpt2");
	test_tokenizer("tiny_unigram");
	return tap_done();
}

#else

int
main(void)
{
	tap_skip("allocations cannot be counted here");
	return tap_done();
}

#endif
