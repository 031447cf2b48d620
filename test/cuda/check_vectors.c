/*
 * check_vectors.c: the nearest of many vectors, by both backends, against distances in double precision.
 */
#include "emulated.h"

#define EACH(list, i) (size_t i = 0; i < sizeof(list) / sizeof((list)[0]); i++)

typedef struct vectors_case
{
	backend_distance distance;
	int			dimensions;
	int			vectors;
	int			queries;
	size_t		seen;			/* as backend_nearest has it */
	int			k;
} vectors_case;

static double
true_distance(backend_distance kind, const float *a, const float *b, int n)
{
	double		dot = 0,
				aa = 0,
				bb = 0,
				squares = 0;

	for (int i = 0; i < n; i++)
	{
		dot += (double) a[i] * b[i];
		aa += (double) a[i] * a[i];
		bb += (double) b[i] * b[i];
		squares += ((double) a[i] - b[i]) * ((double) a[i] - b[i]);
	}
	if (kind == DISTANCE_L2)
		return squares;
	return kind == DISTANCE_COSINE ? 1 - (aa > 0 && bb > 0 ? dot / sqrt(aa * bb) : 0) : -dot;
}

static int
compare_doubles(const void *a, const void *b)
{
	double		x = *(const double *) a;
	double		y = *(const double *) b;

	return x < y ? -1 : x > y;
}

/* One query's answer: true distances, in order, of vectors that it may see, each once, and the nearest. */
static double
answer_error(const vectors_case *c, const float *rows, const float *query, int q, const uint32_t *numbers,
			 const float *distances)
{
	size_t		seen = c->seen > (size_t) c->vectors ? (size_t) c->vectors : c->seen + (size_t) q;
	size_t		n = seen < (size_t) c->vectors ? seen : (size_t) c->vectors;
	double	   *all = malloc(sizeof(double) * (n + 1));
	bool	   *taken = calloc(n + 1, sizeof(bool));
	double		worst = 0;

	for (size_t i = 0; i < n; i++)
		all[i] = true_distance(c->distance, query, rows + i * (size_t) c->dimensions, c->dimensions);
	for (int i = 0; i < c->k && worst < INFINITY; i++)
	{
		if ((size_t) i >= n)
		{
			if (numbers[i] != BACKEND_NO_VECTOR || !isinf(distances[i]))
				worst = INFINITY;
			continue;
		}
		if (numbers[i] >= n || taken[numbers[i]] || isnan(distances[i]) ||
			(i > 0 && (distances[i] < distances[i - 1] ||
					   (distances[i] == distances[i - 1] && distances[i] > 0 && numbers[i] < numbers[i - 1]))))
		{
			worst = INFINITY;
			break;
		}
		taken[numbers[i]] = true;
		worst = fmax(worst, fabs(distances[i] - all[numbers[i]]) / (1e-5 * c->dimensions));
	}
	qsort(all, n, sizeof(double), compare_doubles);
	for (int i = 0; i < c->k && (size_t) i < n && worst < INFINITY; i++)
		worst = fmax(worst, fabs(distances[i] - all[i]) / (1e-5 * c->dimensions));
	free(all);
	free(taken);
	return worst;
}

