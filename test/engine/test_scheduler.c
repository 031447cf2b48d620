/*
 * test_scheduler.c: many requests that come, are canceled and share at random; who goes
 * before whom; loading beside running.
 */
#include "tap.h"

#include "drive.h"

#define LLAMA "test/data/models/tiny-llama.gguf"
#define BERT "test/data/models/tiny-bert"
#define PLAIN "{\"max_model_len\": 256, \"speculation\": \"off\"}"
#define SMALL "{\"max_model_len\": 256, \"max_num_seqs\": 8, \"kv_cache_tokens\": 512, \"speculation\": \"always\"}"

static uint32_t seed = 20;

static int
draw(int limit)
{
	seed = seed * 1664525 + 1013904223;
	return (int) ((seed >> 8) % (uint32_t) limit);
}

/* ---------------------------------------------------------------------------
 * The soak: every answer is that of the request alone
 * ------------------------------------------------------------------------- */

#define KINDS 24				/* different requests: the first 16 generate, the others embed */
#define GENERATING 16
#define SLOTS 40				/* requests at a time */
#define UNLOAD_SLOT (SLOTS + 1)

typedef struct soak
{
	drive	   *d;
	drive	   *alone;			/* answers[kind] */
	int			kind[SLOTS];
	bool		live[SLOTS];
	bool		canceled[SLOTS];
	bool		unloading;
	int			finished;
	int			cut;
	int			wrong;
} soak;

static void
submit_kind(drive *d, uint64_t id, int kind, bool alone)
{
	char		text[1024];
	size_t		n = 0;

	/* every third shares its beginning with others; lengths differ */
	if (kind % 3 == 0)
		n += (size_t) snprintf(text, sizeof(text), "You are a cat in a hat, and you answer in rhymes about rain. ");
	n += (size_t) snprintf(text + n, sizeof(text) - n, "Question %d: what did the cat do?", kind);
	for (int i = 0; i < kind % 5; i++)
		n += (size_t) snprintf(text + n, sizeof(text) - n, " And the dog number %d?", i * kind);
	if (kind < GENERATING)
	{
		protocol_sampling s = drive_greedy(10 + (uint32_t) kind * 5);

		if (kind % 2)
		{
			s.temperature = 0.9f;
			s.top_p = 0.95f;
			s.top_k = kind % 4 == 1 ? 40 : 0;
			s.seed = (uint64_t) kind;
			s.presence_penalty = kind % 4 == 1 ? 0.3f : 0;
		}
		s.flags = kind % 4 < 2 ? PROTOCOL_GENERATE_STREAM : 0;
		if (kind % 5 == 4)
		{
			s.stops = 1;
			s.stop[0].data = "e";
			s.stop[0].length = 1;
		}
		d->caller.priority = kind % 7 == 0 ? -1 : 0;
		d->caller.role = (uint32_t) kind % 4;
		d->caller.max_requests = kind % 4 == 1 ? 2 : 0;
		d->caller.max_tokens = kind % 4 == 2 ? 150 : 0;
		d->uri = LLAMA;
		d->options = alone ? PLAIN : SMALL;
		drive_generate(d, id, text, &s);
	}
	else
	{
		const char *texts[3] = {text, "the cat", ""};

		d->uri = BERT;
		d->options = "{\"overflow\": \"truncate\"}";
		drive_embed(d, id, 1 + kind % 3, texts, 0);
	}
}

static bool
same_answer(const drive_answer *a, const drive_answer *b)
{
	return a->code == b->code && a->length == b->length && a->vector_count == b->vector_count &&
		(a->length == 0 || memcmp(a->text, b->text, a->length) == 0) &&
		(a->vector_count == 0 || memcmp(a->vectors, b->vectors, sizeof(float) *
										(size_t) (a->vector_count * a->width)) == 0);
}

