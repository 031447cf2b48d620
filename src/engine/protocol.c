/*
 * protocol.c: packing and unpacking of frames.
 */
#include "engine/protocol.h"

#include <stdlib.h>
#include <string.h>

/* ---------------------------------------------------------------------------
 * Writing
 * ------------------------------------------------------------------------- */

static bool
reserve(protocol_writer *w, size_t more)
{
	size_t		need;
	size_t		capacity;
	char	   *grown;

	if (w->failed || more > PROTOCOL_MAX_PAYLOAD ||
		w->length > SIZE_MAX / 4 - more)
	{
		w->failed = true;
		return false;
	}
	need = w->length + more;
	if (need <= w->capacity)
		return true;
	capacity = w->capacity < 256 ? 256 : w->capacity;
	while (capacity < need)
		capacity *= 2;
	grown = w->resize ? w->resize(w->data, capacity) : realloc(w->data, capacity);
	if (grown == NULL)
	{
		w->failed = true;
		return false;
	}
	w->data = grown;
	w->capacity = capacity;
	return true;
}

static void
put_bytes(protocol_writer *w, const void *data, size_t length)
{
	if (!reserve(w, length))
		return;
	if (length > 0)
		memcpy(w->data + w->length, data, length);
	w->length += length;
}

void
protocol_begin(protocol_writer *w, protocol_type type, uint64_t request)
{
	protocol_header header = {.type = type,.request = request};

	w->frame = w->length;
	put_bytes(w, &header, sizeof(header));
}

bool
protocol_end(protocol_writer *w)
{
	size_t		payload;
	uint32_t	length;

	if (w->failed)
		return false;
	payload = w->length - w->frame - sizeof(protocol_header);
	if (payload > PROTOCOL_MAX_PAYLOAD)
	{
		w->failed = true;
		return false;
	}
	length = (uint32_t) payload;
	memcpy(w->data + w->frame + offsetof(protocol_header, length), &length, sizeof(length));
	return true;
}

void
protocol_put_u32(protocol_writer *w, uint32_t value)
{
	put_bytes(w, &value, sizeof(value));
}

void
protocol_put_u64(protocol_writer *w, uint64_t value)
{
	put_bytes(w, &value, sizeof(value));
}

static void
put_f32(protocol_writer *w, float value)
{
	put_bytes(w, &value, sizeof(value));
}

void
protocol_put_f32s(protocol_writer *w, const float *values, size_t count)
{
	if (count > PROTOCOL_MAX_PAYLOAD / sizeof(float))
		w->failed = true;
	else
		put_bytes(w, values, count * sizeof(float));
}

void
protocol_put_string(protocol_writer *w, const char *data, size_t length)
{
	if (length > PROTOCOL_MAX_PAYLOAD)
	{
		w->failed = true;
		return;
	}
	protocol_put_u32(w, (uint32_t) length);
	put_bytes(w, data, length);
}

void
protocol_put_model(protocol_writer *w, const protocol_model *model)
{
	protocol_put_string(w, model->uri, model->uri_length);
	protocol_put_string(w, model->options, model->options_length);
}

void
protocol_put_caller(protocol_writer *w, const protocol_caller *caller)
{
	protocol_put_u32(w, caller->role);
	protocol_put_u32(w, (uint32_t) caller->priority);
	protocol_put_u32(w, caller->max_requests);
	protocol_put_u32(w, caller->max_tokens);
}

void
protocol_put_info(protocol_writer *w, const protocol_model_info *info)
{
	protocol_put_u32(w, info->kind);
	protocol_put_u32(w, info->dimensions);
	protocol_put_u32(w, info->max_model_len);
	protocol_put_u64(w, info->parameters);
	protocol_put_u64(w, info->memory_bytes);
	protocol_put_string(w, info->architecture, strnlen(info->architecture,
													   sizeof(info->architecture)));
	protocol_put_string(w, info->name, strnlen(info->name, sizeof(info->name)));
}

void
protocol_put_usage(protocol_writer *w, const protocol_usage *usage)
{
	protocol_put_u32(w, usage->finish);
	protocol_put_u32(w, usage->prompt_tokens);
	protocol_put_u32(w, usage->cached_tokens);
	protocol_put_u32(w, usage->completion_tokens);
	protocol_put_u64(w, usage->queue_us);
	protocol_put_u64(w, usage->prompt_us);
	protocol_put_u64(w, usage->compute_us);
}

void
protocol_put_sampling(protocol_writer *w, const protocol_sampling *s)
{
	protocol_put_u32(w, s->max_tokens);
	put_f32(w, s->temperature);
	put_f32(w, s->top_p);
	put_f32(w, s->min_p);
	protocol_put_u32(w, s->top_k);
	put_f32(w, s->repetition_penalty);
	put_f32(w, s->presence_penalty);
	put_f32(w, s->frequency_penalty);
	protocol_put_u64(w, s->seed);
	protocol_put_u32(w, s->flags);
	if (s->stops > PROTOCOL_MAX_STOPS)
	{
		w->failed = true;
		return;
	}
	protocol_put_u32(w, s->stops);
	for (uint32_t i = 0; i < s->stops; i++)
		protocol_put_string(w, s->stop[i].data, s->stop[i].length);
}

