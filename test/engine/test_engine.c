/*
 * test_engine.c: requests through the whole engine, on the tiny models.
 */
#include "tap.h"

#include <math.h>
#include <unistd.h>

#include "drive.h"

#define LLAMA "test/data/models/tiny-llama.gguf"
#define BERT "test/data/models/tiny-bert"

static const engine_config two_threads = {.threads = 2};

static bool
same_text(const drive_answer *a, const drive_answer *b)
{
	return a->over && b->over && a->code == ENGINE_OK && b->code == ENGINE_OK && a->length == b->length &&
		(a->length == 0 || memcmp(a->text, b->text, a->length) == 0);
}

static void
prompt_of(char *out, size_t size, int i)
{
	size_t		n = (size_t) snprintf(out, size, "Question %d about the cat and the hat in the rain. ", i);

	/* lengths differ, so that chunks and blocks end at all kinds of places */
	for (int k = 0; k < i % 7; k++)
		n += (size_t) snprintf(out + n, size - n, "And then the other thing %d happened. ", i * k);
}

static protocol_sampling
sampling_of(int i)
{
	protocol_sampling s = drive_greedy(24 + (uint32_t) (i % 5) * 7);

	if (i % 2)
	{
		s.temperature = 0.8f;
		s.top_p = 0.9f;
		s.seed = (uint64_t) i;
	}
	if (i % 3 == 0)
		s.repetition_penalty = 1.2f;
	return s;
}

#define BATCH 32

/* The text of each of 32 requests: alone in a fresh engine, and all at once under several limits. */
static void
test_batch(void)
{
	static const struct
	{
		const char *name;
		const char *options;
		int			budget;
	}			cases[] =
	{
		{"a wide batch", "{\"max_model_len\": 256, \"max_num_seqs\": 32, \"kv_cache_tokens\": 16384}", 512},
		{"chunks of 40 tokens", "{\"max_model_len\": 256, \"max_num_seqs\": 32, \"kv_cache_tokens\": 16384}", 40},
		{"preemption in a small cache", "{\"max_model_len\": 256, \"max_num_seqs\": 32, \"kv_cache_tokens\": 384}", 64},
		{"guesses", "{\"max_model_len\": 256, \"max_num_seqs\": 8, \"kv_cache_tokens\": 16384, \"speculation\": \"always\"}", 40},
		{"guesses in a small cache", "{\"max_model_len\": 256, \"max_num_seqs\": 32, \"kv_cache_tokens\": 384, \"speculation\": \"always\"}", 64},
	};
	drive	   *alone = drive_open(&two_threads, LLAMA, "{\"max_model_len\": 256, \"speculation\": \"off\"}");
	char		prompt[1024];

	for (int i = 0; i < BATCH; i++)
	{
		protocol_sampling s = sampling_of(i);

		prompt_of(prompt, sizeof(prompt), i);
		drive_generate(alone, (uint64_t) i, prompt, &s);
		drive_wait(alone, (uint64_t) i);
	}
	for (size_t c = 0; c < sizeof(cases) / sizeof(cases[0]); c++)
	{
		/* prompts as fast as they go: no step depends on how long others took */
		engine_config config = {.threads = 2,.max_num_batched_tokens = cases[c].budget,.max_slowdown = -1};
		drive	   *all = drive_open(&config, LLAMA, cases[c].options);
		int			same = 0;

		for (int i = 0; i < BATCH; i++)
		{
			protocol_sampling s = sampling_of(i);

			prompt_of(prompt, sizeof(prompt), i);
			drive_generate(all, (uint64_t) i, prompt, &s);
		}
		for (int i = 0; i < BATCH; i++)
			same += same_text(drive_wait(all, (uint64_t) i), &alone->answers[i]);
		ok(same == BATCH, "%s: %d of %d texts are those of the request alone", cases[c].name, same, BATCH);
		ok(drive_statistic(all, "kv_blocks_used") == 0, "%s: no block is left in use", cases[c].name);
		ok((drive_statistic(all, "preemptions") > 0) == (c == 2 || c == 4), "%s: preemption where expected",
		   cases[c].name);
		ok(c < 3 || drive_statistic(all, "accepted_tokens") > 20, "%s: %ld of %ld were right", cases[c].name,
		   drive_statistic(all, "accepted_tokens"), drive_statistic(all, "drafted_tokens"));
		drive_close(all);
	}
	drive_close(alone);
}