static void
check_slot(soak *s, int slot)
{
	drive_answer *a = &s->d->answers[slot];

	if (!s->live[slot] || !a->over)
		return;
	if (s->canceled[slot] && a->code == ENGINE_CANCELED)
		s->cut++;
	else if (a->code != ENGINE_OK || !same_answer(a, &s->alone->answers[s->kind[slot]]))
		s->wrong++;
	else
		s->finished++;
	s->live[slot] = false;
	free(a->text);
	free(a->vectors);
	memset(a, 0, sizeof(*a));
}

/* Something happens to a slot: a new request, or its end. */
static void
disturb(soak *s, int slot)
{
	if (!s->live[slot])
	{
		s->kind[slot] = draw(KINDS);
		s->live[slot] = true;
		s->canceled[slot] = false;
		submit_kind(s->d, (uint64_t) slot, s->kind[slot], false);
	}
	else if (draw(3) == 0)
	{
		s->canceled[slot] = true;
		drive_simple(s->d, PROTOCOL_CANCEL, (uint64_t) slot);
	}
}

/* A model goes while it is in use, and comes back with the next request. */
static void
unload(soak *s)
{
	drive_answer *a = &s->d->answers[UNLOAD_SLOT];

	if (s->unloading && !a->over)
		return;
	memset(a, 0, sizeof(*a));
	s->d->uri = LLAMA;
	s->d->options = SMALL;
	drive_simple(s->d, PROTOCOL_UNLOAD, UNLOAD_SLOT);
	s->unloading = true;
}

static void
test_soak(void)
{
	engine_config config = {.threads = 2,.max_num_batched_tokens = 48};
	soak		s = {.alone = drive_open(&config, LLAMA, PLAIN),.d = drive_open(&config, LLAMA, SMALL)};
	int			rounds = getenv("RAG_TEST_QUICK") ? 400 : 3000;
	int			live = 0;

	for (int kind = 0; kind < KINDS; kind++)
	{
		submit_kind(s.alone, (uint64_t) kind, kind, true);
		drive_wait(s.alone, (uint64_t) kind);
	}
	for (int i = 0; i < rounds; i++)
	{
		for (int k = draw(4); k > 0; k--)
			disturb(&s, draw(SLOTS));
		if (draw(200) == 0)
			unload(&s);
		drive_step(s.d);
		for (int slot = 0; slot < SLOTS; slot++)
			check_slot(&s, slot);
	}
	for (int slot = 0; slot < SLOTS; slot++)
	{
		if (s.live[slot])
			drive_wait(s.d, (uint64_t) slot);
		check_slot(&s, slot);
		live += s.live[slot];
	}
	ok(s.wrong == 0 && s.finished > rounds / 10 && s.cut > rounds / 20,
	   "%d requests among others have the answer of the request alone (%d wrong), %d were canceled",
	   s.finished, s.wrong, s.cut);
	ok(live == 0 && engine_requests(s.d->engine) == 0, "none is left");
	ok(s.d->bad_frames == 0, "each ended once");
	ok(drive_statistic(s.d, "kv_blocks_used") == 0 &&
	   strstr(s.d->answers[DRIVE_REQUESTS - 1].text, "\"kv_blocks_used\": ") != NULL &&
	   strstr(strstr(s.d->answers[DRIVE_REQUESTS - 1].text, "\"kv_blocks_used\": ") + 1,
			  "\"kv_blocks_used\": 0") != NULL, "and no block of any model is in use");
	drive_close(s.alone);
	drive_close(s.d);
}

/* ---------------------------------------------------------------------------
 * Order and sharing
 * ------------------------------------------------------------------------- */

