/*
 * fiber.c: switching between stacks, and telling the sanitizers.
 */
#include "fiber.h"

#include <sys/mman.h>

#include "emulator.h"

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/common_interface_defs.h>
#define STACK_SIZE ((size_t) 512 << 10)
#else
#define STACK_SIZE ((size_t) 128 << 10)
#endif

#if defined(EMULATOR_TSAN)
#include <sanitizer/tsan_interface.h>

extern void AnnotateIgnoreWritesBegin(const char *file, int line);
extern void AnnotateIgnoreWritesEnd(const char *file, int line);

void
fiber_release(void *p)
{
	__tsan_release(p);
}

void
fiber_acquire(void *p)
{
	__tsan_acquire(p);
}

void
fiber_unseen(bool unseen)
{
	if (unseen)
		AnnotateIgnoreWritesBegin(__FILE__, __LINE__);
	else
		AnnotateIgnoreWritesEnd(__FILE__, __LINE__);
}
#else
void
fiber_release(void *p)
{
	(void) p;
}

void
fiber_acquire(void *p)
{
	(void) p;
}

void
fiber_unseen(bool unseen)
{
	(void) unseen;
}
#endif

#if defined(__x86_64__)
/* Saves the registers that a callee must keep on the old stack and takes them from the new one. */
extern void fiber_swap(void **save, void *load);

__asm__(
	".text\n"
	".globl fiber_swap\n"
	".hidden fiber_swap\n"
	".type fiber_swap, @function\n"
	"fiber_swap:\n"
	"	pushq %rbp\n"
	"	pushq %rbx\n"
	"	pushq %r12\n"
	"	pushq %r13\n"
	"	pushq %r14\n"
	"	pushq %r15\n"
	"	movq %rsp, (%rdi)\n"
	"	movq %rsi, %rsp\n"
	"	popq %r15\n"
	"	popq %r14\n"
	"	popq %r13\n"
	"	popq %r12\n"
	"	popq %rbx\n"
	"	popq %rbp\n"
	"	ret\n"
	".size fiber_swap, .-fiber_swap\n");
#endif

void
fiber_adopt(fiber *f)
{
	f->stack = NULL;
#if defined(EMULATOR_TSAN)
	f->tsan = __tsan_get_current_fiber();
#endif
#if defined(__SANITIZE_ADDRESS__)
	f->fake_stack = NULL;
#endif
}

void
fiber_prepare(fiber *f, void (*entry) (void))
{
	if (f->stack == NULL)
	{
		f->size = STACK_SIZE;
		f->stack = mmap(NULL, f->size, PROT_READ | PROT_WRITE,
						MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
		if (f->stack == MAP_FAILED)
			emulator_abort("no memory for the stack of a fiber");
		/* the first page is never touched by a fiber that behaves */
		mprotect(f->stack, 4096, PROT_NONE);
#if defined(EMULATOR_TSAN)
		f->tsan = __tsan_create_fiber(0);
#endif
	}
	f->fake_stack = NULL;
#if defined(__x86_64__)
	{
		void	  **top = (void **) (void *) (f->stack + f->size);

		/* after "ret" the stack must be 8 off a multiple of 16, as after a call */
		top -= 2;
		*top = (void *) (uintptr_t) entry;
		top -= 6;
		for (int i = 0; i < 6; i++)
			top[i] = NULL;
		f->stack_pointer = top;
	}
#else
	getcontext(&f->context);
	f->context.uc_stack.ss_sp = f->stack;
	f->context.uc_stack.ss_size = f->size;
	f->context.uc_link = NULL;
	makecontext(&f->context, entry, 0);
#endif
}

void
fiber_switch(fiber *from, fiber *to)
{
#if defined(__SANITIZE_ADDRESS__)
	__sanitizer_start_switch_fiber(&from->fake_stack, to->stack, to->size);
#endif
#if defined(EMULATOR_TSAN)
	__tsan_switch_to_fiber(to->tsan, __tsan_switch_to_fiber_no_sync);
#endif
#if defined(__x86_64__)
	fiber_swap(&from->stack_pointer, to->stack_pointer);
#else
	swapcontext(&from->context, &to->context);
#endif
#if defined(__SANITIZE_ADDRESS__)
	__sanitizer_finish_switch_fiber(from->fake_stack, NULL, NULL);
#endif
}

void
fiber_started(fiber *from)
{
#if defined(__SANITIZE_ADDRESS__)
	const void *bottom;
	size_t		size;

	/* where the thread's own stack lies is learnt when a fiber first comes from there */
	__sanitizer_finish_switch_fiber(NULL, &bottom, &size);
	from->stack = (char *) (uintptr_t) bottom;
	from->size = size;
#else
	(void) from;
#endif
}
