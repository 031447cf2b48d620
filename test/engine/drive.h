/*
 * drive.h: driving an engine in a test: frames in, answers collected by request.
 */
#ifndef RAG_TEST_DRIVE_H
#define RAG_TEST_DRIVE_H

#include <poll.h>
#include <stdlib.h>
#include <string.h>

#include "engine/engine.h"

#define DRIVE_REQUESTS 1024

/* What came back for one request. */
typedef struct drive_answer
{
	bool		over;
	engine_code code;			/* ENGINE_OK, or that of the ERROR frame */
	char		message[ENGINE_MESSAGE_SIZE];
	char	   *text;			/* all pieces, NUL-terminated */
	size_t		length;
	int			pieces;
	float	   *vectors;		/* one after the other, in the order of the index */
	int			width;
	int			vector_count;
	uint32_t   *neighbours;		/* one after the other */
	uint32_t	neighbour_count;
	uint64_t	tokens;
	protocol_usage usage;
	protocol_model_info info;
} drive_answer;

typedef struct drive
{
	engine	   *engine;
	drive_answer answers[DRIVE_REQUESTS];
	const char *uri;
	const char *options;
	protocol_caller caller;		/* of the next requests */
	bool		hold;			/* the next frame waits in held for drive_release */
	protocol_writer held;
	int			progress;		/* frames of it */
	int			bad_frames;		/* malformed, of an unknown type, or for a request that is over */
} drive;

__attribute__((unused))
static drive *
drive_open(const engine_config *config, const char *uri, const char *options)
{
	drive	   *d = calloc(1, sizeof(*d));
	engine_error error;

	d->engine = engine_open(config, &error);
	d->uri = uri;
	d->options = options;
	if (d->engine == NULL)
		tap_note("%s", error.message);
	return d;
}

__attribute__((unused))
static void
drive_close(drive *d)
{
	engine_close(d->engine);
	free(d->held.data);
	for (int i = 0; i < DRIVE_REQUESTS; i++)
	{
		free(d->answers[i].text);
		free(d->answers[i].vectors);
		free(d->answers[i].neighbours);
	}
	free(d);
}

static void
drive_piece(drive_answer *a, const char *data, uint32_t length)
{
	a->text = realloc(a->text, a->length + length + 1);
	memcpy(a->text + a->length, data, length);
	a->length += length;
	a->text[a->length] = '\0';
	a->pieces++;
}

static void
drive_vector(drive_answer *a, protocol_reader *r)
{
	uint32_t	index = protocol_get_u32(r);
	uint32_t	width = protocol_get_u32(r);
	const char *values = protocol_get_f32s(r, width);

	if (values == NULL || index > 100000)
		return;
	if ((int) index >= a->vector_count)
	{
		a->vectors = realloc(a->vectors, sizeof(float) * width * (index + 1));
		a->vector_count = (int) index + 1;
	}
	a->width = (int) width;
	memcpy(a->vectors + (size_t) index * width, values, sizeof(float) * width);
}

/* The index is that of a vector: they come in order, as many of each as of the others. */
static void
drive_neighbours(drive_answer *a, protocol_reader *r)
{
	uint32_t	index = protocol_get_u32(r);
	uint32_t	count = protocol_get_count(r, sizeof(uint32_t));

	if (index == 0 && a->neighbour_count > 0)
		r->failed = true;
	a->neighbours = realloc(a->neighbours, sizeof(uint32_t) * (a->neighbour_count + count + 1));
	for (uint32_t i = 0; i < count; i++)
		a->neighbours[a->neighbour_count++] = protocol_get_u32(r);
}

/* Requests that have begun: none that is over. */
static void
drive_progress(drive *d, const protocol_header *header, protocol_reader *r)
{
	uint32_t	count = protocol_get_count(r, sizeof(uint64_t));

	for (uint32_t i = 0; i < count; i++)
	{
		uint64_t	id = protocol_get_u64(r);
		drive_answer *a = &d->answers[id % DRIVE_REQUESTS];

		protocol_get_usage(r, &a->usage);
		d->bad_frames += a->over;
	}
	if (count == 0 || header->request != 0 || !protocol_finish_read(r))
		d->bad_frames++;
	d->progress++;
}

static void
drive_frame(drive *d, const protocol_header *header, const char *payload)
{
	protocol_reader r = {.data = payload,.length = header->length};
	drive_answer *a = &d->answers[header->request % DRIVE_REQUESTS];
	uint32_t	length;
	const char *data;

	if (header->type == PROTOCOL_PROGRESS)
	{
		drive_progress(d, header, &r);
		return;
	}
	/* nothing may come after the frame that ends a request */
	d->bad_frames += a->over;
	switch (header->type)
	{
		case PROTOCOL_LOADED:
			protocol_get_info(&r, &a->info);
			a->over = true;
			break;
		case PROTOCOL_VECTOR:
			drive_vector(a, &r);
			break;
		case PROTOCOL_NEIGHBOURS:
			drive_neighbours(a, &r);
			break;
		case PROTOCOL_COUNTED:
			a->tokens = protocol_get_u64(&r);
			a->over = true;
			break;
		case PROTOCOL_PIECE:
		case PROTOCOL_STATISTICS:
			data = protocol_get_string(&r, &length);
			drive_piece(a, data, length);
			a->over = header->type == PROTOCOL_STATISTICS;
			break;
		case PROTOCOL_DONE:
			protocol_get_usage(&r, &a->usage);
			a->over = true;
			break;
		case PROTOCOL_ERROR:
			a->code = (engine_code) protocol_get_u32(&r);
			data = protocol_get_string(&r, &length);
			snprintf(a->message, sizeof(a->message), "%.*s", (int) length, data);
			a->over = true;
			break;
		default:
			d->bad_frames++;
	}
	if (!protocol_finish_read(&r))
		d->bad_frames++;
}

