/*
 * model_build.h: makes model files for tests, right ones and wrong ones.
 *
 *     bytes file = {0};
 *     gguf_build g = {.version = 3};
 *     build_u32(&g, "llama.block_count", 1);
 *     build_tensor(&g, "output_norm.weight", 0, 1, (uint64_t[]) {8});
 *     build_finish(&g, &file);
 *
 * A tweak makes one thing of a right file wrong: it leaves a key or a tensor out, or
 * gives it another value or shape.
 */
#ifndef RAG_TEST_MODEL_BUILD_H
#define RAG_TEST_MODEL_BUILD_H

#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define BUILD_UNUSED __attribute__((unused))

typedef struct bytes
{
	unsigned char *data;
	size_t		length;
	size_t		capacity;
} bytes;

static void
put(bytes *b, const void *data, size_t length)
{
	if (length > b->capacity - b->length)
	{
		b->capacity = (b->length + length) * 2;
		b->data = realloc(b->data, b->capacity);
		if (b->data == NULL)
			abort();
	}
	if (length > 0)
		memcpy(b->data + b->length, data, length);
	b->length += length;
}

BUILD_UNUSED static void
put_u32(bytes *b, uint32_t value)
{
	put(b, &value, sizeof(value));
}

BUILD_UNUSED static void
put_u64(bytes *b, uint64_t value)
{
	put(b, &value, sizeof(value));
}

/* As GGUF has it: length and bytes. */
BUILD_UNUSED static void
put_text(bytes *b, const char *text)
{
	put_u64(b, strlen(text));
	put(b, text, strlen(text));
}

BUILD_UNUSED static void
put_zeros(bytes *b, size_t length)
{
	unsigned char *zeros = calloc(1, length + 1);

	put(b, zeros, length);
	free(zeros);
}

BUILD_UNUSED static void
bytes_free(bytes *b)
{
	free(b->data);
	memset(b, 0, sizeof(*b));
}

typedef struct tweak
{
	const char *omit;			/* key or tensor */
	const char *key;			/* u32 key that gets value */
	uint32_t	value;
	const char *float_key;		/* f32 key that gets number */
	float		number;
	const char *text_key;		/* string key that gets text */
	const char *text;
	const char *tensor;			/* that gets type and, if not 0, columns instead of its own */
	uint32_t	type;
	uint64_t	columns;
} tweak;

typedef struct gguf_build
{
	uint32_t	version;
	tweak		tweak;
	uint64_t	pair_count;
	uint64_t	tensor_count;
	bytes		pairs;
	bytes		tensors;
	bytes		data;
} gguf_build;

static bool
same_name(const char *a, const char *b)
{
	return a && b && strcmp(a, b) == 0;
}

/* Key and kind of a pair; false when it is to be left out. */
static bool
build_pair(gguf_build *g, const char *key, uint32_t kind)
{
	if (same_name(g->tweak.omit, key))
		return false;
	g->pair_count++;
	put_text(&g->pairs, key);
	put_u32(&g->pairs, kind);
	return true;
}

BUILD_UNUSED static void
build_u32(gguf_build *g, const char *key, uint32_t value)
{
	if (build_pair(g, key, 4))
		put_u32(&g->pairs, same_name(g->tweak.key, key) ? g->tweak.value : value);
}

BUILD_UNUSED static void
build_f32(gguf_build *g, const char *key, float value)
{
	if (same_name(g->tweak.float_key, key))
		value = g->tweak.number;
	if (build_pair(g, key, 6))
		put(&g->pairs, &value, sizeof(value));
}

BUILD_UNUSED static void
build_bool(gguf_build *g, const char *key, bool value)
{
	unsigned char byte = value;

	if (build_pair(g, key, 7))
		put(&g->pairs, &byte, 1);
}

BUILD_UNUSED static void
build_text(gguf_build *g, const char *key, const char *value)
{
	if (build_pair(g, key, 8))
		put_text(&g->pairs, same_name(g->tweak.text_key, key) ? g->tweak.text : value);
}

