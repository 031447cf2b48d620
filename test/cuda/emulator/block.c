/*
 * block.c: the threads of a block, their barriers, their shared memory.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "emulator.h"
#include "fiber.h"

#define COPIES 64				/* asynchronous copies of a thread that have not arrived */

typedef enum wait_kind
{
	WAIT_NOTHING, WAIT_WARP, WAIT_BLOCK, WAIT_OVER
} wait_kind;

typedef struct late_copy
{
	void	   *to;
	const void *from;
	size_t		bytes;
	size_t		zeros;
	unsigned	group;
} late_copy;

typedef struct warp
{
	uint32_t	mask;			/* of the exchange that has begun */
	uint32_t	arrived;
	unsigned	generation;
	/* two, since the next exchange may begin before the last lane has read this one */
	_Alignas(16) unsigned char slot[2][EMULATOR_WARP][EMULATOR_SLOT];
} warp;

typedef struct thread
{
	emulator_thread self;
	fiber		fiber;
	wait_kind	waiting;
	unsigned	generation;		/* that it waits to pass */
	unsigned	groups;			/* of copies, committed */
	int			n_copies;
	late_copy	copies[COPIES];
} thread;

static struct
{
	emulator_order order;
	uint32_t	random;
	bool		order_known;
	const emulator_kernel *kernel;
	fiber		scheduler;
	int			n_threads;
	int			arrived;		/* at the block's barrier */
	unsigned	generation;
	unsigned char *dynamic;		/* ends at a guard page */
	uint64_t	number;			/* of blocks that have run */
	char		begin;			/* addresses for fiber_release and fiber_acquire, no more */
	char		end;
} block;

static thread threads[EMULATOR_THREADS];
static warp warps[EMULATOR_THREADS / EMULATOR_WARP];

emulator_thread *emulator_self;

void
emulator_abort(const char *format,...)
{
	va_list		args;

	va_start(args, format);
	fputs("emulator: ", stderr);
	vfprintf(stderr, format, args);
	fputc('\n', stderr);
	va_end(args);
	_exit(EMULATOR_EXIT);
}

void
emulator_set_order(emulator_order order, uint32_t seed)
{
	block.order = order;
	block.random = seed * 2654435761u + 1;
	block.order_known = true;
}

static void
read_order(void)
{
	const char *name = getenv("EMULATOR_ORDER");

	if (block.order_known)
		return;
	emulator_set_order(name == NULL || strcmp(name, "forward") == 0 ? EMULATOR_FORWARD :
					   strcmp(name, "reverse") == 0 ? EMULATOR_REVERSE : EMULATOR_RANDOM, 1);
}

static uint32_t
next_random(void)
{
	block.random ^= block.random << 13;
	block.random ^= block.random >> 17;
	block.random ^= block.random << 5;
	return block.random;
}

/* Place i of n in this round's order: stride and offset come from a random number. */
static int
place_of(int i, int n, uint32_t random)
{
	static const int strides[] = {1, 31, 7, 29, 11, 19, 13, 23};

	if (block.order == EMULATOR_FORWARD)
		return i;
	if (block.order == EMULATOR_REVERSE)
		return n - 1 - i;
	/* every stride is prime to the number of warps, 1 .. 32, or to that of lanes */
	if (n % strides[random & 7] == 0)
		return (int) (((uint32_t) i + (random >> 8)) % (uint32_t) n);
	return (int) (((uint32_t) (i * strides[random & 7]) + (random >> 8)) % (uint32_t) n);
}

static thread *
current(void)
{
	return (thread *) (void *) emulator_self;
}

static void
yield(thread *t)
{
	fiber_switch(&t->fiber, &block.scheduler);
	emulator_self = &t->self;
}

static void
run_body(void)
{
	thread	   *t = current();

	fiber_started(&block.scheduler);
	fiber_acquire(&block.begin);
	block.kernel->body(block.kernel->arguments);
	emulator_copy_commit();
	emulator_copy_wait(0);
	t->waiting = WAIT_OVER;
	fiber_release(&block.end);
	fiber_switch(&t->fiber, &block.scheduler);
	abort();
}

