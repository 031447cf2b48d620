/*
 * test_safetensors.c: the safetensors container: what is read, what is refused and
 * why. Files are made in memory of exactly their size, as in test_gguf.c.
 */
#include "engine/safetensors.h"
#include "model_build.h"
#include "tap.h"

typedef struct outcome
{
	bool		good;
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
		.name = "file.safetensors",.data = copy,.size = length
	};
	o->good = safetensors_parse(&o->map, &o->table, &o->error) &&
		tensor_table_sort(&o->table, &o->error);
	return o;
}

static void
outcome_free(outcome *o)
{
	tensor_table_free(&o->table);
	free((void *) o->map.data);
	free(o);
}

static void
refuse(bytes *file, engine_code code, const char *text, const char *name)
{
	outcome    *o = parse(file->data, file->length);

	if (!ok(!o->good && o->error.code == code && strstr(o->error.message, text), "%s", name))
		tap_note("good %d code %d: %s", o->good, o->error.code, o->error.message);
	outcome_free(o);
	bytes_free(file);
}

#define TENSOR(name, dtype, shape, begin, end) \
	"\"" name "\":{\"dtype\":\"" dtype "\",\"shape\":[" shape "],\"data_offsets\":[" begin "," end "]}"

static const char good_header[] =
	"{\"__metadata__\":{\"format\":\"pt\"},"
	TENSOR("b.half", "F16", "2,3", "64", "76") ","
	TENSOR("a.single", "F32", "4", "48", "64") ","
	TENSOR("brain", "BF16", "1,2,1,2,1", "76", "84") ","
	TENSOR("nothing", "F32", "0,7", "84", "84") ","
	TENSOR("scalar", "F32", "", "84", "88") ","
	TENSOR("eight", "F8_E4M3", "12", "88", "100") ","
	TENSOR("ids", "I64", "1,6", "0", "48") "}   ";

static void
test_good(void)
{
	bytes		file = {0};
	outcome    *o;
	const table_tensor *t;

	build_safetensors(&file, good_header, 100);
	o = parse(file.data, file.length);
	if (!ok(o->good && o->table.count == 7, "a good file of seven tensors"))
		tap_note("%s", o->error.message);
	t = tensor_table_find(&o->table, "a.single");
	ok(t && t->type == TYPE_F32 && t->dimensions == 1 && t->shape[0] == 4 && t->bytes == 16 &&
	   t->data == o->map.data + 8 + strlen(good_header) + 48, "F32, a vector, its data");
	t = tensor_table_find(&o->table, "b.half");
	ok(t && t->type == TYPE_F16 && t->shape[0] == 2 && t->shape[1] == 3, "F16, a matrix");
	t = tensor_table_find(&o->table, "brain");
	ok(t && t->type == TYPE_BF16 && t->dimensions == 5, "BF16, more dimensions than are kept");
	t = tensor_table_find(&o->table, "ids");
	ok(t && t->type == TYPE_UNKNOWN && strcmp(t->type_name, "I64") == 0, "I64 is named, not used");
	t = tensor_table_find(&o->table, "eight");
	ok(t && t->type == TYPE_UNKNOWN && t->bytes == 12, "a dtype of unknown width");
	t = tensor_table_find(&o->table, "nothing");
	ok(t && t->bytes == 0, "no elements");
	t = tensor_table_find(&o->table, "scalar");
	ok(t && t->dimensions == 0 && t->bytes == 4, "a scalar");
	ok(tensor_table_find(&o->table, "__metadata__") == NULL, "metadata is no tensor");
	outcome_free(o);
	bytes_free(&file);
}

static void
test_no_tensors(void)
{
	bytes		file = {0};
	outcome    *o;

	build_safetensors(&file, "{}", 0);
	o = parse(file.data, file.length);
	ok(o->good && o->table.count == 0, "a file without tensors");
	outcome_free(o);
	bytes_free(&file);
}

static void
test_truncated_and_mutated(void)
{
	static const unsigned char masks[] = {0x01, 0x80, 0xFF};
	bytes		file = {0};
	size_t		wrong = 0;

	build_safetensors(&file, good_header, 100);
	for (size_t length = 0; length < file.length; length++)
	{
		outcome    *o = parse(file.data, length);

		wrong += o->good || o->error.code != ENGINE_CORRUPT;
		outcome_free(o);
	}
	ok(wrong == 0, "each of %zu truncations is refused", file.length);
	wrong = 0;
	for (size_t i = 0; i < (file.length - 100) * sizeof(masks); i++)
	{
		outcome    *o;

		file.data[i / sizeof(masks)] ^= masks[i % sizeof(masks)];
		o = parse(file.data, file.length);
		wrong += !o->good && o->error.code != ENGINE_CORRUPT && o->error.code != ENGINE_UNSUPPORTED;
		for (size_t t = 0; o->good && t < o->table.count; t++)
		{
			const table_tensor *x = &o->table.tensors[t];

			wrong += x->data < o->map.data || x->data + x->bytes > o->map.data + o->map.size;
		}
		outcome_free(o);
		file.data[i / sizeof(masks)] ^= masks[i % sizeof(masks)];
	}
	ok(wrong == 0, "%zu changed bytes do no harm", (file.length - 100) * sizeof(masks));
	bytes_free(&file);
}

