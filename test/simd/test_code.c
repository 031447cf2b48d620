/*
 * test_code.c: the codes of vectors against double and long double precision.
 *
 * The bound of a refined distance is to hold for every case; estimates are to be the same
 * bits on every instruction set of the machine, and no farther off than their rounding
 * explains.
 */
#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "simd/code.h"
#include "simd/code_kernels.h"
#include "simd/simd.h"
#include "tap.h"

#define LARGEST CODE_MAX_DIMENSIONS
#define SETS 5

static const simd_isa isas[SETS] = {
	SIMD_SCALAR, SIMD_AVX2, SIMD_AVXVNNI, SIMD_AVX512, SIMD_AVX512VNNI
};

/* ---- vectors ---- */

static uint64_t random_state = 20110731;

static double
random_double(void)
{
	random_state = random_state * 6364136223846793005u + 1442695040888963407u;
	return (double) (random_state >> 11) * 0x1p-53;
}

static float
random_normal(void)
{
	return (float) (sqrt(-2 * log(1 - random_double())) * cos(6.283185307179586 * random_double()));
}

typedef enum shape
{
	NORMAL, FAR_AWAY, ONE_LARGE, ZERO, SAME, SPARSE, DENORMAL, HUGE_VALUES, MIXED, SHAPES
} shape;
static const char *const shape_names[SHAPES] = {
	"normal", "far from the origin", "one large value", "zero", "all the same", "sparse",
	"denormal", "up to FLT_MAX", "of all magnitudes"
};

static void
make_vector(shape kind, float *x, size_t n)
{
	for (size_t i = 0; i < n; i++)
	{
		float		v = random_normal();

		switch (kind)
		{
			case NORMAL:
				x[i] = v;
				break;
			case FAR_AWAY:
				x[i] = 1000 + v;
				break;
			case ONE_LARGE:
				x[i] = i == n / 2 ? 1000 : v / 1000;
				break;
			case ZERO:
				x[i] = 0;
				break;
			case SAME:
				x[i] = 0.25f;
				break;
			case SPARSE:
				x[i] = random_double() < 0.02 ? v : 0;
				break;
			case DENORMAL:
				x[i] = (float) (v * 0x1p-146);
				break;
			case HUGE_VALUES:
				x[i] = random_double() < 0.5 ? FLT_MAX : -FLT_MAX;
				break;
			default:
				x[i] = ldexpf(v, (int) (random_double() * 240) - 125);
				break;
		}
	}
}

/* The exact distance, as far as long double goes, and what summing may have cost it. */
static void
exact_distance(code_metric metric, const float *a, const float *b, size_t n, long double *distance,
			   long double *rounding)
{
	long double sum = 0;
	long double size = 0;

	for (size_t i = 0; i < n; i++)
	{
		long double d = (long double) a[i] - b[i];
		long double term = metric == CODE_L2 ? d * d : -(long double) a[i] * b[i];

		sum += term;
		size += fabsl(term);
	}
	*distance = sum;
	*rounding = size * (n + 2) * 0x1p-63L;
}

/* ---- one space, and vectors in it ---- */

typedef struct coded
{
	float		x[LARGEST];
	struct
	{
		code_head	head;
		uint8_t		code[LARGEST];
	}			body;
	uint8_t		fine[LARGEST];
} coded;

typedef struct fixture
{
	code_space *space;
	code_query *query;
	size_t		n;
	code_metric metric;
} fixture;

/* Memory of just the size asked for, so that a sanitizer sees what is beyond. */
static fixture
open_space(code_metric metric, size_t n, const float *centre)
{
	fixture		f = {.n = n, .metric = metric};

	f.space = code_space_init(malloc(code_space_size(n)), metric, n, centre, 42 + n);
	f.query = malloc(code_query_size(n));
	return f;
}

static void
close_space(fixture *f)
{
	free(f->space);
	free(f->query);
}

static void
encode(fixture *f, coded *vector)
{
	code_encode(code_query_init(f->query, f->space, vector->x), &vector->body.head, vector->body.code,
				vector->fine);
}

static coded a,
			b;
static float centre[LARGEST];

/* ---- tests ---- */

typedef struct tally
{
	long		cases;
	long		broken;			/* bounds */
	long		unsound;		/* not finite, asymmetric */
	double		worst;			/* the largest error within its bound, of 1 */
	double		bound_sum;		/* relative to the lengths, where bounded */
	double		estimate_squares;	/* relative errors */
} tally;

static double
length_of(const float *x, const float *from, size_t n)
{
	double		sum = 0;

	for (size_t i = 0; i < n; i++)
		sum += ((double) x[i] - from[i]) * ((double) x[i] - from[i]);
	return sqrt(sum);
}

