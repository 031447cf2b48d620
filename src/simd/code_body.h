/*
 * code_body.h: what the codes need beside the dot product of bytes, written once over
 * vectors of as many doubles as a register holds.
 *
 * Sums are of eight lanes for all instruction sets, in the same order, and no product is added in
 * the expression that makes it, so that none is fused: all sets give the same bits.
 */
#ifndef RAG_SIMD_CODE_BODY_H
#define RAG_SIMD_CODE_BODY_H

#include <string.h>

#include "simd/code.h"
#include "simd/code_kernels.h"

#define LANES ((size_t) 8)

/* GCC keeps vectors that are wider than a register in memory, which takes several times as long. */
#ifdef __AVX512F__
#define WIDTH 8
#else
#define WIDTH 4
#endif

typedef double wide __attribute__((vector_size(WIDTH * sizeof(double))));
typedef int64_t wide_masks __attribute__((vector_size(WIDTH * sizeof(int64_t))));
typedef int32_t wide_ints __attribute__((vector_size(WIDTH * sizeof(int32_t))));
typedef uint8_t wide_bytes __attribute__((vector_size(WIDTH)));
typedef double four __attribute__((vector_size(32)));
typedef int32_t eight_ints __attribute__((vector_size(32)));
typedef uint8_t sixteen_bytes __attribute__((vector_size(16)));
typedef uint64_t two_words __attribute__((vector_size(16)));
typedef uint16_t eight_halves __attribute__((vector_size(16)));

#define BODY_INLINE static inline __attribute__((always_inline))
#define doubles_of(v) __builtin_convertvector(v, wide)

/* Data is ahead of the dot products by about this many bytes. */
#define BYTES_AHEAD ((size_t) 12288)
#define CACHE_LINE ((size_t) 64)

static int32_t code_dot(const uint8_t *code, const int8_t *steps, size_t n, int32_t steps_sum);

/* A code with the head that lies in front of it, down to its last line, into the second-level cache: of
 * what goes to the first level less can be on its way at a time. */
BODY_INLINE void
prefetch(const uint8_t *code, size_t n)
{
	for (const uint8_t *at = code - sizeof(code_head); at < code + n; at += CACHE_LINE)
		__builtin_prefetch(at, 0, 2);
	__builtin_prefetch(code + n - 1, 0, 2);
}

/* Each dot product is part of the loop, so that one begins before the last has ended. */
static __attribute__((flatten)) void
code_dot_many(const uint8_t *const *codes, size_t count, const int8_t *steps, size_t n,
			  int32_t steps_sum, int32_t *dots)
{
	size_t		ahead = n < BYTES_AHEAD ? BYTES_AHEAD / n : 1;

	for (size_t i = 0; i < ahead && i < count; i++)
		prefetch(codes[i], n);
	for (size_t i = 0; i < count; i++)
	{
		if (i + ahead < count)
			prefetch(codes[i + ahead], n);
		dots[i] = code_dot(codes[i], steps, n, steps_sum);
	}
}

/* Of all lanes. */
BODY_INLINE double
sum_eight(const wide lanes[LANES / WIDTH])
{
	double		v[LANES];

	memcpy(v, lanes, sizeof(v));
	return ((v[0] + v[4]) + (v[2] + v[6])) + ((v[1] + v[5]) + (v[3] + v[7]));
}

/* The lanes of a where the mask is set, else those of b. */
BODY_INLINE wide
choose_wide(wide_masks mask, wide a, wide b)
{
	return (wide) (((wide_masks) a & mask) | ((wide_masks) b & ~mask));
}

BODY_INLINE wide
load_wide(const double *p)
{
	wide		v;

	memcpy(&v, p, sizeof(v));
	return v;
}

BODY_INLINE void
store_wide(double *p, wide v)
{
	memcpy(p, &v, sizeof(v));
}

/* The two lowest levels of the transform, within a vector. */
BODY_INLINE four
hadamard_four(four v)
{
	const four	first = {1, -1, 1, -1};
	const four	second = {1, 1, -1, -1};

	v = v * first + __builtin_shufflevector(v, v, 1, 0, 3, 2);
	return v * second + __builtin_shufflevector(v, v, 2, 3, 0, 1);
}