static void
test_priority(void)
{
	drive	   *d = drive_open(&(engine_config) {.threads = 1}, LLAMA, "{\"max_num_seqs\": 1}");
	protocol_sampling s = drive_greedy(20);

	for (uint64_t i = 1; i <= 4; i++)
	{
		d->caller.priority = i == 4 ? -1 : 0;
		drive_generate(d, i, "Hello", &s);
		if (i == 1)
			while (drive_statistic(d, "running") != 1)
				drive_step(d);
	}
	drive_wait(d, 4);
	ok(d->answers[1].over && !d->answers[2].over && !d->answers[3].over,
	   "an urgent request goes before those that wait, not before the one that runs");
	drive_wait(d, 2);
	ok(!d->answers[3].over, "the others go in the order of their arrival");
	ok(drive_wait(d, 3)->code == ENGINE_OK, "until the last");
	drive_close(d);
}

/* One that is not urgent, and ever more that are: it has its turn. */
static void
test_aging(void)
{
	drive	   *d = drive_open(&(engine_config) {.threads = 1}, LLAMA, "{\"max_num_seqs\": 1}");
	protocol_sampling s = drive_greedy(2);
	uint64_t	urgent = 2;
	int			steps = 0;

	d->caller.priority = 2;
	drive_generate(d, 1, "Hello", &s);
	d->caller.priority = 0;
	for (; steps < 5000 && !d->answers[1].over; steps++)
	{
		while (engine_requests(d->engine) < 4)
		{
			drive_answer *a = &d->answers[2 + urgent % 500];

			free(a->text);
			memset(a, 0, sizeof(*a));
			drive_generate(d, 2 + urgent++ % 500, "Hello", &s);
		}
		drive_step(d);
	}
	ok(urgent > 100 && d->answers[1].over && d->answers[1].code == ENGINE_OK,
	   "%d urgent requests later one that is not is done", (int) urgent);
	d->caller.priority = PROTOCOL_MAX_PRIORITY + 1;
	drive_generate(d, 1000, "Hello", &s);
	ok(drive_wait(d, 1000)->code == ENGINE_INVALID, "out of range: %s", d->answers[1000].message);
	drive_close(d);
}

static int
count_over(const drive *d, uint64_t first, uint64_t last)
{
	int			count = 0;

	for (uint64_t i = first; i <= last; i++)
		count += d->answers[i].over && d->answers[i].code == ENGINE_OK;
	return count;
}

/* Requests 1 to 6 of a role with limits, 7 and 8 of another: the most that ran at a time until those were done. */
static long
most_running(drive *d, const protocol_caller *limited, const protocol_sampling *s, int *left)
{
	long		most = 0;

	for (uint64_t i = 1; i <= 8; i++)
	{
		d->caller = i <= 6 ? *limited : (protocol_caller) {.role = 8};
		drive_generate(d, i, "Hello", s);
	}
	while (count_over(d, 7, 8) < 2)
	{
		long		running = drive_statistic(d, "running");

		most = running > most ? running : most;
		drive_step(d);
	}
	*left = 6 - count_over(d, 1, 6);
	drive_wait(d, 6);
	return most;
}

/*
 * A role has what its limits allow, and the others do not wait for it. Without guesses: equal requests
 * that begin together end together.
 */
static void
test_roles(void)
{
	drive	   *d = drive_open(&(engine_config) {.threads = 1}, LLAMA, "{\"max_num_seqs\": 8, \"speculation\": \"off\"}");
	protocol_sampling s = drive_greedy(30);
	long		most;
	int			left;

	most = most_running(d, &(protocol_caller) {.role = 7,.max_requests = 2}, &s, &left);
	ok(most == 4 && left >= 4 && count_over(d, 1, 6) == 6,
	   "a role of 2 requests at a time: %ld run with 2 of another, 4 wait and run later", most);
	drive_close(d);

	d = drive_open(&(engine_config) {.threads = 1}, LLAMA, "{\"max_num_seqs\": 8}");
	drive_generate(d, 100, "Hello", &s);
	drive_wait(d, 100);
	most = most_running(d, &(protocol_caller) {.role = 7,
						.max_tokens = 3 * (d->answers[100].usage.prompt_tokens + 30) + 1}, &s, &left);
	ok(most == 5 && left >= 3 && count_over(d, 1, 6) == 6, "a role of so many tokens: 3 run at a time (%ld)", most - 2);
	d->caller = (protocol_caller) {.role = 9,.max_tokens = 1};
	drive_generate(d, 101, "Hello", &s);
	drive_generate(d, 102, "Hello", &s);
	drive_wait(d, 102);
	ok(count_over(d, 101, 102) == 2, "one that is larger than its role may have runs alone");
	drive_close(d);
}

