/*
 * engine.h: models behind a stream of frames; the one public header of this room.
 *
 *     engine *e = engine_open(&(engine_config) {.threads = 0}, &error);
 *     engine_submit(e, PROTOCOL_EMBED, 7, payload, length);   // frames of protocol.h ...
 *     while (engine_step(e))
 *         ;
 *     protocol_writer *out = engine_output(e);                // ... in and out
 *     engine_close(e);
 *
 * What a request means, and what answers it, protocol.h says. Requests of all callers
 * are computed together: each step is one ragged batch for each model with work, made
 * of encoder texts, chunks of prompts and decode tokens under a token budget, so what
 * arrives during a step joins the next. The answer to a request does not depend on what
 * else is in the batch, to the last bit.
 *
 * Callers must not know how models are stored, scheduled or computed. One thread at a
 * time may call; loading of models and splitting long texts into tokens go on in
 * threads of the engine's own.
 */
#ifndef RAG_ENGINE_ENGINE_H
#define RAG_ENGINE_ENGINE_H

#include "engine/protocol.h"

typedef struct engine engine;

typedef enum engine_device_choice
{
	ENGINE_DEVICE_AUTO, ENGINE_DEVICE_CPU, ENGINE_DEVICE_CUDA
} engine_device_choice;

typedef struct engine_config
{
	engine_device_choice device;	/* AUTO: the best there is; CUDA: that or an error */
	int			threads;		/* compute threads; 0: all cores */
	int			max_num_batched_tokens; /* of a step and model; 0: 512 */
	float		max_slowdown;	/* of steps that generate, by prompts beside; 0: 2.5, negative: any */
	int			progress_ms;	/* PROGRESS so often at most; 0: never */
	int			max_queue;		/* requests that wait for their first step; 0: 8192 */
	int			cuda_device;	/* ordinal */
	double		gpu_memory_utilization; /* share of its memory to use; 0: 0.5 */
	const char *cuda_library;	/* NULL: rag_cuda.so beside the program */
} engine_config;

/* NULL and *error on failure. */
extern engine *engine_open(const engine_config *config, engine_error *error);
extern void engine_close(engine *e);

/* "CPU (AVX-512 VNNI, 2 threads)" */
extern const char *engine_device(const engine *e);
/* Why AUTO is the CPU, for the log; empty otherwise. */
extern const char *engine_device_note(const engine *e);
/* The device has failed for good, and why; NULL while it works. The caller ends the process. */
extern const char *engine_device_lost(const engine *e);

/*
 * False: what has been taken since the last step is enough work between two steps; what else
 * there is should wait for the next.
 */
extern bool engine_accepts(const engine *e);

/*
 * Takes a frame (the payload is copied). Whatever is wrong with it is answered by an
 * ERROR frame. A CANCEL is answered before the call returns, and what the request held is free.
 */
extern void engine_submit(engine *e, uint32_t type, uint64_t request, const char *payload,
						  size_t length);

/*
 * Computes at most one batch for each model. True if there is more to do at once; false: sleep
 * until a frame arrives or engine_wake_fd() is readable (a load or a long text is done).
 */
extern bool engine_step(engine *e);
extern int	engine_wake_fd(const engine *e);

/* Frames for the caller, who sends data[0 .. length) and sets length to what is left. */
extern protocol_writer *engine_output(engine *e);

/* Requests accepted and not finished. */
extern int	engine_requests(const engine *e);

#endif							/* RAG_ENGINE_ENGINE_H */
