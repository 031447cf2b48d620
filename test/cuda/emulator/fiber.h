/*
 * fiber.h: stacks that take turns on one processor.
 *
 * The switch saves what the x86-64 calling convention says a callee must keep; elsewhere
 * ucontext does it, more slowly. The sanitizers are told of every switch. For ThreadSanitizer each
 * fiber is a thread, and a switch orders nothing: only the barriers of the emulator do, which is itself
 * compiled without it (EMULATOR_TSAN), so that what it reports are races of kernels.
 */
#ifndef EMULATOR_FIBER_H
#define EMULATOR_FIBER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#if !defined(__x86_64__)
#include <ucontext.h>
#endif

typedef struct fiber
{
#if defined(__x86_64__)
	void	   *stack_pointer;
#else
	ucontext_t	context;
#endif
	char	   *stack;			/* of an adopted fiber: known to AddressSanitizer only */
	size_t		size;
	void	   *fake_stack;		/* AddressSanitizer's */
	void	   *tsan;			/* ThreadSanitizer's */
} fiber;

/* The fiber that is the calling thread itself. */
extern void fiber_adopt(fiber *f);
/* Makes f start with entry() when it is switched to next. Its stack is allocated once. */
extern void fiber_prepare(fiber *f, void (*entry) (void));
extern void fiber_switch(fiber *from, fiber *to);
/* First thing in a fiber that has just been started from another. */
extern void fiber_started(fiber *from);

/* What is done before release(p) is seen by whoever acquires p afterwards (ThreadSanitizer). */
extern void fiber_release(void *p);
extern void fiber_acquire(void *p);
/* What the emulator writes from now on is nobody's (ThreadSanitizer). */
extern void fiber_unseen(bool unseen);

#endif							/* EMULATOR_FIBER_H */