/* Roles that ask for more than there is room for: each leaves as many places as it takes. */
static void
test_queue(void)
{
	static const int shares[] = {8, 4, 2, 1, 1, 0};
	drive	   *d = drive_open(&(engine_config) {.threads = 1,.max_queue = 16}, LLAMA, "{}");
	protocol_sampling s = drive_greedy(2);
	uint64_t	id = 0;
	int			wrong = 0;
	int			good = 0;

	for (uint32_t role = 0; role < 6; role++)
	{
		int			waiting = 0;

		d->caller.role = role + 1;
		for (int i = 0; i < 10; i++)
		{
			drive_generate(d, id, "Hello", &s);
			drive_collect(d);
			waiting += !d->answers[id].over;
			wrong += d->answers[id].over && d->answers[id].code != ENGINE_FULL;
			id++;
		}
		wrong += waiting != shares[role];
	}
	ok(wrong == 0, "a role's requests that wait leave room for those of others");
	ok(strstr(d->answers[9].message, "8 requests of the role wait") != NULL, "beyond it they are refused: %s",
	   d->answers[9].message);
	for (uint64_t i = 0; i < id; i++)
		good += drive_wait(d, i)->code == ENGINE_OK;
	ok(good == 16, "those that waited are done");
	drive_generate(d, id, "Hello", &s);
	ok(drive_wait(d, id)->code == ENGINE_OK, "and there is room again");
	drive_close(d);
}

/* The same for texts to embed: a step holds what each role may have. */
static void
test_roles_encoder(void)
{
	drive	   *d = drive_open(&(engine_config) {.threads = 1}, BERT, "{}");
	const char *texts[40];
	int			most = 0;

	for (int i = 0; i < 40; i++)
		texts[i] = "the cat is a dog";
	drive_simple(d, PROTOCOL_LOAD, 0);
	drive_wait(d, 0);
	d->caller = (protocol_caller) {.role = 7,.max_tokens = 30};
	drive_embed(d, 1, 40, texts, 0);
	while (!d->answers[1].over)
	{
		int			before = d->answers[1].vector_count;

		drive_step(d);
		most = d->answers[1].vector_count - before > most ? d->answers[1].vector_count - before : most;
	}
	ok(most == 4 && d->answers[1].vector_count == 40, "texts of 7 tokens, 30 at a time: %d in a step", most);
	d->caller.max_requests = 1;
	for (uint64_t i = 2; i <= 5; i++)
		drive_embed(d, i, 1, texts, 0);
	drive_step(d);
	ok(count_over(d, 2, 5) == 1, "one request at a time");
	drive_wait(d, 5);
	ok(count_over(d, 2, 5) == 4, "and the next ones later");
	drive_close(d);
}

