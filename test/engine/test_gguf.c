/*
 * test_gguf.c: the GGUF container: what is read, what is refused and why.
 *
 * Files are made in memory of exactly their size, so that the address sanitizer
 * sees every read beyond the end.
 */
#include "engine/gguf.h"
#include "model_build.h"
#include "tap.h"

/* The outcome of reading a file; frees the file. */
typedef struct outcome
{
	gguf	   *g;
	tensor_table table;
	engine_error error;
	file_map	map;
} outcome;

static outcome *
parse(const void *data, size_t length)
{
	outcome    *o = calloc(1, sizeof(*o));
	unsigned char *copy = malloc(length > 0 ? length : 1);

	memcpy(copy, data, length);
	o->map = (file_map)
	{
		.name = "file.gguf",.data = copy,.size = length
	};
	o->g = gguf_parse(&o->map, &o->table, &o->error);
	return o;
}

static void
outcome_free(outcome *o)
{
	gguf_free(o->g);
	tensor_table_free(&o->table);
	free((void *) o->map.data);
	free(o);
}

/* Refused with this code and with text in the message. */
static void
refuse(bytes *file, engine_code code, const char *text, const char *name)
{
	outcome    *o = parse(file->data, file->length);

	if (!ok(o->g == NULL && o->error.code == code && strstr(o->error.message, text), "%s", name))
		tap_note("code %d: %s", o->error.code, o->error.message);
	outcome_free(o);
	bytes_free(file);
}

/* A header with these counts. */
static bytes
header(uint32_t version, uint64_t tensors, uint64_t pairs)
{
	bytes		b = {0};

	put(&b, "GGUF", 4);
	put_u32(&b, version);
	put_u64(&b, tensors);
	put_u64(&b, pairs);
	return b;
}

/* A header for one pair, its key and its type's number. */
static bytes
pair(const char *key, uint32_t kind)
{
	bytes		b = header(3, 0, 1);

	put_text(&b, key);
	put_u32(&b, kind);
	return b;
}

/* A pair of each kind; the number of a kind is its value (negative where there is a sign). */
static void
put_all_kinds(gguf_build *g)
{
	static const struct
	{
		uint32_t	kind;
		size_t		width;
		int64_t		value;
	}			numbers[] = {{0, 1, 200}, {1, 1, -1}, {2, 2, 60000}, {3, 2, -3}, {4, 4, 4000000000},
	{5, 4, -5}, {10, 8, INT64_MAX}, {11, 8, -11}};
	float		f = 1.5f;
	double		d = -2.25;
	uint64_t	huge = UINT64_MAX;

	for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++)
	{
		char		key[16];

		snprintf(key, sizeof(key), "kind%u", numbers[i].kind);
		build_pair(g, key, numbers[i].kind);
		put(&g->pairs, &numbers[i].value, numbers[i].width);
	}
	build_pair(g, "kind6", 6);
	put(&g->pairs, &f, sizeof(f));
	build_bool(g, "kind7", true);
	build_text(g, "kind8", "text");
	build_pair(g, "kind12", 12);
	put(&g->pairs, &d, sizeof(d));
	build_pair(g, "huge", 10);
	put(&g->pairs, &huge, sizeof(huge));
}

static bytes
good_file(uint32_t version)
{
	gguf_build	g = {.version = version};
	bytes		file = {0};

	put_all_kinds(&g);
	build_texts(&g, "texts", 3);
	for (int shift = 0; shift < 4; shift++)
	{
		/* keys of growing length: some of the arrays must be unaligned */
		static const char *const keys[] = {"a", "ab", "abc", "abcd"};

		build_pair(&g, keys[shift], 9);
		put_u32(&g.pairs, shift == 3 ? 6 : 5);
		put_u64(&g.pairs, 2);
		for (int i = 0; i < 2; i++)
		{
			int32_t		whole = -7 + i;
			float		real = 0.5f + (float) i;

			put(&g.pairs, shift == 3 ? (void *) &real : (void *) &whole, 4);
		}
	}
	build_pair(&g, "empty", 9);
	put_u32(&g.pairs, 8);
	put_u64(&g.pairs, 0);
	build_tensor(&g, "second", 0, 2, (uint64_t[]) {4, 3});
	build_tensor(&g, "first", 8, 1, (uint64_t[]) {64});
	build_tensor(&g, "unknown", 16, 1, (uint64_t[]) {256});
	build_tensor(&g, "half", 1, 4, (uint64_t[]) {2, 1, 1, 2});
	build_finish(&g, &file);
	return file;
}

