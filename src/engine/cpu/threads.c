/*
 * threads.c: the thread pool.
 *
 * `claim` holds the loop's number in its upper half and the chunks that nobody has
 * taken yet in its lower half. A worker reads it, reads the loop's fields, and takes a
 * chunk by compare-and-exchange. Success proves that the fields belong to that loop:
 * the next one is published only after every chunk of this one was taken and done. So
 * a worker that slept through a loop can neither run a stale task nor disturb a new one.
 *
 * A worker sleeps on a condition variable. It counts itself in `sleepers` before it
 * looks at `generation` for the last time, and the driver raises `generation` before it
 * looks at `sleepers`, all sequentially consistent: one of the two sees the other.
 */
#include "engine/cpu/threads.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#define CACHE_LINE 64
#define SPIN_NANOSECONDS 50000
#define SPINS_PER_CLOCK 32		/* reading the clock costs about as much as one pause */

typedef struct worker
{
	threads    *pool;
	pthread_t	handle;
	int			number;
} worker;

struct threads
{
	/* the loop; written by the driver while no chunk is left to take */
	_Alignas(CACHE_LINE) _Atomic(threads_task) task;
	_Atomic(void *) arg;
	atomic_int	count;
	atomic_int	grain;
	atomic_uint generation;		/* raised by every loop and every wake */
	atomic_bool stop;

	_Alignas(CACHE_LINE) atomic_uint_fast64_t claim;
	_Alignas(CACHE_LINE) atomic_int done;	/* chunks of this loop */
	_Alignas(CACHE_LINE) atomic_int sleepers;

	pthread_mutex_t mutex;
	pthread_cond_t wake;
	int			n_threads;
	int			started;		/* workers that are running */
	worker	   *workers;
};

static inline void
spin_pause(void)
{
#if defined(__x86_64__) || defined(__i386__)
	__builtin_ia32_pause();
#elif defined(__aarch64__)
	__asm__ volatile("yield");
#endif
}

static int64_t
now_nanoseconds(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t) t.tv_sec * 1000000000 + t.tv_nsec;
}

/* Takes chunks of the current loop until none is left; false when there was none. */
static bool
work(threads *t, int thread)
{
	bool		worked = false;
	uint64_t	claim = atomic_load_explicit(&t->claim, memory_order_acquire);

	while ((uint32_t) claim > 0)
	{
		threads_task task = atomic_load_explicit(&t->task, memory_order_relaxed);
		void	   *arg = atomic_load_explicit(&t->arg, memory_order_relaxed);
		int			count = atomic_load_explicit(&t->count, memory_order_relaxed);
		int			grain = atomic_load_explicit(&t->grain, memory_order_relaxed);
		int			chunks = count / grain + (count % grain != 0);
		int			begin;

		if (!atomic_compare_exchange_weak_explicit(&t->claim, &claim, claim - 1,
												   memory_order_acq_rel, memory_order_acquire))
			continue;
		begin = (chunks - (int) (uint32_t) claim) * grain;
		task(arg, begin, count - begin < grain ? count : begin + grain, thread);
		atomic_fetch_add_explicit(&t->done, 1, memory_order_release);
		worked = true;
		claim = atomic_load_explicit(&t->claim, memory_order_acquire);
	}
	return worked;
}

static void
sleep_until_wanted(threads *t, unsigned generation)
{
	pthread_mutex_lock(&t->mutex);
	atomic_fetch_add(&t->sleepers, 1);
	while (atomic_load(&t->generation) == generation)
		pthread_cond_wait(&t->wake, &t->mutex);
	atomic_fetch_sub(&t->sleepers, 1);
	pthread_mutex_unlock(&t->mutex);
}

static void *
worker_main(void *arg)
{
	worker	   *self = arg;
	threads    *t = self->pool;
	unsigned	generation = 0;

	while (!atomic_load(&t->stop))
	{
		int64_t		deadline = now_nanoseconds() + SPIN_NANOSECONDS;
		unsigned	seen = generation;

		for (unsigned spins = 1;; spins++)
		{
			seen = atomic_load_explicit(&t->generation, memory_order_acquire);
			if (seen != generation)
				break;
			spin_pause();
			if (spins % SPINS_PER_CLOCK == 0 && now_nanoseconds() > deadline)
			{
				sleep_until_wanted(t, generation);
				break;
			}
		}
		generation = seen;
		work(t, self->number);
	}
	return NULL;
}

static void
raise_generation(threads *t)
{
	atomic_fetch_add(&t->generation, 1);
	if (atomic_load(&t->sleepers) > 0)
	{
		pthread_mutex_lock(&t->mutex);
		pthread_cond_broadcast(&t->wake);
		pthread_mutex_unlock(&t->mutex);
	}
}

