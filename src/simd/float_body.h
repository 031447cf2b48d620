/*
 * float_body.h: the kernels over f32 and f16, written once over a register type.
 *
 * A file that includes this has defined
 *     lanes, LANES                          a register of LANES floats
 *     lanes_zero(), lanes_load(p)           LANES floats from any address
 *     lanes_load_first(p, n)                the first n < LANES floats, the rest 0;
 *                                           reads nothing beyond p[n - 1]
 *     lanes_load_half, lanes_load_half_first   the same from f16
 *     lanes_store, lanes_store_half(p, v)   LANES floats or f16 to any address
 *     lanes_add, lanes_sub, lanes_abs, lanes_multiply_add(a, b, c) = a * b + c
 *     lanes_sum(v)                          the sum of the lanes
 *
 * A fused multiply-add takes four cycles and two can start in each, so one running
 * sum would leave seven eighths of the unit idle; four sums hide most of that and
 * the two loads per step are the limit from there on.
 *
 * The lanes that a load of the first n fills with 0 add 0 to every sum here, so the
 * rest of an array needs no scalar loop, and infinities and NaNs in it behave as in
 * the scalar form.
 */
#ifndef RAG_SIMD_FLOAT_BODY_H
#define RAG_SIMD_FLOAT_BODY_H

#include "simd/half.h"

#define BODY_INLINE static inline __attribute__((always_inline))

/* How to read an array: LANES elements from position at on, or the first n of them. */
typedef struct lanes_source
{
	lanes		(*load) (const void *array, size_t at);
	lanes		(*load_first) (const void *array, size_t at, size_t n);
} lanes_source;

BODY_INLINE lanes
load_f32(const void *array, size_t at)
{
	return lanes_load((const float *) array + at);
}

BODY_INLINE lanes
load_first_f32(const void *array, size_t at, size_t n)
{
	return lanes_load_first((const float *) array + at, n);
}

BODY_INLINE lanes
load_f16(const void *array, size_t at)
{
	return lanes_load_half((const uint16_t *) array + at);
}

BODY_INLINE lanes
load_first_f16(const void *array, size_t at, size_t n)
{
	return lanes_load_half_first((const uint16_t *) array + at, n);
}

#define SOURCE_F32 ((lanes_source) {load_f32, load_first_f32})
#define SOURCE_F16 ((lanes_source) {load_f16, load_first_f16})

/* sum + f(a, b), lane by lane */
typedef lanes (*lanes_step) (lanes sum, lanes a, lanes b);

BODY_INLINE lanes
step_l2_squared(lanes sum, lanes a, lanes b)
{
	lanes		d = lanes_sub(a, b);

	return lanes_multiply_add(d, d, sum);
}

BODY_INLINE lanes
step_dot(lanes sum, lanes a, lanes b)
{
	return lanes_multiply_add(a, b, sum);
}

BODY_INLINE lanes
step_l1(lanes sum, lanes a, lanes b)
{
	return lanes_add(sum, lanes_abs(lanes_sub(a, b)));
}

/* source and step are constants at every call, so they are inlined with this. */
BODY_INLINE float
sum_steps(const void *a, const void *b, size_t n, lanes_source source, lanes_step step)
{
	lanes		s0 = lanes_zero(),
				s1 = lanes_zero(),
				s2 = lanes_zero(),
				s3 = lanes_zero();
	size_t		i = 0;

	for (; n - i >= 4 * LANES; i += 4 * LANES)
	{
		s0 = step(s0, source.load(a, i), source.load(b, i));
		s1 = step(s1, source.load(a, i + LANES), source.load(b, i + LANES));
		s2 = step(s2, source.load(a, i + 2 * LANES), source.load(b, i + 2 * LANES));
		s3 = step(s3, source.load(a, i + 3 * LANES), source.load(b, i + 3 * LANES));
	}
	for (; n - i >= LANES; i += LANES)
		s0 = step(s0, source.load(a, i), source.load(b, i));
	if (i < n)
		s1 = step(s1, source.load_first(a, i, n - i), source.load_first(b, i, n - i));
	return lanes_sum(lanes_add(lanes_add(s0, s1), lanes_add(s2, s3)));
}