/* A real model that quotes what it has read: the text with guesses is that without, and they are often right. */
static void
test_quoting(void)
{
	static const char *const options[] = {"{\"max_model_len\": 1024, \"speculation\": \"off\"}",
	"{\"max_model_len\": 1024, \"speculation\": \"always\"}"};
	static const char prompt[] = "Repeat these words exactly: The quick brown fox jumps over the lazy dog while "
		"seven wizards boil a large kettle of tea and nobody in the village notices the smoke.";
	const char *models = getenv("RAG_TEST_MODELS");
	drive	   *d[2];
	char		path[1024];

	if (!models || !*models)
	{
		for (int i = 0; i < 3; i++)
			tap_skip("guesses of a real model: RAG_TEST_MODELS is not set");
		return;
	}
	snprintf(path, sizeof(path), "%s/smollm2.gguf", models);
	for (int k = 0; k < 2; k++)
	{
		d[k] = drive_open(&two_threads, path, options[k]);
		for (int i = 0; i < 4; i++)
		{
			protocol_sampling s = drive_greedy(40);

			s.temperature = i < 2 ? 0 : 0.7f;
			s.seed = (uint64_t) i;
			s.flags = i % 2 && k ? PROTOCOL_GENERATE_PLAIN : 0;
			drive_generate(d[k], (uint64_t) i, prompt, &s);
		}
		drive_wait(d[k], 3);
	}
	ok(same_text(drive_wait(d[1], 0), drive_wait(d[0], 0)), "greedy: %s", d[1]->answers[0].text);
	ok(same_text(drive_wait(d[1], 2), drive_wait(d[0], 2)) && same_text(&d[1]->answers[1], &d[0]->answers[1]) &&
	   same_text(drive_wait(d[1], 3), drive_wait(d[0], 3)), "with a seed, and without guesses by request");
	ok(drive_statistic(d[1], "accepted_tokens") > 10 && drive_statistic(d[0], "drafted_tokens") == 0,
	   "%ld of %ld guesses were right", drive_statistic(d[1], "accepted_tokens"),
	   drive_statistic(d[1], "drafted_tokens"));
	drive_close(d[0]);
	drive_close(d[1]);
}

static void
test_prefix(void)
{
	drive	   *d = drive_open(&two_threads, LLAMA, "{}");
	protocol_sampling s = drive_greedy(12);
	char		prompt[1024];

	prompt_of(prompt, sizeof(prompt), 6);
	drive_generate(d, 1, prompt, &s);
	drive_wait(d, 1);
	drive_generate(d, 2, prompt, &s);
	drive_wait(d, 2);
	ok(same_text(&d->answers[1], &d->answers[2]), "a prompt from the prefix cache: the same text");
	ok(d->answers[1].usage.cached_tokens == 0 &&
	   d->answers[2].usage.cached_tokens >= d->answers[2].usage.prompt_tokens - 16 &&
	   d->answers[2].usage.cached_tokens < d->answers[2].usage.prompt_tokens,
	   "all but the last block of it was cached (%u of %u)", d->answers[2].usage.cached_tokens,
	   d->answers[2].usage.prompt_tokens);
	ok(drive_statistic(d, "prefix_hit_tokens") == (long) d->answers[2].usage.cached_tokens,
	   "the statistics count the hits");
	drive_close(d);
}

static void
test_stop(void)
{
	drive	   *d = drive_open(&two_threads, LLAMA, "{}");
	protocol_sampling s = drive_greedy(40);
	const char *stop;
	size_t		at;

	drive_generate(d, 1, "Hello", &s);
	drive_wait(d, 1);
	ok(d->answers[1].length > 20, "an answer to cut: %s", d->answers[1].text);
	/* a stop string that begins and ends within tokens' borders unknown to the caller */
	at = d->answers[1].length / 2;
	stop = d->answers[1].text + at;
	while (((unsigned char) *stop & 0xC0) == 0x80)
		stop--;
	at = (size_t) (strstr(d->answers[1].text, stop) - d->answers[1].text);
	s.stops = 2;
	s.stop[0].data = "this does not occur";
	s.stop[0].length = 19;
	s.stop[1].data = stop;
	s.stop[1].length = (uint32_t) strlen(stop);
	s.flags = PROTOCOL_GENERATE_STREAM;
	drive_generate(d, 2, "Hello", &s);
	drive_wait(d, 2);
	ok(d->answers[2].length == at && memcmp(d->answers[2].text, d->answers[1].text, at) == 0,
	   "the text ends before the stop string");
	ok(d->answers[2].usage.finish == PROTOCOL_FINISH_STOP &&
	   d->answers[1].usage.finish == PROTOCOL_FINISH_LENGTH, "and says why");
	ok(d->answers[2].pieces > 3 && d->answers[1].pieces == 1, "a stream has pieces, else there is one");
	s = drive_greedy(40);
	s.flags = PROTOCOL_GENERATE_STREAM;
	drive_generate(d, 3, "Hello", &s);
	drive_wait(d, 3);
	ok(same_text(&d->answers[1], &d->answers[3]), "the pieces make up the text");
	drive_close(d);
}

