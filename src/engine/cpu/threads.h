/*
 * threads.h: the threads of one CPU device, and loops that run over all of them.
 *
 *     threads *t = threads_start(0, &error);
 *     threads_run(t, task, &args, rows, 16);		task(&args, begin, end, thread)
 *     threads_stop(t);
 *
 * One thread drives a pool at a time; it works too, as thread 0. A loop is handed out in
 * chunks of `grain` items, so a thread that the kernel has set aside holds up the
 * others by one chunk at most. Between loops the workers spin for some tens of
 * microseconds, since the next operation of a step comes sooner than a sleeping thread
 * wakes; then they sleep. A loop costs no lock and no system call while they spin.
 *
 * Knows nothing of what is computed.
 */
#ifndef RAG_ENGINE_CPU_THREADS_H
#define RAG_ENGINE_CPU_THREADS_H

#include "engine/error.h"

#define THREADS_MAX 256

typedef struct threads threads;

/* Items [begin, end); thread is in [0, threads_count()). */
typedef void (*threads_task) (void *arg, int begin, int end, int thread);

/* count threads with the caller's, at most THREADS_MAX; 0: threads_available(). */
extern threads *threads_start(int count, engine_error *error);
extern void threads_stop(threads *t);
extern int	threads_count(const threads *t);

/* Runs task over [0, count) and returns when all of it is done. */
extern void threads_run(threads *t, threads_task task, void *arg, int count, int grain);

/* Wakes the workers ahead of a series of loops. */
extern void threads_wake(threads *t);

/* The processors that this process may use: its affinity, cut by its control group's quota. */
extern int	threads_available(void);

#endif							/* RAG_ENGINE_CPU_THREADS_H */
