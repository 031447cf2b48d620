/*
 * test_threads.c: every item of a loop is done exactly once, whatever the counts, and
 * threads that fell asleep come back.
 */
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "engine/cpu/threads.h"
#include "tap.h"

#define ITEMS 5000

typedef struct loop
{
	atomic_int	done[ITEMS];
	int			plain[ITEMS];	/* written by whoever runs the item, read after the loop */
	atomic_int	bad_thread;
	int			n_threads;
	int			round;
} loop;

static void
mark(void *arg, int begin, int end, int thread)
{
	loop	   *l = arg;

	if (thread < 0 || thread >= l->n_threads || begin >= end)
		atomic_store(&l->bad_thread, 1);
	for (int i = begin; i < end; i++)
	{
		atomic_fetch_add_explicit(&l->done[i], 1, memory_order_relaxed);
		l->plain[i] = l->round;
	}
}

/* Runs one loop and tells whether each of count items, and no other, was done once. */
static bool
run_once(threads *t, loop *l, int count, int grain)
{
	memset(l->done, 0, sizeof(l->done));
	l->n_threads = threads_count(t);
	l->round++;
	threads_run(t, mark, l, count, grain);
	for (int i = 0; i < ITEMS; i++)
	{
		if (atomic_load_explicit(&l->done[i], memory_order_relaxed) != (i < count) ||
			(i < count && l->plain[i] != l->round))
			return false;
	}
	return atomic_load(&l->bad_thread) == 0;
}

static void
test_count(int n_threads)
{
	engine_error error;
	threads    *t = threads_start(n_threads, &error);
	loop	   *l = calloc(1, sizeof(*l));
	bool		good = true;

	if (!ok(t != NULL && l != NULL, "%d threads start", n_threads))
	{
		free(l);
		return;
	}
	ok(threads_count(t) == n_threads, "there are %d", n_threads);
	for (int i = 0; i < 400; i++)
		good &= run_once(t, l, rand() % (ITEMS + 1), 1 + rand() % 300);
	ok(good, "%d threads: loops of random length and grain", n_threads);
	good = run_once(t, l, 0, 1) && run_once(t, l, 1, 1) && run_once(t, l, 1, ITEMS) &&
		run_once(t, l, ITEMS, ITEMS) && run_once(t, l, ITEMS, 1) && run_once(t, l, 7, 0);
	ok(good, "%d threads: loops at the edges", n_threads);
	for (int i = 0; i < 20; i++)
	{
		usleep(i % 2 == 0 ? 2000 : 60);	/* asleep, and about to fall asleep */
		if (i % 3 == 0)
			threads_wake(t);
		good &= run_once(t, l, 64, 1);
	}
	ok(good, "%d threads: loops after sleeping", n_threads);
	threads_stop(t);
	free(l);
}

/* Processor time of the whole process, in seconds. */
static double
processor_time(void)
{
	struct timespec t;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (double) t.tv_sec + (double) t.tv_nsec / 1e9;
}

static void
test_idle(void)
{
	threads    *t = threads_start(4, NULL);
	loop	   *l = calloc(1, sizeof(*l));
	double		before;

	if (t != NULL && l != NULL)
	{
		run_once(t, l, 100, 1);
		usleep(20000);
		before = processor_time();
		usleep(200000);
		ok(processor_time() - before < 0.02, "an idle pool uses no processor time");
	}
	threads_stop(t);
	free(l);
}

int
main(void)
{
	static const int counts[] = {1, 2, 3, 4, 8};
	engine_error error;
	threads    *t;

	srand(1);
	for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++)
		test_count(counts[i]);
	test_idle();
	ok(threads_available() >= 1 && threads_available() <= THREADS_MAX,
	   "%d processors are available", threads_available());
	t = threads_start(0, &error);
	ok(t != NULL && threads_count(t) == threads_available(), "0 means all of them");
	threads_stop(t);
	t = threads_start(3, &error);
	threads_stop(t);
	ok(t != NULL, "a pool that never worked stops");
	threads_stop(NULL);
	return tap_done();
}
