/*
 * vectors.c: numbered vectors on the device, and the nearest of them to some queries.
 *
 * Vectors lie in tiles of NEAREST_TILE, allocated as they come. Queries are compared tile by tile: one product
 * of cuBLAS, then the kernel that keeps the best k of each query. Rows pass through pieces of PIECE_ROWS, fewer
 * where they are long.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "cuda/device.h"

#define PIECE_ROWS 1024
#define PIECE_BYTES ((size_t) 64 << 20)

struct backend_vectors
{
	backend_distance distance;
	int			dimensions;
	int			columns;		/* of a row: dimensions rounded up to 16 bytes */
	size_t		count;
	packed_vectors *tiles;
	size_t		tiles_capacity;

	/* what a piece of rows passes through */
	int			piece;			/* rows */
	float	   *in;				/* [piece, dimensions] */
	packed_vectors queries;
	float	   *products;		/* [piece, NEAREST_TILE] */
	unsigned long long *best;	/* [piece, BACKEND_NEAREST_MAX] */
	unsigned long long *host_best;
};

static bool
alloc_packed(backend_device *d, packed_vectors *p, int rows, int columns)
{
	p->rows = gpu_allocate(d, (size_t) rows * (size_t) columns * sizeof(device_half));
	p->factor = p->rows != NULL ? gpu_allocate(d, (size_t) rows * sizeof(float)) : NULL;
	p->term = p->factor != NULL ? gpu_allocate(d, (size_t) rows * sizeof(float)) : NULL;
	return p->term != NULL;
}

static void
free_packed(backend_device *d, packed_vectors *p)
{
	gpu_release(d, p->rows);
	gpu_release(d, p->factor);
	gpu_release(d, p->term);
	*p = (packed_vectors) {0};
}

/* From row `first` on. */
static packed_vectors
packed_from(const packed_vectors *p, int columns, int first)
{
	return (packed_vectors) {p->rows + (size_t) first * (size_t) columns, p->factor + first,
		p->term + first};
}

void
gpu_vectors_free(backend_device *d, backend_vectors *v)
{
	if (v == NULL)
		return;
	for (size_t i = 0; i < v->tiles_capacity; i++)
		free_packed(d, &v->tiles[i]);
	free_packed(d, &v->queries);
	gpu_release(d, v->in);
	gpu_release(d, v->products);
	gpu_release(d, v->best);
	free(v->host_best);
	free(v->tiles);
	free(v);
}

backend_vectors *
gpu_vectors_alloc(backend_device *d, backend_distance distance, int dimensions, engine_error *error)
{
	backend_vectors *v;
	size_t		piece;

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
	v->columns = (dimensions + 7) / 8 * 8;
	piece = PIECE_BYTES / ((size_t) dimensions * sizeof(float));
	v->piece = piece < PIECE_ROWS ? (int) piece : PIECE_ROWS;
	piece = (size_t) v->piece;
	v->host_best = malloc(piece * BACKEND_NEAREST_MAX * sizeof(*v->host_best));
	v->in = gpu_allocate(d, piece * (size_t) dimensions * sizeof(float));
	v->products = v->in != NULL ? gpu_allocate(d, piece * NEAREST_TILE * sizeof(float)) : NULL;
	v->best = v->products != NULL ?
		gpu_allocate(d, piece * BACKEND_NEAREST_MAX * sizeof(*v->best)) : NULL;
	if (v->host_best == NULL || v->best == NULL ||
		!alloc_packed(d, &v->queries, v->piece, v->columns))
	{
		engine_fail_memory(error, "vectors on the CUDA device");
		gpu_vectors_free(d, v);
		return NULL;
	}
	return v;
}

/* Rows of the host, at most a piece, packed; done when it returns. */
static engine_code
pack(backend_device *d, const backend_vectors *v, const packed_vectors *out, const float *rows, int count)
{
	engine_code code = gpu_upload(d, v->in, rows, (size_t) count * (size_t) v->dimensions * sizeof(float));

	if (code != ENGINE_OK)
		return code;
	pack_launch(&(pack_launch_args) {*out, v->in, count, v->dimensions, v->columns, v->distance},
				d->compute);
	code = gpu_check(cudaGetLastError(), "a launch");
	return code == ENGINE_OK ? gpu_check(cudaStreamSynchronize(d->compute), "vectors") : code;
}

/* Tiles for so many vectors. */
static engine_code
reserve(backend_device *d, backend_vectors *v, size_t count)
{
	size_t		needed = (count + NEAREST_TILE - 1) / NEAREST_TILE;

	if (needed > v->tiles_capacity)
	{
		size_t		capacity = needed + needed / 2 + 16;
		packed_vectors *tiles = realloc(v->tiles, capacity * sizeof(*tiles));

		if (tiles == NULL)
			return gpu_fail(ENGINE_NO_MEMORY, "out of memory for vectors");
		memset(tiles + v->tiles_capacity, 0, (capacity - v->tiles_capacity) * sizeof(*tiles));
		v->tiles = tiles;
		v->tiles_capacity = capacity;
	}
	for (size_t i = needed; i-- > 0 && v->tiles[i].term == NULL;)
	{
		if (!alloc_packed(d, &v->tiles[i], NEAREST_TILE, v->columns))
		{
			free_packed(d, &v->tiles[i]);
			return gpu_fail(ENGINE_NO_MEMORY, "out of memory on the CUDA device for vectors");
		}
	}
	return ENGINE_OK;
}

