/*
 * gguf.c: the frame of a GGUF file, and reading it without passing its end.
 *
 * magic "GGUF", u32 version, u64 tensors, u64 pairs; the pairs (gguf_meta.c); the
 * tensor descriptions and, at the next multiple of the alignment, their data
 * (gguf_tensors.c). The format is described in ggml's docs/gguf.md.
 */
#include "engine/gguf_private.h"

#include <stdlib.h>
#include <string.h>

/* What the shortest pair and the shortest tensor description take in a file. */
#define PAIR_BYTES (8 + 1 + 4 + 1)
#define TENSOR_BYTES (8 + 1 + 4 + 8 + 4 + 8)

const unsigned char *
gguf_take(gguf_cursor *c, size_t n, const char *what)
{
	const unsigned char *p = c->data + c->at;

	if (n > c->size - c->at)
	{
		engine_fail(c->error, ENGINE_CORRUPT,
					"%s: file ends inside %s: %zu bytes at offset %zu of %zu", c->file, what, n,
					c->at, c->size);
		return NULL;
	}
	c->at += n;
	return p;
}

bool
gguf_take_u32(gguf_cursor *c, const char *what, uint32_t *out)
{
	const unsigned char *p = gguf_take(c, sizeof(*out), what);

	if (p == NULL)
		return false;
	memcpy(out, p, sizeof(*out));
	return true;
}

bool
gguf_take_u64(gguf_cursor *c, const char *what, uint64_t *out)
{
	const unsigned char *p = gguf_take(c, sizeof(*out), what);

	if (p == NULL)
		return false;
	memcpy(out, p, sizeof(*out));
	return true;
}

bool
gguf_take_string(gguf_cursor *c, const char *what, model_string *out)
{
	const unsigned char *p;
	uint64_t	length;

	if (!gguf_take_u64(c, what, &length))
		return false;
	/* a length that no size_t holds is beyond any file, too */
	p = gguf_take(c, length > SIZE_MAX ? SIZE_MAX : (size_t) length, what);
	if (p == NULL)
		return false;
	out->data = (const char *) p;
	out->length = (size_t) length;
	return true;
}

/* A count of things that take at least bytes each in what is left of the file. */
static bool
check_count(gguf_cursor *c, uint64_t count, size_t bytes, const char *what)
{
	if (count > (c->size - c->at) / bytes)
		return engine_fail(c->error, ENGINE_CORRUPT, "%s: %llu %s cannot fit into %zu bytes",
						   c->file, (unsigned long long) count, what, c->size);
	return true;
}

static bool
read_header(gguf_cursor *c, uint64_t *tensors, uint64_t *pairs)
{
	uint32_t	version;

	if (c->size < 4 || memcmp(c->data, "GGUF", 4) != 0)
		return engine_fail(c->error, ENGINE_CORRUPT, "%s: not a GGUF file", c->file);
	if (!gguf_take(c, 4, "the header") || !gguf_take_u32(c, "the header", &version))
		return false;
	if (version != 2 && version != 3)
	{
		/* the version's bytes are the only sign of the other byte order */
		if (__builtin_bswap32(version) == 2 || __builtin_bswap32(version) == 3)
			return engine_fail(c->error, ENGINE_UNSUPPORTED,
							   "%s: big-endian GGUF files are not supported", c->file);
		return engine_fail(c->error, ENGINE_UNSUPPORTED,
						   "%s: GGUF version %u is not supported (2 and 3 are)", c->file, version);
	}
	return gguf_take_u64(c, "the header", tensors) && gguf_take_u64(c, "the header", pairs) &&
		check_count(c, *pairs, PAIR_BYTES, "metadata pairs") &&
		check_count(c, *tensors, TENSOR_BYTES, "tensors");
}

/* Where tensor data starts and what offsets are multiples of. */
static bool
read_alignment(gguf *g, engine_error *error)
{
	int64_t		alignment = 32;

	if (gguf_find(g, "general.alignment") != NULL &&
		(!gguf_get_int(g, "general.alignment", &alignment) || alignment < 8 ||
		 alignment > 1 << 20 || (alignment & (alignment - 1)) != 0))
		return engine_fail(error, ENGINE_CORRUPT,
						   "%s: general.alignment is not a power of two from 8 to 1048576",
						   g->file);
	g->alignment = (size_t) alignment;
	return true;
}

gguf *
gguf_parse(const file_map *map, tensor_table *table, engine_error *error)
{
	gguf_cursor c = {.data = map->data, .size = map->size, .file = map->name, .error = error};
	uint64_t	tensors = 0;
	uint64_t	pairs = 0;
	gguf	   *g;

	if (!read_header(&c, &tensors, &pairs))
		return NULL;
	g = calloc(1, sizeof(*g));
	if (g == NULL)
	{
		engine_fail_memory(error, "a GGUF file");
		return NULL;
	}
	g->file = map->name;
	if (gguf_read_metadata(g, &c, (size_t) pairs) && read_alignment(g, error) &&
		check_count(&c, tensors, TENSOR_BYTES, "tensors") &&
		gguf_read_tensors(g, &c, (size_t) tensors, table))
		return g;
	gguf_free(g);
	return NULL;
}

void
gguf_free(gguf *g)
{
	if (g == NULL)
		return;
	for (size_t i = 0; i < g->count; i++)
	{
		free(g->values[i].strings);
		free(g->values[i].aligned);
	}
	free(g->values);
	free(g);
}
