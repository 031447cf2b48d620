/*
 * model_config.c: what must hold between the fields of a config, whichever file
 * they came from.
 */
#include "engine/model_private.h"

#include <math.h>
#include <string.h>

#include "engine/tokenizer.h"

void
model_set_name(model_config *config, const char *name, size_t length)
{
	size_t		limit = sizeof(config->name) - 1;

	length = utf8_validate(name, length < limit ? length : limit);
	memcpy(config->name, name, length);
	config->name[length] = '\0';
	for (char *c = config->name; c < config->name + length; c++)
	{
		if ((unsigned char) *c < 0x20 || *c == 0x7F)
			*c = ' ';
	}
}

static bool
in_range(double value, double low, double high)
{
	return value >= low && value <= high;	/* false for NaN */
}

static bool
check_rope(const model *m, engine_error *error)
{
	const model_config *c = &m->config;

	if (c->rope_dims < 2 || c->rope_dims % 2 != 0 || c->rope_dims > c->head_size)
		return engine_fail(error, ENGINE_CORRUPT, "%s: %d rotated elements of heads of %d", m->file,
						   c->rope_dims, c->head_size);
	if (!in_range(c->rope_theta, 1, 1e15))
		return engine_fail(error, ENGINE_CORRUPT, "%s: rope theta of %g", m->file,
						   (double) c->rope_theta);
	if (c->rope_scale_kind == ROPE_PLAIN)
		return true;
	if (!in_range(c->rope_scale_factor, 1e-3, 1e6))
		return engine_fail(error, ENGINE_CORRUPT, "%s: rope scaling factor of %g", m->file,
						   (double) c->rope_scale_factor);
	if (c->rope_scale_kind == ROPE_LLAMA3 &&
		!(in_range(c->rope_low_freq_factor, 1e-6, 1e6) &&
		  in_range(c->rope_high_freq_factor, 1e-6, 1e6) &&
		  c->rope_high_freq_factor > c->rope_low_freq_factor))
		return engine_fail(error, ENGINE_CORRUPT, "%s: rope frequency factors of %g and %g",
						   m->file,
						   (double) c->rope_low_freq_factor, (double) c->rope_high_freq_factor);
	return true;
}

bool
model_check_config(const model *m, engine_error *error)
{
	const model_config *c = &m->config;

	if (c->head_size < 1 || c->head_size > MODEL_MAX_HEAD_SIZE)
		return engine_fail(error, ENGINE_CORRUPT, "%s: heads of %d elements", m->file,
						   c->head_size);
	if (c->heads % c->kv_heads != 0)
		return engine_fail(error, ENGINE_CORRUPT, "%s: %d heads cannot share %d key-value heads",
						   m->file, c->heads, c->kv_heads);
	/* below the smallest normal float an epsilon would be nothing in the kernels */
	if (!in_range(c->norm_epsilon, 1e-30, 1))
		return engine_fail(error, ENGINE_CORRUPT, "%s: normalisation epsilon of %g", m->file,
						   (double) c->norm_epsilon);
	if (c->architecture == MODEL_LLAMA)
		return check_rope(m, error);
	if (c->heads * c->head_size != c->hidden_size)
		return engine_fail(error, ENGINE_CORRUPT, "%s: %d elements cannot be split into %d heads",
						   m->file, c->hidden_size, c->heads);
	return true;
}
