/*
 * emulator.h: what the parts of the emulator, and the tests that plant bugs, know of each other.
 *
 * A kernel is run block by block. Each thread of a block is a fiber: it runs until it waits
 * for the others of its warp or block, and only then does the next one run. So a kernel that
 * lacks a barrier computes with what another thread has not written yet, and the order in
 * which fibers run decides what comes out.
 *
 *     EMULATOR_ORDER     forward (default), reverse or random
 *     EMULATOR_DEVICES   number of devices (1); "driver" for a machine without a driver
 *     EMULATOR_MEMORY    bytes of a device (64 GiB)
 *     EMULATOR_BROKEN    set: the device has met an error that stays (719)
 */
#ifndef EMULATOR_H
#define EMULATOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "cuda_runtime_api.h"

#ifdef __cplusplus
extern "C"
{
#endif

#define EMULATOR_WARP 32
#define EMULATOR_THREADS 1024
#define EMULATOR_SLOT 64		/* bytes that a lane gives the others at a time */
#define EMULATOR_SHARED (224 * 1024)

typedef enum emulator_order
{
	EMULATOR_FORWARD, EMULATOR_REVERSE, EMULATOR_RANDOM
} emulator_order;

typedef struct emulator_dim
{
	unsigned	x;
	unsigned	y;
	unsigned	z;
} emulator_dim;

/* Something to do on a stream, later: once, or as often as its graph is launched. */
typedef struct emulator_work
{
	void		(*run) (void *data);
	void		(*destroy) (void *data);
	void	   *data;
} emulator_work;

/* A kernel with its arguments; body runs one thread of it. */
typedef struct emulator_kernel
{
	void		(*body) (const void *arguments);
	const void *arguments;
	emulator_dim grid;
	emulator_dim block;
	size_t		shared;
} emulator_kernel;

/* What a running thread is asked for by the names of CUDA's language. */
typedef struct emulator_thread
{
	emulator_dim index;
	emulator_dim block_index;
	emulator_dim block_dim;
	emulator_dim grid_dim;
} emulator_thread;

extern emulator_thread *emulator_self;

/* A __shared__ variable. */
typedef struct emulator_site
{
	void	   *memory;
	uint64_t	block;			/* that used it last */
} emulator_site;

/* block.c */
extern void emulator_set_order(emulator_order order, uint32_t seed);
extern void emulator_run_kernel(const emulator_kernel *kernel);
extern void emulator_sync_threads(void);
/* Every lane of mask brings size bytes; returns those of all lanes, EMULATOR_SLOT apart. */
extern const unsigned char *emulator_exchange(uint32_t mask, const void *value, size_t size);
extern void *emulator_dynamic_shared(void);
/* The block's memory for a __shared__ variable. */
extern void *emulator_static_shared(emulator_site *site, size_t size);
/* A copy that arrives when its thread waits for the group that it is in. */
extern void emulator_copy_later(void *to, const void *from, size_t bytes, size_t zeros);
extern void emulator_copy_commit(void);
extern void emulator_copy_wait(int groups_left);

/* memory.c */
extern void *emulator_map_guarded(size_t bytes);	/* ends at a guard page */
extern void emulator_open_memory(bool open);	/* device memory: for kernels and copies only */

/* stream.c */
extern void emulator_lock(void);
extern void emulator_unlock(void);
extern cudaError_t emulator_enqueue(cudaStream_t stream, const emulator_work *work);

/* A mistake in what is being tested: says so and ends the process with EMULATOR_EXIT. */
#define EMULATOR_EXIT 99
extern void emulator_abort(const char *format,...)
	__attribute__((noreturn, format(printf, 1, 2)));

#ifdef __cplusplus
}
#endif

#endif							/* EMULATOR_H */