static void
test_limits(void)
{
	drive	   *d = drive_open(&two_threads, LLAMA, "{\"max_model_len\": 64}");
	protocol_sampling s = drive_greedy(0);
	char		prompt[1024];
	drive_answer *a;

	drive_generate(d, 1, "Hi", &s);
	a = drive_wait(d, 1);
	ok(a->code == ENGINE_OK && a->usage.prompt_tokens + a->usage.completion_tokens == 64 &&
	   a->usage.finish == PROTOCOL_FINISH_LENGTH, "without max_tokens the model's limit ends the answer");
	prompt_of(prompt, sizeof(prompt), 6);
	drive_generate(d, 2, prompt, &s);
	a = drive_wait(d, 2);
	ok(a->code == ENGINE_TOO_LONG && strstr(a->message, "at most 64"), "a long prompt: %s", a->message);
	s.temperature = NAN;
	drive_generate(d, 3, "Hi", &s);
	ok(drive_wait(d, 3)->code == ENGINE_INVALID, "temperature NaN: %s", d->answers[3].message);
	s.temperature = 0;
	s.top_p = 0;
	drive_generate(d, 4, "Hi", &s);
	ok(drive_wait(d, 4)->code == ENGINE_INVALID, "top_p 0: %s", d->answers[4].message);
	drive_generate(d, 5, "bad \xFF byte", &(protocol_sampling) {.top_p = 1,.repetition_penalty = 1});
	ok(drive_wait(d, 5)->code == ENGINE_INVALID, "invalid UTF-8: %s", d->answers[5].message);
	drive_embed(d, 6, 1, (const char *const[]) {"x"}, 0);
	ok(drive_wait(d, 6)->code == ENGINE_INVALID, "embedding with it: %s", d->answers[6].message);
	drive_close(d);
}

static void
test_models(void)
{
	static const struct
	{
		const char *uri;
		const char *options;
		engine_code code;
	}			cases[] =
	{
		{"/nowhere/model.gguf", "{}", ENGINE_NOT_FOUND},
		{LLAMA, "{\"max_modle_len\": 64}", ENGINE_INVALID},
		{LLAMA, "{\"max_model_len\": 1e9}", ENGINE_INVALID},
		{LLAMA, "{\"max_model_len\": 100000}", ENGINE_INVALID},
		{LLAMA, "{\"max_model_len\": 512, \"kv_cache_tokens\": 256}", ENGINE_INVALID},
		{LLAMA, "[1]", ENGINE_INVALID},
		{LLAMA, "{\"max_model_len\": ", ENGINE_CORRUPT},
		{BERT, "{\"overflow\": \"ignore\"}", ENGINE_INVALID},
		{"test/tap.h", "{}", ENGINE_CORRUPT},
	};
	drive	   *d = drive_open(&two_threads, LLAMA, "{}");

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
	{
		drive_answer *a = &d->answers[i + 1];

		d->uri = cases[i].uri;
		d->options = cases[i].options;
		drive_simple(d, PROTOCOL_LOAD, i + 1);
		drive_wait(d, i + 1);
		ok(a->code == cases[i].code || (i == 8 && a->code != ENGINE_OK), "%s %s: %s", cases[i].uri,
		   cases[i].options, a->message);
	}
	d->uri = BERT;
	d->options = "{}";
	drive_simple(d, PROTOCOL_LOAD, 50);
	drive_wait(d, 50);
	ok(d->answers[50].info.kind == 1 && d->answers[50].info.dimensions == 32 &&
	   strcmp(d->answers[50].info.architecture, "bert") == 0 && d->answers[50].info.parameters > 1000,
	   "a model that loads says what it is");
	drive_simple(d, PROTOCOL_UNLOAD, 51);
	ok(drive_wait(d, 51)->code == ENGINE_OK, "it can be unloaded");
	drive_simple(d, PROTOCOL_UNLOAD, 52);
	ok(drive_wait(d, 52)->code == ENGINE_NOT_FOUND, "once");
	ok(engine_requests(d->engine) == 0 && d->bad_frames == 0, "nothing is left");
	drive_close(d);
}

