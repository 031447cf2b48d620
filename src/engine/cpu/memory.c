/*
 * memory.c: memory for weights, caches and buffers.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "engine/cpu/device.h"

#define HUGE_PAGE ((size_t) 2 << 20)

/* In front of each piece of memory. */
typedef struct memory_head
{
	void	   *start;
	size_t		mapped;			/* bytes; 0: of the heap */
} memory_head;

static void *
place(void *start, size_t mapped, size_t alignment)
{
	uintptr_t	at = ((uintptr_t) start + sizeof(memory_head) + alignment - 1) / alignment * alignment;
	memory_head *head = (memory_head *) at - 1;

	*head = (memory_head) {start, mapped};
	return head + 1;
}

static void *
alloc_small(size_t bytes)
{
	void	   *start = calloc(1, bytes + sizeof(memory_head) + BUFFER_ALIGNMENT);

	return start == NULL ? NULL : place(start, 0, BUFFER_ALIGNMENT);
}

/*
 * What is read in long runs wants huge pages: with small ones a weight of 100 MB takes
 * 25,000 translations per token. Only an advice; without it all works the same. Pages
 * that are never written take no memory.
 */
static void *
alloc_large(size_t bytes)
{
	size_t		mapped = bytes + sizeof(memory_head) + HUGE_PAGE;
	void	   *start = mmap(NULL, mapped, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	void	   *p;

	if (start == MAP_FAILED)
		return NULL;
	p = place(start, mapped, HUGE_PAGE);
#if defined(MADV_HUGEPAGE)
	(void) madvise(p, bytes / HUGE_PAGE * HUGE_PAGE, MADV_HUGEPAGE);
#endif
	return p;
}

void *
memory_alloc(size_t count, size_t size)
{
	size_t		bytes;

	if (__builtin_mul_overflow(count, size, &bytes) || bytes > SIZE_MAX / 2)
		return NULL;
	return bytes < HUGE_PAGE ? alloc_small(bytes) : alloc_large(bytes);
}

void
memory_free(void *p)
{
	memory_head *head;

	if (p == NULL)
		return;
	head = (memory_head *) p - 1;
	if (head->mapped > 0)
		(void) munmap(head->start, head->mapped);
	else
		free(head->start);
}

/* A number in a file, or the greatest one ("max", or no such file). */
static uint64_t
read_number(const char *path)
{
	FILE	   *file = fopen(path, "r");
	unsigned long long value;
	bool		read;

	if (file == NULL)
		return UINT64_MAX;
	read = fscanf(file, "%llu", &value) == 1;
	fclose(file);
	return read ? value : UINT64_MAX;
}

/* Bytes of the control group that are cached pages of files: in use, but had for the asking. */
static uint64_t
read_file_cache(void)
{
	FILE	   *file = fopen("/sys/fs/cgroup/memory.stat", "r");
	char		line[128];
	uint64_t	total = 0;

	while (file != NULL && fgets(line, sizeof(line), file) != NULL)
	{
		unsigned long long bytes;

		if (sscanf(line, "inactive_file %llu", &bytes) == 1 ||
			sscanf(line, "active_file %llu", &bytes) == 1)
			total += bytes;
	}
	if (file != NULL)
		fclose(file);
	return total;
}

/* What the kernel says is available, cut by the control group's limit. */
uint64_t
memory_available(void)
{
	FILE	   *file = fopen("/proc/meminfo", "r");
	uint64_t	available = UINT64_MAX;
	uint64_t	limit = read_number("/sys/fs/cgroup/memory.max");
	uint64_t	used = read_number("/sys/fs/cgroup/memory.current");
	char		line[128];

	while (file != NULL && fgets(line, sizeof(line), file) != NULL)
	{
		unsigned long long kilobytes;

		if (sscanf(line, "MemAvailable: %llu kB", &kilobytes) == 1)
			available = (uint64_t) kilobytes * 1024;
	}
	if (file != NULL)
		fclose(file);
	if (limit != UINT64_MAX && used != UINT64_MAX)
	{
		uint64_t	cached = read_file_cache();
		uint64_t	held = used > cached ? used - cached : 0;
		uint64_t	left = limit > held ? limit - held : 0;

		available = left < available ? left : available;
	}
	return available;
}
