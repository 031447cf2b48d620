/*
 * code.c: the space of an index, and what is computed from sums over codes.
 *
 * With x' for R (x - centre) of a vector and [x] for what its code says of that, the
 * estimates are
 *
 *     L2:             |[a] - [b]|^2 = |[a]|^2 + |[b]|^2 - 2 [a] [b]
 *     inner product:  a b = a' b' + a centre + b centre - |centre|^2, with
 *                     a' b' = (|a'|^2 + |b'|^2 - |a' - b'|^2) / 2 and |[a] - [b]|^2 in it:
 *                     what rounding does to the difference of near vectors is less than
 *                     what it does to their product
 *
 * Both are term(a) + term(b) + a constant - a factor scale(a) scale(b) (an integer dot
 * product). All of it is in double, where neither squares nor products of floats overflow.
 */
#include "simd/code.h"

#include <float.h>
#include <math.h>
#include <string.h>

#include "simd/code_kernels.h"

/*
 * What rounding in double does to a rotated vector, relative to its length, and to a sum,
 * relative to that of the magnitudes: a rotation has at most 4 transforms of 13 levels, 4
 * factors that are rounded themselves and a subtraction, a sum has fewer steps than
 * dimensions. This is several times too large.
 */
#define ROUNDING_ERROR(dimensions) (((double) (dimensions) + 128) * 0x1p-52)
/* A float is rounded within this, relatively, or absolutely where it is denormal. */
#define FLOAT_ERROR 0x1p-24
#define FLOAT_SMALLEST 0x1p-149

/* Codes of so many dimensions are compared in two parts, the first of this share. */
#define FIRST_LEAST 512
#define FIRST_SHARE 4
#define FIRST_UNIT 64
/* What is farther off than this is one in forty. */
#define FIRST_SIGMAS 2.0
#define AT_ONCE 64

#define ROUNDS 2

struct code_space
{
	const code_kernels *kernels;
	code_metric metric;
	size_t		dimensions;
	size_t		padded;			/* a multiple of eight */
	size_t		part;			/* the largest power of two within dimensions */
	int			parts;			/* 2 overlapping ones unless that is all of it */
	double		part_factor;	/* makes the transform of a part orthonormal */
	double		constant;		/* of an estimate, beside the terms */
	double		factor;			/* of the scales and the integer product */
	float		lowest;			/* there is no lesser distance */
	double		rounding;		/* relative, of all that is computed in double */
	double		centre_squares;
	double	   *rotated_centre;
	float	   *centre;
	int8_t	   *signs;			/* for each round and part */
};

struct code_query
{
	const code_space *space;
	code_head	head;
	double		length;			/* of values */
	double		offset;			/* the head's, not rounded */
	int32_t		steps_sum;
	size_t		first;			/* dimensions of the code that are compared first; all, if it is short */
	int32_t		first_sum;		/* of their steps */
	double		first_factor;	/* makes a guess of their dot product */
	double		first_margin;	/* and it is hardly ever farther off */
	bool		coded;			/* known by its code only */
	double	   *values;			/* R (x - centre) */
	int8_t	   *steps;			/* the code for the dot product */
	uint8_t    *code;
	uint8_t    *fine;
};

static size_t
padded(size_t dimensions)
{
	return (dimensions + 7) / 8 * 8;
}

size_t
code_size(size_t dimensions)
{
	return sizeof(code_head) + dimensions;
}

/* ---- the space ---- */

size_t
code_space_size(size_t dimensions)
{
	return sizeof(code_space) + padded(dimensions) * (sizeof(double) + sizeof(float) + 2 * ROUNDS);
}

/* S. Vigna, splitmix64: the numbers of a seed are a permutation of a counter. */
static uint64_t
next_random(uint64_t *state)
{
	uint64_t	z = *state += 0x9e3779b97f4a7c15;

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
	z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
	return z ^ (z >> 31);
}

static void
draw_signs(int8_t *signs, size_t n, uint64_t seed)
{
	uint64_t	bits = 0;

	for (size_t i = 0; i < n; i++)
	{
		if (i % 64 == 0)
			bits = next_random(&seed);
		signs[i] = bits & 1 ? 1 : -1;
		bits >>= 1;
	}
}

