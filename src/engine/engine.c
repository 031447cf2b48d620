/*
 * engine.c: accepting, cancelling and finishing requests, and the step.
 */
#include "engine/engine_private.h"
#include "engine/device_open.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define DEFAULT_BATCHED_TOKENS 512
#define DEFAULT_QUEUE 8192
#define DEFAULT_SLOWDOWN 2.5f
#define BACKGROUND_THREADS 2

uint64_t
engine_now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t) t.tv_sec * 1000000 + (uint64_t) t.tv_nsec / 1000;
}

engine *
engine_open(const engine_config *config, engine_error *error)
{
	engine	   *e = calloc(1, sizeof(*e));
	backend_info info;

	if (e == NULL)
	{
		engine_fail_memory(error, "the engine");
		return NULL;
	}
	e->config = *config;
	if (e->config.max_num_batched_tokens <= 0)
		e->config.max_num_batched_tokens = DEFAULT_BATCHED_TOKENS;
	if (e->config.max_slowdown == 0)
		e->config.max_slowdown = DEFAULT_SLOWDOWN;
	if (e->config.max_queue <= 0)
		e->config.max_queue = DEFAULT_QUEUE;
	e->next_serial = 1;
	e->jobs = device_choose(config, &e->device, &e->device_library, e->device_note, error) ?
		jobs_open(BACKGROUND_THREADS, error) : NULL;
	if (e->jobs == NULL)
	{
		engine_close(e);
		return NULL;
	}
	e->device.ops->info(e->device.device, &info);
	strncpy(e->device_name, info.device, sizeof(e->device_name) - 1);
	e->threads = info.threads;
	e->dedicated = info.dedicated;
	return e;
}

void
engine_close(engine *e)
{
	if (e == NULL)
		return;
	/* first: no job may touch what is freed below, nor go on for long */
	for (request *r = e->first; r; r = r->next)
		r->canceled = true;
	for (loaded_model *m = e->models; m; m = m->next)
		m->progress.stop = true;
	jobs_close(e->jobs);
	while (e->first)
	{
		request    *r = e->first;

		e->first = r->next;
		request_free(r);
	}
	while (e->models)
	{
		loaded_model *m = e->models;

		e->models = m->next;
		loaded_close(m);
	}
	roles_close(e);
	vector_sets_close(e);
	device_close(&e->device, e->device_library);
	free(e->output.data);
	free(e);
}

const char *
engine_device(const engine *e)
{
	return e->device_name;
}

const char *
engine_device_note(const engine *e)
{
	return e->device_note;
}

const char *
engine_device_lost(const engine *e)
{
	return e->device_lost[0] != '\0' ? e->device_lost : NULL;
}

protocol_writer *
engine_output(engine *e)
{
	return &e->output;
}

int
engine_requests(const engine *e)
{
	return e->request_count;
}

int
engine_wake_fd(const engine *e)
{
	return jobs_fd(e->jobs);
}

/* ---------------------------------------------------------------------------
 * The end of a request
 * ------------------------------------------------------------------------- */

void
engine_answer_error(engine *e, uint64_t id, const engine_error *error)
{
	protocol_begin(&e->output, PROTOCOL_ERROR, id);
	protocol_put_u32(&e->output, (uint32_t) error->code);
	protocol_put_string(&e->output, error->message, strlen(error->message));
	protocol_end(&e->output);
}

void
engine_answer_done(engine *e, uint64_t id, const protocol_usage *usage)
{
	protocol_begin(&e->output, PROTOCOL_DONE, id);
	protocol_put_usage(&e->output, usage);
	protocol_end(&e->output);
}

/* Where a request is found by its number. */
static request **
bucket_of(engine *e, uint64_t id)
{
	return &e->by_id[(id * UINT64_C(0x9E3779B97F4A7C15)) >> (64 - ENGINE_ID_BITS)];
}

static void
forget_id(request *r)
{
	request   **link = bucket_of(r->engine, r->id);

	while (*link != r)
		link = &(*link)->next_by_id;
	*link = r->next_by_id;
}

/* Out of every queue, its blocks free, its model left. */
static void
remove_request(request *r)
{
	engine	   *e = r->engine;
	loaded_model *m = r->model;

	for (uint32_t i = 0; i < r->sequence_count; i++)
	{
		sequence   *s = &r->sequences[i];

		if (s->queue)
			queue_remove(s);
		if (s->block_count > 0)
			sequence_release(m, s);
	}
	role_leave(r);
	forget_id(r);
	if (r->previous)
		r->previous->next = r->next;
	else
		e->first = r->next;
	if (r->next)
		r->next->previous = r->previous;
	else
		e->last = r->previous;
	e->request_count--;
	request_free(r);
	if (m)
		loaded_leave(m);
}

void
request_fail(request *r, const engine_error *error)
{
	engine_answer_error(r->engine, r->id, error);
	remove_request(r);
}

