/*
 * test_dequant.c: tensor_dequantize against the reference implementation; tensor_quantize.
 *
 * test/data/dequant/golden.bin holds blocks of every type and what they mean; it is
 * written by test/data/dequant/generate.py, which says how.
 */
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "engine/graph_private.h"
#include "tap.h"

#define GOLDEN "test/data/dequant/golden.bin"

typedef struct section
{
	char		name[8];
	uint32_t	blocks;
	uint32_t	bytes;
} section;

/* The largest magnitude among the values around i, which bounds what was added up to make it. */
static float
largest_near(const float *golden, size_t count, size_t i)
{
	float		largest = 0;

	for (size_t j = i / 32 * 32; j < count && j < i / 32 * 32 + 32; j++)
	{
		if (fabsf(golden[j]) > largest)	/* not fmaxf, which spreads signalling NaNs */
			largest = fabsf(golden[j]);
	}
	return largest;
}

/* Exact, but for the rounding of a fused multiply-add where the compiler makes one. */
static bool
is_wrong(float value, float golden, float largest)
{
	if (isnan(golden))
		return !isnan(value);
	if (isinf(golden) || isinf(largest))
		return value != golden;
	return !(fabsf(value - golden) <= 3e-7f * largest);
}

static size_t
count_wrong(const float *values, const float *golden, size_t count)
{
	size_t		wrong = 0;

	for (size_t i = 0; i < count; i++)
		wrong += is_wrong(values[i], golden[i], largest_near(golden, count, i));
	return wrong;
}

static void
test_section(FILE *file, const section *head, tensor_type type)
{
	const tensor_type_info *info = tensor_type_get(type);
	size_t		count = (size_t) head->blocks * (size_t) info->block_elements;
	unsigned char *packed = malloc(head->bytes + 1);
	float	   *golden = malloc(count * sizeof(float));
	float	   *values = malloc(count * sizeof(float));
	float		guard = 77;

	ok(head->bytes == head->blocks * (uint32_t) info->block_bytes, "%s: %d bytes a block",
	   info->name, info->block_bytes);
	/* one byte off, so that every load is unaligned */
	if (fread(packed + 1, 1, head->bytes, file) != head->bytes ||
		fread(golden, sizeof(float), count, file) != count)
		ok(false, "%s: section is whole", info->name);
	else
	{
		size_t		part = (size_t) info->block_elements;

		tensor_dequantize(type, packed + 1, values, count);
		ok(count_wrong(values, golden, count) == 0, "%s: %zu values", info->name, count);
		memset(values, 0, count * sizeof(float));
		values[part] = guard;
		tensor_dequantize(type, packed + 1, values, part);
		ok(count_wrong(values, golden, part) == 0 && values[part] == guard,
		   "%s: one block and no more", info->name);
	}
	free(packed);
	free(golden);
	free(values);
}

#define ROWS 3
#define COLUMNS 64

/* Every block has a range of its own; the second one is zeros, the third is tiny. */
static void
test_quantize(void)
{
	static float values[ROWS * COLUMNS];
	static float back[ROWS * COLUMNS];
	model_tensor from = {"w", TYPE_F32, ROWS, COLUMNS, values, sizeof(values)};
	model_tensor to = {0};
	engine_error error;
	bool		near = true;
	float		ranges[] = {1, 0, 1e-20f, 8e6f, 127, 1e-6f};

	for (int i = 0; i < ROWS * COLUMNS; i++)
		values[i] = ranges[i / 32] * (float) ((i * 37) % 255 - 127) / 127.0f;
	if (!ok(tensor_quantize(&from, &to, &error), "floats become Q8_0"))
		return;
	ok(to.type == TYPE_Q8_0 && to.rows == ROWS && to.columns == COLUMNS && to.bytes == 6 * 34,
	   "of the same shape, in %zu bytes", to.bytes);
	tensor_dequantize(TYPE_Q8_0, to.data, back, ROWS * COLUMNS);
	for (int i = 0; i < ROWS * COLUMNS; i++)
	{
		/* half a step, the rounding of the scale, and what is below the least scale */
		float		allowed = ranges[i / 32] * (0.5f / 127 + 1.0f / 1024) + 127 * 0x1p-25f;

		near = near && fabsf(back[i] - values[i]) <= allowed;
	}
	ok(near, "and mean nearly the same");
	free((void *) to.data);
	for (int bad = 0; bad < 3; bad++)
	{
		values[100] = bad == 0 ? NAN : bad == 1 ? INFINITY : 9e6f;
		ok(!tensor_quantize(&from, &to, &error) && error.code == ENGINE_UNSUPPORTED, "%s",
		   error.message);
	}
}

int
main(void)
{
	FILE	   *file = fopen(GOLDEN, "rb");
	section		head;
	int			seen = 0;

	ok(file != NULL, "%s is there (run from the top folder)", GOLDEN);
	while (file && fread(&head, sizeof(head), 1, file) == 1)
	{
		int			type = 0;

		while (type < TENSOR_TYPES &&
			   strncmp(head.name, tensor_type_get((tensor_type) type)->name, sizeof(head.name)) != 0)
			type++;
		if (!ok(type < TENSOR_TYPES && head.bytes < 1 << 20, "%.8s is a type", head.name))
			break;
		test_section(file, &head, (tensor_type) type);
		seen++;
	}
	if (file)
		fclose(file);
	test_quantize();
	ok(seen == TENSOR_TYPES, "every type was seen");
	ok(tensor_type_get(TENSOR_TYPES) == NULL && tensor_type_get((tensor_type) -1) == NULL,
	   "what is no type has no description");
	return tap_done();
}
