/*
 * device_open.c: the CPU, or the CUDA backend from a library of its own.
 *
 * rag_cuda.so lies beside the program. Nothing of CUDA is needed to build or to run without it.
 */
#include "engine/device_open.h"

#include <dlfcn.h>
#include <limits.h>
#include <string.h>
#include <stdio.h>
#include <unistd.h>

#define LIBRARY_NAME "rag_cuda.so"

/* The library's path: as configured, or beside the program that runs. */
static bool
find_library(const engine_config *config, char *path, size_t size, engine_error *error)
{
	char		program[PATH_MAX];
	ssize_t		length;
	char	   *slash;

	if (config->cuda_library != NULL)
		return snprintf(path, size, "%s", config->cuda_library) < (int) size ||
			engine_fail(error, ENGINE_INVALID, "the path of the CUDA library is too long");
	length = readlink("/proc/self/exe", program, sizeof(program) - 1);
	if (length <= 0)
		return engine_fail(error, ENGINE_IO, "could not find the folder of the program");
	program[length] = '\0';
	slash = strrchr(program, '/');
	if (slash != NULL)
		*slash = '\0';
	return snprintf(path, size, "%s/%s", program, LIBRARY_NAME) < (int) size ||
		engine_fail(error, ENGINE_INVALID, "the path of the CUDA library is too long");
}

/* The table of a library that speaks this version of backend.h. */
static const backend_ops *
load_library(const char *path, void **library, engine_error *error)
{
	const backend_ops *(*get) (void);
	const backend_ops *ops;

	*library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
	if (*library == NULL)
	{
		engine_fail(error, ENGINE_UNSUPPORTED, "could not load the CUDA backend: %s", dlerror());
		return NULL;
	}
	*(void **) &get = dlsym(*library, "rag_backend");
	ops = get != NULL ? get() : NULL;
	if (ops == NULL)
		engine_fail(error, ENGINE_UNSUPPORTED, "\"%s\" is no backend", path);
	else if (ops->abi_version != BACKEND_ABI_VERSION)
	{
		engine_fail(error, ENGINE_UNSUPPORTED,
					"\"%s\" is of another version: interface %u, but %d is needed", path,
					ops->abi_version, BACKEND_ABI_VERSION);
		ops = NULL;
	}
	if (ops == NULL)
	{
		dlclose(*library);
		*library = NULL;
	}
	return ops;
}

static bool
open_cuda(const engine_config *config, const backend_config *device, graph_device *out,
		  void **library, engine_error *error)
{
	char		path[PATH_MAX + sizeof(LIBRARY_NAME)];

	if (!find_library(config, path, sizeof(path), error))
		return false;
	out->ops = load_library(path, library, error);
	if (out->ops == NULL)
		return false;
	if (out->ops->probe(device, error) == ENGINE_OK)
		out->device = out->ops->open(device, error);
	return out->device != NULL;
}

bool
device_choose(const engine_config *config, graph_device *out, void **library, char *note,
			  engine_error *error)
{
	backend_config device = {
		.threads = config->threads,
		.device = config->cuda_device,
		.memory_utilization = config->gpu_memory_utilization,
	};
	engine_error reason;

	*out = (graph_device) {0};
	*library = NULL;
	note[0] = '\0';
	if (config->device != ENGINE_DEVICE_CPU)
	{
		if (open_cuda(config, &device, out, library, &reason))
			return true;
		if (config->device == ENGINE_DEVICE_CUDA)
			return engine_fail(error, reason.code, "%s", reason.message);
		snprintf(note, ENGINE_MESSAGE_SIZE, "models run on the CPU: %.400s", reason.message);
	}
	out->ops = backend_cpu();
	out->device = out->ops->open(&device, error);
	return out->device != NULL;
}

void
device_close(graph_device *device, void *library)
{
	if (device->device != NULL)
		device->ops->close(device->device);
	if (library != NULL)
		dlclose(library);
}