/* Takes the answers that are there. */
__attribute__((unused))
static void
drive_collect(drive *d)
{
	protocol_writer *out = engine_output(d->engine);
	size_t		offset = 0;

	while (offset < out->length)
	{
		protocol_header header;

		memcpy(&header, out->data + offset, sizeof(header));
		drive_frame(d, &header, out->data + offset + sizeof(header));
		offset += sizeof(header) + header.length;
	}
	out->length = 0;
}

/* One step, or a short sleep while jobs run. */
__attribute__((unused))
static void
drive_step(drive *d)
{
	if (!engine_step(d->engine))
	{
		struct pollfd fd = {.fd = engine_wake_fd(d->engine),.events = POLLIN};

		poll(&fd, 1, 100);
	}
	drive_collect(d);
}

__attribute__((unused))
static drive_answer *
drive_wait(drive *d, uint64_t request)
{
	drive_answer *a = &d->answers[request % DRIVE_REQUESTS];

	drive_collect(d);
	for (int i = 0; i < 100000 && !a->over; i++)
		drive_step(d);
	return a;
}

/* Submits the frame that was held. It stays allocated until the next one. */
static void
drive_release(drive *d)
{
	protocol_header header;

	memcpy(&header, d->held.data, sizeof(header));
	engine_submit(d->engine, header.type, header.request, d->held.data + sizeof(header), header.length);
	d->hold = false;
}

static void
drive_send(drive *d, protocol_writer *w)
{
	protocol_end(w);
	free(d->held.data);
	d->held = *w;
	if (!d->hold)
		drive_release(d);
}

static void
drive_model(drive *d, protocol_writer *w)
{
	protocol_put_model(w, &(protocol_model) {d->uri, (uint32_t) strlen(d->uri), d->options,
											 (uint32_t) strlen(d->options)});
}

/* LOAD, UNLOAD, STATS, CANCEL */
__attribute__((unused))
static void
drive_simple(drive *d, protocol_type type, uint64_t request)
{
	protocol_writer w = {0};

	protocol_begin(&w, type, request);
	if (type == PROTOCOL_LOAD || type == PROTOCOL_UNLOAD)
		drive_model(d, &w);
	drive_send(d, &w);
}

__attribute__((unused))
static void
drive_embed(drive *d, uint64_t request, int count, const char *const *texts, uint32_t dimensions)
{
	protocol_writer w = {0};

	protocol_begin(&w, PROTOCOL_EMBED, request);
	drive_model(d, &w);
	protocol_put_caller(&w, &d->caller);
	protocol_put_u32(&w, PROTOCOL_EMBED_PLAIN);
	protocol_put_u32(&w, dimensions);
	protocol_put_u32(&w, (uint32_t) count);
	for (int i = 0; i < count; i++)
		protocol_put_string(&w, texts[i], strlen(texts[i]));
	drive_send(d, &w);
}

__attribute__((unused))
static void
drive_rerank(drive *d, uint64_t request, const char *query, int count, const char *const *documents)
{
	protocol_writer w = {0};

	protocol_begin(&w, PROTOCOL_RERANK, request);
	drive_model(d, &w);
	protocol_put_caller(&w, &d->caller);
	protocol_put_string(&w, query, strlen(query));
	protocol_put_u32(&w, (uint32_t) count);
	for (int i = 0; i < count; i++)
		protocol_put_string(&w, documents[i], strlen(documents[i]));
	drive_send(d, &w);
}

__attribute__((unused))
static void
drive_count(drive *d, uint64_t request, const char *text)
{
	protocol_writer w = {0};

	protocol_begin(&w, PROTOCOL_COUNT, request);
	drive_model(d, &w);
	protocol_put_caller(&w, &d->caller);
	protocol_put_string(&w, text, strlen(text));
	drive_send(d, &w);
}

__attribute__((unused))
static protocol_sampling
drive_greedy(uint32_t max_tokens)
{
	return (protocol_sampling) {.max_tokens = max_tokens,.top_p = 1,.repetition_penalty = 1};
}

__attribute__((unused))
static void
drive_generate(drive *d, uint64_t request, const char *prompt, const protocol_sampling *sampling)
{
	protocol_writer w = {0};

	protocol_begin(&w, PROTOCOL_GENERATE, request);
	drive_model(d, &w);
	protocol_put_caller(&w, &d->caller);
	protocol_put_sampling(&w, sampling);
	protocol_put_messages(&w, &(protocol_message) {"user", 4, prompt, (uint32_t) strlen(prompt)}, 1);
	drive_send(d, &w);
}

/* The value of a number in the statistics of the (first) model, or -1. */
__attribute__((unused))
static long
drive_statistic(drive *d, const char *name)
{
	drive_answer *a = &d->answers[DRIVE_REQUESTS - 1];
	char		key[64];
	char	   *found;

	free(a->text);
	memset(a, 0, sizeof(*a));
	drive_simple(d, PROTOCOL_STATS, DRIVE_REQUESTS - 1);
	drive_wait(d, DRIVE_REQUESTS - 1);
	snprintf(key, sizeof(key), "\"%s\": ", name);
	found = a->text ? strstr(a->text, key) : NULL;
	return found ? atol(found + strlen(key)) : -1;
}

#endif							/* RAG_TEST_DRIVE_H */
