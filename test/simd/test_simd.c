/*
 * test_simd.c: every instruction set of this machine against the scalar kernels.
 *
 * Small integers make every partial sum exact, so there the results must be equal
 * bit by bit whatever the order of summation; random reals are held against sums in
 * double within the rounding that n additions can cost.
 */
#include <float.h>
#include <math.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "simd/simd.h"
#include "tap.h"

#define LARGEST 16000
#define SLACK 8					/* room for unaligned starts and for poison */

static const simd_isa isas[] = {
	SIMD_SCALAR, SIMD_AVX2, SIMD_AVXVNNI, SIMD_AVX512, SIMD_AVX512VNNI
};
#define ISA_COUNT (sizeof(isas) / sizeof(isas[0]))

static const size_t large_lengths[] = {
	191, 255, 256, 257, 383, 384, 511, 768, 1000, 1023, 1024, 1025, 1536, 2047, 4097,
	15999, LARGEST
};
#define LARGE_COUNT (sizeof(large_lengths) / sizeof(large_lengths[0]))
#define LENGTH_COUNT (131 + LARGE_COUNT)

/* all four kernels on one pair of arrays */
enum
{
	L2_SQUARED, DOT, L1, COSINE_AB, COSINE_AA, COSINE_BB, RESULTS
};
static const char *const result_names[RESULTS] = {
	"l2_squared", "dot", "l1", "cosine a.b", "cosine a.a", "cosine b.b"
};

static void
run_kernels(const simd_kernels *k, const float *a, const float *b, size_t n, float out[RESULTS])
{
	out[L2_SQUARED] = k->l2_squared_f32(a, b, n);
	out[DOT] = k->dot_f32(a, b, n);
	out[L1] = k->l1_f32(a, b, n);
	k->cosine_parts_f32(a, b, n, &out[COSINE_AB]);
}

/* the sums in double, and the sums of the terms' magnitudes for the error bound */
static void
run_reference(const float *a, const float *b, size_t n, double sum[RESULTS], double size[RESULTS])
{
	memset(sum, 0, sizeof(double) * RESULTS);
	memset(size, 0, sizeof(double) * RESULTS);
	for (size_t i = 0; i < n; i++)
	{
		double		x = a[i],
					y = b[i];
		double		terms[RESULTS] = {
			(x - y) * (x - y), x * y, fabs(x - y), x * y, x * x, y * y
		};

		for (int r = 0; r < RESULTS; r++)
		{
			sum[r] += terms[r];
			size[r] += fabs(terms[r]);
		}
	}
}

static size_t
length_at(size_t i)
{
	return i <= 130 ? i : large_lengths[i - 131];
}

/* xorshift32: the same numbers on every machine */
static uint32_t random_state = 2463534242u;

static uint32_t
random_next(void)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 17;
	random_state ^= random_state << 5;
	return random_state;
}

static float
random_real(void)
{
	return (float) random_next() / 2147483648.0f - 1.0f;
}

/* in -3..3: 16000 terms of at most 36 stay far below 2^24 */
static float
random_integer(void)
{
	return (float) (int) (random_next() % 7) - 3.0f;
}

/* n numbers from next(), between NaNs that no kernel may take in */
static float *
fill(float *buffer, size_t offset, size_t n, float (*next) (void))
{
	float	   *start = buffer + SLACK + offset;

	for (size_t i = 0; i < LARGEST + 3 * SLACK; i++)
		buffer[i] = NAN;
	for (size_t i = 0; i < n; i++)
		start[i] = next();
	return start;
}

static float buffer_a[LARGEST + 3 * SLACK];
static float buffer_b[LARGEST + 3 * SLACK];