/* In place, of an array that is padded. */
static void
rotate(const code_space *space, double *x)
{
	const int8_t *signs = space->signs;

	for (int round = 0; round < ROUNDS; round++)
	{
		for (int part = 0; part < space->parts; part++)
		{
			size_t		start = part == 0 ? 0 : space->dimensions - space->part;

			space->kernels->hadamard(x + start, signs, space->part, space->part_factor);
			signs += space->part;
		}
	}
}

static double
dot_doubles(const double *a, const double *b, size_t n)
{
	double		sum[4] = {0};

	for (size_t i = 0; i < n; i += 4)
	{
		for (size_t lane = 0; lane < 4; lane++)
		{
			double		product = a[i + lane] * b[i + lane];

			sum[lane] += product;
		}
	}
	return (sum[0] + sum[2]) + (sum[1] + sum[3]);
}

code_space *
code_space_init(void *memory, code_metric metric, size_t dimensions, const float *centre, uint64_t seed)
{
	code_space *space = memory;

	space->kernels = code_kernels_for(simd_current());
	space->metric = metric;
	space->constant = 0;
	space->factor = 2;
	space->lowest = 0;
	space->dimensions = dimensions;
	space->padded = padded(dimensions);
	space->part = 1;
	while (space->part * 2 <= dimensions)
		space->part *= 2;
	space->parts = space->part == dimensions ? 1 : 2;
	space->part_factor = 1 / sqrt((double) space->part);
	space->rotated_centre = (double *) (space + 1);
	space->centre = (float *) (space->rotated_centre + space->padded);
	space->signs = (int8_t *) (space->centre + space->padded);
	draw_signs(space->signs, ROUNDS * space->parts * space->part, seed);

	memset(space->centre, 0, space->padded * sizeof(float));
	if (centre != NULL)
		memcpy(space->centre, centre, dimensions * sizeof(float));
	for (size_t i = 0; i < space->padded; i++)
		space->rotated_centre[i] = space->centre[i];
	rotate(space, space->rotated_centre);
	space->rounding = ROUNDING_ERROR(dimensions);
	space->centre_squares = dot_doubles(space->rotated_centre, space->rotated_centre, space->padded);
	if (metric == CODE_INNER_PRODUCT)
	{
		space->constant = space->centre_squares;
		space->factor = 1;
		space->lowest = -FLT_MAX;
	}
	return space;
}

/* ---- queries and codes ---- */

size_t
code_query_size(size_t dimensions)
{
	return sizeof(code_query) + padded(dimensions) * (sizeof(double) + 3);
}

/* The nearest float, or the largest one. Not a number, which only damage makes, is that too. */
static float
float_of(double x)
{
	if (x < FLT_MAX)
		return x > -FLT_MAX ? (float) x : -FLT_MAX;
	return FLT_MAX;
}

static code_query *
place_query(void *memory, const code_space *space)
{
	code_query *query = memory;

	query->space = space;
	query->values = (double *) (query + 1);
	query->steps = (int8_t *) (query->values + space->padded);
	query->code = (uint8_t *) (query->steps + space->padded);
	query->fine = query->code + space->padded;
	return query;
}

static double
fine_unit(const code_head *head)
{
	return (double) head->scale / 256;
}

/* A part of a code as the dot product wants it on one side; the sum of its steps, and of
 * their squares. */
static int32_t
make_steps(int8_t *steps, const uint8_t *code, size_t n, int32_t *squares)
{
	int32_t		sum = 0;
	int32_t		square_sum = 0;

	for (size_t i = 0; i < n; i++)
	{
		int			step = code_step(code[i]);

		steps[i] = (int8_t) step;
		sum += step;
		square_sum += step * step;
	}
	*squares = square_sum;
	return sum;
}

/*
 * What an estimate takes from the query's side is what it takes from its code.
 *
 * After the rotation the first coordinates are a sample of all. Of vectors like the query
 * they have the same share of the dot product as of the query's square; and a sample of n
 * of N products of coordinates that are else independent is off by the lengths of the two
 * times sqrt(1/n - 1/N). All codes are scaled to the same largest step and so about equally long.
 */