static void
test_numbers(const gguf *g)
{
	static const struct
	{
		const char *key;
		int64_t		value;
	}			whole[] = {{"kind0", 200}, {"kind1", -1}, {"kind2", 60000}, {"kind3", -3},
	{"kind4", 4000000000}, {"kind5", -5}, {"kind10", INT64_MAX}, {"kind11", -11}};
	int64_t		i = 0;
	double		d = 0;
	bool		b = false;
	model_string s = {0};

	for (size_t n = 0; n < sizeof(whole) / sizeof(whole[0]); n++)
		ok(gguf_get_int(g, whole[n].key, &i) && i == whole[n].value, "integer %s", whole[n].key);
	ok(gguf_get_float(g, "kind6", &d) && d == 1.5, "f32");
	ok(gguf_get_float(g, "kind12", &d) && d == -2.25, "f64");
	ok(gguf_get_bool(g, "kind7", &b) && b, "bool");
	ok(gguf_get_string(g, "kind8", &s) && s.length == 4 && memcmp(s.data, "text", 4) == 0,
	   "string");
	ok(!gguf_get_int(g, "huge", &i), "an integer beyond 63 bits is none");
	ok(!gguf_get_int(g, "kind6", &i) && !gguf_get_int(g, "kind7", &i) &&
	   !gguf_get_float(g, "kind4", &d) && !gguf_get_bool(g, "kind0", &b) &&
	   !gguf_get_string(g, "texts", &s), "no value turns into another kind");
	ok(gguf_find(g, "kind") == NULL && gguf_find(g, "kind10x") == NULL && gguf_find(g, "") == NULL,
	   "keys are compared whole");
}

static void
test_arrays(const gguf *g)
{
	static const char *const keys[] = {"a", "ab", "abc"};
	const gguf_value *v = gguf_find(g, "texts");
	int			copies = 0;

	ok(v && v->kind == GGUF_ARRAY && v->count == 3 && v->strings[2].length == 2 &&
	   memcmp(v->strings[2].data, "t2", 2) == 0, "strings of an array");
	for (int i = 0; i < 3; i++)
	{
		const int32_t *whole;

		v = gguf_find(g, keys[i]);
		whole = v ? gguf_array(v) : NULL;
		ok(whole && (uintptr_t) whole % 4 == 0 && v->count == 2 && whole[0] == -7 && whole[1] == -6,
		   "aligned integers of array \"%s\"", keys[i]);
		copies += v && v->aligned != NULL;
	}
	ok(copies >= 2, "arrays at odd places are copied");
	v = gguf_find(g, "abcd");
	ok(v && v->element == GGUF_F32 && ((const float *) gguf_array(v))[1] == 1.5f, "floats");
	v = gguf_find(g, "empty");
	ok(v && v->count == 0 && v->strings != NULL, "an empty array");
}

static void
test_tensors(const tensor_table *table, const file_map *map)
{
	const table_tensor *t = tensor_table_find(table, "second");

	ok(table->count == 4, "four tensors");
	ok(t && t->dimensions == 2 && t->shape[0] == 3 && t->shape[1] == 4 && t->bytes == 48 &&
	   t->type == TYPE_F32, "rows come first in a shape");
	ok(t && t->data >= map->data && (t->data - map->data) % 32 == 0 && t->data[3] == 0x3C,
	   "data is where the file has it");
	t = tensor_table_find(table, "first");
	ok(t && t->type == TYPE_Q8_0 && t->bytes == 68, "blocks are counted");
	t = tensor_table_find(table, "unknown");
	ok(t && t->type == TYPE_UNKNOWN && strcmp(t->type_name, "IQ2_XXS") == 0,
	   "a type that is not supported is named");
	t = tensor_table_find(table, "half");
	ok(t && t->dimensions == 4 && t->shape[0] == 2 && t->shape[3] == 2, "four dimensions");
	ok(tensor_table_find(table, "firs") == NULL && tensor_table_find(table, "") == NULL,
	   "names are compared whole");
}

static void
test_good(void)
{
	for (uint32_t version = 2; version <= 3; version++)
	{
		bytes		file = good_file(version);
		outcome    *o = parse(file.data, file.length);

		if (!ok(o->g != NULL, "version %u is read", version))
			tap_note("%s", o->error.message);
		else if (version == 3)
		{
			test_numbers(o->g);
			test_arrays(o->g);
			test_tensors(&o->table, &o->map);
		}
		outcome_free(o);
		bytes_free(&file);
	}
}

