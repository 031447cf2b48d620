/*
 * backend.c: CUDA's table of backend.h, its devices and buffers.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cuda/device.h"

#define DEFAULT_UTILIZATION 0.5

/* Says why there is no device to open: the codes are those that an engine without a GPU meets. */
static engine_code
cuda_probe(const backend_config *config, engine_error *error)
{
	int			count = 0;
	int			major = 0;
	cudaError_t code = cudaGetDeviceCount(&count);

	(void) cudaGetLastError();
	if (code == cudaErrorInsufficientDriver)
		engine_fail(error, ENGINE_UNSUPPORTED,
					"the CUDA driver is missing or older than the library (error 35)");
	else if (code == cudaErrorNoDevice || (code == cudaSuccess && count == 0))
		engine_fail(error, ENGINE_UNSUPPORTED, "there is no CUDA device (error 100)");
	else if (code != cudaSuccess)
		engine_fail(error, ENGINE_UNSUPPORTED, "CUDA error %d: %s", (int) code,
					cudaGetErrorString(code));
	else if (config->device < 0 || config->device >= count)
		engine_fail(error, ENGINE_UNSUPPORTED, "there is no CUDA device %d, but %d in all",
					config->device, count);
	else if (cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor,
									config->device) != cudaSuccess || major < 8)
		engine_fail(error, ENGINE_UNSUPPORTED,
					"CUDA device %d has compute capability %d, but 8.0 is needed", config->device,
					major);
	else
		return ENGINE_OK;
	return ENGINE_UNSUPPORTED;
}

static void
cuda_close(backend_device *d)
{
	if (d == NULL)
		return;
	(void) cudaSetDevice(d->ordinal);
	if (d->compute != NULL)
		(void) cudaStreamSynchronize(d->compute);
	gpu_graph_drop_all(d);
	gpu_step_free(d);
	if (d->blas != NULL)
		(void) cublasDestroy(d->blas);
	(void) cudaFree(d->blas_workspace);
	(void) cudaFree(d->workspace);
	(void) cudaFreeHost(d->staging);
	if (d->compute != NULL)
		(void) cudaStreamDestroy(d->compute);
	if (d->copy != NULL)
		(void) cudaStreamDestroy(d->copy);
	pthread_mutex_destroy(&d->copy_lock);
	free(d);
}

static engine_code
open_parts(backend_device *d)
{
	engine_code code;

	if ((code = gpu_check(cudaSetDevice(d->ordinal), "choosing a device")) != ENGINE_OK ||
		(code = gpu_check(cudaStreamCreateWithFlags(&d->compute, cudaStreamNonBlocking),
							 "a stream")) != ENGINE_OK ||
		(code = gpu_check(cudaStreamCreateWithFlags(&d->copy, cudaStreamNonBlocking),
							 "a stream")) != ENGINE_OK ||
		(code = gpu_check(cudaMallocHost((void **) &d->staging, STAGING_BYTES),
							 "copies")) != ENGINE_OK ||
		(code = gpu_check(cudaMalloc(&d->blas_workspace, BLAS_WORKSPACE_BYTES),
							 "cuBLAS")) != ENGINE_OK ||
		(code = gpu_check_blas(cublasCreate(&d->blas))) != ENGINE_OK ||
		(code = gpu_check_blas(cublasSetStream(d->blas, d->compute))) != ENGINE_OK ||
		(code = gpu_check_blas(cublasSetWorkspace(d->blas, d->blas_workspace,
													 BLAS_WORKSPACE_BYTES))) != ENGINE_OK)
		return code;
	return gpu_check(attention_tiles_prepare(), "preparing kernels");
}

static void
describe(backend_device *d)
{
	struct cudaDeviceProp properties;
	char		kind[256] = "device";
	int			processors = 0;

	if (cudaGetDeviceProperties(&properties, d->ordinal) == cudaSuccess)
		snprintf(kind, sizeof(kind), "%.255s", properties.name);
	(void) cudaDeviceGetAttribute(&processors, cudaDevAttrMultiProcessorCount, d->ordinal);
	snprintf(d->name, sizeof(d->name), "CUDA %d (%s, %d multiprocessors)", d->ordinal, kind,
			 processors);
}

static backend_device *
cuda_open(const backend_config *config, engine_error *error)
{
	backend_device *d;
	engine_code code;

	if (cuda_probe(config, error) != ENGINE_OK)
		return NULL;
	d = calloc(1, sizeof(*d));
	if (d == NULL)
	{
		engine_fail_memory(error, "a device");
		return NULL;
	}
	pthread_mutex_init(&d->copy_lock, NULL);
	d->ordinal = config->device;
	d->utilization = config->memory_utilization > 0 ? config->memory_utilization :
		DEFAULT_UTILIZATION;
	code = open_parts(d);
	if (code != ENGINE_OK)
	{
		engine_fail(error, code, "%s", gpu_message());
		cuda_close(d);
		return NULL;
	}
	describe(d);
	return d;
}

/* What is left of the share of the device's memory that may be used: others use it too. */
static void
cuda_info(backend_device *d, backend_info *out)
{
	size_t		left = 0;
	size_t		total = 0;
	double		share;

	(void) cudaSetDevice(d->ordinal);
	(void) cudaMemGetInfo(&left, &total);
	share = (double) total * d->utilization - (double) (total - left);
	*out = (backend_info) {.device = d->name,.memory_free = share > 0 ? (uint64_t) share : 0,
						   .kv_bytes = sizeof(device_half),.dedicated = true};
}

