/*
 * tensors.h: a random source, and random tensors of every type.
 */
#ifndef RAG_TEST_TENSORS_H
#define RAG_TEST_TENSORS_H

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "simd/half.h"
#include "engine/model.h"

static uint64_t test_state = 88172645463325252u;

__attribute__((unused))
static uint32_t
test_random(void)
{
	test_state ^= test_state << 13;
	test_state ^= test_state >> 7;
	test_state ^= test_state << 17;
	return (uint32_t) (test_state >> 32);
}

/* [0, n) */
__attribute__((unused))
static int
test_below(int n)
{
	return (int) (test_random() % (uint32_t) n);
}

/* (-1, 1), more often near 0 */
__attribute__((unused))
static float
test_float(void)
{
	float		a = (float) (int32_t) test_random() * 0x1p-31f;
	float		b = (float) (int32_t) test_random() * 0x1p-31f;

	return (a + b) / 2;
}

__attribute__((unused))
static void
test_fill(float *x, size_t n)
{
	for (size_t i = 0; i < n; i++)
		x[i] = test_float();
}

static void
test_put_half(uint8_t *p, float f)
{
	uint16_t	h = half_from_float(f);

	memcpy(p, &h, 2);
}

/* Random bits with scales of a size that makes weights about 1. */
static void
test_fill_block(tensor_type type, uint8_t *p, int bytes)
{
	for (int i = 0; i < bytes; i++)
		p[i] = (uint8_t) test_random();
	switch (type)
	{
		case TYPE_Q4_0:
		case TYPE_Q5_0:
			test_put_half(p, test_float() * 0.1f);
			break;
		case TYPE_Q4_1:
		case TYPE_Q5_1:
			test_put_half(p, test_float() * 0.1f);
			test_put_half(p + 2, test_float());
			break;
		case TYPE_Q8_0:
			test_put_half(p, test_float() * 0.01f);
			break;
		case TYPE_Q4_K:
		case TYPE_Q5_K:
			test_put_half(p, test_float() * 0.002f);
			test_put_half(p + 2, test_float() * 0.02f);
			break;
		case TYPE_Q6_K:
			test_put_half(p + 208, test_float() * 0.0005f);
			break;
		default:
			break;
	}
}

/* A random tensor; its data is malloc'd. */
__attribute__((unused))
static model_tensor
test_tensor(tensor_type type, int rows, int columns)
{
	const tensor_type_info *info = tensor_type_get(type);
	size_t		blocks = (size_t) rows * (size_t) (columns / info->block_elements);
	size_t		bytes = blocks * (size_t) info->block_bytes;
	uint8_t    *data = malloc(bytes);
	model_tensor t = {"test", type, rows, columns, data, bytes};

	for (size_t b = 0; b < blocks; b++)
	{
		float		f = test_float();
		uint16_t	h;

		if (type == TYPE_F32)
			memcpy(data + b * 4, &f, 4);
		else if (type == TYPE_F16)
			test_put_half(data + b * 2, f);
		else if (type == TYPE_BF16)
		{
			uint32_t	bits;

			memcpy(&bits, &f, 4);
			h = (uint16_t) (bits >> 16);
			memcpy(data + b * 2, &h, 2);
		}
		else
			test_fill_block(type, data + b * (size_t) info->block_bytes, info->block_bytes);
	}
	return t;
}

/* The values of a tensor as doubles, malloc'd. */
__attribute__((unused))
static double *
test_values(const model_tensor *t)
{
	size_t		n = (size_t) (t->rows * t->columns);
	float	   *f = malloc(n * sizeof(float));
	double	   *out = malloc(n * sizeof(double));

	tensor_dequantize(t->type, t->data, f, n);
	for (size_t i = 0; i < n; i++)
		out[i] = f[i];
	free(f);
	return out;
}

#endif							/* RAG_TEST_TENSORS_H */
