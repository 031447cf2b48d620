/*
 * emulated.h: what the tests of the CUDA backend share: the backend, linked in, buffers of 16-bit floats of
 * both kinds, and the same test in each order in which the threads of a block may run.
 */
#ifndef RAG_TEST_EMULATED_H
#define RAG_TEST_EMULATED_H

#include <math.h>

#include "cuda/device.h"
#include "emulator.h"
#include "tap.h"
#include "tensors.h"

extern const backend_ops *rag_backend(void);

static const int awkward_rows[] = {1, 2, 3, 4, 5, 15, 16, 17, 33};

/* The activations that the test is of. */
static backend_element emulated_kind = BACKEND_ACTIVATION;

/* What came out of the test so far, as a number. */
static uint64_t emulated_hash;

__attribute__((unused))
static void
emulated_note(const void *data, size_t bytes)
{
	for (size_t i = 0; i < bytes; i++)
		emulated_hash = (emulated_hash ^ ((const unsigned char *) data)[i]) * 0x100000001B3u;
}

/* Less is to be done: a sanitizer makes it slow. */
__attribute__((unused))
static bool
emulated_quick(void)
{
	return getenv("RAG_TEST_QUICK") != NULL;
}

/* Runs test(device) with this order of the threads. */
static uint64_t
emulated_in_order(void (*test) (backend_device *d, const char *order), emulator_order order,
				  const char *name)
{
	engine_error error;
	backend_device *d = rag_backend()->open(&(backend_config) {0}, &error);

	if (!ok(d != NULL, "%s: open", name))
		return 0;
	emulator_set_order(order, 1);
	emulated_hash = 0xCBF29CE484222325u;
	test_state = 88172645463325252u;
	test(d, name);
	rag_backend()->close(d);
	return emulated_hash;
}

/*
 * In three orders of the threads: the same must come out. Quick: in the last one. Once more with bf16, whose
 * kernels are the same templates.
 */
__attribute__((unused))
static void
emulated_each_order(void (*test) (backend_device *d, const char *order))
{
	static const char *const names[] = {"forward", "reverse", "random"};
	uint64_t	hash[3];

	for (int order = emulated_quick() ? EMULATOR_RANDOM : EMULATOR_FORWARD;
		 order <= EMULATOR_RANDOM; order++)
		hash[order] = emulated_in_order(test, (emulator_order) order, names[order]);
	if (!emulated_quick())
		ok(hash[0] == hash[1] && hash[0] == hash[2], "the same bits in each order of the threads");
	emulated_kind = BACKEND_BF16;
	(void) emulated_in_order(test, EMULATOR_RANDOM, "bf16");
	emulated_kind = BACKEND_ACTIVATION;
}

/* The bits of x in 16, of the kind of the test, and back. */
static uint16_t
emulated_bits(float x)
{
	uint32_t	bits;

	if (emulated_kind == BACKEND_ACTIVATION)
		return half_from_float(x);
	memcpy(&bits, &x, sizeof(bits));
	return (uint16_t) ((isnan(x) ? bits | 0x400000 : bits + 0x7FFF + (bits >> 16 & 1)) >> 16);
}

static float
emulated_value(uint16_t half)
{
	uint32_t	bits = (uint32_t) half << 16;
	float		x;

	if (emulated_kind == BACKEND_ACTIVATION)
		return half_to_float(half);
	memcpy(&x, &bits, sizeof(x));
	return x;
}

static float
emulated_round(float x)
{
	return emulated_value(emulated_bits(x));
}

/* Floats that 16 bits hold exactly. */
__attribute__((unused))
static void
emulated_fill(float *x, size_t n, float size)
{
	for (size_t i = 0; i < n; i++)
		x[i] = emulated_round(test_float() * size);
}

/* A buffer with these elements, or NaNs if there are none. */
__attribute__((unused))
static backend_buffer *
emulated_buffer(backend_device *d, backend_element element, const float *data, size_t n)
{
	backend_buffer *b = rag_backend()->alloc(d, element, n);
	uint16_t   *half = malloc(n * sizeof(uint16_t));

	for (size_t i = 0; data != NULL && i < n; i++)
		half[i] = emulated_bits(data[i]);
	if (data != NULL)
		cudaMemcpyAsync(b->data, element == BACKEND_F32 ? (const void *) data : half,
						n * (element == BACKEND_F32 ? 4 : 2), cudaMemcpyHostToDevice, d->compute);
	cudaStreamSynchronize(d->compute);
	free(half);
	return b;
}

/* The elements of a buffer, and a note of them. */
__attribute__((unused))
static void
emulated_get(backend_device *d, const backend_buffer *b, float *data, size_t n)
{
	uint16_t   *half = malloc(n * sizeof(uint16_t));

	cudaMemcpyAsync(b->element == BACKEND_F32 ? (void *) data : half, b->data,
					n * (b->element == BACKEND_F32 ? 4 : 2), cudaMemcpyDeviceToHost, d->compute);
	cudaStreamSynchronize(d->compute);
	for (size_t i = 0; b->element != BACKEND_F32 && i < n; i++)
		data[i] = emulated_value(half[i]);
	free(half);
	emulated_note(data, n * sizeof(float));
}

/* A step without a cache, of one sequence; its operations are the caller's. */
__attribute__((unused))
static bool
emulated_begin(backend_device *d, int rows)
{
	static int32_t zeros[4096];
	static int32_t counted[4096];
	int32_t		start[2] = {0, rows};
	backend_batch batch = {.rows = rows,.tokens = zeros,.positions = counted,.sequences = 1,
	.start = start};

	for (int i = 0; i < rows; i++)
		counted[i] = i;
	return rag_backend()->begin_step(d, &batch) == ENGINE_OK;
}

__attribute__((unused))
static bool
emulated_end(backend_device *d)
{
	return rag_backend()->end_step(d) == ENGINE_OK && rag_backend()->sync(d) == ENGINE_OK;
}

/* One rounding of an intermediate result and one of the result to f16; bf16 has three bits less. */
#define F16_ERROR 1.5e-3
#define BF16_FACTOR 8
#define F32_ERROR 1e-5

/* Greatest difference, in units of what is allowed: `absolute` and, of the number, `relative`, as is right for
 * f16 or, both small, f32. NaN is infinite. */
__attribute__((unused))
static double
emulated_error(const float *got, const double *expected, size_t n, double absolute, double relative)
{
	double		factor = emulated_kind == BACKEND_BF16 && relative >= F16_ERROR ? BF16_FACTOR : 1;
	double		worst = 0;

	for (size_t i = 0; i < n; i++)
	{
		double		e = fabs(got[i] - expected[i]) /
			(factor * (absolute + relative * fabs(expected[i])));

		worst = e > worst ? e : worst;
		if (isnan(e))
			return INFINITY;
	}
	return worst;
}

#endif							/* RAG_TEST_EMULATED_H */