/* Requests that come at once with one beginning: it is computed once. */
static void
test_shared(void)
{
	engine_config config = {.threads = 1,.max_num_batched_tokens = 4096};
	drive	   *d = drive_open(&config, LLAMA, "{}");
	protocol_sampling s = drive_greedy(4);
	char		text[1024];
	long		total = 0;
	uint32_t	cached = 0;
	uint32_t	most = 0;

	for (uint64_t i = 0; i < 16; i++)
	{
		snprintf(text, sizeof(text), "You are a cat in a hat, and you answer in rhymes about the "
				 "rain and the dogs and the cats of the neighbours. Question %d", (int) i);
		drive_generate(d, i, text, &s);
	}
	for (uint64_t i = 0; i < 16; i++)
	{
		const protocol_usage *u = &drive_wait(d, i)->usage;

		total += u->prompt_tokens;
		cached += u->cached_tokens;
		most = u->cached_tokens > most ? u->cached_tokens : most;
	}
	ok(most >= 32 && cached >= 15 * most, "15 of 16 take the beginning from the first (%u tokens each)", most);
	ok(drive_statistic(d, "prompt_tokens") == total - (long) cached, "and what is cached is not computed");
	drive_close(d);
}

/* A request that cannot go on for want of blocks is not forgotten, and the oldest finishes first. */
static void
test_preempted(void)
{
	drive	   *d = drive_open(&(engine_config) {.threads = 1}, LLAMA,
							   "{\"max_model_len\": 128, \"kv_cache_tokens\": 128}");
	protocol_sampling s = drive_greedy(0);

	for (uint64_t i = 1; i <= 3; i++)
		drive_generate(d, i, "Hello", &s);
	drive_wait(d, 1);
	ok(d->answers[1].usage.finish == PROTOCOL_FINISH_LENGTH && !d->answers[3].over,
	   "with a cache for one the first is not held up");
	drive_wait(d, 3);
	ok(drive_wait(d, 2)->over && d->answers[3].length == d->answers[1].length &&
	   memcmp(d->answers[3].text, d->answers[1].text, d->answers[1].length) == 0 &&
	   memcmp(d->answers[2].text, d->answers[1].text, d->answers[1].length) == 0,
	   "and the others say the same later");
	ok(drive_statistic(d, "preemptions") > 0, "having given their blocks back");
	drive_close(d);
}

/* A prompt that is in the cache but for its last token, in a step of its own, and that guesses. */
static void
test_cached(void)
{
	drive	   *d = drive_open(&(engine_config) {.threads = 1}, LLAMA, "{\"max_model_len\": 256}");
	protocol_sampling s = drive_greedy(12);
	static const char text[] = "the cat is the cat is the cat is the cat is the cat is the cat is the cat is the cat";
	int			same = 0;
	int			cached = 0;
	int			tried = 0;

	for (size_t length = 12; length < sizeof(text); length++, tried++)
	{
		char		part[sizeof(text)] = "";
		uint64_t	id = 2 * (uint64_t) tried;

		memcpy(part, text, length);
		drive_generate(d, id, part, &s);
		drive_wait(d, id);
		drive_generate(d, id + 1, part, &s);
		drive_wait(d, id + 1);
		same += same_answer(&d->answers[id], &d->answers[id + 1]);
		cached += d->answers[id + 1].usage.cached_tokens + 1 == d->answers[id + 1].usage.prompt_tokens;
	}
	ok(same == tried && cached > 0, "what is cached but for a token says the same again (%d of %d, %d such)", same,
	   tried, cached);
	drive_close(d);
}

/* Behind thousands of texts that their role may not have computed yet others are found. */
static void
test_passed_by(void)
{
	drive	   *d = drive_open(&(engine_config) {.threads = 1,.max_num_batched_tokens = 64}, BERT, "{}");
	const char *texts[4000];
	int			steps = 0;

	for (int i = 0; i < 4000; i++)
		texts[i] = "the cat is a dog";
	drive_simple(d, PROTOCOL_LOAD, 0);
	drive_wait(d, 0);
	d->caller = (protocol_caller) {.role = 7,.max_tokens = 30};
	drive_embed(d, 1, 4000, texts, 0);
	while (d->answers[1].vector_count == 0)
		drive_step(d);
	d->caller = (protocol_caller) {.role = 8,.priority = PROTOCOL_MAX_PRIORITY};
	drive_embed(d, 2, 1, texts, 0);
	while (!d->answers[2].over && steps < 2000)
	{
		drive_step(d);
		steps++;
	}
	ok(steps < 12 && d->answers[1].vector_count > 0 && !d->answers[1].over,
	   "behind 4000 texts of a role that may have four at a time, another's is done after %d steps", steps);
	drive_simple(d, PROTOCOL_CANCEL, 1);
	drive_embed(d, 3, 40, texts, 0);
	ok(drive_wait(d, 3)->code == ENGINE_OK, "and others when those are canceled");
	drive_close(d);
}