/* a is the query, b the stored vector, which is encoded. */
static void
check_pair(fixture *f, tally *t)
{
	long double exact;
	long double rounding;
	double		lengths;
	double		error;
	float		estimated;
	float		between;
	code_distance refined;

	encode(f, &b);
	code_encode(code_query_init(f->query, f->space, a.x), &a.body.head, a.body.code, NULL);
	exact_distance(f->metric, a.x, b.x, f->n, &exact, &rounding);
	estimated = code_estimate(f->query, &b.body.head, b.body.code);
	between = code_between(f->space, &b.body.head, b.body.code, &a.body.head, a.body.code);
	refined = code_refine(f->query, &b.body.head, b.body.code, b.fine);
	error = (double) fabsl(refined.distance - exact);

	t->cases++;
	if (error > refined.bound + rounding)
	{
		if (t->broken++ == 0)
			tap_note("n %zu metric %d: %g is off %Lg by %g, the bound is %g", f->n, f->metric,
					 refined.distance, exact, error, refined.bound);
	}
	if (!isfinite(estimated) || !isfinite(refined.distance) || isnan(refined.bound) ||
		memcmp(&estimated, &between, sizeof(float)) != 0 || (f->metric == CODE_L2 && estimated < 0))
		t->unsound++;
	lengths = length_of(a.x, centre, f->n) * length_of(b.x, centre, f->n);
	if (lengths > 0 && isfinite(refined.bound) && refined.bound > 0)
	{
		t->worst = fmax(t->worst, error / refined.bound);
		t->bound_sum += refined.bound / lengths;
		t->estimate_squares += pow((double) (estimated - exact) / lengths, 2);
	}
}

static size_t
random_dimensions(long i)
{
	static const size_t common[] = {1, 2, 3, 7, 8, 9, 64, 100, 128, 384, 768, 1024, 1536};

	if (i % 2 == 0)
		return common[(i / 2) % (sizeof(common) / sizeof(common[0]))];
	return 1 + (size_t) (random_double() * 300);
}

static void
test_bounds(code_metric metric, shape kind, bool centred)
{
	tally		t = {0};

	memset(centre, 0, sizeof(centre));
	for (long i = 0; i < 150; i++)
	{
		size_t		n = i == 149 ? LARGEST : random_dimensions(i);
		fixture		f;

		if (centred)
			make_vector(kind, centre, n);
		f = open_space(metric, n, centred ? centre : NULL);
		for (int j = 0; j < (i == 149 ? 3 : 30); j++)
		{
			make_vector(kind, a.x, n);
			make_vector(j % 5 == 4 ? NORMAL : kind, b.x, n);
			/* one and the same, and neighbours of each other */
			if (j % 5 == 1)
				memcpy(b.x, a.x, n * sizeof(float));
			if (j % 5 == 2)
				for (size_t k = 0; k < n; k++)
					b.x[k] = a.x[k] * (k % 3 == 0 ? 0.999f : 1);
			check_pair(&f, &t);
		}
		close_space(&f);
		memset(centre, 0, sizeof(centre));
	}
	ok(t.broken == 0, "%s, %s, %s: %ld bounds hold", metric == CODE_L2 ? "L2" : "inner product",
	   shape_names[kind], centred ? "centred" : "not centred", t.cases);
	ok(t.unsound == 0, "and estimates are finite and symmetric");
	if (kind <= FAR_AWAY)
		tap_note("error/bound up to %.2f, bound %.1e and estimate %.1e of |a||b|", t.worst,
				 t.bound_sum / t.cases, sqrt(t.estimate_squares / t.cases));
}

/* Rounding to 127 steps of a normal coordinate must not cost more than this. */
static void
test_estimates(code_metric metric, size_t n)
{
	fixture		f = open_space(metric, n, NULL);
	tally		t = {0};
	double		error;

	memset(centre, 0, sizeof(centre));
	for (int i = 0; i < 2000; i++)
	{
		make_vector(NORMAL, a.x, n);
		make_vector(NORMAL, b.x, n);
		check_pair(&f, &t);
	}
	error = sqrt(t.estimate_squares / t.cases);
	ok(error < 0.06 / sqrt((double) n), "%s, %zu dimensions: estimates are off by %.5f |a| |b|",
	   metric == CODE_L2 ? "L2" : "inner product", n, error);
	close_space(&f);
}

/* All kernels of a set on one pair, as bytes to compare. */
typedef struct kernel_results
{
	int32_t		dot;
	int32_t		between;
	double		rotated[64];
	code_extent extent;
	uint8_t		code[LARGEST + 8];
	uint8_t		fine[LARGEST + 8];
	code_rounding rounding;
	double		l2;
	double		product;
} kernel_results;

