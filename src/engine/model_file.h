/*
 * model_file.h: opening the files of a model: mapped, or read whole.
 *
 * Private to the model readers. Only regular files are opened (symbolic links are
 * followed: Hugging Face's cache is made of them), and opening never waits, so a
 * FIFO or a device given as a model is an error instead of a hang.
 *
 * The size is checked at open. A file that is truncated while it is mapped makes
 * the kernel send SIGBUS on access; that ends the engine process, which its
 * supervisor starts again, and is why models belong in files that are replaced by
 * rename, never rewritten.
 */
#ifndef RAG_ENGINE_MODEL_FILE_H
#define RAG_ENGINE_MODEL_FILE_H

#include <stddef.h>

#include "engine/error.h"
#include "engine/json.h"

typedef struct file_map
{
	char	   *name;			/* for messages: the last part of the path */
	const unsigned char *data;
	size_t		size;			/* never 0 */
} file_map;

/* folder: a directory's descriptor or AT_FDCWD. */
extern bool file_map_open(int folder, const char *path, file_map *map, engine_error *error);
extern void file_map_close(file_map *map);
/* These bytes of the map need not stay in memory: they are read again when somebody asks. */
extern void file_map_release(const file_map *map, const void *data, size_t bytes);

/*
 * The whole file, malloc'd with a final NUL. ENGINE_NOT_FOUND when there is none,
 * ENGINE_CORRUPT when it is longer than limit.
 */
extern char *file_read(int folder, const char *path, size_t limit, size_t *length,
					   engine_error *error);

/* The same for a JSON document; its errors name the file. */
extern json *file_read_json(int folder, const char *path, size_t limit, engine_error *error);

/* The part of a path after its last slash (slashes at its end do not count), as new memory. */
extern char *file_base_name(const char *path);

#endif							/* RAG_ENGINE_MODEL_FILE_H */
