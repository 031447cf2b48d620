/*
 * backend.c: the CPU's table of backend.h, and its devices and buffers.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/cpu/device.h"

engine_code
device_fail(backend_device *d, engine_code code, const char *format,...)
{
	va_list		args;
	char		text[ENGINE_MESSAGE_SIZE];

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	(void) engine_fail(&d->failure, code, "%s", text);
	return code;
}

bool
device_fits(const backend_buffer *b, int rows, int columns)
{
	return rows >= 0 && columns >= 0 && (size_t) rows * (size_t) columns <= b->elements;
}

static engine_code
cpu_probe(const backend_config *config, engine_error *error)
{
	(void) config;
	(void) error;
	return ENGINE_OK;
}

static void
cpu_close(backend_device *d)
{
	if (d == NULL)
		return;
	threads_stop(d->pool);
	for (int i = 0; d->thread != NULL && i < d->n_threads; i++)
	{
		memory_free(d->thread[i].scratch);
		memory_free(d->thread[i].candidates);
	}
	free(d->thread);
	memory_free(d->input);
	memory_free(d->quantized);
	step_free(d);
	free(d);
}

static bool
allocate_parts(backend_device *d)
{
	d->thread = calloc((size_t) d->n_threads, sizeof(device_thread));
	d->input = memory_alloc(INPUT_FLOATS, sizeof(float));
	d->quantized = memory_alloc(INPUT_FLOATS / QUANT_COLUMNS * QUANT_WORDS, sizeof(quant_word));
	if (d->thread == NULL || d->input == NULL || d->quantized == NULL)
		return false;
	for (int i = 0; i < d->n_threads; i++)
	{
		d->thread[i].scratch = memory_alloc(SCRATCH_FLOATS, sizeof(float));
		if (d->thread[i].scratch == NULL)
			return false;
	}
	return true;
}

backend_device *
device_open(const backend_config *config, simd_isa isa, engine_error *error)
{
	static const char *const names[] = {
		[SIMD_SCALAR] = "portable", [SIMD_AVX2] = "AVX2", [SIMD_AVXVNNI] = "AVX-VNNI",
		[SIMD_AVX512] = "AVX-512", [SIMD_AVX512VNNI] = "AVX-512 VNNI",
	};
	backend_device *d = calloc(1, sizeof(*d));

	if (d == NULL)
	{
		engine_fail_memory(error, "a device");
		return NULL;
	}
	d->kernels = kernels_get(isa);
	d->pool = threads_start(config->threads, error);
	if (d->pool == NULL)
	{
		cpu_close(d);
		return NULL;
	}
	d->n_threads = threads_count(d->pool);
	if (!allocate_parts(d))
	{
		engine_fail_memory(error, "a device");
		cpu_close(d);
		return NULL;
	}
	snprintf(d->name, sizeof(d->name), "CPU (%s, %d thread%s)", names[isa], d->n_threads,
			 d->n_threads == 1 ? "" : "s");
	return d;
}

static backend_device *
cpu_open(const backend_config *config, engine_error *error)
{
	return device_open(config, simd_current(), error);
}

static void
cpu_info(backend_device *d, backend_info *out)
{
	*out = (backend_info) {.device = d->name, .memory_free = memory_available(),
						   .kv_bytes = sizeof(uint16_t), .threads = d->n_threads};
}

static const char *
cpu_message(backend_device *d)
{
	return d->failure.message;
}

static backend_buffer *
cpu_alloc(backend_device *d, backend_element element, size_t elements)
{
	backend_buffer *b = malloc(sizeof(*b));

	(void) element;				/* activations are f32 here */
	if (b == NULL)
		return NULL;
	*b = (backend_buffer) {elements, memory_alloc(elements, sizeof(float))};
	if (b->data == NULL)
	{
		(void) device_fail(d, ENGINE_NO_MEMORY, "out of memory for a buffer of %zu elements",
						   elements);
		free(b);
		return NULL;
	}
	return b;
}

static void
cpu_free(backend_device *d, backend_buffer *b)
{
	(void) d;
	if (b == NULL)
		return;
	memory_free(b->data);
	free(b);
}

static bool
range_fits(const backend_buffer *b, size_t offset, size_t count)
{
	return offset <= b->elements && count <= b->elements - offset;
}

static engine_code
cpu_upload(backend_device *d, backend_buffer *b, size_t offset, const float *data, size_t count)
{
	if (!range_fits(b, offset, count))
		return device_fail(d, ENGINE_INTERNAL, "upload of %zu at %zu does not fit", count, offset);
	memcpy(b->data + offset, data, count * sizeof(float));
	return ENGINE_OK;
}

static engine_code
cpu_download(backend_device *d, const backend_buffer *b, size_t offset, float *data, size_t count)
{
	if (!range_fits(b, offset, count))
		return device_fail(d, ENGINE_INTERNAL, "download of %zu at %zu does not fit", count,
						   offset);
	memcpy(data, b->data + offset, count * sizeof(float));
	return ENGINE_OK;
}

/* Operations are done when they return. */
static engine_code
cpu_sync(backend_device *d)
{
	(void) d;
	return ENGINE_OK;
}

const backend_ops *
backend_cpu(void)
{
	static const backend_ops ops = {
		.abi_version = BACKEND_ABI_VERSION,
		.name = "cpu",
		.probe = cpu_probe,
		.open = cpu_open,
		.close = cpu_close,
		.info = cpu_info,
		.message = cpu_message,
		.alloc = cpu_alloc,
		.free = cpu_free,
		.upload = cpu_upload,
		.download = cpu_download,
		.upload_weight = weight_upload,
		.free_weight = weight_free,
		.alloc_kv = cache_alloc,
		.free_kv = cache_free,
		.begin_step = step_begin,
		.embed = rows_embed,
		.norm = rows_run_norm,
		.linear = linear_run,
		.rope = attention_rope,
		.attention = attention_run,
		.gate = rows_run_gate,
		.gather = rows_gather,
		.pool = rows_pool,
		.sample = rows_sample,
		.end_step = step_end,
		.sync = cpu_sync,
		.alloc_vectors = vectors_alloc,
		.free_vectors = vectors_free,
		.add_vectors = vectors_add,
		.nearest = vectors_nearest,
	};

	return &ops;
}
