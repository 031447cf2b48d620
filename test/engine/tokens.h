/*
 * tokens.h: golden files of token ids, for the tests of tokenizers and chat templates.
 */
#ifndef RAG_TEST_TOKENS_H
#define RAG_TEST_TOKENS_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/json.h"
#include "engine/tokenizer_internal.h"
#include "tap.h"

/* A whole file with a final NUL; ends the test program when it cannot be read. */
static char *
read_whole(const char *path, size_t *length)
{
	FILE	   *f = fopen(path, "rb");
	char	   *text = NULL;
	long		size = 0;

	if (f && fseek(f, 0, SEEK_END) == 0 && (size = ftell(f)) >= 0 && fseek(f, 0, SEEK_SET) == 0)
		text = malloc((size_t) size + 1);
	if (text == NULL || fread(text, 1, (size_t) size, f) != (size_t) size)
	{
		printf("Bail out! cannot read %s\n", path);
		exit(2);
	}
	fclose(f);
	text[size] = '\0';
	*length = (size_t) size;
	return text;
}

/* A golden file of test/data/tokens. */
__attribute__((unused))
static json *
read_golden(const char *name)
{
	char		path[256];
	size_t		length;
	char	   *text;
	json	   *doc;
	engine_error error = {0};

	snprintf(path, sizeof(path), "test/data/tokens/%s", name);
	text = read_whole(path, &length);
	doc = json_parse(text, length, &error);
	free(text);
	if (doc == NULL)
	{
		printf("Bail out! %s: %s\n", path, error.message);
		exit(2);
	}
	return doc;
}

/* A tokenizer.json of test/data/tokens, or NULL and a note. */
__attribute__((unused))
static tokenizer *
open_tiny(const char *name)
{
	char		path[256];
	tokenizer_files files = {0};
	engine_error error = {0};
	tokenizer  *t;
	char	   *text;

	snprintf(path, sizeof(path), "test/data/tokens/%s.tokenizer.json", name);
	text = read_whole(path, &files.tokenizer_json_length);
	files.tokenizer_json = text;
	t = tokenizer_open_files(&files, &error);
	if (t == NULL)
		tap_note("%s: %s", path, error.message);
	free(text);
	return t;
}

/* A real model of the folder that RAG_TEST_MODELS names, or NULL when there is none. */
__attribute__((unused))
static model *
open_test_model(const char *name)
{
	const char *folder = getenv("RAG_TEST_MODELS");
	char		path[1024];
	engine_error error = {0};
	model	   *m;

	if (folder == NULL)
		return NULL;
	snprintf(path, sizeof(path), "%s/%s", folder, name);
	m = model_open(path, &error);
	if (m == NULL)
		tap_note("%s", error.message);
	return m;
}

static void
print_ids(const char *what, const int32_t *ids, size_t count)
{
	printf("#   %s:", what);
	for (size_t i = 0; i < count; i++)
		printf(" %d", ids[i]);
	putchar('\n');
}

/* True when ids are the numbers of a golden array; else both are printed. */
static bool
same_ids(const json_value *golden, const int32_t *ids, size_t count)
{
	bool		same = golden && golden->kind == JSON_ARRAY && golden->count == count;
	size_t		i = 0;

	for (const json_value *v = golden ? golden->child : NULL; same && v; v = v->next)
		same = v->number == ids[i++];
	if (!same && golden)
	{
		int32_t    *wanted = malloc((golden->count + 1) * sizeof(*wanted));

		i = 0;
		for (const json_value *v = golden->child; v; v = v->next)
			wanted[i++] = (int32_t) v->number;
		print_ids("wanted", wanted, golden->count);
		print_ids("got   ", ids, count);
		free(wanted);
	}
	return same;
}

/* Encodes the "text" of a case and compares with its member key. */
static bool
encodes_as(const tokenizer *t, const json_value *one, const char *key, int flags)
{
	const json_value *text = json_get(one, "text");
	engine_error error = {0};
	int32_t    *ids;
	size_t		count;
	bool		same;

	if (!tokenizer_encode(t, text->string, text->length, flags, &ids, &count, &error))
	{
		tap_note("%s", error.message);
		return false;
	}
	same = same_ids(json_get(one, key), ids, count);
	free(ids);
	return same;
}

/* One test: every case of a golden file that has this key (llama.cpp gives none for a NUL). */
__attribute__((unused))
static void
check_golden(const tokenizer *t, const char *name, const char *key, int flags)
{
	json	   *doc = read_golden(name);
	size_t		right = 0;
	size_t		cases = 0;

	for (const json_value *one = json_root(doc)->child; one && t; one = one->next)
	{
		if (json_get(one, key) && json_get(one, key)->kind == JSON_NULL)
			continue;
		cases++;
		if (encodes_as(t, one, key, flags))
			right++;
		else
			tap_note("case \"%.60s\" of %s", json_get_string(one, "text", ""), name);
	}
	ok(cases > 0 && right == cases, "%s: %zu of %zu cases of %s", name, right, cases, key);
	json_free(doc);
}

/* What the ids of a text add up to is the text. */
__attribute__((unused))
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

#endif							/* RAG_TEST_TOKENS_H */
