/*
 * error.h: how plain C reports a failure.
 *
 *     if (length > limit)
 *         return engine_fail(error, ENGINE_TOO_LONG, "text has %zu tokens, limit is %zu", ...);
 *
 * The lowest place that knows the reason fills the error, once; callers pass it up
 * unchanged. Messages follow PostgreSQL's style: lower case, no final period.
 */
#ifndef RAG_ENGINE_ERROR_H
#define RAG_ENGINE_ERROR_H

#include <stdarg.h>
#include <stdbool.h>

/* Part of the protocol: numbers are never reused. */
typedef enum engine_code
{
	ENGINE_OK = 0,
	ENGINE_INVALID = 1,			/* the request makes no sense (argument, UTF-8, option) */
	ENGINE_NOT_FOUND = 2,		/* no such file or model */
	ENGINE_CORRUPT = 3,			/* a model file that breaks its own format */
	ENGINE_UNSUPPORTED = 4,		/* a well-formed thing that this engine does not do */
	ENGINE_NO_MEMORY = 5,
	ENGINE_TOO_LONG = 6,		/* more tokens than the model's limit */
	ENGINE_FULL = 7,			/* a bounded queue or pool has no room */
	ENGINE_CANCELED = 8,
	ENGINE_IO = 9,				/* a system call failed */
	ENGINE_PROTOCOL = 10,		/* a frame that breaks the protocol */
	ENGINE_DIED = 11,			/* the engine process ended while the request was running */
	ENGINE_DENIED = 12,			/* the file may not be read */
	ENGINE_INTERNAL = 13		/* cannot happen */
} engine_code;

#define ENGINE_MESSAGE_SIZE 512

typedef struct engine_error
{
	engine_code code;
	char		message[ENGINE_MESSAGE_SIZE];
} engine_error;

/*
 * Fill *error (which may be NULL) and return false, so that "return engine_fail(...)"
 * reads well. The message is cut at ENGINE_MESSAGE_SIZE, on a UTF-8 border, and never
 * holds control characters or invalid UTF-8, whatever the arguments held.
 */
extern bool engine_fail(engine_error *error, engine_code code, const char *format,...)
	__attribute__((format(printf, 3, 4)));

/* The same for out of memory while allocating what is named. */
extern bool engine_fail_memory(engine_error *error, const char *what);

#endif							/* RAG_ENGINE_ERROR_H */
