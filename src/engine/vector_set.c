/*
 * vector_set.c: sets of vectors that grow, and the nearest of them to each new one.
 *
 * A set is a request that stays open: it is there until it is canceled, as all requests of a caller are who
 * goes away. What is added to it is computed in slices between the steps of models, in the order of
 * arrival.
 */
#include "engine/engine_private.h"

#include <stdlib.h>
#include <string.h>

#define SETS_MAX 64				/* of all callers */
#define WAITING_MAX 4			/* additions to one set that wait */

/* Products of a slice: some milliseconds on a GPU, some tens of them on a CPU. */
#define SLICE_DEDICATED (INT64_C(1) << 40)
#define SLICE (INT64_C(1) << 29)
#define SLICE_ROWS 4096			/* and no more */

/* Vectors to be added, of which each is a query first. */
typedef struct vector_addition
{
	struct vector_addition *next;
	uint64_t	id;
	bool		added;
	int			count;
	int			answered;
	uint64_t	arrived_us;
	uint64_t	started_us;
	float	   *rows;
} vector_addition;

struct vector_set
{
	vector_set *next;
	uint64_t	id;				/* the request that it is */
	uint64_t	name;
	int			dimensions;
	int			k;
	size_t		count;
	backend_vectors *vectors;
	int			waiting;
	vector_addition *first;
	vector_addition **last;
};

static void
free_addition(vector_addition *a)
{
	free(a->rows);
	free(a);
}

static void
drop_first(vector_set *set)
{
	vector_addition *a = set->first;

	set->first = a->next;
	if (set->first == NULL)
		set->last = &set->first;
	set->waiting--;
	free_addition(a);
}

static void
free_set(engine *e, vector_set *set)
{
	vector_set **link = &e->sets;

	while (*link != set)
		link = &(*link)->next;
	*link = set->next;
	e->set_count--;
	while (set->first != NULL)
		drop_first(set);
	e->device.ops->free_vectors(e->device.device, set->vectors);
	free(set);
}

void
vector_sets_close(engine *e)
{
	while (e->sets != NULL)
		free_set(e, e->sets);
}

static vector_set *
find_set(const engine *e, uint64_t name)
{
	vector_set *set = e->sets;

	while (set != NULL && set->name != name)
		set = set->next;
	return set;
}

/* The set, its waiting additions and itself, answered with the error. */
static void
fail_set(engine *e, vector_set *set, const engine_error *error)
{
	for (vector_addition *a = set->first; a != NULL; a = a->next)
		engine_answer_error(e, a->id, error);
	engine_answer_error(e, set->id, error);
	free_set(e, set);
}

static bool
add_set(engine *e, const vector_set *wanted, uint32_t distance, engine_error *error)
{
	vector_set *set;

	if (e->set_count >= SETS_MAX)
		return engine_fail(error, ENGINE_FULL, "%d sets of vectors are open already", e->set_count);
	set = malloc(sizeof(*set));
	if (set == NULL)
		return engine_fail_memory(error, "vectors");
	*set = *wanted;
	set->last = &set->first;
	set->vectors = e->device.ops->alloc_vectors(e->device.device, (backend_distance) distance,
												set->dimensions, error);
	if (set->vectors == NULL)
	{
		free(set);
		return false;
	}
	set->next = e->sets;
	e->sets = set;
	e->set_count++;
	return true;
}

bool
vector_set_open(engine *e, uint64_t id, const char *payload, size_t length, engine_error *error)
{
	protocol_reader in = {.data = payload,.length = length};
	vector_set	wanted = {.id = id,.name = protocol_get_u64(&in)};
	uint32_t	flags = protocol_get_u32(&in);
	uint32_t	distance = protocol_get_u32(&in);
	uint32_t	dimensions = protocol_get_u32(&in);
	uint32_t	k = protocol_get_u32(&in);

	if (!protocol_finish_read(&in))
		return engine_fail(error, ENGINE_PROTOCOL, "the request does not have the form of its type");
	if (distance > DISTANCE_COSINE || dimensions < 1 || dimensions > PROTOCOL_MAX_DIMENSIONS || k < 1 ||
		k > BACKEND_NEAREST_MAX || (flags & ~(uint32_t) PROTOCOL_VECTORS_DEDICATED) != 0)
		return engine_fail(error, ENGINE_INVALID, "the nearest %u of vectors of %u dimensions by distance %u",
						   k, dimensions, distance);
	if (find_set(e, wanted.name) != NULL)
		return engine_fail(error, ENGINE_INVALID, "a set of vectors of this name is open already");
	if (!e->dedicated && (flags & PROTOCOL_VECTORS_DEDICATED) != 0)
		return engine_fail(error, ENGINE_UNSUPPORTED, "the model engine has no GPU, but runs on %s",
						   e->device_name);
	wanted.dimensions = (int) dimensions;
	wanted.k = (int) k;
	return add_set(e, &wanted, distance, error);
}