static void
run_kernels(const code_kernels *k, size_t n, kernel_results *r)
{
	static double x[LARGEST + 8];
	static int8_t signs[LARGEST];
	static int8_t steps[LARGEST];
	int32_t		sum = 0;
	size_t		part = 1;

	memset(r, 0, sizeof(*r));
	memset(x, 0, sizeof(x));
	while (part * 2 <= n)
		part *= 2;
	for (size_t i = 0; i < n; i++)
	{
		x[i] = a.x[i];
		signs[i] = a.body.code[i] & 1 ? 1 : -1;
		steps[i] = (int8_t) (a.body.code[i] == 0 ? -127 : a.body.code[i] - 128);
		sum += steps[i];
	}
	r->dot = k->dot(b.body.code, steps, n, sum);
	r->between = k->between(a.body.code, b.body.code, n);
	k->hadamard(x, signs, part, 1 / sqrt((double) part));
	memcpy(r->rotated, x, sizeof(r->rotated));
	k->measure(x, n, &r->extent);
	k->round(x, n, r->extent.largest / 32000 + 1e-300, r->code, r->fine, &r->rounding);
	r->l2 = k->fine_l2(x, b.body.code, b.fine, n, 0.001);
	r->product = k->fine_dot(x, b.body.code, b.fine, n, 0.001);
}

/* Every length to 260, and bytes of all values: the largest products of either sign. */
static void
test_sets(void)
{
	static kernel_results expected;
	static kernel_results found;

	for (int set = 1; set < SETS; set++)
	{
				int			different = 0;

		if (simd_get_for(isas[set]) == NULL)
		{
			tap_skip("no %s on this machine", simd_name(isas[set]));
			continue;
		}
		for (size_t n = 1; n < 300; n++)
		{
			size_t		length = n < 290 ? n : n == 299 ? LARGEST : n * 7;

			make_vector(n % 3 == 0 ? MIXED : NORMAL, a.x, length);
			for (size_t i = 0; i < length; i++)
			{
				double		r = random_double();

				a.body.code[i] = (uint8_t) (n % 4 == 0 ? 255 : n % 4 == 1 ? 0 : r * 256);
				b.body.code[i] = (uint8_t) (n % 8 < 2 ? 255 : n % 8 < 4 ? 0 : random_double() * 256);
				b.fine[i] = (uint8_t) (r * 251);
			}
			run_kernels(&code_kernels_scalar, length, &expected);
			run_kernels(code_kernels_for(isas[set]), length, &found);
			different += memcmp(&expected, &found, sizeof(found)) != 0;
		}
		ok(different == 0, "%s gives the bits of the portable kernels", simd_name(isas[set]));
	}
}

/* The rotation keeps lengths and evens coordinates out. */
static void
test_rotation(size_t n)
{
	fixture		f = open_space(CODE_L2, n, NULL);
	int			used = 0;

	memset(a.x, 0, sizeof(a.x));
	a.x[n / 3] = 1;
	encode(&f, &a);
	for (size_t i = 0; i < n; i++)
		used += a.body.code[i] != 128;
	ok(used > (int) n * 9 / 10, "one coordinate is spread over %d of %zu", used, n);
	ok(a.body.head.error < 1e-4 && a.body.head.error > 0, "and is off by %.2g", a.body.head.error);
	close_space(&f);
}

static void
test_many(void)
{
	enum
	{
		COUNT = 37, DIMENSIONS = 101
	};
	fixture		f = open_space(CODE_INNER_PRODUCT, DIMENSIONS, NULL);
	const code_head *heads[COUNT];
	float		expected[COUNT];
	float		found[COUNT];
	bool		rough[COUNT];
	void	   *second = malloc(code_query_size(DIMENSIONS));
	code_query *coded_query;

	for (int i = 0; i < COUNT; i++)
	{
		char	   *copy = malloc(code_size(DIMENSIONS));

		make_vector(NORMAL, b.x, DIMENSIONS);
		encode(&f, &b);
		memcpy(copy, &b.body, code_size(DIMENSIONS));
		heads[i] = (const code_head *) copy;
	}
	make_vector(NORMAL, a.x, DIMENSIONS);
	encode(&f, &a);
	for (int i = 0; i < COUNT; i++)
		expected[i] = code_estimate(f.query, heads[i], (const uint8_t *) (heads[i] + 1));
	code_estimate_many(f.query, COUNT, heads, INFINITY, found, rough);
	ok(memcmp(expected, found, sizeof(found)) == 0, "many estimates are those of each");

	coded_query = code_query_init_coded(second, f.space, &a.body.head, a.body.code);
	code_estimate_many(coded_query, COUNT, heads, INFINITY, found, rough);
	ok(memcmp(expected, found, sizeof(found)) == 0, "a query known by its code has the same");
	ok(isinf(code_refine(coded_query, heads[0], (const uint8_t *) (heads[0] + 1), b.fine).bound),
	   "but no bound");
	for (int i = 0; i < COUNT; i++)
		free((void *) heads[i]);
	free(second);
	close_space(&f);
}