/* A vocabulary alone is such a file. */
static void
test_no_tensors(void)
{
	bytes		b = header(3, 0, 0);
	outcome    *o = parse(b.data, b.length);

	ok(o->g && o->g->count == 0 && o->table.count == 0 && gguf_find(o->g, "key") == NULL &&
	   tensor_table_find(&o->table, "t") == NULL, "a file of nothing but a header");
	outcome_free(o);
	bytes_free(&b);
}

/* Every file that is cut short is refused; nothing is read beyond its end. */
static void
test_truncated(void)
{
	bytes		file = good_file(3);
	size_t		wrong = 0;

	for (size_t length = 0; length < file.length - 31; length++)
	{
		outcome    *o = parse(file.data, length);

		wrong += o->g != NULL || o->error.code != ENGINE_CORRUPT;
		outcome_free(o);
	}
	ok(wrong == 0, "each of %zu truncations is refused", file.length - 31);
	bytes_free(&file);
}

/* Whatever a byte is changed to, reading ends in a table inside the file or in an error. */
static void
test_mutated(void)
{
	static const unsigned char masks[] = {0x01, 0x80, 0xFF};
	bytes		file = good_file(3);
	size_t		wrong = 0;

	for (size_t i = 0; i < file.length * sizeof(masks); i++)
	{
		outcome    *o;

		file.data[i / sizeof(masks)] ^= masks[i % sizeof(masks)];
		o = parse(file.data, file.length);
		wrong += o->g == NULL && o->error.code != ENGINE_CORRUPT &&
			o->error.code != ENGINE_UNSUPPORTED;
		for (size_t t = 0; o->g && t < o->table.count; t++)
		{
			const table_tensor *x = &o->table.tensors[t];

			wrong += x->data < o->map.data || x->data + x->bytes > o->map.data + o->map.size;
		}
		outcome_free(o);
		file.data[i / sizeof(masks)] ^= masks[i % sizeof(masks)];
	}
	ok(wrong == 0, "%zu changed bytes do no harm", file.length * sizeof(masks));
	bytes_free(&file);
}

static void
test_bad_header(void)
{
	bytes		b = {0};

	put(&b, "GGML", 4);
	put_zeros(&b, 60);
	refuse(&b, ENGINE_CORRUPT, "file.gguf: not a GGUF file", "another magic");
	b = header(1, 0, 0);
	refuse(&b, ENGINE_UNSUPPORTED, "version 1", "version 1");
	b = header(4, 0, 0);
	refuse(&b, ENGINE_UNSUPPORTED, "version 4", "version 4");
	b = header(0x03000000, 0, 0);
	refuse(&b, ENGINE_UNSUPPORTED, "big-endian", "a big-endian file");
	b = header(3, (uint64_t) 1 << 60, 0);
	refuse(&b, ENGINE_CORRUPT, "1152921504606846976 tensors", "2^60 tensors");
	b = header(3, 0, (uint64_t) 1 << 60);
	refuse(&b, ENGINE_CORRUPT, "1152921504606846976 metadata pairs", "2^60 pairs");
	b = header(3, UINT64_MAX, UINT64_MAX);
	refuse(&b, ENGINE_CORRUPT, "cannot fit", "2^64 - 1 of both");
}