static const char *
cuda_message(backend_device *d)
{
	(void) d;
	return gpu_message();
}

static backend_buffer *
cuda_alloc(backend_device *d, backend_element element, size_t elements)
{
	backend_buffer *b = malloc(sizeof(*b));
	size_t		bytes;

	if (b == NULL || __builtin_mul_overflow(elements, element == BACKEND_F32 ? sizeof(float) :
											sizeof(device_half), &bytes))
	{
		free(b);
		(void) gpu_fail(ENGINE_NO_MEMORY, "out of memory for a buffer of %zu elements",
						   elements);
		return NULL;
	}
	*b = (backend_buffer) {element, elements, gpu_allocate(d, bytes)};
	if (b->data == NULL)
	{
		free(b);
		return NULL;
	}
	return b;
}

static void
cuda_free(backend_device *d, backend_buffer *b)
{
	if (b == NULL)
		return;
	gpu_release(d, b->data);
	free(b);
}

static bool
range_fits(const backend_buffer *b, size_t offset, size_t count)
{
	return offset <= b->elements && count <= b->elements - offset;
}

static engine_code
cuda_upload(backend_device *d, backend_buffer *b, size_t offset, const float *data, size_t count)
{
	if (b->element != BACKEND_F32 || !range_fits(b, offset, count))
		return gpu_fail(ENGINE_INTERNAL, "upload of %zu at %zu does not fit", count, offset);
	return gpu_upload(d, (float *) b->data + offset, data, count * sizeof(float));
}

static engine_code
cuda_download(backend_device *d, const backend_buffer *b, size_t offset, float *data, size_t count)
{
	engine_code code = gpu_step_flush(d);

	if (b->element != BACKEND_F32 || !range_fits(b, offset, count))
		return gpu_fail(ENGINE_INTERNAL, "download of %zu at %zu does not fit", count, offset);
	if (code == ENGINE_OK)
		code = gpu_check(cudaMemcpyAsync(data, (const float *) b->data + offset,
											count * sizeof(float), cudaMemcpyDeviceToHost,
											d->compute), "a download");
	if (code == ENGINE_OK)
		code = gpu_check(cudaStreamSynchronize(d->compute), "a step");
	return code;
}

static void
free_kv(backend_device *d, backend_kv *kv)
{
	if (kv == NULL)
		return;
	gpu_release(d, kv->data);
	free(kv);
}

static backend_kv *
alloc_kv(backend_device *d, const backend_kv_config *config, engine_error *error)
{
	backend_kv *kv;
	size_t		bytes = config->f32 ? sizeof(float) : sizeof(device_half);

	if (config->layers < 1 || config->kv_heads < 1 || config->head_size < 1 || config->blocks < 1 ||
		config->head_size > ATTENTION_HEAD_MAX_CUDA || config->block_size < 16 ||
		config->block_size % 16 != 0)
	{
		engine_fail(error, ENGINE_UNSUPPORTED,
					"cache of %d layers, %d heads of %d, %d blocks of %d tokens", config->layers,
					config->kv_heads, config->head_size, config->blocks, config->block_size);
		return NULL;
	}
	kv = calloc(1, sizeof(*kv));
	if (kv == NULL)
	{
		engine_fail_memory(error, "the key-value cache");
		return NULL;
	}
	kv->config = *config;
	if (__builtin_mul_overflow(bytes * 2 * (size_t) config->block_size,
							   (size_t) config->head_size * (size_t) config->kv_heads, &bytes) ||
		__builtin_mul_overflow(bytes, (size_t) config->blocks, &kv->layer_bytes) ||
		__builtin_mul_overflow(kv->layer_bytes, (size_t) config->layers, &bytes) ||
		(kv->data = gpu_allocate(d, bytes)) == NULL)
	{
		engine_fail_memory(error, "the key-value cache on the CUDA device");
		free(kv);
		return NULL;
	}
	return kv;
}

/* The one name that rag-engine looks up. */
extern __attribute__((visibility("default"))) const backend_ops *rag_backend(void);

const backend_ops *
rag_backend(void)
{
	static const backend_ops ops = {
		.abi_version = BACKEND_ABI_VERSION,
		.name = "cuda",
		.probe = cuda_probe,
		.open = cuda_open,
		.close = cuda_close,
		.info = cuda_info,
		.message = cuda_message,
		.alloc = cuda_alloc,
		.free = cuda_free,
		.upload = cuda_upload,
		.download = cuda_download,
		.upload_weight = gpu_weight_upload,
		.free_weight = gpu_weight_free,
		.alloc_kv = alloc_kv,
		.free_kv = free_kv,
		.begin_step = gpu_step_begin,
		.embed = gpu_embed,
		.norm = gpu_norm,
		.linear = gpu_linear,
		.rope = gpu_rope,
		.attention = gpu_attention,
		.gate = gpu_gate,
		.gather = gpu_gather,
		.pool = gpu_pool,
		.sample = gpu_sample,
		.end_step = gpu_step_end,
		.sync = gpu_step_sync,
		.alloc_vectors = gpu_vectors_alloc,
		.free_vectors = gpu_vectors_free,
		.add_vectors = gpu_vectors_add,
		.nearest = gpu_nearest,
	};

	return &ops;
}