/* A model that is asked to go goes when its last request has been answered. */
static void
test_unload_busy(void)
{
	drive	   *d = drive_open(&two_threads, LLAMA, "{}");
	protocol_sampling s = drive_greedy(30);

	drive_generate(d, 1, "Hello", &s);
	drive_simple(d, PROTOCOL_UNLOAD, 2);
	ok(!d->answers[2].over, "unloading waits for a request that waits for the load");
	ok(drive_wait(d, 1)->code == ENGINE_OK && drive_wait(d, 2)->code == ENGINE_OK,
	   "then both are answered");
	drive_generate(d, 3, "Hello", &s);
	ok(same_text(drive_wait(d, 3), &d->answers[1]), "and the model is loaded anew when asked for");
	drive_close(d);
}

static void
test_embed(void)
{
	drive	   *d = drive_open(&two_threads, BERT, "{}");
	const char *texts[40];
	char		store[40][64];
	int			same = 0;
	double		norm = 0;

	for (int i = 0; i < 40; i++)
	{
		snprintf(store[i], sizeof(store[i]), "%.*s the cat %d", i % 20, "is a dog is a dog is a dog", i);
		texts[i] = store[i];
	}
	drive_embed(d, 0, 40, texts, 0);
	drive_wait(d, 0);
	for (int i = 0; i < 40; i++)
	{
		drive_embed(d, (uint64_t) i + 1, 1, &texts[i], 0);
		drive_wait(d, (uint64_t) i + 1);
		same += memcmp(d->answers[i + 1].vectors, d->answers[0].vectors + i * 32, 32 * sizeof(float)) == 0;
	}
	ok(d->answers[0].vector_count == 40 && same == 40, "40 texts at once: each vector is that of the text alone");
	drive_embed(d, 50, 1, texts, 8);
	drive_wait(d, 50);
	for (int i = 0; i < 8; i++)
		norm += pow(d->answers[50].vectors[i], 2);
	ok(d->answers[50].width == 8 && fabs(norm - 1) < 1e-5 &&
	   fabs(d->answers[50].vectors[0] / d->answers[50].vectors[1] -
			d->answers[1].vectors[0] / d->answers[1].vectors[1]) < 1e-3, "fewer dimensions, of unit length");
	drive_embed(d, 51, 1, texts, 33);
	ok(drive_wait(d, 51)->code == ENGINE_INVALID, "more than there are: %s", d->answers[51].message);
	drive_embed(d, 52, 1, (const char *const[]) {""}, 0);
	ok(drive_wait(d, 52)->code == ENGINE_OK && d->answers[52].vector_count == 1, "the empty text has a vector");
	drive_count(d, 53, "the cat");
	ok(drive_wait(d, 53)->tokens == 2, "tokens are counted");
	drive_close(d);
}

static void
test_overflow(void)
{
	char		longer[1024] = "";
	const char *texts[2] = {"cat", longer};
	drive	   *d = drive_open(&two_threads, BERT, "{}");

	for (int i = 0; i < 100; i++)
		strcat(longer, "the cat ");
	drive_embed(d, 1, 2, texts, 0);
	drive_wait(d, 1);
	ok(d->answers[1].code == ENGINE_TOO_LONG && strstr(d->answers[1].message, "input 2 has 202 tokens") &&
	   strstr(d->answers[1].message, "at most 64"), "too long: %s", d->answers[1].message);
	d->options = "{\"overflow\": \"truncate\"}";
	drive_embed(d, 2, 2, texts, 0);
	ok(drive_wait(d, 2)->code == ENGINE_OK && d->answers[2].vector_count == 2 &&
	   d->answers[2].usage.prompt_tokens == 3 + 64, "cut where the model's options say so");
	drive_close(d);
}