static double
vectors_error(const backend_ops *ops, backend_device *d, const vectors_case *c)
{
	size_t		n = (size_t) c->vectors * (size_t) c->dimensions;
	size_t		m = (size_t) c->queries * (size_t) c->dimensions;
	size_t		found = (size_t) c->queries * (size_t) c->k;
	float	   *rows = malloc(sizeof(float) * (n + m));
	float	   *queries = rows + n;
	uint32_t   *numbers = malloc(sizeof(uint32_t) * found);
	float	   *distances = malloc(sizeof(float) * found);
	backend_nearest args = {.queries = queries,.count = c->queries,.seen = c->seen,.k = c->k,
	.numbers = numbers,.distances = distances};
	engine_error e;
	backend_vectors *v = ops->alloc_vectors(d, c->distance, c->dimensions, &e);
	int			first = c->vectors / 3;
	double		worst = 0;

	emulated_fill(rows, n + m, 2);
	/* some that are the same, and zeros */
	for (int i = 5; i < c->vectors; i += 7)
		memcpy(rows + (size_t) i * (size_t) c->dimensions, rows, sizeof(float) * (size_t) c->dimensions);
	for (size_t i = 0; c->vectors > 12 && i < (size_t) c->dimensions; i++)
		rows[11 * (size_t) c->dimensions + i] = queries[i] = 0;
	args.vectors = v;
	if (v == NULL || ops->add_vectors(d, v, rows, first) != ENGINE_OK ||
		ops->add_vectors(d, v, rows + (size_t) first * (size_t) c->dimensions, c->vectors - first) != ENGINE_OK ||
		ops->nearest(d, &args) != ENGINE_OK)
		worst = INFINITY;
	for (int q = 0; q < c->queries && worst < INFINITY; q++)
		worst = fmax(worst, answer_error(c, rows, queries + (size_t) q * (size_t) c->dimensions, q,
										 numbers + (size_t) q * (size_t) c->k,
										 distances + (size_t) q * (size_t) c->k));
	if (worst < INFINITY)
	{
		emulated_note(numbers, sizeof(uint32_t) * found);
		emulated_note(distances, sizeof(float) * found);
	}
	ops->free_vectors(d, v);
	free(rows);
	free(numbers);
	free(distances);
	return worst;
}

static const vectors_case cases[] = {
	{DISTANCE_L2, 1, 1, 1, SIZE_MAX, 1},
	{DISTANCE_L2, 33, 15, 3, SIZE_MAX, 16},
	{DISTANCE_L2, 64, 17, 17, 0, 5},
	{DISTANCE_COSINE, 7, 300, 5, SIZE_MAX, 33},
	{DISTANCE_COSINE, 65, 1100, 2, 1098, 1024},
	{DISTANCE_INNER_PRODUCT, 16, 40, 40, 7, 64},
	{DISTANCE_INNER_PRODUCT, 3, 2500, 3, SIZE_MAX, 1000},
	/* more than a tile of vectors, the last query's sight ends in the second one */
	{DISTANCE_L2, 5, 8192 + 40, 5, 8190, 64},
};

static void
test_backends(backend_device *d, const char *order)
{
	for EACH(cases, i)
	{
		const vectors_case *c = &cases[i];
		double		error = vectors_error(rag_backend(), d, c);

		ok(error < 1, "%s: the nearest %d of %d vectors of %d dimensions (%.2f of the tolerance)", order, c->k,
		   c->vectors, c->dimensions, error);
	}
}

/* Distances fall from the first vector to the last: each is among the best when it is met. */
static void
test_descending(backend_device *d, const char *order)
{
	const backend_ops *ops = rag_backend();
	enum {VECTORS = 5000, K = 1024};
	float	   *rows = malloc(sizeof(float) * VECTORS);
	float		query = 0;
	uint32_t	numbers[K];
	float		distances[K];
	engine_error e;
	backend_vectors *v = ops->alloc_vectors(d, DISTANCE_L2, 1, &e);
	int			wrong = 0;

	for (int i = 0; i < VECTORS; i++)
		rows[i] = (float) (VECTORS - i) / 4;
	ok(ops->add_vectors(d, v, rows, VECTORS) == ENGINE_OK &&
	   ops->nearest(d, &(backend_nearest) {v, &query, 1, SIZE_MAX, K, numbers, distances}) == ENGINE_OK,
	   "%s: ever nearer vectors", order);
	/* neighbours can be the same as halves */
	for (int i = 0; i < K; i++)
		wrong += numbers[i] > VECTORS - 1 || numbers[i] < VECTORS - 1 - (uint32_t) i - 1 ||
			(i > 0 && distances[i] < distances[i - 1]);
	ok(wrong == 0 && numbers[0] == VECTORS - 1, "%s: all of the best are found (%d wrong)", order, wrong);
	emulated_note(numbers, sizeof(numbers));
	ops->free_vectors(d, v);
	free(rows);
}

