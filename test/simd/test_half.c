/*
 * test_half.c: the kernels over 16-bit floats, and their conversions.
 *
 * The scalar conversions are held against IEEE 754's definition in double, over every
 * half and around every rounding boundary; the other instruction sets against them.
 * Small integers make every partial sum exact, so there the sums must be equal.
 */
#include <float.h>
#include <math.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "simd/half.h"
#include "simd/simd.h"
#include "tap.h"

#define LARGEST 1030
#define HALVES 65536

static const simd_isa isas[] = {
	SIMD_SCALAR, SIMD_AVX2, SIMD_AVXVNNI, SIMD_AVX512, SIMD_AVX512VNNI
};
#define ISA_COUNT (sizeof(isas) / sizeof(isas[0]))

static uint32_t
float_bits(float f)
{
	uint32_t	bits;

	memcpy(&bits, &f, sizeof(bits));
	return bits;
}

/* What a half's bits mean. */
static double
half_meaning(uint16_t h)
{
	int			exponent = h >> 10 & 0x1F;
	int			fraction = h & 0x3FF;
	double		magnitude = exponent == 0 ? ldexp(fraction, -24) :
		exponent == 31 ? (fraction == 0 ? INFINITY : NAN) :
		ldexp(1024 + fraction, exponent - 25);

	return h & 0x8000 ? -magnitude : magnitude;
}

static void
test_meaning(void)
{
	size_t		wrong = 0;

	for (uint32_t h = 0; h < HALVES; h++)
	{
		double		want = half_meaning((uint16_t) h);
		float		got = half_to_float((uint16_t) h);

		if (isnan(want) ? !isnan(got) : got != want || !signbit(got) != !signbit(want))
			wrong++;
		if (!isnan(want) && half_from_float(got) != h)
			wrong++;
	}
	ok(wrong == 0, "every half is its float, and back");
}

/* Between two halves: the nearer one, at the middle the even one. */
static void
test_rounding(void)
{
	size_t		wrong = 0;

	for (uint32_t h = 0; h < 0x7C00; h++)
	{
		/* what would follow the largest half is where infinity begins to be nearer */
		double		low = half_meaning((uint16_t) h);
		double		high = h == 0x7BFF ? 65536 : half_meaning((uint16_t) (h + 1));
		float		middle = (float) ((low + high) / 2);
		uint16_t	even = (uint16_t) (h + (h & 1));

		if (half_from_float(middle) != even ||
			half_from_float(nextafterf(middle, 0)) != h ||
			half_from_float(nextafterf(middle, INFINITY)) != h + 1 ||
			half_from_float(-middle) != (even | 0x8000))
			wrong++;
	}
	ok(wrong == 0, "floats between two halves go to the nearer one, ties to the even one");
	ok(half_from_float(FLT_MAX) == 0x7C00 && half_from_float(-INFINITY) == 0xFC00 &&
	   half_from_float(FLT_TRUE_MIN) == 0 && half_from_float(-0.0f) == 0x8000 &&
	   isnan(half_to_float(half_from_float(NAN))), "the ends of the range");
}