/* A barrier that not all threads of the block reach is found by run_block. */
void
emulator_sync_threads(void)
{
	thread	   *t = current();

	fiber_release(&block.arrived);
	if (++block.arrived == block.n_threads)
	{
		block.arrived = 0;
		block.generation++;
	}
	else
	{
		t->generation = block.generation;
		t->waiting = WAIT_BLOCK;
		yield(t);
	}
	fiber_acquire(&block.arrived);
}

const unsigned char *
emulator_exchange(uint32_t mask, const void *value, size_t size)
{
	thread	   *t = current();
	int			number = (int) (t - threads);
	warp	   *w = &warps[number / EMULATOR_WARP];
	uint32_t	bit = 1u << number % EMULATOR_WARP;
	unsigned	parity = w->generation & 1;

	if ((mask & bit) == 0)
		emulator_abort("thread %d is not in the mask %08x that it gives", number, mask);
	if (w->arrived == 0)
		w->mask = mask;
	else if (w->mask != mask)
		emulator_abort("thread %d comes with mask %08x to lanes that wait with %08x", number, mask,
					   w->mask);
	if (size > 0)
		memcpy(w->slot[parity][number % EMULATOR_WARP], value, size);
	w->arrived |= bit;
	fiber_release(w);
	if (w->arrived == mask)
	{
		w->arrived = 0;
		w->generation++;
	}
	else
	{
		t->generation = w->generation;
		t->waiting = WAIT_WARP;
		yield(t);
	}
	fiber_acquire(w);
	return w->slot[parity][0];
}

void *
emulator_dynamic_shared(void)
{
	/* as a device's, at a multiple of 16 */
	return block.dynamic + EMULATOR_SHARED - (block.kernel->shared + 15) / 16 * 16;
}

void *
emulator_static_shared(emulator_site *site, size_t size)
{
	if (site->memory == NULL)
	{
		site->memory = emulator_map_guarded((size + 15) / 16 * 16);
		fiber_release(site);
	}
	fiber_acquire(site);
	if (site->block != block.number)
	{
		site->block = block.number;
		fiber_unseen(true);
		memset(site->memory, 0xFF, size);
		fiber_unseen(false);
	}
	return site->memory;
}

static void
arrive(const late_copy *c)
{
	memcpy(c->to, c->from, c->bytes);
	memset((char *) c->to + c->bytes, 0, c->zeros);
}

void
emulator_copy_later(void *to, const void *from, size_t bytes, size_t zeros)
{
	thread	   *t = current();

	if (t->n_copies == COPIES)
		emulator_abort("a thread has more than %d copies in flight", COPIES);
	t->copies[t->n_copies++] = (late_copy) {to, from, bytes, zeros, t->groups};
}

void
emulator_copy_commit(void)
{
	current()->groups++;
}

void
emulator_copy_wait(int groups_left)
{
	thread	   *t = current();
	int			kept = 0;

	for (int i = 0; i < t->n_copies; i++)
	{
		if (t->copies[i].group + (unsigned) groups_left < t->groups)
			arrive(&t->copies[i]);
		else
			t->copies[kept++] = t->copies[i];
	}
	t->n_copies = kept;
}

static bool
can_run(const thread *t, const warp *w)
{
	return t->waiting == WAIT_NOTHING ||
		(t->waiting == WAIT_WARP && t->generation != w->generation) ||
		(t->waiting == WAIT_BLOCK && t->generation != block.generation);
}

/* Runs the lanes of a warp until each waits for the block or is over. */
static bool
run_warp(int number, int lanes)
{
	bool		progress = false;
	bool		any = true;

	while (any)
	{
		uint32_t	random = block.order == EMULATOR_RANDOM ? next_random() : 0;

		any = false;
		for (int i = 0; i < lanes; i++)
		{
			thread	   *t = &threads[number * EMULATOR_WARP + place_of(i, lanes, random)];

			if (!can_run(t, &warps[number]))
				continue;
			t->waiting = WAIT_NOTHING;
			emulator_self = &t->self;
			fiber_switch(&block.scheduler, &t->fiber);
			any = progress = true;
		}
	}
	return progress;
}

