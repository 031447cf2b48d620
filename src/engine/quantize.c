/*
 * quantize.c: matrices of floats to 8-bit blocks (Q8_0), for models whose options ask for it.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "engine/graph_private.h"
#include "simd/half.h"

#define BLOCK 32

typedef struct q8_block
{
	uint16_t	scale;			/* 16-bit float */
	int8_t		q[BLOCK];
} q8_block;

/* False for numbers that no 16-bit scale reaches: infinities, NaNs, and above 127 * 65504. */
static bool
quantize_block(const float *x, q8_block *out)
{
	float		greatest = 0;
	float		scale;

	for (int i = 0; i < BLOCK; i++)
	{
		if (!isfinite(x[i]))
			return false;
		greatest = fmaxf(greatest, fabsf(x[i]));
	}
	out->scale = half_from_float(greatest / 127.0f);
	scale = half_to_float(out->scale);
	if (!isfinite(scale))
		return false;
	for (int i = 0; i < BLOCK; i++)
	{
		/* divided by the scale as it is kept, which may be less than that of the greatest number */
		float		q = scale > 0 ? roundf(x[i] / scale) : 0;

		out->q[i] = (int8_t) fminf(fmaxf(q, -127.0f), 127.0f);
	}
	return true;
}

bool
tensor_is_float(const model_tensor *t)
{
	return t->type == TYPE_F32 || t->type == TYPE_F16 || t->type == TYPE_BF16;
}

bool
tensor_quantize(const model_tensor *from, model_tensor *to, engine_error *error)
{
	size_t		bytes = (size_t) tensor_type_get(from->type)->block_bytes;
	size_t		count = (size_t) (from->rows * from->columns);
	q8_block   *blocks = malloc(count / BLOCK * sizeof(q8_block));

	if (blocks == NULL)
		return engine_fail_memory(error, "an 8-bit matrix");
	for (size_t i = 0; i < count; i += BLOCK)
	{
		float		values[BLOCK];

		tensor_dequantize(from->type, (const char *) from->data + i * bytes, values, BLOCK);
		if (!quantize_block(values, &blocks[i / BLOCK]))
		{
			free(blocks);
			return engine_fail(error, ENGINE_UNSUPPORTED,
							   "tensor \"%s\" has numbers beyond the range of 8-bit weights",
							   from->name);
		}
	}
	*to = *from;
	to->type = TYPE_Q8_0;
	to->data = blocks;
	to->bytes = count / BLOCK * sizeof(q8_block);
	return true;
}