/* Of four values. */
BODY_INLINE four
with_signs(const double *x, const int8_t *signs, double factor)
{
	four		v;
	four		sign = {signs[0], signs[1], signs[2], signs[3]};

	memcpy(&v, x, sizeof(v));
	return v * factor * sign;
}

/* The three lowest levels of eight values. */
BODY_INLINE void
hadamard_eight(double *x, const int8_t *signs, double factor)
{
	four		a = hadamard_four(with_signs(x, signs, factor));
	four		b = hadamard_four(with_signs(x + 4, signs + 4, factor));
	four		sum = a + b;
	four		difference = a - b;

	memcpy(x, &sum, sizeof(sum));
	memcpy(x + 4, &difference, sizeof(difference));
}

/* Two levels at a time, of distances h and 2 h. */
BODY_INLINE void
hadamard_two_levels(double *x, size_t n, size_t h)
{
	for (size_t block = 0; block < n; block += 4 * h)
	{
		for (size_t i = block; i < block + h; i += WIDTH)
		{
			wide		a = load_wide(x + i);
			wide		b = load_wide(x + i + h);
			wide		c = load_wide(x + i + 2 * h);
			wide		d = load_wide(x + i + 3 * h);
			wide		ab = a + b;
			wide		cd = c + d;

			a -= b;
			c -= d;
			store_wide(x + i, ab + cd);
			store_wide(x + i + h, a + c);
			store_wide(x + i + 2 * h, ab - cd);
			store_wide(x + i + 3 * h, a - c);
		}
	}
}

static void
hadamard_small(double *x, const int8_t *signs, size_t n, double factor)
{
	for (size_t i = 0; i < n; i++)
		x[i] *= signs[i] * factor;
	for (size_t h = 1; h < n; h *= 2)
	{
		for (size_t i = 0; i < n; i++)
		{
			double		a = x[i];

			if (i & h)
				continue;
			x[i] = a + x[i + h];
			x[i + h] = a - x[i + h];
		}
	}
}

static void
code_hadamard(double *x, const int8_t *signs, size_t n, double factor)
{
	size_t		h;

	if (n < LANES)
	{
		hadamard_small(x, signs, n, factor);
		return;
	}
	for (size_t i = 0; i < n; i += LANES)
		hadamard_eight(x + i, signs + i, factor);
	for (h = LANES; 4 * h <= n; h *= 4)
		hadamard_two_levels(x, n, h);
	for (size_t i = 0; h < n && i < h; i += WIDTH)
	{
		wide		a = load_wide(x + i);
		wide		b = load_wide(x + i + h);

		store_wide(x + i, a + b);
		store_wide(x + i + h, a - b);
	}
}

static void
code_measure(const double *x, size_t n, code_extent *extent)
{
	wide_masks	most = {0};
	wide		sums[LANES / WIDTH] = {0};

	for (size_t i = 0; i < n; i += WIDTH)
	{
		wide		v = load_wide(x + i);
		wide		square = v * v;
		/* magnitudes are in the order of their bits */
		wide_masks	bits = (wide_masks) v & INT64_MAX;
		wide_masks	greater = bits > most;

		most = (bits & greater) | (most & ~greater);
		sums[i % LANES / WIDTH] += square;
	}
	extent->squares = sum_eight(sums);
	extent->largest = 0;
	for (size_t i = 0; i < WIDTH; i++)
	{
		double		v = ((wide) most)[i];

		if (v > extent->largest)
			extent->largest = v;
	}
}