void
request_finish(request *r)
{
	protocol_writer *out = &r->engine->output;

	if (r->type == PROTOCOL_LOAD)
	{
		protocol_begin(out, PROTOCOL_LOADED, r->id);
		protocol_put_info(out, &r->model->info);
	}
	else if (r->type == PROTOCOL_COUNT)
	{
		protocol_begin(out, PROTOCOL_COUNTED, r->id);
		protocol_put_u64(out, r->tokens);
	}
	else
	{
		r->usage.compute_us = engine_now() - r->started_us;
		protocol_begin(out, PROTOCOL_DONE, r->id);
		protocol_put_usage(out, &r->usage);
	}
	protocol_end(out);
	if (r->type != PROTOCOL_LOAD)
	{
		r->model->statistics.requests++;
		role_count(r);
	}
	remove_request(r);
}

/* ---------------------------------------------------------------------------
 * The way of a request: wait for the model, prepare, run
 * ------------------------------------------------------------------------- */

static void
run_request(request *r)
{
	r->state = REQUEST_RUNS;
	if (r->sequence_count == 0)
	{
		request_finish(r);
		return;
	}
	queue_insert_request(&r->model->waiting, r);
}

static void
run_prepare(job *j)
{
	request    *r = (request *) j;

	if (!r->canceled)
		r->failed = !request_prepare(r, &r->error);
}

static void
prepare_done(job *j)
{
	request    *r = (request *) j;

	r->state = REQUEST_WAITS;
	if (r->canceled)
		remove_request(r);
	else if (r->failed)
		request_fail(r, &r->error);
	else
		run_request(r);
}

/* The model is there. */
static void
start_request(request *r)
{
	if (request_needs_job(r))
	{
		r->state = REQUEST_PREPARES;
		r->job.run = run_prepare;
		r->job.done = prepare_done;
		jobs_start(r->engine->jobs, &r->job);
	}
	else if (request_prepare(r, &r->error))
		run_request(r);
	else
		request_fail(r, &r->error);
}

void
engine_model_ready(loaded_model *m)
{
	engine	   *e = m->engine;
	bool		failed = m->failed;
	request    *next;

	m->state = LOADED_READY;
	for (request *r = e->first; r; r = next)
	{
		next = r->next;
		if (r->model != m || r->state != REQUEST_WAITS)
			continue;
		if (failed)
			request_fail(r, &m->error);
	}
	e->unprepared = true;
	loaded_leave(m);
}

/*
 * Requests whose model is there are prepared in the order of their arrival, as many as fit
 * between two steps. True if there are more.
 */
static bool
prepare_waiting(engine *e)
{
	size_t		bytes = 0;
	request    *next;

	if (!e->unprepared)
		return false;
	for (request *r = e->first; r; r = next)
	{
		next = r->next;
		if (r->state != REQUEST_WAITS || r->model->state != LOADED_READY)
			continue;
		if (bytes >= ENGINE_INLINE_BYTES)
			return true;
		if (!request_needs_job(r))
			bytes += r->length;
		start_request(r);
	}
	e->unprepared = false;
	return false;
}

/* ---------------------------------------------------------------------------
 * Arrival
 * ------------------------------------------------------------------------- */

static void
cancel(engine *e, uint64_t id)
{
	engine_error error;

	engine_fail(&error, ENGINE_CANCELED, "the request was canceled");
	for (request *r = *bucket_of(e, id); r; r = r->next_by_id)
	{
		if (r->id != id || r->canceled)
			continue;
		if (r->state == REQUEST_PREPARES)
		{
			/* its job still reads the payload */
			r->canceled = true;
			engine_answer_error(e, id, &error);
		}
		else
			request_fail(r, &error);
		return;
	}
	(void) vector_set_cancel(e, id, &error);
}

static bool
unload(engine *e, uint64_t id, const char *payload, size_t length, engine_error *error)
{
	protocol_reader in = {.data = payload,.length = length};
	protocol_model name;
	loaded_model *m;

	protocol_get_model(&in, &name);
	if (!protocol_finish_read(&in))
		return engine_fail(error, ENGINE_PROTOCOL, "the request does not have the form of its type");
	m = loaded_find(e, &name);
	if (m == NULL)
		return engine_fail(error, ENGINE_NOT_FOUND, "the model is not loaded");
	m->unloading = true;
	m->unload = id;
	/* now, or when the last of its users leaves */
	m->users++;
	loaded_leave(m);
	return true;
}

static void
link_request(engine *e, request *r)
{
	r->previous = e->last;
	if (e->last)
		e->last->next = r;
	else
		e->first = r;
	e->last = r;
	r->next_by_id = *bucket_of(e, r->id);
	*bucket_of(e, r->id) = r;
	e->request_count++;
	e->queued++;
}

