/*
 * test_not_finite.c: a model that makes numbers that are none for some texts. Requests with such
 * a text fail; those that are computed beside them do not notice.
 */
#include "tap.h"

#include <fcntl.h>

#include "drive.h"
#include "engine/gguf.h"
#include "engine/safetensors.h"
#include "engine/tokenizer.h"
#include "model_build.h"

#define LLAMA "test/data/models/alphabet-llama.gguf"
#define BERT "test/data/models/tiny-bert"

/* The id of a token of a model. */
static int32_t
token_of(const char *path, const char *token)
{
	engine_error error;
	model	   *m = model_open(path, &error);
	tokenizer  *t = m ? tokenizer_open(m, &error) : NULL;
	int32_t		id = t ? tokenizer_find(t, token) : -1;

	tokenizer_close(t);
	model_close(m);
	return id;
}

/* A copy of a file in which a row of a tensor is NaN. NULL: no such row. */
static const char *
spoil(const char *path, const char *name, const char *tensor, int32_t row)
{
	engine_error error;
	file_map	map;
	tensor_table table = {0};
	gguf	   *g = NULL;
	const char *copy = NULL;
	table_tensor *t;

	if (!file_map_open(AT_FDCWD, path, &map, &error))
		return NULL;
	if (strstr(path, ".gguf") != NULL)
		g = gguf_parse(&map, &table, &error);
	else if (!safetensors_parse(&map, &table, &error) || !tensor_table_sort(&table, &error))
		tap_note("%s", error.message);
	t = tensor_table_find(&table, tensor);
	if (t != NULL && row >= 0 && row < t->shape[0])
	{
		unsigned char *spoilt = malloc(map.size);
		size_t		size = t->bytes / (size_t) t->shape[0];

		memcpy(spoilt, map.data, map.size);
		/* NaN in 16 bits and in 32 */
		memset(spoilt + (t->data - map.data) + (size_t) row * size, 0xFF, size);
		copy = build_write(name, spoilt, map.size);
		free(spoilt);
	}
	tensor_table_free(&table);
	gguf_free(g);
	file_map_close(&map);
	return copy;
}

#define PROMPTS 7

/* Those of odd number have a "#", at the beginning, in the middle, at the end. */
static const char *const prompts[PROMPTS] = {
	"which letters are there in the long story of the man and the hat in the rain",
	"which letters are there in the long story # of the man and the hat in the rain",
	"m",
	"# which letters are there",
	"which letters are there in the long story of the man who had no hat at all",
	"letters #",
	"one, two, three",
};

/* The answers to some of the prompts, given at once. */
static void
ask(drive *d, uint64_t first, bool odd)
{
	protocol_sampling s = drive_greedy(30);

	for (int i = 0; i < PROMPTS; i += odd ? 1 : 2)
		drive_generate(d, first + (uint64_t) i, prompts[i], &s);
	for (int i = 0; i < PROMPTS; i += odd ? 1 : 2)
		drive_wait(d, first + (uint64_t) i);
}

static bool
same_texts(const drive *a, uint64_t first_a, const drive *b, uint64_t first_b)
{
	bool		good = true;

	for (uint64_t i = 0; i < PROMPTS; i += 2)
	{
		const drive_answer *x = &a->answers[first_a + i];
		const drive_answer *y = &b->answers[first_b + i];

		good = good && x->over && y->over && x->code == ENGINE_OK && y->code == ENGINE_OK &&
			x->length > 5 && x->length == y->length && memcmp(x->text, y->text, x->length) == 0;
	}
	return good;
}

static void
test_generation(const char *options)
{
	engine_config config = {.threads = 2};
	const char *path = spoil(LLAMA, "spoilt.gguf", "token_embd.weight", token_of(LLAMA, "#"));
	drive	   *sound = drive_open(&config, LLAMA, options);
	drive	   *d = drive_open(&config, path != NULL ? path : "", options);
	bool		good = true;

	ask(sound, 1, true);
	for (int i = 1; i < PROMPTS; i += 2)
		good = good && sound->answers[1 + i].over && sound->answers[1 + i].code == ENGINE_OK;
	ok(path != NULL && good, "%s: all prompts are answered by a sound model", options);
	ask(d, 1, true);
	good = true;
	for (int i = 1; i < PROMPTS; i += 2)
	{
		const drive_answer *a = &d->answers[1 + i];

		good = good && a->over && a->code == ENGINE_CORRUPT && a->pieces == 0 &&
			strstr(a->message, "no finite number") != NULL;
	}
	ok(good, "%s: those with a token that is no number fail", options);
	ok(same_texts(sound, 1, d, 1), "%s: those beside them are answered as ever", options);
	ask(d, 20, false);
	ok(same_texts(sound, 1, d, 20), "%s: and so are those after them", options);
	ok(d->bad_frames == 0 && sound->bad_frames == 0, "%s: nothing after an end", options);
	drive_close(sound);
	drive_close(d);
}

#define TEXTS 5

static const char *const texts[TEXTS] = {"abc", "hello", "z", "a b c", "def"};

static bool
same_vectors(const drive_answer *a, const drive_answer *b, int count)
{
	return a->over && b->over && a->code == ENGINE_OK && b->code == ENGINE_OK &&
		a->vector_count == count && b->vector_count == count && a->width == b->width &&
		memcmp(a->vectors, b->vectors, sizeof(float) * (size_t) (count * a->width)) == 0;
}

/* Requests of 2, 5 and 1 texts, of which one of the 5 is spoilt. */
static void
embed_all(drive *d)
{
	drive_embed(d, 1, 2, texts, 0);
	drive_embed(d, 2, TEXTS, texts, 0);
	drive_embed(d, 3, 1, texts + 3, 0);
	for (uint64_t i = 1; i <= 3; i++)
		drive_wait(d, i);
	drive_embed(d, 4, 2, texts + 3, 0);
	drive_wait(d, 4);
}

static void
test_embedding(void)
{
	engine_config config = {.threads = 2};
	int32_t		row = token_of(BERT, "z");
	const char *folder = build_path("bert");
	char		command[512];
	drive	   *sound = drive_open(&config, BERT, "{}");
	drive	   *d = drive_open(&config, folder, "{}");

	snprintf(command, sizeof(command), "cp -r '%s' '%s'", BERT, folder);
	ok(system(command) == 0 &&
	   spoil(BERT "/model.safetensors", "bert/model.safetensors", "embeddings.word_embeddings.weight",
			 row) != NULL, "an encoder with a token that is no number");
	embed_all(sound);
	embed_all(d);
	ok(sound->answers[2].code == ENGINE_OK && d->answers[2].over && d->answers[2].code == ENGINE_CORRUPT &&
	   strstr(d->answers[2].message, "not a finite number") != NULL,
	   "a request with that token fails: %s", d->answers[2].message);
	ok(same_vectors(&sound->answers[1], &d->answers[1], 2) &&
	   same_vectors(&sound->answers[3], &d->answers[3], 1) &&
	   same_vectors(&sound->answers[4], &d->answers[4], 2), "those beside it and after it have their vectors");
	ok(d->bad_frames == 0, "nothing after an end");
	drive_close(sound);
	drive_close(d);
}

int
main(void)
{
	test_generation("{}");
	test_generation("{\"kv_cache_type\": \"f32\", \"speculation\": \"always\"}");
	test_embedding();
	build_cleanup();
	return tap_done();
}
