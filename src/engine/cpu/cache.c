/*
 * cache.c: the paged cache of keys and values.
 *
 * [block][layer][kv_head]: the keys of a block's tokens, [block_size / 16][head_size][16],
 * so that sixteen keys are scored at a time, then its values, [block_size][head_size]. A block
 * is one piece of memory, and takes none before it is used.
 * Elements are f16, or f32 where the configuration says so; strides count elements.
 */
#include <stdlib.h>

#include "engine/cpu/device.h"

backend_kv *
cache_alloc(backend_device *d, const backend_kv_config *config, engine_error *error)
{
	backend_kv *kv;
	size_t		elements;

	(void) d;
	if (config->layers < 1 || config->kv_heads < 1 || config->head_size < 1 || config->blocks < 1 ||
		config->head_size > ATTENTION_HEAD_MAX || config->block_size < 16 ||
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
	if (__builtin_mul_overflow((size_t) config->block_size * 2, (size_t) config->head_size,
							   &kv->head_stride) ||
		__builtin_mul_overflow(kv->head_stride, (size_t) config->kv_heads, &kv->layer_stride) ||
		__builtin_mul_overflow(kv->layer_stride, (size_t) config->layers, &kv->block_stride) ||
		__builtin_mul_overflow(kv->block_stride, (size_t) config->blocks, &elements) ||
		(kv->data = memory_alloc(elements, config->f32 ? sizeof(float) : sizeof(uint16_t))) == NULL)
	{
		engine_fail_memory(error, "the key-value cache");
		free(kv);
		return NULL;
	}
	return kv;
}

void
cache_free(backend_device *d, backend_kv *kv)
{
	(void) d;
	if (kv == NULL)
		return;
	memory_free(kv->data);
	free(kv);
}