static void
test_bad_metadata(void)
{
	bytes		b = pair("key", 13);
	char	   *name = malloc(70001);

	refuse(&b, ENGINE_CORRUPT, "\"key\" has unknown type 13", "an unknown type");
	b = pair("key", 7);
	put(&b, "\2", 1);
	refuse(&b, ENGINE_CORRUPT, "neither true nor false", "a bool of 2");
	b = pair("key", 8);
	put_u64(&b, UINT64_MAX);
	refuse(&b, ENGINE_CORRUPT, "ends inside a metadata string", "a string of 2^64 - 1 bytes");
	b = pair("key", 8);
	put_u64(&b, 1);
	refuse(&b, ENGINE_CORRUPT, "ends inside a metadata string", "a string one byte too long");
	b = pair("key", 9);
	put_u32(&b, 0);
	put_u64(&b, (uint64_t) 1 << 60);
	refuse(&b, ENGINE_CORRUPT, "\"key\": 1152921504606846976 elements", "an array of 2^60 bytes");
	b = pair("key", 9);
	put_u32(&b, 12);
	put_u64(&b, ((uint64_t) 1 << 61) + 1);
	put_zeros(&b, 16);
	refuse(&b, ENGINE_CORRUPT, "elements cannot fit", "an array whose size overflows");
	b = pair("key", 9);
	put_u32(&b, 8);
	put_u64(&b, 2);
	put_text(&b, "a");
	put_u64(&b, (uint64_t) 1 << 62);
	refuse(&b, ENGINE_CORRUPT, "ends inside a metadata string", "a huge string in an array");
	b = pair("key", 9);
	put_u32(&b, 9);
	put_u64(&b, 1);
	put_zeros(&b, 64);
	refuse(&b, ENGINE_UNSUPPORTED, "array of arrays", "an array of arrays");
	b = pair("", 0);
	put_zeros(&b, 8);
	refuse(&b, ENGINE_CORRUPT, "key of 0 bytes", "an empty key");
	memset(name, 'k', 70000);
	name[70000] = '\0';
	b = pair(name, 0);
	put_zeros(&b, 8);
	refuse(&b, ENGINE_CORRUPT, "key of 70000 bytes", "a key beyond the format's limit");
	free(name);
	b = header(3, 0, 2);
	for (int i = 0; i < 2; i++)
	{
		put_text(&b, "twice");
		put_u32(&b, 0);
		put(&b, "x", 1);
	}
	refuse(&b, ENGINE_CORRUPT, "\"twice\" occurs twice", "equal keys");
}

static void
test_bad_alignment(void)
{
	static const uint32_t wrong[] = {0, 4, 7, 24, 1u << 31};

	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
	{
		bytes		b = pair("general.alignment", 4);

		put_u32(&b, wrong[i]);
		refuse(&b, ENGINE_CORRUPT, "general.alignment", "a wrong alignment");
	}
	for (uint32_t alignment = 8; alignment <= 64; alignment *= 2)
	{
		bytes		b = header(3, 1, 1);
		outcome    *o;
		const table_tensor *t;

		put_text(&b, "general.alignment");
		put_u32(&b, 4);
		put_u32(&b, alignment);
		put_text(&b, "t");
		put_u32(&b, 1);
		put_u64(&b, 1);
		put_u32(&b, 0);
		put_u64(&b, 0);
		put_zeros(&b, (alignment - b.length % alignment) % alignment);
		put(&b, "data", 4);
		o = parse(b.data, b.length);
		t = tensor_table_find(&o->table, "t");
		ok(o->g && t && memcmp(t->data, "data", 4) == 0, "an alignment of %u", alignment);
		outcome_free(o);
		bytes_free(&b);
	}
}

/* One tensor as given, with a megabyte of data behind it. */
typedef struct wrong_tensor
{
	const char *test;
	const char *message;
	const char *name;
	uint32_t	dimensions;
	uint64_t	shape[4];
	uint32_t	type;
	uint64_t	offset;
} wrong_tensor;

static const wrong_tensor wrong_tensors[] = {
	{"no dimensions", "\"t\" has 0 dimensions", "t", 0, {0}, 0, 0},
	{"five dimensions", "\"t\" has 5 dimensions", "t", 5, {1, 1, 1, 1}, 0, 0},
	{"2^32 - 1 dimensions", "dimensions, not 1 to 4", "t", UINT32_MAX, {1}, 0, 0},
	{"a dimension of zero", "\"t\" has a dimension of 0", "t", 2, {4, 0}, 0, 0},
	{"a dimension of 2^63", "dimension of 9223372036854775808", "t", 1, {(uint64_t) 1 << 63}, 0, 0},
	{"a product beyond 64 bits", "impossible shape [1, 4294967296, 4294967296]", "t", 3,
	{(uint64_t) 1 << 32, (uint64_t) 1 << 32, 1}, 0, 0},
	{"bytes beyond 64 bits", "impossible shape", "t", 1, {(uint64_t) 1 << 62}, 0, 0},
	{"a row of part of a block", "no whole number of Q8_0 blocks", "t", 2, {33, 32}, 8, 0},
	{"a row of part of a K block", "no whole number of Q4_K blocks", "t", 2, {128, 2}, 12, 0},
	{"an unaligned offset", "offset 4, no multiple of 32", "t", 1, {4}, 0, 4},
	{"an offset beyond the data", "beyond the 1048576 bytes", "t", 1, {4}, 0, 1 << 21},
	{"an offset of 2^64 - 32", "beyond the 1048576 bytes", "t", 1, {4}, 0, UINT64_MAX - 31},
	{"an end one byte beyond the data", "\"t\" (1048580 bytes", "t", 1, {(1 << 18) + 1}, 0, 0},
	{"an unknown type beyond the data", "beyond the 1048576 bytes", "t", 1, {4}, 99, 1 << 21},
	{"an empty name", "name is empty", "", 1, {4}, 0, 0},
};