/* A request of very many texts and single ones beside it: neither waits for the other's end. */
static void
test_fair(void)
{
	drive	   *d = drive_open(&(engine_config) {.threads = 1,.max_num_batched_tokens = 64}, BERT, "{}");
	const char *texts[4000];
	uint64_t	single = 2;
	int			steps = 0;

	for (int i = 0; i < 4000; i++)
		texts[i] = "the cat is a dog";
	drive_simple(d, PROTOCOL_LOAD, 0);
	drive_wait(d, 0);
	drive_embed(d, 1, 4000, texts, 0);
	while (d->answers[1].vector_count == 0)
		drive_step(d);
	drive_embed(d, 2, 1, texts, 0);
	drive_embed(d, 3, 2, texts, 0);
	for (; steps < 5 && !(d->answers[2].over && d->answers[3].over); steps++)
		drive_step(d);
	ok(steps < 5 && !d->answers[1].over, "few texts beside 4000 are done after %d steps", steps);

	/* twice as many single texts as can be computed: the last of twenty texts waits as if it came with the 400th */
	drive_simple(d, PROTOCOL_CANCEL, 1);
	drive_embed(d, 900, 20, texts, 0);
	for (steps = 0; steps < 100 && !d->answers[900].over; steps++)
	{
		for (int i = 0; i < 20; i++)
			drive_embed(d, 4 + single++ % 800, 1, texts, 0);
		drive_step(d);
		for (int i = 4; i < 804; i++)
			d->answers[i].over = false;
	}
	ok(steps > 3 && steps < 60, "twenty texts beside ever more single ones are done after %d steps", steps);
	drive_close(d);
}

/* While a long prompt is read, in pieces of the budget, each step has a token for the one that generates. */
static void
test_long_prompt(void)
{
	drive	   *d = drive_open(&(engine_config) {.threads = 1,.max_num_batched_tokens = 8,.max_slowdown = -1}, LLAMA,
						   "{\"max_model_len\": 256, \"max_num_seqs\": 2, \"speculation\": \"off\"}");
	protocol_sampling s = drive_greedy(100);
	protocol_sampling one = drive_greedy(1);
	char		text[200];
	long		before;
	long		tokens;
	int			steps = 0;

	memset(text, 'x', sizeof(text));
	text[sizeof(text) - 1] = '\0';
	drive_generate(d, 1, "Hello", &s);
	while (drive_statistic(d, "generated_tokens") < 3)
		drive_step(d);
	before = drive_statistic(d, "generated_tokens");
	drive_generate(d, 2, text, &one);
	for (; steps < 1000 && !d->answers[2].over; steps++)
		drive_step(d);
	/* the last step has one of both */
	tokens = drive_statistic(d, "generated_tokens") - before;
	ok(!d->answers[1].over && tokens == steps + 1, "beside a prompt of %d tokens: %ld tokens in %d steps",
	   (int) d->answers[2].usage.prompt_tokens, tokens, steps);
	ok(steps == ((int) d->answers[2].usage.prompt_tokens + 6) / 7, "and seven tokens of it in each");
	drive_close(d);
}

/* ---------------------------------------------------------------------------
 * Loading beside running
 * ------------------------------------------------------------------------- */