/* count strings "t0", "t1" ... */
BUILD_UNUSED static void
build_texts(gguf_build *g, const char *key, int count)
{
	if (!build_pair(g, key, 9))
		return;
	put_u32(&g->pairs, 8);
	put_u64(&g->pairs, (uint64_t) count);
	for (int i = 0; i < count; i++)
	{
		char		text[16];

		snprintf(text, sizeof(text), "t%d", i);
		put_text(&g->pairs, text);
	}
}

/* Bytes of a tensor with elements of the type's number in the file; 4 for what is not known. */
static size_t
build_size(uint32_t type, uint64_t elements)
{
	switch (type)
	{
		case 1:
		case 30:
			return elements * 2;
		case 2:
			return elements / 32 * 18;
		case 8:
			return elements / 32 * 34;
		case 12:
			return elements / 256 * 144;
		default:
			return elements * 4;
	}
}

/* shape as in the file: columns first. The data counts up in small steps. */
BUILD_UNUSED static void
build_tensor(gguf_build *g, const char *name, uint32_t type, uint32_t dimensions,
			 const uint64_t *shape)
{
	uint64_t	elements = 1;
	bool		tweaked = same_name(g->tweak.tensor, name);
	size_t		size;

	if (same_name(g->tweak.omit, name))
		return;
	if (tweaked)
		type = g->tweak.type;
	g->tensor_count++;
	put_text(&g->tensors, name);
	put_u32(&g->tensors, dimensions);
	for (uint32_t i = 0; i < dimensions; i++)
	{
		uint64_t	n = tweaked && i == 0 && g->tweak.columns ? g->tweak.columns : shape[i];

		put_u64(&g->tensors, n);
		elements *= n;
	}
	put_u32(&g->tensors, type);
	put_u64(&g->tensors, g->data.length);
	size = build_size(type, elements);
	for (size_t i = 0; i < size; i++)
	{
		unsigned char byte = (unsigned char) (i % 4 == 3 ? 0x3C : i / 4);

		put(&g->data, &byte, 1);
	}
	put_zeros(&g->data, (32 - g->data.length % 32) % 32);
}

BUILD_UNUSED static void
build_finish(gguf_build *g, bytes *out)
{
	put(out, "GGUF", 4);
	put_u32(out, g->version);
	put_u64(out, g->tensor_count);
	put_u64(out, g->pair_count);
	put(out, g->pairs.data, g->pairs.length);
	put(out, g->tensors.data, g->tensors.length);
	put_zeros(out, (32 - out->length % 32) % 32);
	put(out, g->data.data, g->data.length);
	bytes_free(&g->pairs);
	bytes_free(&g->tensors);
	bytes_free(&g->data);
}

/* A safetensors file: header and data. */
BUILD_UNUSED static void
build_safetensors(bytes *out, const char *header, size_t data)
{
	put_u64(out, strlen(header));
	put(out, header, strlen(header));
	for (size_t i = 0; i < data; i++)
	{
		unsigned char byte = (unsigned char) (i % 4 == 3 ? 0x3C : i / 4);

		put(out, &byte, 1);
	}
}

/* A folder for one test program, removed with what is in it by build_cleanup. */
static char build_folder[64];

static const char *
build_path(const char *name)
{
	static char paths[4][256];
	static int	next;
	char	   *path = paths[next++ % 4];

	if (build_folder[0] == '\0')
	{
		strcpy(build_folder, "/tmp/rag-test-XXXXXX");
		if (mkdtemp(build_folder) == NULL)
			abort();
	}
	snprintf(path, sizeof(paths[0]), "%s/%s", build_folder, name);
	return path;
}

BUILD_UNUSED static const char *
build_write(const char *name, const void *data, size_t length)
{
	const char *path = build_path(name);
	FILE	   *file = fopen(path, "wb");

	if (file == NULL || fwrite(data, 1, length, file) != length || fclose(file) != 0)
		abort();
	return path;
}

BUILD_UNUSED static void
build_cleanup(void)
{
	char		command[128];

	snprintf(command, sizeof(command), "rm -rf '%s'", build_folder);
	if (build_folder[0] != '\0' && system(command) != 0)
		abort();
}

#endif							/* RAG_TEST_MODEL_BUILD_H */
