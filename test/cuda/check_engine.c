/*
 * check_engine.c: the whole engine on rag_cuda.so, which it loads as rag-engine does: when there is no
 * device; texts and vectors against those of the CPU; many requests that share, wait and give way.
 */
#include "tap.h"

#include <math.h>
#include <sys/socket.h>
#include <unistd.h>

#include "drive.h"
#include "engine/server.h"
#include "simd/half.h"

#define LLAMA "test/data/models/tiny-llama.gguf"
#define ALPHABET "test/data/models/alphabet-llama.gguf"	/* each token follows from the last one */
#define BERT "test/data/models/tiny-bert"
#define REQUESTS 24
#define REQUESTS_QUICK 8

static engine_config
config_of(engine_device_choice device)
{
	/* what is in a step must not depend on how long steps take */
	return (engine_config) {.device = device,.threads = 2,.max_num_batched_tokens = 64,
							.max_slowdown = -1,.cuda_library = getenv("RAG_CUDA_LIBRARY")};
}

/* ---------------------------------------------------------------------------
 * Where there is no device
 * ------------------------------------------------------------------------- */

static void
test_fallback(const char *devices, const char *library, const char *words, const char *name)
{
	engine_config config = config_of(ENGINE_DEVICE_AUTO);
	engine	   *e;
	engine_error error = {0};

	setenv("EMULATOR_DEVICES", devices, 1);
	if (library != NULL)
		config.cuda_library = library;
	e = engine_open(&config, &error);
	ok(e != NULL && strncmp(engine_device(e), "CPU", 3) == 0 &&
	   strstr(engine_device_note(e), words) != NULL, "auto, %s: the CPU, and a reason", name);
	if (e != NULL)
		tap_note("%s", engine_device_note(e));
	engine_close(e);
	config.device = ENGINE_DEVICE_CUDA;
	e = engine_open(&config, &error);
	ok(e == NULL && strstr(error.message, words) != NULL, "cuda, %s: an error", name);
	engine_close(e);
	config.device = ENGINE_DEVICE_CPU;
	e = engine_open(&config, &error);
	ok(e != NULL && engine_device_note(e)[0] == '\0', "cpu, %s: nobody asks", name);
	engine_close(e);
	setenv("EMULATOR_DEVICES", "1", 1);
}

static void
test_ordinal(void)
{
	engine_config config = config_of(ENGINE_DEVICE_CUDA);
	engine_error error = {0};
	engine	   *e;

	config.cuda_device = 3;
	e = engine_open(&config, &error);
	ok(e == NULL && strstr(error.message, "no CUDA device 3") != NULL, "a device that is not there");
	engine_close(e);
	setenv("EMULATOR_DEVICES", "4", 1);
	e = engine_open(&config, &error);
	ok(e != NULL && strncmp(engine_device(e), "CUDA 3", 6) == 0, "the fourth of four devices");
	engine_close(e);
	setenv("EMULATOR_DEVICES", "1", 1);
}

/* Too little memory is told to who asked, and the engine goes on. */
static void
test_memory(void)
{
	engine_config config = config_of(ENGINE_DEVICE_CUDA);
	drive	   *d;

	setenv("EMULATOR_MEMORY", "400000000", 1);
	d = drive_open(&config, LLAMA, "{\"kv_cache_tokens\": 16000000}");
	if (ok(d->engine != NULL, "a device with little memory opens"))
	{
		drive_simple(d, PROTOCOL_LOAD, 1);
		ok(drive_wait(d, 1)->code == ENGINE_NO_MEMORY, "a cache that does not fit is refused: %s",
		   d->answers[1].message);
		d->uri = BERT;
		d->options = "";
		drive_simple(d, PROTOCOL_LOAD, 2);
		ok(drive_wait(d, 2)->code == ENGINE_OK, "a model that fits is loaded after that");
	}
	drive_close(d);
	unsetenv("EMULATOR_MEMORY");
}