/* The 16-bit integers that eight pairs of bytes stand for and CODE_MIDDLE in both bytes. */
BODY_INLINE eight_halves
join_eight(const uint8_t *code, const uint8_t *fine)
{
	uint64_t	words[2];
	sixteen_bytes high;
	sixteen_bytes low;

	memcpy(&words[0], code, LANES);
	memcpy(&words[1], fine, LANES);
	high = (sixteen_bytes) (two_words) {words[0]};
	low = (sixteen_bytes) (two_words) {words[1]};
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
	high = __builtin_shufflevector(low, high, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
#else
	high = __builtin_shufflevector(high, low, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
#endif
	return (eight_halves) high;
}

/* Those of a part of them. */
BODY_INLINE wide
part_of(eight_halves joined, size_t part)
{
	eight_ints	ints = __builtin_convertvector(joined, eight_ints) - CODE_MIDDLE * 257;

#if WIDTH == 8
	(void) part;
	return doubles_of(ints);
#else
	return part == 0
		? doubles_of(__builtin_shufflevector(ints, ints, 0, 1, 2, 3))
		: doubles_of(__builtin_shufflevector(ints, ints, 4, 5, 6, 7));
#endif
}

static void
code_round(const double *x, size_t n, double unit, uint8_t *code, uint8_t *fine, code_rounding *rounding)
{
	/* no bits are left for a fraction once this is added */
	const double whole = 0x1.8p52;
	const wide	most = (wide) {0} + CODE_FINE_LIMIT;
	const double per_unit = 1 / unit;
	const size_t padded = (n + LANES - 1) / LANES * LANES;
	wide_ints	squares = {0};
	wide		residues[LANES / WIDTH] = {0};

	for (size_t i = 0; i < padded; i += WIDTH)
	{
		wide		v = load_wide(x + i);
		wide		scaled = v * per_unit;
		wide		residue;
		wide_ints	joined;
		wide_ints	high;
		wide_bytes	bytes;

		scaled = choose_wide(scaled > most, most, scaled);
		scaled = choose_wide(scaled < -most, -most, scaled);
		scaled = (scaled + whole) - whole;
		residue = scaled * unit;
		residue = v - residue;
		residue = residue * residue;
		residues[i % LANES / WIDTH] += residue;
		joined = __builtin_convertvector(scaled, wide_ints);
		high = (joined + CODE_MIDDLE) >> 8;
		squares += high * high;
		bytes = __builtin_convertvector(high + CODE_MIDDLE, wide_bytes);
		memcpy(code + i, &bytes, sizeof(bytes));
		bytes = __builtin_convertvector(joined - high * 256 + CODE_MIDDLE, wide_bytes);
		memcpy(fine + i, &bytes, sizeof(bytes));
	}
	rounding->residue_squares = sum_eight(residues);
	rounding->code_squares = 0;
	for (size_t i = 0; i < WIDTH; i++)
		rounding->code_squares += squares[i];
}

/* What eight values add; squared is a constant at every call. */
BODY_INLINE void
add_eight(wide sums[LANES / WIDTH], const double *query, eight_halves joined, double unit, int squared)
{
	for (size_t part = 0; part < LANES / WIDTH; part++)
	{
		wide		x = load_wide(query + part * WIDTH);
		wide		value = part_of(joined, part) * unit;
		wide		difference = x - value;

		sums[part] += squared ? difference * difference : x * value;
	}
}

BODY_INLINE double
sum_steps(const double *query, const uint8_t *code, const uint8_t *fine, size_t n, double unit,
		  int squared)
{
	wide		sums[LANES / WIDTH] = {0};
	size_t		i = 0;

	for (; n - i >= LANES; i += LANES)
		add_eight(sums, query + i, join_eight(code + i, fine + i), unit, squared);
	if (i < n)
	{
		uint8_t		last[2][8];

		memset(last, CODE_MIDDLE, sizeof(last));
		memcpy(last[0], code + i, n - i);
		memcpy(last[1], fine + i, n - i);
		add_eight(sums, query + i, join_eight(last[0], last[1]), unit, squared);
	}
	return sum_eight(sums);
}

static double
code_fine_l2(const double *query, const uint8_t *code, const uint8_t *fine, size_t n, double unit)
{
	return sum_steps(query, code, fine, n, unit, 1);
}

static double
code_fine_dot(const double *query, const uint8_t *code, const uint8_t *fine, size_t n, double unit)
{
	return sum_steps(query, code, fine, n, unit, 0);
}

#endif							/* RAG_SIMD_CODE_BODY_H */