/* A text that a job splits: the engine goes on meanwhile, and a cancel is answered at once. */
static void
test_long_text(void)
{
	drive	   *d = drive_open(&two_threads, BERT, "{}");
	size_t		size = 10 << 20;
	char	   *text = malloc(size + 1);
	const char *texts[1] = {text};

	memset(text, 'x', size);
	for (size_t i = 0; i < size; i += 7)
		text[i] = ' ';
	text[size] = '\0';
	drive_embed(d, 1, 1, texts, 0);
	drive_wait(d, 1);
	ok(d->answers[1].code == ENGINE_TOO_LONG, "10 MB: %s", d->answers[1].message);
	drive_embed(d, 2, 1, texts, 0);
	drive_simple(d, PROTOCOL_CANCEL, 2);
	ok(d->answers[2].over || (drive_collect(d), d->answers[2].over), "its cancel is answered at once");
	ok(d->answers[2].code == ENGINE_CANCELED, "as canceled");
	drive_count(d, 3, "the cat");
	ok(drive_wait(d, 3)->tokens == 2, "others go on");
	for (int i = 0; i < 100000 && engine_requests(d->engine) > 0; i++)
		drive_step(d);
	ok(engine_requests(d->engine) == 0, "and it is gone when its job ends");
	free(text);
	drive_close(d);
}

/* Payloads that are not what their type says, each type with each prefix of each payload. */
static void
test_garbage(void)
{
	drive	   *d = drive_open(&two_threads, LLAMA, "{}");
	protocol_writer w = {0};
	protocol_sampling s = drive_greedy(4);
	int			answered = 0,
				sent = 0;

	drive_simple(d, PROTOCOL_LOAD, 1);
	drive_wait(d, 1);
	protocol_begin(&w, PROTOCOL_GENERATE, 0);
	drive_model(d, &w);
	protocol_put_sampling(&w, &s);
	protocol_put_messages(&w, &(protocol_message) {"user", 4, "Hello", 5}, 1);
	protocol_end(&w);
	for (size_t n = 0; n < w.length - sizeof(protocol_header); n++)
	{
		for (uint32_t type = 0; type < 12; type++)
		{
			drive_answer *a = &d->answers[2];

			if (type == PROTOCOL_CANCEL)
				continue;
			free(a->text);
			free(a->vectors);
			memset(a, 0, sizeof(*a));
			engine_submit(d->engine, type, 2, w.data + sizeof(protocol_header), n);
			drive_wait(d, 2);
			sent++;
			answered += a->over;
		}
	}
	ok(sent == answered && d->bad_frames == 0, "%d broken requests: each is answered", sent);
	ok(engine_requests(d->engine) == 0, "and none is left");
	free(w.data);
	drive_close(d);
}

/* More cache than any machine has: an error before memory is taken. */
static void
test_memory(void)
{
	const char *models = getenv("RAG_TEST_MODELS");
	char		path[1024];
	drive	   *d;

	if (!models || !*models)
	{
		tap_skip("a cache that is too large: RAG_TEST_MODELS is not set");
		return;
	}
	snprintf(path, sizeof(path), "%s/smollm2.gguf", models);
	d = drive_open(&two_threads, path, "{\"kv_cache_tokens\": 16777216, \"kv_cache_type\": \"f32\"}");
	drive_simple(d, PROTOCOL_LOAD, 1);
	ok(drive_wait(d, 1)->code == ENGINE_NO_MEMORY && strstr(d->answers[1].message, "available"),
	   "a cache that is too large: %s", d->answers[1].message);
	drive_close(d);
}

static void
test_full(void)
{
	engine_config config = {.threads = 1,.max_queue = 4};
	drive	   *d = drive_open(&config, LLAMA, "{}");
	protocol_sampling s = drive_greedy(4);
	int			full = 0,
				good = 0;

	for (uint64_t i = 1; i <= 8; i++)
		drive_generate(d, i, "Hello", &s);
	for (uint64_t i = 1; i <= 8; i++)
	{
		full += drive_wait(d, i)->code == ENGINE_FULL;
		good += d->answers[i].code == ENGINE_OK;
	}
	ok(full == 6 && good == 2, "beyond its limit the engine refuses: %s", d->answers[8].message);
	drive_close(d);
}

int
main(void)
{
	test_batch();
	test_quoting();
	test_prefix();
	test_stop();
	test_limits();
	test_models();
	test_unload_busy();
	test_embed();
	test_overflow();
	test_long_text();
	test_garbage();
	test_memory();
	test_full();
	return tap_done();
}