static void
test_exact(const simd_kernels *k)
{
	const simd_kernels *scalar = simd_get_for(SIMD_SCALAR);
	size_t		wrong = 0;

	for (size_t i = 0; i < LENGTH_COUNT; i++)
	{
		size_t		n = length_at(i);

		for (size_t offset = 0; offset < SLACK; offset++)
		{
			const float *a = fill(buffer_a, offset, n, random_integer);
			const float *b = fill(buffer_b, (offset * 3) % SLACK, n, random_integer);
			float		got[RESULTS],
						want[RESULTS];

			run_kernels(k, a, b, n, got);
			run_kernels(scalar, a, b, n, want);
			for (int r = 0; r < RESULTS; r++)
			{
				if (got[r] != want[r] && wrong++ == 0)
					tap_note("%s, n %zu, offset %zu: %g, scalar %g", result_names[r], n, offset,
							 (double) got[r], (double) want[r]);
			}
		}
	}
	ok(wrong == 0, "%s: exact sums equal the scalar ones at %d lengths and 8 alignments",
	   simd_name(k->isa), (int) LENGTH_COUNT);
}

static void
test_rounding(const simd_kernels *k)
{
	size_t		wrong = 0;

	for (size_t i = 0; i < LENGTH_COUNT; i++)
	{
		size_t		n = length_at(i);
		const float *a = fill(buffer_a, i % SLACK, n, random_real);
		const float *b = fill(buffer_b, (i * 5) % SLACK, n, random_real);
		float		got[RESULTS];
		double		want[RESULTS],
					size[RESULTS];

		run_kernels(k, a, b, n, got);
		run_reference(a, b, n, want, size);
		for (int r = 0; r < RESULTS; r++)
		{
			/* Higham, Accuracy and Stability, 4.2: n additions, and what a term costs */
			double		bound = ((double) n + 4) * FLT_EPSILON * size[r];

			if (!(fabs((double) got[r] - want[r]) <= bound) && wrong++ == 0)
				tap_note("%s, n %zu: %.9g, reference %.17g", result_names[r], n,
						 (double) got[r], want[r]);
		}
	}
	ok(wrong == 0, "%s: sums of random reals are within rounding", simd_name(k->isa));
}

