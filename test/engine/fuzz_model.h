/*
 * fuzz_model.h: what the fuzzers of model files share: files in memory with a path,
 * and a look at all that an open model promises.
 */
#ifndef RAG_TEST_FUZZ_MODEL_H
#define RAG_TEST_FUZZ_MODEL_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "engine/model.h"

extern int	LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

typedef struct memory_file
{
	int			fd;
	char		path[40];
} memory_file;

static void
memory_file_write(memory_file *f, const void *data, size_t size)
{
	if (f->path[0] == '\0')
	{
		f->fd = memfd_create("fuzz", MFD_CLOEXEC);
		snprintf(f->path, sizeof(f->path), "/proc/self/fd/%d", f->fd);
	}
	if (f->fd < 0 || ftruncate(f->fd, 0) != 0 || pwrite(f->fd, data, size, 0) != (ssize_t) size)
		abort();
}

/* A refusal gives a reason; an open model is as model.h says. Closes the model. */
static void
check_model(model *m, const engine_error *error)
{
	const model_config *c;
	unsigned	sum = 0;

	if (m == NULL)
	{
		if (error->code == ENGINE_OK || error->code == ENGINE_INTERNAL || error->message[0] == '\0')
			abort();
		return;
	}
	c = model_get_config(m);
	if (c->layers < 1 || c->heads < 1 || c->heads % c->kv_heads != 0 || c->head_size < 1 ||
		!(c->norm_epsilon > 0) || strlen(c->name) >= sizeof(c->name))
		abort();
	for (int role = 0; role < TENSOR_ROLES; role++)
	{
		for (int layer = 0; layer < (role < TENSOR_ATTENTION_NORM ? 1 : c->layers); layer++)
		{
			const model_tensor *t = model_get_tensor(m, (tensor_role) role, layer);
			const tensor_type_info *info = t ? tensor_type_get(t->type) : NULL;

			if (t == NULL)
				continue;
			if ((uint64_t) t->rows * (uint64_t) t->columns / (uint64_t) info->block_elements *
				(uint64_t) info->block_bytes != t->bytes)
				abort();
			for (size_t i = 0; i < t->bytes; i++)
				sum += ((const unsigned char *) t->data)[i];
		}
	}
	if (sum == 1 && getenv("NEVER"))	/* keeps the loads */
		puts("");
	model_close(m);
}

#endif							/* RAG_TEST_FUZZ_MODEL_H */