void
protocol_put_messages(protocol_writer *w, const protocol_message *messages, uint32_t count)
{
	protocol_put_u32(w, count);
	for (uint32_t i = 0; i < count; i++)
	{
		protocol_put_string(w, messages[i].role, messages[i].role_length);
		protocol_put_string(w, messages[i].content, messages[i].content_length);
	}
}

/* ---------------------------------------------------------------------------
 * Reading
 * ------------------------------------------------------------------------- */

static const char *
get_bytes(protocol_reader *r, size_t length)
{
	const char *data;

	if (r->failed || length > r->length - r->offset)
	{
		r->failed = true;
		return NULL;
	}
	data = r->data + r->offset;
	r->offset += length;
	return data;
}

uint32_t
protocol_get_u32(protocol_reader *r)
{
	uint32_t	value = 0;
	const char *data = get_bytes(r, sizeof(value));

	if (data)
		memcpy(&value, data, sizeof(value));
	return value;
}

uint64_t
protocol_get_u64(protocol_reader *r)
{
	uint64_t	value = 0;
	const char *data = get_bytes(r, sizeof(value));

	if (data)
		memcpy(&value, data, sizeof(value));
	return value;
}

static float
get_f32(protocol_reader *r)
{
	float		value = 0;
	const char *data = get_bytes(r, sizeof(value));

	if (data)
		memcpy(&value, data, sizeof(value));
	return value;
}

const char *
protocol_get_f32s(protocol_reader *r, size_t count)
{
	if (count > PROTOCOL_MAX_PAYLOAD / sizeof(float))
	{
		r->failed = true;
		return NULL;
	}
	return get_bytes(r, count * sizeof(float));
}

const char *
protocol_get_string(protocol_reader *r, uint32_t *length)
{
	uint32_t	n = protocol_get_u32(r);
	const char *data = get_bytes(r, n);

	*length = data ? n : 0;
	return data ? data : "";
}

void
protocol_get_model(protocol_reader *r, protocol_model *model)
{
	model->uri = protocol_get_string(r, &model->uri_length);
	model->options = protocol_get_string(r, &model->options_length);
}

/* A string into a fixed buffer; a longer one breaks the protocol. */
static void
get_fixed(protocol_reader *r, char *out, size_t size)
{
	uint32_t	length;
	const char *data = protocol_get_string(r, &length);

	if (length >= size)
	{
		r->failed = true;
		length = 0;
	}
	memcpy(out, data, length);
	out[length] = '\0';
}

void
protocol_get_caller(protocol_reader *r, protocol_caller *caller)
{
	caller->role = protocol_get_u32(r);
	caller->priority = (int32_t) protocol_get_u32(r);
	caller->max_requests = protocol_get_u32(r);
	caller->max_tokens = protocol_get_u32(r);
}

void
protocol_get_info(protocol_reader *r, protocol_model_info *info)
{
	info->kind = protocol_get_u32(r);
	info->dimensions = protocol_get_u32(r);
	info->max_model_len = protocol_get_u32(r);
	info->parameters = protocol_get_u64(r);
	info->memory_bytes = protocol_get_u64(r);
	get_fixed(r, info->architecture, sizeof(info->architecture));
	get_fixed(r, info->name, sizeof(info->name));
}

void
protocol_get_usage(protocol_reader *r, protocol_usage *usage)
{
	usage->finish = protocol_get_u32(r);
	usage->prompt_tokens = protocol_get_u32(r);
	usage->cached_tokens = protocol_get_u32(r);
	usage->completion_tokens = protocol_get_u32(r);
	usage->queue_us = protocol_get_u64(r);
	usage->prompt_us = protocol_get_u64(r);
	usage->compute_us = protocol_get_u64(r);
}

void
protocol_get_sampling(protocol_reader *r, protocol_sampling *s)
{
	memset(s, 0, sizeof(*s));
	s->max_tokens = protocol_get_u32(r);
	s->temperature = get_f32(r);
	s->top_p = get_f32(r);
	s->min_p = get_f32(r);
	s->top_k = protocol_get_u32(r);
	s->repetition_penalty = get_f32(r);
	s->presence_penalty = get_f32(r);
	s->frequency_penalty = get_f32(r);
	s->seed = protocol_get_u64(r);
	s->flags = protocol_get_u32(r);
	s->stops = protocol_get_u32(r);
	if (s->stops > PROTOCOL_MAX_STOPS)
	{
		r->failed = true;
		s->stops = 0;
	}
	for (uint32_t i = 0; i < s->stops; i++)
		s->stop[i].data = protocol_get_string(r, &s->stop[i].length);
}

uint32_t
protocol_get_count(protocol_reader *r, size_t least_bytes)
{
	uint32_t	count = protocol_get_u32(r);

	/* what cannot be in the payload is not counted, let alone allocated */
	if (r->failed || count > (r->length - r->offset) / (least_bytes ? least_bytes : 1))
	{
		r->failed = true;
		return 0;
	}
	return count;
}

void
protocol_get_message(protocol_reader *r, protocol_message *message)
{
	message->role = protocol_get_string(r, &message->role_length);
	message->content = protocol_get_string(r, &message->content_length);
}

bool
protocol_finish_read(const protocol_reader *r)
{
	return !r->failed && r->offset == r->length;
}
