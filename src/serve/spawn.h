/*
 * spawn.h: a program as a child of the worker, tied to it by a socket.
 */
#ifndef RAG_SERVE_SPAWN_H
#define RAG_SERVE_SPAWN_H

#include "engine/error.h"

typedef struct SpawnedProcess
{
	int			pid;
	int			socket;			/* its standard input is the other end; non-blocking here */
	int			log;			/* reads its standard output and error; non-blocking */
} SpawnedProcess;

/*
 * Runs program with argv (NULL-terminated, argv[0] included) in a session of its own, with no other
 * descriptor, default signals, first in line for the kernel's out-of-memory killer, killed when
 * the caller dies. If it cannot be executed, its socket carries one ERROR frame of
 * request 0 that says why. False and *error when not even a process could be made.
 */
extern bool SpawnProgram(const char *program, char *const *argv, SpawnedProcess *process,
						 engine_error *error);

/* Closes our ends. */
extern void SpawnClose(int socket, int log);

#endif							/* RAG_SERVE_SPAWN_H */