static void
set_estimate(code_query *query)
{
	size_t		dimensions = query->space->dimensions;
	size_t		first = dimensions;
	int32_t		squares;
	int32_t		rest_squares;
	double		all_squares;

	if (dimensions >= FIRST_LEAST)
		first = (dimensions / FIRST_SHARE + FIRST_UNIT - 1) / FIRST_UNIT * FIRST_UNIT;
	query->first_sum = make_steps(query->steps, query->code, first, &squares);
	query->steps_sum = query->first_sum +
		make_steps(query->steps + first, query->code + first, dimensions - first, &rest_squares);
	all_squares = (double) squares + rest_squares;
	query->first = squares > 0 ? first : dimensions;
	query->first_factor = squares > 0 ? all_squares / squares : 0;
	query->first_margin = FIRST_SIGMAS * all_squares * sqrt(1.0 / first - 1.0 / dimensions);
}

/* The code of the values and its head. */
static void
round_values(code_query *query)
{
	const code_space *space = query->space;
	code_head  *head = &query->head;
	code_extent extent;
	code_rounding rounding = {0};
	double		term;
	double		error;

	space->kernels->measure(query->values, space->padded, &extent);
	query->length = sqrt(extent.squares);
	head->scale = float_of(extent.largest / 127);
	if (head->scale > 0)
		space->kernels->round(query->values, space->padded, fine_unit(head), query->code, query->fine,
					   &rounding);
	else
	{
		memset(query->code, CODE_MIDDLE, space->padded);
		memset(query->fine, CODE_MIDDLE, space->padded);
		rounding.residue_squares = extent.squares;
	}
	term = (double) head->scale * head->scale * rounding.code_squares;
	query->offset = 0;
	if (space->metric == CODE_INNER_PRODUCT)
	{
		query->offset = dot_doubles(query->values, space->rotated_centre, space->padded) +
			space->centre_squares;
		term = (term - extent.squares) / 2 - query->offset;
	}
	head->term = float_of(term);
	head->offset = float_of(query->offset);

	error = sqrt(rounding.residue_squares) + (query->length + sqrt(rounding.residue_squares)) * space->rounding;
	if (error > 0)
		error = error * (1 + 4 * FLOAT_ERROR) + FLOAT_SMALLEST;
	/* an offset that has no float leaves nothing to refine */
	head->error = error < FLT_MAX && fabs(query->offset) < FLT_MAX ? (float) error : INFINITY;
}

code_query *
code_query_init(void *memory, const code_space *space, const float *x)
{
	code_query *query = place_query(memory, space);

	query->coded = false;
	for (size_t i = 0; i < space->dimensions; i++)
		query->values[i] = (double) x[i] - space->centre[i];
	for (size_t i = space->dimensions; i < space->padded; i++)
		query->values[i] = 0;
	rotate(space, query->values);
	round_values(query);
	set_estimate(query);
	return query;
}

code_query *
code_query_init_coded(void *memory, const code_space *space, const code_head *head, const uint8_t *code)
{
	code_query *query = place_query(memory, space);

	query->coded = true;
	query->head = *head;
	query->length = 0;
	memcpy(query->code, code, space->dimensions);
	set_estimate(query);
	return query;
}

void
code_encode(const code_query *query, code_head *head, uint8_t *code, uint8_t *fine)
{
	*head = query->head;
	memcpy(code, query->code, query->space->dimensions);
	if (fine != NULL)
		memcpy(fine, query->fine, query->space->dimensions);
}

/* ---- distances ---- */

/* By the order of the two vectors nothing changes, not even the rounding. */
static inline float
estimate(const code_space *space, const code_head *a, const code_head *b, double dot)
{
	double		product = space->factor * a->scale * b->scale;
	double		terms = (double) a->term + b->term;
	float		distance;

	product *= dot;
	distance = float_of(terms + space->constant - product);
	return distance > space->lowest ? distance : space->lowest;
}

float
code_estimate(const code_query *query, const code_head *head, const uint8_t *code)
{
	const code_space *space = query->space;
	int32_t		dot = space->kernels->dot(code, query->steps, space->dimensions, query->steps_sum);

	return estimate(space, &query->head, head, dot);
}

static inline size_t
first_part(const code_query *query, float limit)
{
	return limit < INFINITY ? query->first : query->space->dimensions;
}

size_t
code_estimate_bytes(const code_query *query, float limit)
{
	return sizeof(code_head) + first_part(query, limit);
}

/*
 * In two rounds: what the first part of the codes leaves open is then asked for. Where that is
 * certain to be all, it is asked for at once.
 */
