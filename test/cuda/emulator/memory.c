/*
 * memory.c: a device's memory. Each allocation is a mapping of its own between two pages that
 * cannot be touched, full of NaNs, and closed to the host but while a stream's work is done.
 */
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "emulator.h"

#define PAGE ((size_t) 4096)

typedef struct allocation
{
	struct allocation *next;
	char	   *base;			/* of the mapping, guard page included */
	size_t		pages;			/* bytes between the guards */
	size_t		bytes;
	char	   *start;
	bool		guard_only;		/* not a device's: never closed */
} allocation;

static struct
{
	allocation *first;
	size_t		used;
	bool		open;
	bool		handling;
	struct sigaction before[2]; /* what SIGSEGV and SIGBUS did */
} memory;

static size_t
device_bytes(void)
{
	const char *text = getenv("EMULATOR_MEMORY");

	return text != NULL ? strtoull(text, NULL, 10) : (size_t) 64 << 30;
}

/* Says what a bad address is, as far as that is known. */
static void
explain_fault(int number, siginfo_t *info, void *context)
{
	const char *at = info->si_addr;

	(void) context;
	for (allocation *a = memory.first; a != NULL; a = a->next)
	{
		if (at < a->base || at >= a->base + a->pages + 2 * PAGE)
			continue;
		if (at >= a->start && at < a->start + a->bytes)
			emulator_abort("the host touches device memory");
		emulator_abort("%s memory is touched %td bytes from the start of %zu",
					   a->guard_only ? "shared" : "device", at - a->start, a->bytes);
	}
	signal(number, SIG_DFL);
	raise(number);
}

static void
handle_faults(void)
{
	struct sigaction action = {.sa_sigaction = explain_fault,.sa_flags = SA_SIGINFO};

	if (memory.handling)
		return;
	sigaction(SIGSEGV, &action, &memory.before[0]);
	sigaction(SIGBUS, &action, &memory.before[1]);
	memory.handling = true;
}

static allocation *
map(size_t bytes, bool guard_only)
{
	allocation *a = calloc(1, sizeof(*a));

	handle_faults();
	a->bytes = bytes;
	a->pages = (bytes + PAGE - 1) / PAGE * PAGE;
	a->guard_only = guard_only;
	a->base = mmap(NULL, a->pages + 2 * PAGE, PROT_NONE,
				   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (a->base == MAP_FAILED ||
		mprotect(a->base + PAGE, a->pages, PROT_READ | PROT_WRITE) != 0)
		emulator_abort("no memory for %zu bytes", bytes);
	/* kernels read 16 bytes at a time: the end is at most 15 bytes before the guard */
	a->start = a->base + PAGE + a->pages - (bytes + 15) / 16 * 16;
	memset(a->start, 0xFF, bytes);
	a->next = memory.first;
	memory.first = a;
	return a;
}

void *
emulator_map_guarded(size_t bytes)
{
	return map(bytes, true)->start;
}

static void
protect(const allocation *a, bool open)
{
	if (!a->guard_only)
		mprotect(a->base + PAGE, a->pages, open ? PROT_READ | PROT_WRITE : PROT_NONE);
}

/* A library that is closed takes its memory along. */
__attribute__((destructor))
static void
unmap_all(void)
{
	while (memory.first != NULL)
	{
		allocation *a = memory.first;

		memory.first = a->next;
		munmap(a->base, a->pages + 2 * PAGE);
		free(a);
	}
	if (memory.handling)
	{
		sigaction(SIGSEGV, &memory.before[0], NULL);
		sigaction(SIGBUS, &memory.before[1], NULL);
	}
}

void
emulator_open_memory(bool open)
{
	for (allocation *a = memory.first; a != NULL && open != memory.open; a = a->next)
		protect(a, open);
	memory.open = open;
}

cudaError_t
cudaMalloc(void **out, size_t bytes)
{
	allocation *a;

	if (bytes == 0)
	{
		*out = NULL;
		return cudaSuccess;
	}
	emulator_lock();
	if (bytes > device_bytes() - memory.used)
	{
		emulator_unlock();
		return cudaErrorMemoryAllocation;
	}
	a = map(bytes, false);
	memory.used += bytes;
	protect(a, memory.open);
	emulator_unlock();
	*out = a->start;
	return cudaSuccess;
}

cudaError_t
cudaFree(void *p)
{
	if (p == NULL)
		return cudaSuccess;
	emulator_lock();
	for (allocation **link = &memory.first; *link != NULL; link = &(*link)->next)
	{
		allocation *a = *link;

		if (a->start != p || a->guard_only)
			continue;
		*link = a->next;
		memory.used -= a->bytes;
		munmap(a->base, a->pages + 2 * PAGE);
		free(a);
		emulator_unlock();
		return cudaSuccess;
	}
	emulator_unlock();
	return cudaErrorInvalidValue;
}

cudaError_t
cudaMemGetInfo(size_t *free_bytes, size_t *total_bytes)
{
	*total_bytes = device_bytes();
	*free_bytes = *total_bytes - memory.used;
	return cudaSuccess;
}

cudaError_t
cudaMallocHost(void **out, size_t bytes)
{
	*out = malloc(bytes > 0 ? bytes : 1);
	if (*out == NULL)
		return cudaErrorMemoryAllocation;
	memset(*out, 0xFF, bytes);
	return cudaSuccess;
}

cudaError_t
cudaFreeHost(void *p)
{
	free(p);
	return cudaSuccess;
}