/* One vector, and others at all distances from none to twice its length, as one array of
 * heads that are followed by their codes. */
static char *
make_cloud(fixture *f, size_t n, int count, float *expected, const code_head **heads)
{
	char	   *codes = malloc(count * code_size(n));
	float	   *x = malloc(n * sizeof(float));
	float	   *query = malloc(n * sizeof(float));
	void	   *memory = malloc(code_query_size(n));

	make_vector(NORMAL, query, n);
	for (int i = 0; i < count; i++)
	{
		code_head  *head = (code_head *) (codes + i * code_size(n));

		make_vector(NORMAL, x, n);
		for (size_t j = 0; j < n; j++)
			x[j] = query[j] * (1 - (float) i / count) + x[j] * (float) i / count;
		code_encode(code_query_init(memory, f->space, x), head, (uint8_t *) (head + 1), NULL);
		heads[i] = head;
	}
	free(memory);
	f->query = code_query_init(f->query, f->space, query);
	for (int i = 0; i < count; i++)
		expected[i] = code_estimate(f->query, heads[i], (const uint8_t *) (heads[i] + 1));
	free(x);
	free(query);
	return codes;
}

/* With a limit in the middle of the cloud: nothing on this side of it is guessed, but for
 * as few as is promised, and of what is beyond a good part is. */
static void
test_limit(code_metric metric, size_t n)
{
	enum
	{
		COUNT = 1000
	};
	fixture		f = open_space(metric, n, NULL);
	const code_head *heads[COUNT];
	float		expected[COUNT];
	float		found[COUNT];
	bool		rough[COUNT];
	char	   *codes = make_cloud(&f, n, COUNT, expected, heads);
	float		limit = expected[COUNT / 4];
	int			guessed = 0;
	int			wrong = 0;
	int			changed = 0;

	code_estimate_many(f.query, COUNT, heads, limit, found, rough);
	for (int i = 0; i < COUNT; i++)
	{
		guessed += rough[i];
		wrong += rough[i] && expected[i] <= limit;
		changed += rough[i] ? found[i] <= limit : found[i] != expected[i];
	}
	ok(changed == 0, "%zu dimensions, metric %d: what is not guessed is estimated, what is is beyond the limit", n, metric);
	if (n >= 512)
	{
		ok(wrong <= COUNT / 100, "... %d guesses beyond it are not", wrong);
		ok(guessed > COUNT / 4, "... %d are guessed", guessed);
	}
	else
		ok(guessed == 0, "... none is guessed of short codes");
	free(codes);
	close_space(&f);
}

/* What a damaged page may hold. */
static void
test_damage(void)
{
	static const float values[] = {NAN, INFINITY, -INFINITY, FLT_MAX, -FLT_MAX, 0, -1};
	int			bad = 0;

	for (int metric = CODE_L2; metric <= CODE_INNER_PRODUCT; metric++)
	{
		fixture		f = open_space(metric, 40, NULL);
		void	   *second = malloc(code_query_size(40));

		make_vector(NORMAL, a.x, 40);
		encode(&f, &a);
		b = a;
		for (int i = 0; i < 7 * 7 * 7 * 7; i++)
		{
			code_distance refined;

			b.body.head = (code_head) {values[i % 7], values[i / 7 % 7], values[i / 49 % 7], values[i / 343]};
			memset(b.body.code, i, 40);
			refined = code_refine(f.query, &b.body.head, b.body.code, b.fine);
			bad += !isfinite(code_estimate(f.query, &b.body.head, b.body.code));
			bad += !isfinite(refined.distance) || !(refined.bound >= 0);
			code_query_init_coded(second, f.space, &b.body.head, b.body.code);
			bad += !isfinite(code_estimate((code_query *) second, &b.body.head, b.body.code));
		}
		free(second);
		close_space(&f);
	}
	ok(bad == 0, "damaged codes have finite distances");
}

int
main(void)
{
	test_sets();
	test_rotation(384);
	test_rotation(1000);
	test_many();
	for (int metric = CODE_L2; metric <= CODE_INNER_PRODUCT; metric++)
	{
		test_limit(metric, 128);
		test_limit(metric, 512);
		test_limit(metric, 1000);
		test_limit(metric, 4096);
	}
	test_damage();
	for (int metric = CODE_L2; metric <= CODE_INNER_PRODUCT; metric++)
	{
		test_estimates(metric, 64);
		test_estimates(metric, 384);
		test_estimates(metric, 1024);
		for (int kind = 0; kind < SHAPES; kind++)
		{
			test_bounds(metric, kind, false);
			test_bounds(metric, kind, true);
		}
	}
	return tap_done();
}