/* Every half, and floats on both sides of every rounding boundary, at several lengths. */
static void
test_conversions(const simd_kernels *k)
{
	static uint16_t halves[HALVES],
				narrowed[HALVES];
	static float floats[HALVES];
	size_t		wrong = 0;

	for (uint32_t h = 0; h < HALVES; h++)
		halves[h] = (uint16_t) h;
	k->f16_to_f32(halves, floats, HALVES);
	for (uint32_t h = 0; h < HALVES; h++)
		wrong += float_bits(floats[h]) != float_bits(half_to_float((uint16_t) h));
	ok(wrong == 0, "%s: every half to float", simd_name(k->isa));

	wrong = 0;
	for (int side = -1; side <= 1; side++)
	{
		for (uint32_t h = 0; h < HALVES; h++)
		{
			float		middle = half_to_float((uint16_t) h) +
				(half_to_float((uint16_t) (h ^ 1)) - half_to_float((uint16_t) h)) / 2;

			floats[h] = side == 0 ? middle : nextafterf(middle, side < 0 ? -INFINITY : INFINITY);
		}
		k->f32_to_f16(floats, narrowed, HALVES);
		for (uint32_t h = 0; h < HALVES; h++)
			wrong += isnan(floats[h]) ? !isnan(half_to_float(narrowed[h])) :
				narrowed[h] != half_from_float(floats[h]);
	}
	for (size_t n = 0; n <= 70; n++)
	{
		memset(narrowed, 0xAA, sizeof(narrowed[0]) * (n + 1));
		k->f32_to_f16(floats + 1, narrowed, n);
		wrong += narrowed[n] != 0xAAAA;
		for (size_t i = 0; i < n; i++)
			wrong += narrowed[i] != half_from_float(floats[i + 1]);
	}
	ok(wrong == 0, "%s: floats to halves", simd_name(k->isa));
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

enum
{
	L2_SQUARED, DOT, L1, COSINE_AB, COSINE_AA, COSINE_BB, RESULTS
};

static void
run_kernels(const simd_kernels *k, const uint16_t *a, const uint16_t *b, size_t n,
			float out[RESULTS])
{
	out[L2_SQUARED] = k->l2_squared_f16(a, b, n);
	out[DOT] = k->dot_f16(a, b, n);
	out[L1] = k->l1_f16(a, b, n);
	k->cosine_parts_f16(a, b, n, &out[COSINE_AB]);
}

/* n halves at the end of what can be read, or at its beginning: nothing beyond is */
static void
test_sums(const simd_kernels *k)
{
	size_t		page = (size_t) sysconf(_SC_PAGESIZE);
	char	   *map = mmap(NULL, 6 * page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	size_t		wrong = 0;

	if (map == MAP_FAILED || mprotect(map + page, page, PROT_READ | PROT_WRITE) != 0 ||
		mprotect(map + 4 * page, page, PROT_READ | PROT_WRITE) != 0)
	{
		ok(false, "%s: guard pages", simd_name(k->isa));
		return;
	}
	for (size_t n = 0; n <= LARGEST; n += n < 140 ? 1 : 89)
	{
		for (int at_end = 0; at_end <= 1; at_end++)
		{
			uint16_t   *a = (uint16_t *) (map + page + (at_end ? page - 2 * n : 0));
			uint16_t   *b = (uint16_t *) (map + 4 * page + (at_end ? page - 2 * n : 0));
			float		want[RESULTS] = {0},
						got[RESULTS];

			for (size_t i = 0; i < n; i++)
			{
				float		x = (float) (int) (random_next() % 7) - 3.0f,
							y = (float) (int) (random_next() % 7) - 3.0f;

				a[i] = half_from_float(x);
				b[i] = half_from_float(y);
				want[L2_SQUARED] += (x - y) * (x - y);
				want[DOT] += x * y;
				want[L1] += fabsf(x - y);
				want[COSINE_AB] += x * y;
				want[COSINE_AA] += x * x;
				want[COSINE_BB] += y * y;
			}
			run_kernels(k, a, b, n, got);
			for (int r = 0; r < RESULTS; r++)
			{
				if (got[r] != want[r] && wrong++ == 0)
					tap_note("kernel %d, n %zu: %g, not %g", r, n, (double) got[r],
							 (double) want[r]);
			}
		}
	}
	munmap(map, 6 * page);
	ok(wrong == 0, "%s: exact sums of halves, and nothing beyond either end is read",
	   simd_name(k->isa));
}

/* the largest and the smallest halves: sums are in float, where they are neither */
static void
test_range(const simd_kernels *k)
{
	uint16_t	largest[40],
				opposite[40],
				smallest[40];
	float		sum;

	for (int i = 0; i < 40; i++)
	{
		largest[i] = 0x7BFF;
		opposite[i] = 0xFBFF;
		smallest[i] = 1;
	}
	sum = k->l2_squared_f16(largest, opposite, 40);
	ok(fabsf(sum / (40.0f * 131008.0f * 131008.0f) - 1) < 1e-5f, "%s: large halves do not overflow",
	   simd_name(k->isa));
	ok(k->dot_f16(smallest, smallest, 40) == 40 * 0x1p-48f, "%s: small halves do not vanish",
	   simd_name(k->isa));
}

int
main(void)
{
	test_meaning();
	test_rounding();
	for (size_t i = 0; i < ISA_COUNT; i++)
	{
		const simd_kernels *k = simd_get_for(isas[i]);

		if (k == NULL)
		{
			tap_skip("this machine has no %s", simd_name(isas[i]));
			continue;
		}
		test_conversions(k);
		test_sums(k);
		test_range(k);
	}
	return tap_done();
}
