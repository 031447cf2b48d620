/*
 * emulated.h: what the tests of the CUDA backend share: the backend itself, linked in, and devices.
 */
#ifndef RAG_TEST_EMULATED_H
#define RAG_TEST_EMULATED_H

#include "emulator.h"
#include "engine/backend.h"

extern const backend_ops *rag_backend(void);

/* Calls test once for each order in which the threads of a block may run. */
__attribute__((unused))
static void
emulated_each_order(void (*test) (const char *order))
{
	static const char *const names[] = {"forward", "reverse", "random"};

	for (int order = EMULATOR_FORWARD; order <= EMULATOR_RANDOM; order++)
	{
		emulator_set_order((emulator_order) order, 1);
		test(names[order]);
	}
}

#endif							/* RAG_TEST_EMULATED_H */
