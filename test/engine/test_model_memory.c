/*
 * test_model_memory.c: opening a model with every allocation failing in turn: a clear
 * error or, where the library can do without, a model; never a leak.
 */
#include "engine/model.h"
#include "failing_malloc.h"
#include "tap.h"

#ifdef CAN_FAIL_MALLOC

/* Open with the nth allocation and all after it failing; false when they are not needed. */
static bool
open_with(const char *path, long n, long *wrong)
{
	engine_error error = {0};
	model	   *m;
	bool		failed;

	malloc_fails_at(n, false);
	m = model_open(path, &error);
	model_close(m);
	*wrong += malloc_works_again(&failed) != 0 || (m == NULL && error.code != ENGINE_NO_MEMORY);
	return failed;
}

static void
test_path(const char *path)
{
	long		wrong = 0;
	long		n = 0;

	while (n < 100000 && open_with(path, n, &wrong))
		n++;
	ok(wrong == 0 && n > 10 && n < 100000, "%s: %ld allocations failed in turn", path, n);
}

int
main(void)
{
	test_path("test/data/fuzz/fuzz_gguf/llama.gguf");
	test_path("test/data/fuzz/fuzz_gguf/bert.gguf");
	test_path("test/data/tiny-models/tiny_llama_gqa_tied");
	test_path("test/data/tiny-models/tiny_llama_rope_llama3");
	return tap_done();
}

#else

int
main(void)
{
	tap_skip("allocations cannot be counted here");
	return tap_done();
}

#endif