engine_code
gpu_vectors_add(backend_device *d, backend_vectors *v, const float *rows, int count)
{
	engine_code code;

	if (d->step.open || count < 0 || (size_t) count > BACKEND_NO_VECTOR - v->count)
		return gpu_fail(ENGINE_INTERNAL, "%d vectors to be added to %zu", count, v->count);
	code = reserve(d, v, v->count + (size_t) count);
	while (count > 0 && code == ENGINE_OK)
	{
		int			at = (int) (v->count % NEAREST_TILE);
		int			n = NEAREST_TILE - at;
		packed_vectors out = packed_from(&v->tiles[v->count / NEAREST_TILE], v->columns, at);

		n = n < v->piece ? n : v->piece;
		n = n < count ? n : count;
		code = pack(d, v, &out, rows, n);
		if (code == ENGINE_OK)
			v->count += (size_t) n;
		rows += (size_t) n * (size_t) v->dimensions;
		count -= n;
	}
	return code;
}

/* The queries of a piece and one tile. seen: of all vectors, by the first query. */
static engine_code
compare_tile(backend_device *d, const backend_vectors *v, size_t tile, int count, size_t seen, int k)
{
	size_t		first = tile * NEAREST_TILE;
	size_t		left = v->count - first;
	nearest_launch_args args = {
		.best = v->best,
		.products = v->products,
		.queries = v->queries,
		.vectors = v->tiles[tile],
		.count = count,
		.size = left < NEAREST_TILE ? (int) left : NEAREST_TILE,
		.seen = seen > v->count ? NEAREST_TILE : (int64_t) seen - (int64_t) first,
		.first = (unsigned) first,
		.k = k,
		.weight = v->distance == DISTANCE_L2 ? 2 : 1,
	};
	product_end end = {.out = v->products,.out_f32 = true,.stride = NEAREST_TILE};
	engine_code code = gpu_multiply(d, args.vectors.rows, args.size, v->columns, args.queries.rows, count,
									&end);

	if (code == ENGINE_OK)
	{
		nearest_launch(&args, d->compute);
		code = gpu_check(cudaGetLastError(), "a launch");
	}
	return code;
}

/* The distance of a key, whose bits are in an order of their own. */
static float
distance_of(unsigned long long key, backend_distance distance)
{
	uint32_t	bits = (uint32_t) (key >> 32);
	float		x;

	if ((uint32_t) key == BACKEND_NO_VECTOR)
		return INFINITY;
	bits = bits >> 31 ? bits & 0x7FFFFFFF : ~bits;
	memcpy(&x, &bits, sizeof(x));
	/* what a sum lost to rounding */
	return distance != DISTANCE_INNER_PRODUCT && x < 0 ? 0 : x;
}

static engine_code
compare_piece(backend_device *d, const backend_nearest *args, int first, int count)
{
	const backend_vectors *v = args->vectors;
	size_t		found = (size_t) count * (size_t) args->k;
	size_t		at = (size_t) first * (size_t) args->k;
	size_t		seen = args->seen > SIZE_MAX - (size_t) first ? SIZE_MAX : args->seen + (size_t) first;
	size_t		last = seen > SIZE_MAX - (size_t) count ? SIZE_MAX : seen + (size_t) count - 1;
	engine_code code = pack(d, v, &v->queries, args->queries + (size_t) first * (size_t) v->dimensions, count);

	last = last < v->count ? last : v->count;
	for (size_t tile = 0; tile * NEAREST_TILE < last && code == ENGINE_OK; tile++)
		code = compare_tile(d, v, tile, count, seen, args->k);
	if (code == ENGINE_OK && last > 0)
		code = gpu_check(cudaMemcpyAsync(v->host_best, v->best, found * sizeof(*v->best),
										 cudaMemcpyDeviceToHost, d->compute), "the nearest");
	if (code == ENGINE_OK)
		code = gpu_check(cudaStreamSynchronize(d->compute), "the nearest");
	if (code != ENGINE_OK)
		return code;
	if (last == 0)
		memset(v->host_best, 0xFF, found * sizeof(*v->best));
	for (size_t i = 0; i < found; i++)
	{
		args->numbers[at + i] = (uint32_t) v->host_best[i];
		args->distances[at + i] = distance_of(v->host_best[i], v->distance);
	}
	return ENGINE_OK;
}

engine_code
gpu_nearest(backend_device *d, const backend_nearest *args)
{
	const backend_vectors *v = args->vectors;
	engine_code code = ENGINE_OK;

	if (d->step.open || args->count < 0 || args->k < 1 || args->k > BACKEND_NEAREST_MAX)
		return gpu_fail(ENGINE_INTERNAL, "the nearest %d of %d queries", args->k, args->count);
	for (int first = 0; first < args->count && code == ENGINE_OK; first += v->piece)
		code = compare_piece(d, args, first,
							 args->count - first < v->piece ? args->count - first : v->piece);
	return code;
}