/* Serves a frame that meets an error that stays: the server ends and says why. */
static void
test_broken(protocol_type type, const char *name)
{
	engine_config config = config_of(ENGINE_DEVICE_CUDA);
	drive	   *d = drive_open(&config, LLAMA, "");
	protocol_sampling greedy = drive_greedy(4);
	engine_error error = {0};
	int			ends[2];

	if (type == PROTOCOL_GENERATE)
	{
		drive_generate(d, 1, "the cat", &greedy);
		ok(drive_wait(d, 1)->code == ENGINE_OK, "a request before that");
	}
	setenv("EMULATOR_BROKEN", "1", 1);
	d->hold = true;
	if (type == PROTOCOL_GENERATE)
		drive_generate(d, 2, "the cat", &greedy);
	else
		drive_simple(d, type, 2);
	ok(socketpair(AF_UNIX, SOCK_STREAM, 0, ends) == 0 &&
	   write(ends[0], d->held.data, d->held.length) == (ssize_t) d->held.length &&
	   !server_run(d->engine, ends[1], &error) && error.code == ENGINE_DIED &&
	   strstr(error.message, "719") != NULL, "an error that stays, in %s, ends the engine: %s", name,
	   error.message);
	unsetenv("EMULATOR_BROKEN");
	close(ends[0]);
	close(ends[1]);
	drive_close(d);
}

/* ---------------------------------------------------------------------------
 * Texts and vectors
 * ------------------------------------------------------------------------- */

static void
submit(drive *d, const char *uri, int kind)
{
	char		text[1024];
	size_t		n = 0;
	protocol_sampling s = drive_greedy(strcmp(uri, ALPHABET) == 0 ? 30 : 6 + (uint32_t) kind % 5 * 4);

	/* two of three share their beginning; lengths differ */
	if (kind % 3 != 0)
		n += (size_t) snprintf(text, sizeof(text), "You are a cat in a hat, and you answer in rhymes about rain. ");
	n += (size_t) snprintf(text + n, sizeof(text) - n, "Question %d: what did the cat do?", kind);
	for (int i = 0; i < kind % 5; i++)
		n += (size_t) snprintf(text + n, sizeof(text) - n, " And the dog number %d?", i * kind);
	if (kind % 4 == 1 && strcmp(uri, LLAMA) == 0)
	{
		s.temperature = 0.8f;
		s.top_p = 0.9f;
		s.top_k = kind % 8 == 1 ? 40 : 0;
		s.seed = (uint64_t) kind;
		s.repetition_penalty = 1.1f;
	}
	drive_generate(d, (uint64_t) kind, text, &s);
}

static int
same_text(const drive_answer *a, const drive_answer *b)
{
	return a->code == ENGINE_OK && b->code == ENGINE_OK && a->length == b->length &&
		(a->length == 0 || memcmp(a->text, b->text, a->length) == 0);
}

/* How many of the requests, all at once, both answer alike; -1 if CUDA does not answer them all. */
static int
count_alike(drive *cpu, drive *cuda, const char *uri, int requests)
{
	int			same = 0;
	int			good = 0;

	for (int kind = 0; kind < requests; kind++)
	{
		submit(cpu, uri, kind);
		submit(cuda, uri, kind);
	}
	for (int kind = 0; kind < requests; kind++)
	{
		drive_wait(cpu, (uint64_t) kind);
		drive_wait(cuda, (uint64_t) kind);
		good += cuda->answers[kind].code == ENGINE_OK;
		same += same_text(&cpu->answers[kind], &cuda->answers[kind]);
		if (cuda->answers[kind].code != ENGINE_OK)
			tap_note("%s", cuda->answers[kind].message);
	}
	return good == requests ? same : -1;
}