/* A header and 64 bytes of data. */
static const struct
{
	const char *test;
	const char *message;
	const char *header;
}			wrong_headers[] = {
	{"no JSON", "header: invalid JSON at byte 1", "{nonsense}"},
	{"an array", "the header is no JSON object", "[]"},
	{"a tensor that is a number", "\"t\" has no dtype", "{\"t\":1}"},
	{"no dtype", "\"t\" has no dtype", "{\"t\":{\"shape\":[16],\"data_offsets\":[0,64]}}"},
	{"no shape", "\"t\" has no shape", "{\"t\":{\"dtype\":\"F32\",\"data_offsets\":[0,64]}}"},
	{"a shape of text", "no list of whole numbers", "{" TENSOR("t", "F32", "\"16\"", "0",
															   "64") "}"},
	{"a negative dimension", "no list of whole numbers", "{" TENSOR("t", "F32", "-16", "0",
																	"64") "}"},
	{"half a dimension", "no list of whole numbers", "{" TENSOR("t", "F32", "1.5", "0", "64") "}"},
	{"a dimension of 1e300", "no list of whole numbers", "{" TENSOR("t", "F32", "1e300", "0",
																	"64") "}"},
	{"a product beyond 64 bits", "cannot have 64 bytes",
	"{" TENSOR("t", "F32", "4503599627370496,4503599627370496,16", "0", "64") "}"},
	{"a product that wraps to the right size", "cannot have 64 bytes",
	"{" TENSOR("t", "I8", "4294967296,4294967296,64", "0", "64") "}"},
	{"no offsets", "wrong data_offsets", "{\"t\":{\"dtype\":\"F32\",\"shape\":[16]}}"},
	{"one offset", "wrong data_offsets",
	"{\"t\":{\"dtype\":\"F32\",\"shape\":[16],\"data_offsets\":[0]}}"},
	{"an end before the beginning", "wrong data_offsets", "{" TENSOR("t", "F32", "0", "64",
																	 "0") "}"},
	{"a negative offset", "wrong data_offsets", "{" TENSOR("t", "F32", "17", "-4", "64") "}"},
	{"an end beyond the data", "ends at byte 68 of 64", "{" TENSOR("t", "F32", "17", "0",
																   "68") "}"},
	{"an end of 2^53", "is the file truncated?", "{" TENSOR("t", "F32", "1", "0",
															"9007199254740992") "}"},
	{"too few bytes for the shape", "\"t\" of F32 and shape [4, 5] cannot have 64 bytes",
	"{" TENSOR("t", "F32", "4,5", "0", "64") "}"},
	{"an overlap", "\"b\" overlaps", "{" TENSOR("a", "F32", "10", "0", "40") ","
	TENSOR("b", "F32", "7", "36", "64") "}"},
	{"a hole", "\"b\" does not follow", "{" TENSOR("a", "F32", "8", "0", "32") ","
	TENSOR("b", "F32", "7", "36", "64") "}"},
	{"data of no tensor", "4 bytes of data belong to no tensor", "{" TENSOR("a", "F32", "15", "0",
																			"60") "}"},
	{"no tensors", "64 bytes of data belong to no tensor", "{}"},
	{"equal names", "\"a\" occurs twice", "{" TENSOR("a", "F32", "0", "0", "0") ","
	TENSOR("a", "F32", "16", "0", "64") "}"},
	{"an empty name", "name is empty", "{" TENSOR("", "F32", "16", "0", "64") "}"},
	{"a name with a NUL", "holds a NUL", "{" TENSOR("a\\u0000b", "F32", "16", "0", "64") "}"},
};

static void
test_wrong_headers(void)
{
	bytes		b = {0};

	for (size_t i = 0; i < sizeof(wrong_headers) / sizeof(wrong_headers[0]); i++)
	{
		build_safetensors(&b, wrong_headers[i].header, 64);
		refuse(&b, ENGINE_CORRUPT, wrong_headers[i].message, wrong_headers[i].test);
	}
	put(&b, "short", 5);
	refuse(&b, ENGINE_CORRUPT, "file.safetensors: not a safetensors file", "a file of five bytes");
	put_u64(&b, UINT64_MAX);
	put_zeros(&b, 64);
	refuse(&b, ENGINE_CORRUPT, "header of 18446744073709551615 bytes",
		   "a header of 2^64 - 1 bytes");
	put_u64(&b, SAFETENSORS_HEADER_MAX + 1);
	put_zeros(&b, SAFETENSORS_HEADER_MAX + 1);
	refuse(&b, ENGINE_UNSUPPORTED, "limit is 16777216", "a header beyond the limit");
	put_u64(&b, 1000);
	for (int i = 0; i < 1000; i++)
		put(&b, "[", 1);
	refuse(&b, ENGINE_CORRUPT, "header: invalid JSON", "a thousand nested arrays");
}

/* With a search in a list this would take hours. */
static void
test_many(void)
{
	enum
	{
		MANY = 60000
	};
	bytes		text = {0};
	bytes		file = {0};
	outcome    *o;
	int			found = 0;
	char		entry[128];

	for (int i = 0; i < MANY; i++)
	{
		snprintf(entry, sizeof(entry),
				 "%s\"tensor%d\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[%d,%d]}",
				 i == 0 ? "{" : ",", i, i * 4, i * 4 + 4);
		put(&text, entry, strlen(entry));
	}
	put(&text, "}", 2);
	build_safetensors(&file, (const char *) text.data, MANY * 4);
	o = parse(file.data, file.length);
	for (int i = 0; o->good && i < MANY; i++)
	{
		snprintf(entry, sizeof(entry), "tensor%d", i);
		found += tensor_table_find(&o->table, entry) != NULL;
	}
	ok(found == MANY, "%d tensors are found", MANY);
	outcome_free(o);
	bytes_free(&text);
	bytes_free(&file);
}

int
main(void)
{
	test_good();
	test_no_tensors();
	test_truncated_and_mutated();
	test_wrong_headers();
	test_many();
	return tap_done();
}