/* The parts of a request that are the same for all types, out of its payload. */
static bool
read_request(request *r, protocol_model *name, engine_error *error)
{
	protocol_reader in = {.data = r->payload,.length = r->length};

	protocol_get_model(&in, name);
	if (r->type != PROTOCOL_LOAD)
		protocol_get_caller(&in, &r->caller);
	if (in.failed || memchr(name->uri, '\0', name->uri_length) ||
		memchr(name->options, '\0', name->options_length))
		return engine_fail(error, ENGINE_PROTOCOL, "the request does not have the form of its type");
	if (r->caller.priority < -PROTOCOL_MAX_PRIORITY || r->caller.priority > PROTOCOL_MAX_PRIORITY)
		return engine_fail(error, ENGINE_INVALID, "priority %d is not between %d and %d",
						   (int) r->caller.priority, -PROTOCOL_MAX_PRIORITY, PROTOCOL_MAX_PRIORITY);
	return true;
}

/* Its account and its model, which is loaded if need be. */
static bool
join(request *r, engine_error *error)
{
	protocol_model name;

	if (!read_request(r, &name, error))
		return false;
	r->role = role_hold(r->engine, r->caller.role);
	if (r->role == NULL)
		return engine_fail_memory(error, "a request");
	if (!role_may_wait(r->engine, r->role))
	{
		r->role->users--;
		return engine_fail(error, ENGINE_FULL, "%u requests of the role wait for the model engine already",
						   r->role->users - r->role->requests);
	}
	r->model = loaded_hold(r->engine, &name);
	if (r->model == NULL)
	{
		r->role->users--;
		return engine_fail_memory(error, "a model");
	}
	return true;
}

static bool
accept_request(engine *e, protocol_type type, uint64_t id, const char *payload, size_t length,
			   engine_error *error)
{
	request    *r;

	if (e->queued >= e->config.max_queue)
		return engine_fail(error, ENGINE_FULL, "%d requests wait for the model engine already",
						   e->queued);
	r = calloc(1, sizeof(*r));
	if (r == NULL || (r->payload = malloc(length ? length : 1)) == NULL)
	{
		free(r);
		return engine_fail_memory(error, "a request");
	}
	memcpy(r->payload, payload, length);
	r->engine = e;
	r->id = id;
	r->type = type;
	r->length = length;
	r->serial = e->next_serial++;
	r->arrived_us = engine_now();
	if (!join(r, error))
	{
		request_free(r);
		return false;
	}
	r->arrived_step = r->model->clock;
	link_request(e, r);
	e->unprepared |= r->model->state == LOADED_READY;
	return true;
}

bool
engine_accepts(const engine *e)
{
	return e->taken < ENGINE_INLINE_BYTES;
}

void
engine_submit(engine *e, uint32_t type, uint64_t id, const char *payload, size_t length)
{
	engine_error error;
	bool		good = true;

	e->taken += length + sizeof(protocol_header);
	switch (type)
	{
		case PROTOCOL_LOAD:
		case PROTOCOL_EMBED:
		case PROTOCOL_RERANK:
		case PROTOCOL_COUNT:
		case PROTOCOL_GENERATE:
			good = accept_request(e, (protocol_type) type, id, payload, length, &error);
			break;
		case PROTOCOL_CANCEL:
			cancel(e, id);
			break;
		case PROTOCOL_UNLOAD:
			good = unload(e, id, payload, length, &error);
			break;
		case PROTOCOL_VECTORS:
			good = vector_set_open(e, id, payload, length, &error);
			break;
		case PROTOCOL_NEAREST:
			good = vector_set_add(e, id, payload, length, &error);
			break;
		case PROTOCOL_STATS:
			statistics_write(e, id);
			break;
		case PROTOCOL_RESET:
			statistics_reset(e);
			engine_answer_done(e, id, &(protocol_usage) {0});
			break;
		case PROTOCOL_PING:
			engine_answer_done(e, id, &(protocol_usage) {0});
			break;
		default:
			good = engine_fail(&error, ENGINE_PROTOCOL, "unrecognized request type %u", type);
	}
	if (!good)
		engine_answer_error(e, id, &error);
}

int
engine_encoder_rows(const loaded_model *m)
{
	float		room = -1;

	for (const loaded_model *other = m->engine->models; other; other = other->next)
	{
		float		its = other->state == LOADED_READY && other->running.count > 0 ?
			pace_room(&other->pace, other->decode_sequences, other->decode_rows) : -1;

		if (its >= 0 && (room < 0 || its < room))
			room = its;
	}
	if (room < 0 || m->pace.bulk_us <= 0 || room / m->pace.bulk_us > (float) m->max_rows)
		return INT_MAX;
	return (int) (room / m->pace.bulk_us);
}

bool
engine_step(engine *e)
{
	bool		computed;
	loaded_model *next;
	job		   *done;

	while ((done = jobs_done(e->jobs)) != NULL)
		done->done(done);
	e->taken = 0;
	computed = prepare_waiting(e);
	for (loaded_model *m = e->models; m; m = next)
	{
		next = m->next;
		/* the step may free m, if it finishes the last request of a model that is to go */
		computed |= compute_step(m);
	}
	computed |= vector_sets_step(e);
	statistics_progress(e);
	return computed;
}
