/*
 * nearest.c: numbered vectors, and the nearest of them to some queries.
 *
 * Every distance is computed, a query after the other by each thread; the best are in a heap whose root is the
 * farthest of them.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "engine/cpu/device.h"

#define TILE_VECTORS 4096

struct backend_vectors
{
	backend_distance distance;
	int			dimensions;
	size_t		count;
	float	  **tiles;			/* of TILE_VECTORS */
	size_t		tiles_count;
	size_t		tiles_capacity;
};

backend_vectors *
vectors_alloc(backend_device *d, backend_distance distance, int dimensions, engine_error *error)
{
	backend_vectors *v;

	(void) d;
	if (dimensions < 1 || dimensions > COLUMNS_MAX)
	{
		engine_fail(error, ENGINE_INVALID, "vectors of %d dimensions", dimensions);
		return NULL;
	}
	v = calloc(1, sizeof(*v));
	if (v == NULL)
	{
		engine_fail_memory(error, "vectors");
		return NULL;
	}
	v->distance = distance;
	v->dimensions = dimensions;
	return v;
}

void
vectors_free(backend_device *d, backend_vectors *v)
{
	(void) d;
	if (v == NULL)
		return;
	for (size_t i = 0; i < v->tiles_count; i++)
		memory_free(v->tiles[i]);
	free(v->tiles);
	free(v);
}

static bool
add_tile(backend_vectors *v)
{
	if (v->tiles_count == v->tiles_capacity)
	{
		size_t		capacity = v->tiles_capacity * 2 + 16;
		float	  **tiles = realloc(v->tiles, capacity * sizeof(*tiles));

		if (tiles == NULL)
			return false;
		v->tiles = tiles;
		v->tiles_capacity = capacity;
	}
	v->tiles[v->tiles_count] = memory_alloc((size_t) TILE_VECTORS * (size_t) v->dimensions, sizeof(float));
	if (v->tiles[v->tiles_count] == NULL)
		return false;
	v->tiles_count++;
	return true;
}

static float *
vector_at(const backend_vectors *v, size_t number)
{
	return v->tiles[number / TILE_VECTORS] + number % TILE_VECTORS * (size_t) v->dimensions;
}

engine_code
vectors_add(backend_device *d, backend_vectors *v, const float *rows, int count)
{
	if (d->in_step || count < 0 || (size_t) count > BACKEND_NO_VECTOR - v->count)
		return device_fail(d, ENGINE_INTERNAL, "%d vectors to be added to %zu", count, v->count);
	while (v->tiles_count * TILE_VECTORS < v->count + (size_t) count)
	{
		if (!add_tile(v))
			return device_fail(d, ENGINE_NO_MEMORY, "out of memory for vectors");
	}
	for (int i = 0; i < count; i++)
		memcpy(vector_at(v, v->count + (size_t) i), rows + (size_t) i * (size_t) v->dimensions,
			   (size_t) v->dimensions * sizeof(float));
	v->count += (size_t) count;
	return ENGINE_OK;
}

typedef struct neighbour
{
	float		distance;
	uint32_t	number;
} neighbour;

static bool
is_nearer(neighbour a, neighbour b)
{
	return a.distance < b.distance || (a.distance == b.distance && a.number < b.number);
}

static int
compare_neighbours(const void *a, const void *b)
{
	const neighbour *x = a;
	const neighbour *y = b;

	return is_nearer(*x, *y) ? -1 : is_nearer(*y, *x) ? 1 : 0;
}

/* Puts x in the place of the root, the farthest. */
static void
replace_farthest(neighbour *heap, int k, neighbour x)
{
	int			at = 0;

	for (;;)
	{
		int			child = 2 * at + 1;

		if (child >= k)
			break;
		if (child + 1 < k && is_nearer(heap[child], heap[child + 1]))
			child++;
		if (!is_nearer(x, heap[child]))
			break;
		heap[at] = heap[child];
		at = child;
	}
	heap[at] = x;
}

static float
distance_between(const backend_vectors *v, const float *a, const float *b)
{
	const simd_kernels *simd = simd_get();
	size_t		n = (size_t) v->dimensions;
	float		parts[3];
	float		distance;

	switch (v->distance)
	{
		case DISTANCE_L2:
			distance = simd->l2_squared_f32(a, b, n);
			break;
		case DISTANCE_COSINE:
			simd->cosine_parts_f32(a, b, n, parts);
			distance = parts[1] > 0 && parts[2] > 0 ? 1 - parts[0] / (sqrtf(parts[1]) * sqrtf(parts[2])) : 1;
			distance = distance < 0 ? 0 : distance;
			break;
		default:
			distance = -simd->dot_f32(a, b, n);
			break;
	}
	return isnan(distance) ? INFINITY : distance;
}

/* Queries [begin, end). */
static void
find_nearest(void *arg, int begin, int end, int thread)
{
	const backend_nearest *args = arg;
	const backend_vectors *v = args->vectors;
	neighbour	heap[BACKEND_NEAREST_MAX];

	(void) thread;
	for (int q = begin; q < end; q++)
	{
		const float *query = args->queries + (size_t) q * (size_t) v->dimensions;
		size_t		at = (size_t) q * (size_t) args->k;
		size_t		seen = args->seen < v->count ? args->seen + (size_t) q : v->count;

		seen = seen < v->count ? seen : v->count;
		for (int i = 0; i < args->k; i++)
			heap[i] = (neighbour) {INFINITY, BACKEND_NO_VECTOR};
		for (size_t i = 0; i < seen; i++)
		{
			neighbour	x = {distance_between(v, query, vector_at(v, i)), (uint32_t) i};

			if (is_nearer(x, heap[0]))
				replace_farthest(heap, args->k, x);
		}
		qsort(heap, (size_t) args->k, sizeof(*heap), compare_neighbours);
		for (int i = 0; i < args->k; i++)
		{
			args->numbers[at + (size_t) i] = heap[i].number;
			args->distances[at + (size_t) i] = heap[i].distance;
		}
	}
}

engine_code
vectors_nearest(backend_device *d, const backend_nearest *args)
{
	backend_nearest job = *args;

	if (d->in_step || args->count < 0 || args->k < 1 || args->k > BACKEND_NEAREST_MAX)
		return device_fail(d, ENGINE_INTERNAL, "the nearest %d of %d queries", args->k, args->count);
	threads_run(d->pool, find_nearest, &job, args->count, 1);
	return ENGINE_OK;
}