static int
count_over(int *at_barrier)
{
	int			over = 0;

	*at_barrier = 0;
	for (int i = 0; i < block.n_threads; i++)
	{
		over += threads[i].waiting == WAIT_OVER;
		*at_barrier += threads[i].waiting == WAIT_BLOCK;
	}
	return over;
}

static void
start_block(const emulator_kernel *kernel, emulator_dim at)
{
	memset(emulator_dynamic_shared(), 0xFF, (kernel->shared + 15) / 16 * 16);
	block.number++;
	block.arrived = 0;
	for (int i = 0; i < block.n_threads; i++)
	{
		thread	   *t = &threads[i];
		unsigned	n = (unsigned) i;

		t->self = (emulator_thread)
		{
			{n % kernel->block.x, n / kernel->block.x % kernel->block.y,
				n / kernel->block.x / kernel->block.y},
			at, kernel->block, kernel->grid
		};
		t->waiting = WAIT_NOTHING;
		t->n_copies = 0;
		t->groups = 0;
		fiber_prepare(&t->fiber, run_body);
		warps[i / EMULATOR_WARP].arrived = 0;
	}
}

static void
run_block(const emulator_kernel *kernel, emulator_dim at)
{
	int			n_warps = (block.n_threads + EMULATOR_WARP - 1) / EMULATOR_WARP;
	int			at_barrier;

	start_block(kernel, at);
	fiber_release(&block.begin);
	while (count_over(&at_barrier) < block.n_threads)
	{
		uint32_t	random = block.order == EMULATOR_RANDOM ? next_random() : 0;
		bool		progress = false;

		for (int i = 0; i < n_warps; i++)
		{
			int			w = place_of(i, n_warps, random);
			int			lanes = block.n_threads - w * EMULATOR_WARP;

			progress |= run_warp(w, lanes < EMULATOR_WARP ? lanes : EMULATOR_WARP);
		}
		if (!progress)
			emulator_abort("block (%u, %u, %u): %d of %d threads wait at a barrier that the others, "
						   "in another or at their end, do not reach", at.x, at.y, at.z, at_barrier,
						   block.n_threads);
	}
	fiber_acquire(&block.end);
}

void
emulator_run_kernel(const emulator_kernel *kernel)
{
	emulator_dim at;
	uint64_t	blocks = (uint64_t) kernel->grid.x * kernel->grid.y * kernel->grid.z;

	read_order();
	block.kernel = kernel;
	block.n_threads = (int) (kernel->block.x * kernel->block.y * kernel->block.z);
	if (block.n_threads < 1 || block.n_threads > EMULATOR_THREADS ||
		kernel->shared > EMULATOR_SHARED || blocks < 1 || kernel->grid.y > 65535 ||
		kernel->grid.z > 65535)
		emulator_abort("a launch of %u x %u x %u blocks of %d threads with %zu bytes",
					   kernel->grid.x, kernel->grid.y, kernel->grid.z, block.n_threads,
					   kernel->shared);
	if (block.dynamic == NULL)
		block.dynamic = emulator_map_guarded(EMULATOR_SHARED);
	fiber_adopt(&block.scheduler);
	for (uint64_t i = 0; i < blocks; i++)
	{
		/* the last block may be the first to run */
		uint64_t	n = block.order == EMULATOR_REVERSE ? blocks - 1 - i : i;

		at.x = (unsigned) (n % kernel->grid.x);
		at.y = (unsigned) (n / kernel->grid.x % kernel->grid.y);
		at.z = (unsigned) (n / kernel->grid.x / kernel->grid.y);
		run_block(kernel, at);
	}
	emulator_self = NULL;
}