/* Running sums of a.b, a.a and b.b. */
typedef struct cosine_sums
{
	lanes		ab,
				aa,
				bb;
} cosine_sums;

BODY_INLINE void
step_cosine(cosine_sums *sums, lanes a, lanes b)
{
	sums->ab = lanes_multiply_add(a, b, sums->ab);
	sums->aa = lanes_multiply_add(a, a, sums->aa);
	sums->bb = lanes_multiply_add(b, b, sums->bb);
}

/* Three sums of two halves each are already six chains for the unit to overlap. */
BODY_INLINE void
sum_cosine(const void *a, const void *b, size_t n, lanes_source source, float out[3])
{
	cosine_sums even = {lanes_zero(), lanes_zero(), lanes_zero()};
	cosine_sums odd = even;
	size_t		i = 0;

	for (; n - i >= 2 * LANES; i += 2 * LANES)
	{
		step_cosine(&even, source.load(a, i), source.load(b, i));
		step_cosine(&odd, source.load(a, i + LANES), source.load(b, i + LANES));
	}
	for (; n - i >= LANES; i += LANES)
		step_cosine(&even, source.load(a, i), source.load(b, i));
	if (i < n)
		step_cosine(&odd, source.load_first(a, i, n - i), source.load_first(b, i, n - i));
	out[0] = lanes_sum(lanes_add(even.ab, odd.ab));
	out[1] = lanes_sum(lanes_add(even.aa, odd.aa));
	out[2] = lanes_sum(lanes_add(even.bb, odd.bb));
}

/* ---- f32 ---- */

static float
l2_squared_f32(const float *a, const float *b, size_t n)
{
	return sum_steps(a, b, n, SOURCE_F32, step_l2_squared);
}

static float
dot_f32(const float *a, const float *b, size_t n)
{
	return sum_steps(a, b, n, SOURCE_F32, step_dot);
}

static float
l1_f32(const float *a, const float *b, size_t n)
{
	return sum_steps(a, b, n, SOURCE_F32, step_l1);
}

static void
cosine_parts_f32(const float *a, const float *b, size_t n, float out[3])
{
	sum_cosine(a, b, n, SOURCE_F32, out);
}

/* ---- f16 ---- */

static float
l2_squared_f16(const uint16_t *a, const uint16_t *b, size_t n)
{
	return sum_steps(a, b, n, SOURCE_F16, step_l2_squared);
}

static float
dot_f16(const uint16_t *a, const uint16_t *b, size_t n)
{
	return sum_steps(a, b, n, SOURCE_F16, step_dot);
}

static float
l1_f16(const uint16_t *a, const uint16_t *b, size_t n)
{
	return sum_steps(a, b, n, SOURCE_F16, step_l1);
}

static void
cosine_parts_f16(const uint16_t *a, const uint16_t *b, size_t n, float out[3])
{
	sum_cosine(a, b, n, SOURCE_F16, out);
}

static void
f16_to_f32(const uint16_t *in, float *out, size_t n)
{
	size_t		i = 0;

	for (; n - i >= LANES; i += LANES)
		lanes_store(out + i, lanes_load_half(in + i));
	for (; i < n; i++)
		out[i] = half_to_float(in[i]);
}

static void
f32_to_f16(const float *in, uint16_t *out, size_t n)
{
	size_t		i = 0;

	for (; n - i >= LANES; i += LANES)
		lanes_store_half(out + i, lanes_load(in + i));
	for (; i < n; i++)
		out[i] = half_from_float(in[i]);
}

#endif							/* RAG_SIMD_FLOAT_BODY_H */