static void
put_tensor(bytes *b, const char *name, uint32_t dimensions, const uint64_t *shape, uint32_t type,
		   uint64_t offset)
{
	put_text(b, name);
	put_u32(b, dimensions);
	for (uint32_t i = 0; i < dimensions && i < 4; i++)
		put_u64(b, shape[i]);
	put_u32(b, type);
	put_u64(b, offset);
}

static void
put_data(bytes *b)
{
	put_zeros(b, (32 - b->length % 32) % 32);
	put_zeros(b, 1 << 20);
}

static void
test_bad_tensors(void)
{
	static const uint64_t small[] = {16};
	static const uint64_t big[] = {64};
	bytes		b;

	for (size_t i = 0; i < sizeof(wrong_tensors) / sizeof(wrong_tensors[0]); i++)
	{
		const wrong_tensor *w = &wrong_tensors[i];

		b = header(3, 1, 0);
		put_tensor(&b, w->name, w->dimensions, w->shape, w->type, w->offset);
		put_data(&b);
		refuse(&b, ENGINE_CORRUPT, w->message, w->test);
	}
	b = header(3, 2, 0);
	put_tensor(&b, "a", 1, big, 0, 32);
	put_tensor(&b, "b", 1, big, 0, 0);
	put_data(&b);
	refuse(&b, ENGINE_CORRUPT, "\"b\" and \"a\" overlap", "tensors that overlap");
	b = header(3, 2, 0);
	put_tensor(&b, "a", 1, small, 0, 0);
	put_tensor(&b, "b", 1, small, 0, 0);
	put_data(&b);
	refuse(&b, ENGINE_CORRUPT, "overlap", "tensors at one place");
	b = header(3, 2, 0);
	put_tensor(&b, "same", 1, small, 0, 0);
	put_tensor(&b, "same", 1, small, 0, 64);
	put_data(&b);
	refuse(&b, ENGINE_CORRUPT, "\"same\" occurs twice", "equal names");
	b = header(3, 1, 0);
	put_u64(&b, 3);
	put(&b, "a\0b", 3);
	put_zeros(&b, 256);
	refuse(&b, ENGINE_CORRUPT, "holds a NUL", "a name with a NUL");
}

/* With a search in a list this would take hours. */
static void
test_many(void)
{
	enum
	{
		MANY = 200000
	};
	bytes		b = header(3, MANY, MANY);
	outcome    *o;
	int			found = 0;
	char		name[32];

	for (int i = 0; i < MANY; i++)
	{
		snprintf(name, sizeof(name), "key%d", (int) ((unsigned) i * 7919u % MANY));
		put_text(&b, name);
		put_u32(&b, 0);
		put(&b, "\1", 1);
	}
	for (int i = 0; i < MANY; i++)
	{
		snprintf(name, sizeof(name), "tensor%d", i);
		put_tensor(&b, name, 1, (const uint64_t[]) {1}, 0, (uint64_t) i * 32);
	}
	put_zeros(&b, (32 - b.length % 32) % 32 + MANY * 32);
	o = parse(b.data, b.length);
	for (int i = 0; o->g && i < MANY; i++)
	{
		int64_t		value;

		snprintf(name, sizeof(name), "key%d", i);
		found += gguf_get_int(o->g, name, &value);
		snprintf(name, sizeof(name), "tensor%d", i);
		found += tensor_table_find(&o->table, name) != NULL;
	}
	ok(found == 2 * MANY, "%d keys and as many tensors are found", MANY);
	outcome_free(o);
	bytes_free(&b);
}

int
main(void)
{
	test_good();
	test_no_tensors();
	test_truncated();
	test_mutated();
	test_bad_header();
	test_bad_metadata();
	test_bad_alignment();
	test_bad_tensors();
	test_many();
	return tap_done();
}
