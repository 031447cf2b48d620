/*
 * test_engine_memory.c: requests and loads with every allocation failing in turn: an
 * error that says so, and an engine that works again when there is memory.
 */
#include "tap.h"

#include "drive.h"
#include "failing_malloc.h"

#ifdef CAN_FAIL_MALLOC

#define LLAMA "test/data/models/tiny-llama.gguf"
#define BERT "test/data/models/tiny-bert"

typedef void (*submit_function) (drive *d, uint64_t id);

static void
generate(drive *d, uint64_t id)
{
	protocol_sampling s = drive_greedy(30);

	s.repetition_penalty = 1.1f;
	s.temperature = 0.5f;
	d->uri = LLAMA;
	drive_generate(d, id, "What did the cat do with the hat?", &s);
}

static void
embed(drive *d, uint64_t id)
{
	d->uri = BERT;
	drive_embed(d, id, 3, (const char *const[]) {"the cat", "a dog", ""}, 0);
}

static void
count(drive *d, uint64_t id)
{
	d->uri = BERT;
	drive_count(d, id, "the cat");
}

static void
forget(drive_answer *a)
{
	free(a->text);
	free(a->vectors);
	memset(a, 0, sizeof(*a));
}

/* An answer that may be out of memory, but is the right one if it is not. */
static bool
good_answer(const drive_answer *a, const drive_answer *right)
{
	if (!a->over || (a->code != ENGINE_OK && a->code != ENGINE_NO_MEMORY))
	{
		tap_note("over %d, error %d: %s", a->over, a->code, a->message);
		return false;
	}
	return a->code != ENGINE_OK || (a->length == right->length && a->tokens == right->tokens &&
									(a->length == 0 || memcmp(a->text, right->text, a->length) == 0));
}

/* Steps without collecting: that would need memory of the test's own. */
static void
work(drive *d)
{
	for (int i = 0; i < 1000 && engine_requests(d->engine) > 0; i++)
	{
		if (!engine_step(d->engine))
			poll(&(struct pollfd) {.fd = engine_wake_fd(d->engine),.events = POLLIN}, 1, 10);
	}
}

/* The request, with its frame made before memory ends. load: it finds its model not loaded. */
static void
test_request(const char *name, submit_function submit, bool load)
{
	drive	   *d = drive_open(&(engine_config) {.threads = 2}, LLAMA, "{}");
	long		wrong = 0;
	long		failed = 0;
	long		n = 0;
	bool		reached = true;
	char	   *spare;

	submit(d, 1);
	drive_wait(d, 1);
	/* answers need room too: a stream that cannot be answered at all is the server's to end */
	spare = realloc(engine_output(d->engine)->data, 1 << 16);
	engine_output(d->engine)->data = spare;
	engine_output(d->engine)->capacity = 1 << 16;
	for (; reached && n < 5000; n++)
	{
		if (load)
		{
			drive_simple(d, PROTOCOL_UNLOAD, 3);
			drive_wait(d, 3);
			forget(&d->answers[3]);
		}
		d->hold = true;
		submit(d, 2);
		malloc_fails_at(n, false);
		drive_release(d);
		work(d);
		malloc_works_again(&reached);
		drive_collect(d);
		wrong += !good_answer(&d->answers[2], &d->answers[1]);
		failed += d->answers[2].code == ENGINE_NO_MEMORY;
		forget(&d->answers[2]);
	}
	ok(wrong == 0 && !reached && failed > 3, "%s: %ld allocations failed in turn, %ld errors", name, n - 1,
	   failed);
	submit(d, 2);
	drive_wait(d, 2);
	ok(d->answers[2].code == ENGINE_OK && good_answer(&d->answers[2], &d->answers[1]) &&
	   engine_requests(d->engine) == 0 && d->bad_frames == 0, "%s: then all is well again", name);
	drive_close(d);
}

/* Steps take no memory: only answers that are kept grow, and these are sent as they come. */
static void
test_steps(void)
{
	enum {REQUESTS = 4, FIRST = 20, STEPS = 120, MANY = 1000000};
	/* how long steps take must not decide when a prompt is done */
	drive	   *d = drive_open(&(engine_config) {.threads = 2,.max_slowdown = -1}, LLAMA,
							   "{\"speculation\": \"always\"}");
	char		prompt[150];
	protocol_sampling s = drive_greedy(300);
	bool		reached;
	long		used;

	memset(prompt, 'a', sizeof(prompt) - 1);
	prompt[sizeof(prompt) - 1] = '\0';
	generate(d, 1);
	drive_wait(d, 1);
	s.temperature = 0.8f;
	s.flags = PROTOCOL_GENERATE_RAW | PROTOCOL_GENERATE_STREAM;
	for (uint64_t id = 2; id < 2 + REQUESTS; id++)
	{
		s.seed = id;
		prompt[id] = 'b';
		drive_generate(d, id, prompt, &s);
	}
	/* the test takes the pieces from here */
	engine_output(d->engine)->data = realloc(engine_output(d->engine)->data, 1 << 16);
	engine_output(d->engine)->capacity = 1 << 16;
	for (int i = 0; i < FIRST; i++)
		engine_step(d->engine);
	malloc_fails_at(MANY, false);
	for (int i = 0; i < STEPS; i++)
		engine_step(d->engine);
	used = MANY - until_failure;
	malloc_works_again(&reached);
	ok(used == 0, "%d steps of %d sequences: %ld allocations", STEPS, REQUESTS, used);
	for (uint64_t id = 2; id < 2 + REQUESTS; id++)
	{
		drive_wait(d, id);
		ok(d->answers[id].code == ENGINE_OK && d->answers[id].usage.completion_tokens > 3,
		   "and an answer of %u tokens", d->answers[id].usage.completion_tokens);
	}
	drive_close(d);
}

int
main(void)
{
	test_steps();
	test_request("counting", count, false);
	test_request("embedding", embed, false);
	test_request("generating", generate, false);
	test_request("embedding with a load", embed, true);
	test_request("generating with a load", generate, true);
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