/* Numbers at the ends of the range of floats, and such as no vector should have. */
static void
test_extremes(backend_device *d, const char *order)
{
	const backend_ops *ops = rag_backend();
	static const float rows[8][2] = {{1e30f, 1e30f}, {1e-30f, 1e-30f}, {0, 0}, {3e38f, -3e38f},
	{NAN, 1}, {INFINITY, 0}, {1e-40f, 0}, {-2e30f, 1e30f}};
	static const float queries[2][2] = {{1e30f, 1.001e30f}, {1e-40f, 1e-40f}};
	uint32_t	numbers[16];
	float		distances[16];
	int			wrong = 0;

	for (int kind = DISTANCE_L2; kind <= DISTANCE_COSINE; kind++)
	{
		engine_error e;
		backend_vectors *v = ops->alloc_vectors(d, (backend_distance) kind, 2, &e);
		unsigned	seen = 0;

		wrong += ops->add_vectors(d, v, rows[0], 8) != ENGINE_OK ||
			ops->nearest(d, &(backend_nearest) {v, queries[0], 2, SIZE_MAX, 8, numbers, distances}) != ENGINE_OK;
		for (int i = 0; i < 8; i++)
		{
			seen |= 1u << numbers[i];
			wrong += isnan(distances[i]);
		}
		wrong += seen != 0xFF || (kind == DISTANCE_COSINE && numbers[0] > 1);
		ops->free_vectors(d, v);
	}
	ok(wrong == 0, "%s: numbers of every size have their place, and none is lost", order);
}

static void
test_refusals(const backend_ops *ops, backend_device *d, const char *order)
{
	engine_error e;
	float		query[4] = {1, 2, 3, 4};
	uint32_t	number[2];
	float		distance[2];
	backend_vectors *v = ops->alloc_vectors(d, DISTANCE_L2, 4, &e);
	backend_nearest args = {v, query, 1, SIZE_MAX, 2, number, distance};

	ok(ops->nearest(d, &args) == ENGINE_OK && number[0] == BACKEND_NO_VECTOR && isinf(distance[1]),
	   "%s: none is near where there is none", order);
	args.k = BACKEND_NEAREST_MAX + 1;
	ok(ops->nearest(d, &args) == ENGINE_INTERNAL, "%s: too many are asked for", order);
	args.k = 1;
	ok(emulated_begin(d, 1) && ops->nearest(d, &args) == ENGINE_INTERNAL &&
	   ops->add_vectors(d, v, query, 1) == ENGINE_INTERNAL && emulated_end(d), "%s: nothing in a step", order);
	ok(ops->alloc_vectors(d, DISTANCE_L2, 0, &e) == NULL && e.code == ENGINE_INVALID,
	   "%s: vectors without dimensions", order);
	ops->free_vectors(d, v);
}

static void
test_all(backend_device *d, const char *order)
{
	test_backends(d, order);
	test_descending(d, order);
	test_extremes(d, order);
	test_refusals(rag_backend(), d, order);
}

static void
test_cpu(void)
{
	const backend_ops *ops = backend_cpu();
	engine_error e;
	backend_device *d = ops->open(&(backend_config) {.threads = 2}, &e);

	for EACH(cases, i)
		ok(vectors_error(ops, d, &cases[i]) < 1, "CPU: the nearest %d of %d vectors of %d dimensions",
		   cases[i].k, cases[i].vectors, cases[i].dimensions);
	ops->close(d);
}

int
main(void)
{
	test_cpu();
	emulated_each_order(test_all);
	return tap_done();
}