static void
estimate_some(const code_query *query, size_t n, const code_head *const *heads, float limit,
			  float *distances, bool *rough)
{
	const code_space *space = query->space;
	size_t		dimensions = space->dimensions;
	size_t		first = first_part(query, limit);
	int32_t		first_sum = first < dimensions ? query->first_sum : query->steps_sum;
	const uint8_t *codes[AT_ONCE];
	size_t		open[AT_ONCE];
	int32_t		dots[AT_ONCE];
	int32_t		rest[AT_ONCE];
	size_t		count = 0;

	if (n == 0)
		return;
	for (size_t i = 0; i < n; i++)
		codes[i] = (const uint8_t *) (heads[i] + 1);
	space->kernels->dot_many(codes, n, query->steps, first, first_sum, dots);
	for (size_t i = 0; i < n; i++)
	{
		double		guess = dots[i] * query->first_factor;

		rough[i] = first < dimensions &&
			estimate(space, &query->head, heads[i], guess + query->first_margin) > limit;
		distances[i] = estimate(space, &query->head, heads[i], rough[i] ? guess : dots[i]);
		if (rough[i] || first == dimensions)
			continue;
		codes[count] = codes[i] + first;
		open[count++] = i;
	}
	if (count == 0)
		return;
	space->kernels->dot_many(codes, count, query->steps + first, dimensions - first,
							 query->steps_sum - first_sum, rest);
	for (size_t i = 0; i < count; i++)
		distances[open[i]] = estimate(space, &query->head, heads[open[i]],
									  (double) dots[open[i]] + rest[i]);
}

void
code_estimate_many(const code_query *query, size_t n, const code_head *const *heads, float limit,
				   float *distances, bool *rough)
{
	for (size_t i = 0; i < n; i += AT_ONCE)
		estimate_some(query, n - i < AT_ONCE ? n - i : AT_ONCE, heads + i, limit, distances + i,
					  rough + i);
}

float
code_between(const code_space *space, const code_head *a_head, const uint8_t *a_code,
			 const code_head *b_head, const uint8_t *b_code)
{
	return estimate(space, a_head, b_head, space->kernels->between(a_code, b_code, space->dimensions));
}

/*
 * The vectors of the distance and those of the exact one lie at most error apart, and so do
 * their distances, before they are squared.
 */
static code_distance
refine_l2(const code_query *query, const code_head *head, const uint8_t *code, const uint8_t *fine)
{
	const code_space *space = query->space;
	double		squares = space->kernels->fine_l2(query->values, code, fine, space->dimensions,
													fine_unit(head));
	double		error = head->error + query->length * space->rounding;

	return (code_distance) {
		.distance = squares,
		.bound = error * (2 * sqrt(squares) + error) * (1 + space->rounding) +
			2 * squares * space->rounding
	};
}

/*
 * (a' + da)(b' + db) is off by |a'| |db| + |da| |b'| + |da| |db|. The offset of the other
 * vector was rounded to a float, all else to doubles.
 */
static code_distance
refine_inner_product(const code_query *query, const code_head *head, const uint8_t *code,
					 const uint8_t *fine)
{
	const code_space *space = query->space;
	double		product = space->kernels->fine_dot(query->values, code, fine, space->dimensions,
													 fine_unit(head));
	double		centre = sqrt(space->centre_squares);
	/* no less than |b'| */
	double		length = fine_unit(head) * CODE_FINE_LIMIT * sqrt((double) space->dimensions) +
		head->error;
	double		rounding = query->length * length + (query->length + length) * centre +
		space->centre_squares;

	return (code_distance) {
		.distance = -(product + query->offset + head->offset - space->centre_squares),
		.bound = query->length * head->error * (1 + space->rounding) + 4 * rounding * space->rounding +
			fabs((double) head->offset) * FLOAT_ERROR + FLOAT_SMALLEST
	};
}

code_distance
code_refine(const code_query *query, const code_head *head, const uint8_t *code, const uint8_t *fine)
{
	code_distance result;

	if (query->coded)
		return (code_distance) {code_estimate(query, head, code), INFINITY};
	result = query->space->metric == CODE_L2 ? refine_l2(query, head, code, fine)
		: refine_inner_product(query, head, code, fine);
	/* only a damaged head brings what is not finite */
	if (!(fabs(result.distance) <= DBL_MAX))
		return (code_distance) {FLT_MAX, INFINITY};
	if (!(result.bound >= 0))
		result.bound = INFINITY;
	return result;
}
