/*
 * device_open.h: which device the models run on.
 */
#ifndef RAG_ENGINE_DEVICE_OPEN_H
#define RAG_ENGINE_DEVICE_OPEN_H

#include "engine/engine.h"
#include "engine/graph.h"

/*
 * The device that config asks for: AUTO a CUDA device if its library, a driver and a device are there,
 * else the CPU, and note (ENGINE_MESSAGE_SIZE bytes) says why; CUDA that or an error. *library is for
 * device_close.
 */
extern bool device_choose(const engine_config *config, graph_device *out, void **library,
						  char *note, engine_error *error);
extern void device_close(graph_device *device, void *library);

#endif							/* RAG_ENGINE_DEVICE_OPEN_H */