static void
test_loading(void)
{
	drive	   *d = drive_open(&(engine_config) {.threads = 1}, LLAMA, "{}");
	protocol_sampling s = drive_greedy(8);
	const char *text;

	for (uint64_t i = 1; i <= 3; i++)
		drive_generate(d, i, "Hello", &s);
	ok(drive_statistic(d, "waiting") == 3, "requests wait for their model");
	text = d->answers[DRIVE_REQUESTS - 1].text;
	ok(strstr(text, "\"state\": \"loading\"") != NULL &&
	   strstr(strstr(text, "\"uri\"") + 1, "\"uri\"") == NULL, "which is loaded once for all of them");
	drive_simple(d, PROTOCOL_CANCEL, 2);
	drive_collect(d);
	ok(d->answers[2].code == ENGINE_CANCELED && !d->answers[1].over, "one that waits can be canceled");
	ok(drive_wait(d, 1)->code == ENGINE_OK && drive_wait(d, 3)->code == ENGINE_OK,
	   "the others are answered");
	d->uri = "/nowhere";
	drive_generate(d, 4, "Hello", &s);
	drive_count(d, 5, "Hello");
	drive_simple(d, PROTOCOL_LOAD, 6);
	ok(drive_wait(d, 4)->code == ENGINE_NOT_FOUND && drive_wait(d, 5)->code == ENGINE_NOT_FOUND &&
	   drive_wait(d, 6)->code == ENGINE_NOT_FOUND, "a load that fails fails all that wait for it");
	ok(drive_statistic(d, "waiting") == 0 && strstr(d->answers[DRIVE_REQUESTS - 1].text, "nowhere") == NULL,
	   "and is forgotten");
	drive_close(d);
}

/* What a request holds is free when its cancel has been taken, whatever state it is in. */
static void
test_cancel(void)
{
	drive	   *d = drive_open(&(engine_config) {.threads = 2,.max_num_batched_tokens = 32}, LLAMA, SMALL);
	protocol_sampling s = drive_greedy(100);
	const char *text = "the cat and the dog, the cat and the dog, the cat and the dog, the cat and the rain";
	int			freed = 0;
	int			held = 0;

	for (int steps = 0; steps < 12; steps++)
	{
		uint64_t	id = (uint64_t) steps + 1;

		/* in the middle of its prompt, at its end, behind it */
		drive_generate(d, id, text, &s);
		while (!d->answers[id].over && drive_statistic(d, "running") <= 0)
			drive_step(d);
		for (int i = 0; i < steps; i++)
			drive_step(d);
		held += drive_statistic(d, "kv_blocks_used") > 0;
		drive_simple(d, PROTOCOL_CANCEL, id);
		freed += drive_statistic(d, "kv_blocks_used") == 0 && engine_requests(d->engine) == 0;
		free(d->answers[id].text);
		memset(&d->answers[id], 0, sizeof(d->answers[id]));
	}
	ok(held == 12 && freed == 12, "a canceled request holds no block before the next step (%d of %d)", freed, held);
	drive_close(d);
}

/* The engine is closed with everything under way. */
static void
test_close(void)
{
	drive	   *d = drive_open(&(engine_config) {.threads = 2}, LLAMA, "{}");
	protocol_sampling s = drive_greedy(0);

	for (uint64_t i = 1; i <= 6; i++)
		drive_generate(d, i, "Hello", &s);
	while (drive_statistic(d, "running") <= 0)
		drive_step(d);
	d->uri = BERT;
	drive_simple(d, PROTOCOL_LOAD, 7);
	drive_count(d, 8, "the cat");
	ok(engine_requests(d->engine) == 8, "closing an engine with running and loading requests");
	drive_close(d);
}

int
main(void)
{
	test_soak();
	test_priority();
	test_aging();
	test_roles();
	test_queue();
	test_roles_encoder();
	test_shared();
	test_preempted();
	test_cached();
	test_fair();
	test_passed_by();
	test_long_prompt();
	test_loading();
	test_cancel();
	test_close();
	return tap_done();
}
