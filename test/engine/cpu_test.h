/*
 * cpu_test.h: what the tests of the CPU backend share: devices of every instruction set of
 * this machine, and buffers.
 */
#ifndef RAG_TEST_CPU_TEST_H
#define RAG_TEST_CPU_TEST_H

#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "engine/cpu/device.h"
#include "simd/half.h"
#include "tap.h"
#include "tensors.h"

__attribute__((unused))
static backend_buffer *
test_buffer(backend_device *d, const float *data, size_t n)
{
	backend_buffer *b = backend_cpu()->alloc(d, BACKEND_F32, n);

	if (b != NULL && data != NULL)
		backend_cpu()->upload(d, b, 0, data, n);
	return b;
}

/* Calls test with a device of each instruction set, with two threads. */
__attribute__((unused))
static void
test_each_isa(void (*test) (backend_device *d, const char *isa))
{
	for (int isa = SIMD_SCALAR; isa <= SIMD_AVX512VNNI; isa++)
	{
		engine_error error;
		backend_device *d;

		if (simd_get_for((simd_isa) isa) == NULL)
		{
			tap_skip("this machine has no %s", simd_name((simd_isa) isa));
			continue;
		}
		d = device_open(&(backend_config) {.threads = 2}, (simd_isa) isa, &error);
		if (ok(d != NULL, "%s: open", simd_name((simd_isa) isa)))
			test(d, simd_name((simd_isa) isa));
		backend_cpu()->close(d);
	}
}

#endif							/* RAG_TEST_CPU_TEST_H */
