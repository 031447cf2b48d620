/*
 * code_scalar.c: the kernels of the codes in portable C, the oracle of the others.
 */
#include "simd/code_body.h"

static int32_t
code_dot(const uint8_t *code, const int8_t *steps, size_t n, int32_t steps_sum)
{
	int32_t		sum = 0;

	for (size_t i = 0; i < n; i++)
		sum += code[i] * steps[i];
	return sum - CODE_MIDDLE * steps_sum;
}

static int32_t
code_between_bytes(const uint8_t *a, const uint8_t *b, size_t n)
{
	int32_t		sum = 0;

	for (size_t i = 0; i < n; i++)
		sum += (a[i] - CODE_MIDDLE) * code_step(b[i]);
	return sum;
}

const code_kernels code_kernels_scalar = CODE_KERNELS;