bool
vector_set_add(engine *e, uint64_t id, const char *payload, size_t length, engine_error *error)
{
	protocol_reader in = {.data = payload,.length = length};
	vector_set *set = find_set(e, protocol_get_u64(&in));
	uint32_t	count = protocol_get_u32(&in);
	size_t		floats = set != NULL ? (size_t) count * (size_t) set->dimensions : 0;
	const char *rows = set != NULL ? protocol_get_f32s(&in, floats) : NULL;
	vector_addition *a;

	if (set == NULL)
		return engine_fail(error, ENGINE_NOT_FOUND, "no set of vectors of this name is open");
	if (!protocol_finish_read(&in) || count > PROTOCOL_MAX_PAYLOAD)
		return engine_fail(error, ENGINE_PROTOCOL, "the request does not have the form of its type");
	if (set->waiting >= WAITING_MAX)
		return engine_fail(error, ENGINE_FULL, "%d additions to a set of vectors wait already", set->waiting);
	a = calloc(1, sizeof(*a));
	if (a == NULL || (a->rows = malloc(floats * sizeof(float) + 1)) == NULL)
	{
		free(a);
		return engine_fail_memory(error, "vectors");
	}
	memcpy(a->rows, rows, floats * sizeof(float));
	a->id = id;
	a->count = (int) count;
	a->arrived_us = engine_now();
	*set->last = a;
	set->last = &a->next;
	set->waiting++;
	return true;
}

/* Of the whole set, or of an addition, with which the set goes: what follows would be numbered wrongly. */
bool
vector_set_cancel(engine *e, uint64_t id, const engine_error *error)
{
	for (vector_set *set = e->sets; set != NULL; set = set->next)
	{
		bool		found = set->id == id;

		for (vector_addition *a = set->first; a != NULL && !found; a = a->next)
			found = a->id == id;
		if (found)
		{
			fail_set(e, set, error);
			return true;
		}
	}
	return false;
}

/* Queries of a slice: of the whole addition, if that is not too many. */
static int
slice_rows(const engine *e, const vector_set *set, const vector_addition *a)
{
	int64_t		work = (int64_t) (set->count + 1) * set->dimensions;
	int64_t		rows = (e->dedicated ? SLICE_DEDICATED : SLICE) / work + 1;
	int			left = a->count - a->answered;

	return rows < left ? (int) rows : left;
}

static engine_code
compute_slice(engine *e, vector_set *set, vector_addition *a, int rows, uint32_t *numbers, float *distances)
{
	const backend_ops *ops = e->device.ops;
	backend_nearest args = {
		.vectors = set->vectors,
		.queries = a->rows + (size_t) a->answered * (size_t) set->dimensions,
		.count = rows,
		.k = set->k,
		.numbers = numbers,
		.distances = distances,
	};
	engine_code code = ENGINE_OK;

	if (!a->added)
	{
		a->started_us = engine_now();
		code = ops->add_vectors(e->device.device, set->vectors, a->rows, a->count);
		if (code == ENGINE_OK)
			set->count += (size_t) a->count;
		a->added = true;
	}
	args.seen = set->count - (size_t) (a->count - a->answered);
	return code == ENGINE_OK ? ops->nearest(e->device.device, &args) : code;
}

static void
answer_slice(engine *e, const vector_set *set, vector_addition *a, int rows, const uint32_t *numbers)
{
	protocol_begin(&e->output, PROTOCOL_NEIGHBOURS, a->id);
	protocol_put_u32(&e->output, (uint32_t) a->answered);
	protocol_put_u32(&e->output, (uint32_t) (rows * set->k));
	for (int i = 0; i < rows * set->k; i++)
		protocol_put_u32(&e->output, numbers[i]);
	protocol_end(&e->output);
	a->answered += rows;
}

/* A slice of the set's first addition. */
static void
step_set(engine *e, vector_set *set)
{
	vector_addition *a = set->first;
	int			rows = slice_rows(e, set, a);
	size_t		found;
	uint32_t   *numbers;
	float	   *distances;
	engine_code code = ENGINE_NO_MEMORY;
	engine_error error;

	rows = rows < SLICE_ROWS ? rows : SLICE_ROWS;
	found = (size_t) rows * (size_t) set->k;
	numbers = malloc(found * sizeof(*numbers) + 1);
	distances = malloc(found * sizeof(*distances) + 1);
	if (numbers == NULL || distances == NULL)
		engine_fail_memory(&error, "vectors");
	else
	{
		code = compute_slice(e, set, a, rows, numbers, distances);
		if (code != ENGINE_OK)
			engine_fail(&error, code, "%s", e->device.ops->message(e->device.device));
	}
	if (code == ENGINE_OK)
	{
		answer_slice(e, set, a, rows, numbers);
		if (a->answered == a->count)
		{
			engine_answer_done(e, a->id, &(protocol_usage) {
				.queue_us = a->started_us - a->arrived_us,.compute_us = engine_now() - a->started_us});
			drop_first(set);
		}
	}
	else
	{
		if (code == ENGINE_DIED)
			strcpy(e->device_lost, error.message);
		fail_set(e, set, &error);
	}
	free(numbers);
	free(distances);
}

bool
vector_sets_step(engine *e)
{
	bool		computed = false;
	vector_set *next;

	for (vector_set *set = e->sets; set != NULL; set = next)
	{
		next = set->next;
		if (set->first == NULL)
			continue;
		step_set(e, set);
		computed = true;
	}
	return computed;
}
