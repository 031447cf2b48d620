/*
 * model_file.c: opening, mapping and reading the files of a model.
 */
#include "engine/model_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static bool
fail_errno(engine_error *error, const char *action, const char *path, int number)
{
	engine_code code = ENGINE_IO;

	if (number == ENOENT || number == ENOTDIR)
		code = ENGINE_NOT_FOUND;
	else if (number == EACCES || number == EPERM)
		code = ENGINE_DENIED;
	else if (number == ENOMEM)
		code = ENGINE_NO_MEMORY;
	return engine_fail(error, code, "could not %s file \"%s\": %s", action, path,
					   strerror(number));
}

/* A descriptor of a regular file and its size, or -1. */
static int
open_regular(int folder, const char *path, size_t *size, engine_error *error)
{
	struct stat info;
	int			fd = openat(folder, path, O_RDONLY | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);

	if (fd < 0)
	{
		fail_errno(error, "open", path, errno);
		return -1;
	}
	if (fstat(fd, &info) != 0)
		fail_errno(error, "stat", path, errno);
	else if (!S_ISREG(info.st_mode))
		engine_fail(error, ENGINE_INVALID, "\"%s\" is not a regular file", path);
	else if ((uintmax_t) info.st_size > SIZE_MAX / 2)
		engine_fail(error, ENGINE_UNSUPPORTED, "file \"%s\" is too large to map", path);
	else
	{
		*size = (size_t) info.st_size;
		return fd;
	}
	close(fd);
	return -1;
}

char *
file_base_name(const char *path)
{
	size_t		end = strlen(path);
	size_t		start;

	while (end > 1 && path[end - 1] == '/')
		end--;
	start = end;
	while (start > 0 && path[start - 1] != '/')
		start--;
	return strndup(path + start, end - start);
}

bool
file_map_open(int folder, const char *path, file_map *map, engine_error *error)
{
	void	   *data;
	int			fd = open_regular(folder, path, &map->size, error);
	int			number;

	map->name = NULL;
	map->data = NULL;
	if (fd < 0)
		return false;
	if (map->size == 0)
	{
		close(fd);
		return engine_fail(error, ENGINE_CORRUPT, "file \"%s\" is empty", path);
	}
	data = mmap(NULL, map->size, PROT_READ, MAP_SHARED, fd, 0);
	number = errno;
	close(fd);
	if (data == MAP_FAILED)
		return fail_errno(error, "map", path, number);
	map->data = data;
	map->name = file_base_name(path);
	if (map->name == NULL)
	{
		file_map_close(map);
		return engine_fail_memory(error, "a file name");
	}
	return true;
}

void
file_map_close(file_map *map)
{
	if (map->data)
		munmap((void *) map->data, map->size);
	free(map->name);
	map->data = NULL;
	map->name = NULL;
}

/* What the kernel maps around a page that is asked for. */
#define FAULT_AROUND ((size_t) 64 << 10)

void
file_map_release(const file_map *map, const void *data, size_t bytes)
{
	size_t		begin = (size_t) ((const unsigned char *) data - map->data) / FAULT_AROUND * FAULT_AROUND;
	size_t		end = (size_t) ((const unsigned char *) data - map->data) + bytes;

	end = map->size - end < FAULT_AROUND ? map->size : (end / FAULT_AROUND + 1) * FAULT_AROUND;
	(void) madvise((void *) (map->data + begin), end - begin, MADV_DONTNEED);
}

/* Read until the end or until size bytes are there; false with errno on failure. */
static bool
read_all(int fd, char *out, size_t size, size_t *length)
{
	*length = 0;
	while (*length < size)
	{
		ssize_t		n = read(fd, out + *length, size - *length);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return false;
		if (n == 0)
			break;
		*length += (size_t) n;
	}
	return true;
}

char *
file_read(int folder, const char *path, size_t limit, size_t *length, engine_error *error)
{
	size_t		size;
	char	   *text;
	int			fd = open_regular(folder, path, &size, error);

	if (fd < 0)
		return NULL;
	if (size > limit)
	{
		close(fd);
		engine_fail(error, ENGINE_CORRUPT, "file \"%s\" has %zu bytes, limit is %zu", path, size,
					limit);
		return NULL;
	}
	text = malloc(size + 1);
	if (text == NULL)
		engine_fail_memory(error, path);
	else if (!read_all(fd, text, size, length))
	{
		fail_errno(error, "read", path, errno);
		free(text);
		text = NULL;
	}
	else
		text[*length] = '\0';
	close(fd);
	return text;
}

json *
file_read_json(int folder, const char *path, size_t limit, engine_error *error)
{
	engine_error reason = {0};
	size_t		length;
	char	   *text = file_read(folder, path, limit, &length, error);
	json	   *doc;

	if (text == NULL)
		return NULL;
	doc = json_parse(text, length, &reason);
	free(text);
	if (doc == NULL)
		engine_fail(error, reason.code, "%s: %s", path, reason.message);
	return doc;
}