/* In little memory: prompts in chunks, blocks taken away and given back. */
static void
test_scheduling(const char *uri, int requests, int least, bool preempts)
{
	engine_config cpu = config_of(ENGINE_DEVICE_CPU);
	engine_config cuda = config_of(ENGINE_DEVICE_CUDA);
	const char *options = "{\"max_model_len\": 288, \"max_num_seqs\": 8, \"kv_cache_tokens\": 384, "
		"\"speculation\": \"off\"}";
	drive	   *a = drive_open(&cpu, uri, options);
	drive	   *b = drive_open(&cuda, uri, options);
	int			same;

	if (!ok(a->engine != NULL && b->engine != NULL, "both engines open"))
		return;
	ok(strncmp(engine_device(b->engine), "CUDA", 4) == 0, "one of them on %s",
	   engine_device(b->engine));
	same = count_alike(a, b, uri, requests);
	ok(same >= least, "%d of %d texts are the CPU's", same, requests);
	if (preempts)
		ok(drive_statistic(b, "preemptions") > 0, "sequences gave way");
	ok(drive_statistic(b, "prefix_hit_tokens") > 0, "prefixes were shared");
	drive_close(a);
	drive_close(b);
}

/* ---------------------------------------------------------------------------
 * A model of bf16 whose residual stream f16 does not hold: all that is added to it is 2^18 times what
 * ALPHABET adds, which the norms take away again.
 * ------------------------------------------------------------------------- */

#define WIDE_SCALE 262144.0f

static uint64_t
get_u64(const char *p)
{
	uint64_t	x;

	memcpy(&x, p, sizeof(x));
	return x;
}

static void
widen_tensor(uint16_t *data, size_t count, bool scaled)
{
	for (size_t i = 0; i < count; i++)
	{
		float		x = half_to_float(data[i]) * (scaled ? WIDE_SCALE : 1);
		uint32_t	bits;

		memcpy(&bits, &x, sizeof(bits));
		data[i] = (uint16_t) ((bits + 0x7FFF + (bits >> 16 & 1)) >> 16);
	}
}

/* A GGUF file of f16 matrices to one of bf16, in place: both have 16 bits. first: of the tensors' descriptions. */
static void
widen_file(char *first, uint64_t tensors)
{
	const uint32_t f16 = 1;
	const uint32_t bf16 = 30;
	char	   *data = NULL;

	for (int pass = 0; pass < 2; pass++)
	{
		char	   *p = first;

		for (uint64_t t = 0; t < tensors; t++)
		{
			const char *name = p + 8;
			size_t		length = get_u64(p);
			uint32_t	dimensions;
			size_t		count = 1;
			bool		scaled = memmem(name, length, "token_embd", 10) != NULL ||
				memmem(name, length, "attn_output", 11) != NULL ||
				memmem(name, length, "ffn_down", 8) != NULL;

			p += 8 + length;
			memcpy(&dimensions, p, 4);
			for (uint32_t i = 0; i < dimensions; i++)
				count *= get_u64(p + 4 + 8 * i);
			p += 4 + 8 * dimensions;
			if (pass == 1 && memcmp(p, &f16, 4) == 0)
			{
				widen_tensor((uint16_t *) (void *) (data + get_u64(p + 4)), count, scaled);
				memcpy(p, &bf16, 4);
			}
			p += 12;
		}
		/* the data begin at the next multiple of 32 bytes of the file, whose memory is aligned as well */
		data = (char *) (((uintptr_t) p + 31) / 32 * 32);
	}
}

static bool
make_wide(const char *path)
{
	static const char tokens[] = "token_embd.weight";
	_Alignas(32) static char file[1 << 18];
	FILE	   *from = fopen(ALPHABET, "rb");
	FILE	   *to = fopen(path, "wb");
	size_t		n = from != NULL ? fread(file, 1, sizeof(file), from) : 0;
	char	   *first = memmem(file, n, tokens, sizeof(tokens) - 1);
	bool		good = to != NULL && n < sizeof(file) && first != NULL;

	if (good)
	{
		widen_file(first - 8, get_u64(file + 8));
		good = fwrite(file, 1, n, to) == n;
	}
	if (from != NULL)
		fclose(from);
	return (to == NULL || fclose(to) == 0) && good;
}