void
threads_run(threads *t, threads_task task, void *arg, int count, int grain)
{
	uint64_t	claim;
	int			chunks;
	unsigned	spins = 0;

	if (count <= 0)
		return;
	if (grain < 1)
		grain = 1;
	chunks = count / grain + (count % grain != 0);
	if (chunks == 1 || t->started == 0)
	{
		task(arg, 0, count, 0);
		return;
	}
	atomic_store_explicit(&t->task, task, memory_order_relaxed);
	atomic_store_explicit(&t->arg, arg, memory_order_relaxed);
	atomic_store_explicit(&t->count, count, memory_order_relaxed);
	atomic_store_explicit(&t->grain, grain, memory_order_relaxed);
	atomic_store_explicit(&t->done, 0, memory_order_relaxed);
	claim = atomic_load_explicit(&t->claim, memory_order_relaxed);
	claim = ((claim >> 32) + 1) << 32 | (uint32_t) chunks;
	atomic_store_explicit(&t->claim, claim, memory_order_release);
	raise_generation(t);

	work(t, 0);
	/* a worker that lost its processor in a chunk may need this one to go on */
	while (atomic_load_explicit(&t->done, memory_order_acquire) != chunks)
	{
		spin_pause();
		if (++spins % 4096 == 0)
			sched_yield();
	}
}

void
threads_wake(threads *t)
{
	if (t->started > 0)
		raise_generation(t);
}

int
threads_count(const threads *t)
{
	return t->n_threads;
}

void
threads_stop(threads *t)
{
	if (t == NULL)
		return;
	atomic_store(&t->stop, true);
	raise_generation(t);
	for (int i = 0; i < t->started; i++)
		pthread_join(t->workers[i].handle, NULL);
	pthread_cond_destroy(&t->wake);
	pthread_mutex_destroy(&t->mutex);
	free(t->workers);
	free(t);
}

threads *
threads_start(int count, engine_error *error)
{
	void	   *memory = NULL;
	threads    *t;

	if (count <= 0)
		count = threads_available();
	if (count > THREADS_MAX)
		count = THREADS_MAX;
	if (posix_memalign(&memory, CACHE_LINE, sizeof(threads)) != 0)
	{
		engine_fail_memory(error, "the thread pool");
		return NULL;
	}
	t = memory;
	*t = (threads)
	{
		.n_threads = count
	};
	t->workers = calloc((size_t) count, sizeof(worker));
	if (t->workers == NULL || pthread_mutex_init(&t->mutex, NULL) != 0)
	{
		free(t->workers);
		free(t);
		engine_fail_memory(error, "the thread pool");
		return NULL;
	}
	if (pthread_cond_init(&t->wake, NULL) != 0)
	{
		pthread_mutex_destroy(&t->mutex);
		free(t->workers);
		free(t);
		engine_fail_memory(error, "the thread pool");
		return NULL;
	}
	for (int i = 0; i < count - 1; i++)
	{
		worker	   *w = &t->workers[i];

		w->pool = t;
		w->number = i + 1;
		if (pthread_create(&w->handle, NULL, worker_main, w) != 0)
		{
			engine_fail(error, ENGINE_NO_MEMORY, "could not start thread %d of %d", i + 2, count);
			threads_stop(t);
			return NULL;
		}
		t->started++;
	}
	return t;
}

/* "max 100000" or "150000 100000" (control groups v2); 0 when there is no quota. */
static int
quota_processors(void)
{
	FILE	   *file = fopen("/sys/fs/cgroup/cpu.max", "r");
	long		quota = 0,
				period = 0;

	if (file != NULL)
	{
		if (fscanf(file, "%ld %ld", &quota, &period) != 2)
			quota = 0;
		fclose(file);
	}
	else
	{
		FILE	   *quota_file = fopen("/sys/fs/cgroup/cpu/cpu.cfs_quota_us", "r");
		FILE	   *period_file = fopen("/sys/fs/cgroup/cpu/cpu.cfs_period_us", "r");

		if (quota_file == NULL || fscanf(quota_file, "%ld", &quota) != 1 ||
			period_file == NULL || fscanf(period_file, "%ld", &period) != 1)
			quota = 0;
		if (quota_file != NULL)
			fclose(quota_file);
		if (period_file != NULL)
			fclose(period_file);
	}
	if (quota <= 0 || period <= 0 || quota / period >= THREADS_MAX)
		return 0;
	return (int) ((quota + period - 1) / period);
}

int
threads_available(void)
{
	int			count = 0;
	int			quota = quota_processors();

#if defined(__linux__)
	cpu_set_t	set;

	if (sched_getaffinity(0, sizeof(set), &set) == 0)
		count = CPU_COUNT(&set);
#endif
	if (count < 1)
		count = (int) sysconf(_SC_NPROCESSORS_ONLN);
	if (quota > 0 && quota < count)
		count = quota;
	if (count < 1)
		count = 1;
	return count < THREADS_MAX ? count : THREADS_MAX;
}
