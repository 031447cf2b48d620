/*
 * device.c: failures, memory and copies.
 */
#include "cuda/device.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* Of the calls of a thread: the loader's and the driver's failures do not mix. */
static _Thread_local engine_error failure;

engine_code
gpu_fail(engine_code code, const char *format,...)
{
	va_list		args;
	char		text[ENGINE_MESSAGE_SIZE];

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	(void) engine_fail(&failure, code, "%s", text);
	return code;
}

const char *
gpu_message(void)
{
	return failure.message;
}

engine_code
gpu_check(cudaError_t code, const char *what)
{
	if (code == cudaSuccess)
		return ENGINE_OK;
	/* not sticky: taken off, so that the next look at it finds nothing */
	(void) cudaGetLastError();
	if (code == cudaErrorMemoryAllocation)
		return gpu_fail(ENGINE_NO_MEMORY, "out of memory on the CUDA device for %s", what);
	return gpu_fail(ENGINE_DIED, "CUDA error %d in %s: %s", (int) code, what,
					   cudaGetErrorString(code));
}

engine_code
gpu_check_blas(cublasStatus_t status)
{
	if (status == CUBLAS_STATUS_SUCCESS)
		return ENGINE_OK;
	if (status == CUBLAS_STATUS_ALLOC_FAILED)
		return gpu_fail(ENGINE_NO_MEMORY, "out of memory on the CUDA device for cuBLAS");
	return gpu_fail(ENGINE_DIED, "cuBLAS error %d", (int) status);
}

bool
gpu_fits(const backend_buffer *b, backend_element element, int rows, int columns)
{
	return b->element == element && rows >= 0 && columns >= 0 &&
		(size_t) rows * (size_t) columns <= b->elements;
}

void *
gpu_allocate(backend_device *d, size_t bytes)
{
	void	   *p = NULL;

	if (gpu_check(cudaSetDevice(d->ordinal), "choosing a device") != ENGINE_OK ||
		gpu_check(cudaMalloc(&p, bytes > 0 ? bytes : 16), "a buffer") != ENGINE_OK)
		return NULL;
	return p;
}

void
gpu_release(backend_device *d, void *p)
{
	if (p == NULL)
		return;
	atomic_store(&d->graphs_stale, true);
	(void) cudaSetDevice(d->ordinal);
	(void) cudaFree(p);
}

engine_code
gpu_upload(backend_device *d, void *to, const void *from, size_t bytes)
{
	engine_code code = gpu_check(cudaSetDevice(d->ordinal), "choosing a device");

	pthread_mutex_lock(&d->copy_lock);
	for (size_t done = 0; done < bytes && code == ENGINE_OK; done += STAGING_BYTES)
	{
		size_t		size = bytes - done < STAGING_BYTES ? bytes - done : STAGING_BYTES;

		memcpy(d->staging, (const char *) from + done, size);
		code = gpu_check(cudaMemcpyAsync((char *) to + done, d->staging, size,
											cudaMemcpyHostToDevice, d->copy), "an upload");
		if (code == ENGINE_OK)
			code = gpu_check(cudaStreamSynchronize(d->copy), "an upload");
	}
	pthread_mutex_unlock(&d->copy_lock);
	return code;
}