static void
test_wide(int requests)
{
	static const struct
	{
		const char *options;
		bool		holds;
	}			cases[] = {
		{"{\"speculation\": \"off\"}", true},
		{"{\"speculation\": \"off\", \"dtype\": \"bfloat16\", \"kv_cache_type\": \"f32\"}", true},
		{"{\"speculation\": \"off\", \"dtype\": \"float16\"}", false},
	};
	engine_config cpu = config_of(ENGINE_DEVICE_CPU);
	engine_config cuda = config_of(ENGINE_DEVICE_CUDA);
	char		path[] = "/tmp/rag-wide-XXXXXX.gguf";
	int			fd = mkstemps(path, 5);

	if (!ok(fd >= 0 && make_wide(path), "a model of bf16"))
		return;
	close(fd);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
	{
		drive	   *a = drive_open(&cpu, path, cases[i].options);
		drive	   *b = drive_open(&cuda, path, cases[i].options);
		int			same = count_alike(a, b, ALPHABET, requests);

		ok(same >= 0 && (same == requests) == cases[i].holds, "beyond f16, %s: %d of %d texts are the CPU's",
		   cases[i].options, same, requests);
		ok(a->answers[0].length > 20 && memcmp(a->answers[0].text, "abcdef", 6) == 0, "which are the alphabet");
		drive_close(a);
		drive_close(b);
	}
	unlink(path);
}

static void
test_vectors(const char *uri, const char *options, double least)
{
	static const char *const texts[] = {"the cat", "What is a write-ahead log, and what is it good for?",
	"a", "the index is used when the query is selective enough, and else it is not"};
	engine_config cpu = config_of(ENGINE_DEVICE_CPU);
	engine_config cuda = config_of(ENGINE_DEVICE_CUDA);
	drive	   *d[2] = {drive_open(&cpu, uri, options), drive_open(&cuda, uri, options)};
	double		worst = 1;

	for (int i = 0; i < 2; i++)
	{
		drive_embed(d[i], 1, 4, texts, 0);
		drive_wait(d[i], 1);
	}
	if (!ok(d[0]->answers[1].vector_count == 4 && d[1]->answers[1].vector_count == 4,
			"%s: vectors of both (%s)", uri, d[1]->answers[1].message))
		return;
	for (int t = 0; t < 4; t++)
	{
		int			width = d[0]->answers[1].width;
		const float *x = d[0]->answers[1].vectors + t * width;
		const float *y = d[1]->answers[1].vectors + t * width;
		double		xy = 0,
					xx = 0,
					yy = 0;

		for (int i = 0; i < width; i++)
		{
			xy += (double) x[i] * y[i];
			xx += (double) x[i] * x[i];
			yy += (double) y[i] * y[i];
		}
		worst = fmin(worst, xy / sqrt(xx * yy));
	}
	ok(worst > least, "%s %s: cosine at least %.7f", uri, options, worst);
	drive_close(d[0]);
	drive_close(d[1]);
}

int
main(void)
{
	const char *models = getenv("RAG_TEST_MODELS");
	int			requests = getenv("RAG_TEST_QUICK") == NULL ? REQUESTS : REQUESTS_QUICK;
	char		path[512];

	test_fallback("driver", NULL, "error 35", "no driver");
	test_fallback("0", NULL, "error 100", "no device");
	test_fallback("1", "/nonexistent/rag_cuda.so", "could not load", "no library");
	test_fallback("1", "libm.so.6", "is no backend", "another library");
	test_ordinal();
	test_memory();
	test_broken(PROTOCOL_GENERATE, "a step");
	test_broken(PROTOCOL_LOAD, "a load");
	test_vectors(BERT, "", 0.9999);
	test_vectors(BERT, "{\"dtype\": \"bfloat16\"}", 0.999);
	test_scheduling(ALPHABET, requests, requests, true);
	test_wide(REQUESTS_QUICK);
	/* random weights leave the first two tokens close together: after half of a text they may part */
	test_scheduling(LLAMA, requests, requests / 2, false);
	if (models == NULL || *models == '\0')
		tap_skip("RAG_TEST_MODELS names no models");
	else if (getenv("RAG_TEST_QUICK") == NULL)
	{
		snprintf(path, sizeof(path), "%s/minilm", models);
		test_vectors(path, "", 0.99999);
	}
	return tap_done();
}