/* arrays that end where the readable memory ends, and ones that begin there */
static void
test_bounds(const simd_kernels *k)
{
	size_t		page = (size_t) sysconf(_SC_PAGESIZE);
	char	   *map = mmap(NULL, 6 * page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	char	   *first = map + page,
			   *second = map + 4 * page;
	size_t		wrong = 0;

	if (map == MAP_FAILED || mprotect(first, page, PROT_READ | PROT_WRITE) != 0 ||
		mprotect(second, page, PROT_READ | PROT_WRITE) != 0)
	{
		ok(false, "%s: guard pages", simd_name(k->isa));
		return;
	}
	for (size_t n = 0; n <= 130; n++)
	{
		float	   *starts[2][2] = {
			{(float *) first, (float *) second},
			{(float *) (first + page) - n, (float *) (second + page) - n}
		};

		for (int s = 0; s < 2; s++)
		{
			float		got[RESULTS];

			for (size_t i = 0; i < n; i++)
			{
				starts[s][0][i] = 2;
				starts[s][1][i] = -1;
			}
			run_kernels(k, starts[s][0], starts[s][1], n, got);
			if (got[L2_SQUARED] != 9.0f * n || got[DOT] != -2.0f * n || got[L1] != 3.0f * n ||
				got[COSINE_AB] != -2.0f * n || got[COSINE_AA] != 4.0f * n ||
				got[COSINE_BB] != 1.0f * n)
				wrong++;
		}
	}
	munmap(map, 6 * page);
	ok(wrong == 0, "%s: nothing beyond either end is read", simd_name(k->isa));
}

/* equal, or both NaN */
static bool
same(float a, float b)
{
	return a == b || (isnan(a) && isnan(b));
}

/* one special pair at every position of every length up to 70, among ones */
static void
test_special(const simd_kernels *k)
{
	static const float pairs[][2] = {
		{INFINITY, 1}, {-INFINITY, 1}, {INFINITY, INFINITY}, {INFINITY, -INFINITY},
		{INFINITY, 0}, {NAN, 1}, {0, NAN}, {3e38f, -3e38f}, {3e38f, 1}, {FLT_MIN, FLT_MIN},
		{FLT_TRUE_MIN, -FLT_TRUE_MIN}, {-0.0f, 0.0f}
	};
	const simd_kernels *scalar = simd_get_for(SIMD_SCALAR);
	size_t		wrong = 0;

	for (size_t p = 0; p < sizeof(pairs) / sizeof(pairs[0]); p++)
	{
		for (size_t n = 1; n <= 70; n++)
		{
			for (size_t at = 0; at < n; at++)
			{
				float		a[70],
							b[70],
							got[RESULTS],
							want[RESULTS];

				for (size_t i = 0; i < n; i++)
					a[i] = b[i] = i == at ? 0 : 1;
				a[at] = pairs[p][0];
				b[at] = pairs[p][1];
				run_kernels(k, a, b, n, got);
				run_kernels(scalar, a, b, n, want);
				for (int r = 0; r < RESULTS; r++)
				{
					if (!same(got[r], want[r]) &&
						!(isfinite(want[r]) &&
						  fabsf(got[r] - want[r]) <= 70 * FLT_EPSILON * fabsf(want[r])) &&
						wrong++ == 0)
						tap_note("%s of (%g, %g), n %zu, at %zu: %g, scalar %g", result_names[r],
								 (double) a[at], (double) b[at], n, at, (double) got[r],
								 (double) want[r]);
				}
			}
		}
	}
	ok(wrong == 0, "%s: infinities, NaNs, overflow and denormals as the scalar kernels",
	   simd_name(k->isa));
}

/* What simd_current() is in a process that starts with RAG_SIMD = value; -1: failed. */
static int
current_with(const char *value)
{
	int			status;
	pid_t		child = fork();

	if (child == 0)
	{
		setenv("RAG_SIMD", value, 1);
		_exit(simd_current() == simd_get()->isa ? (int) simd_current() : 100);
	}
	if (child < 0 || waitpid(child, &status, 0) != child || !WIFEXITED(status))
		return -1;
	return WEXITSTATUS(status);
}

static void
test_choice(void)
{
	int			best = SIMD_SCALAR;

	for (size_t i = 0; i < ISA_COUNT; i++)
	{
		int			got;

		if (simd_get_for(isas[i]) != NULL)
			best = isas[i];
		got = current_with(simd_name(isas[i]));
		ok(got == best, "RAG_SIMD=%s gives %s", simd_name(isas[i]),
		   simd_name((simd_isa) best));
		if (got != best)
			tap_note("got %d", got);
	}
	ok(current_with("fastest") == best, "an unknown RAG_SIMD gives the best set");
	ok(current_with("") == best, "an empty RAG_SIMD gives the best set");
	ok(simd_get_for((simd_isa) 99) == NULL, "no table for a set that does not exist");
	ok(strcmp(simd_name((simd_isa) 99), "unknown") == 0 &&
	   strcmp(simd_name((simd_isa) -1), "unknown") == 0, "no name either");
	if (simd_get_for(SIMD_AVX512VNNI) != NULL)
		ok(simd_get_for(SIMD_AVX512) != NULL && simd_get_for(SIMD_AVX2) != NULL,
		   "the sets below AVX512-VNNI are there too");
}

static void *
first_call(void *result)
{
	*(const simd_kernels **) result = simd_get();
	return NULL;
}

/* Under ThreadSanitizer this also shows that nothing races. */
static void
test_threads(void)
{
	pthread_t	threads[8];
	const simd_kernels *results[8] = {NULL};
	int			started = 0;
	bool		same_table = true;

	while (started < 8 &&
		   pthread_create(&threads[started], NULL, first_call, &results[started]) == 0)
		started++;
	for (int i = 0; i < started; i++)
		same_table &= pthread_join(threads[i], NULL) == 0 && results[i] == simd_get();
	ok(started == 8 && same_table, "threads that ask first at once get one table");
}

int
main(void)
{
	/* In this order: simd_get() reads the environment at its first call. */
	test_choice();
	test_threads();
	for (size_t i = 0; i < ISA_COUNT; i++)
	{
		const simd_kernels *k = simd_get_for(isas[i]);

		if (k == NULL)
		{
			tap_skip("this machine has no %s", simd_name(isas[i]));
			continue;
		}
		ok(k->isa == isas[i], "%s: the table says what it is", simd_name(isas[i]));
		test_exact(k);
		test_rounding(k);
		test_bounds(k);
		test_special(k);
	}
	return tap_done();
}
