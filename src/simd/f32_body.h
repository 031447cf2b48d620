/*
 * f32_body.h: the f32 kernels, written once over a register type.
 *
 * A file that includes this has defined
 *     lanes, LANES                          a register of LANES floats
 *     lanes_zero(), lanes_load(p)           LANES floats from any address
 *     lanes_load_first(p, n)                the first n < LANES floats, the rest 0;
 *                                           reads nothing beyond p[n - 1]
 *     lanes_add, lanes_sub, lanes_abs, lanes_multiply_add(a, b, c) = a * b + c
 *     lanes_sum(v)                          the sum of the lanes
 *
 * A fused multiply-add takes four cycles and two can start in each, so one running
 * sum would leave seven eighths of the unit idle; four sums hide most of that and
 * the two loads per step are the limit from there on.
 *
 * The lanes that lanes_load_first() fills with 0 add 0 to every sum here, so the
 * rest of an array needs no scalar loop, and infinities and NaNs in it behave as in
 * the scalar form.
 */
#ifndef RAG_SIMD_F32_BODY_H
#define RAG_SIMD_F32_BODY_H

#define BODY_INLINE static inline __attribute__((always_inline))

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

/* step is a constant at every call, so it is inlined with this function. */
BODY_INLINE float
sum_steps(const float *a, const float *b, size_t n, lanes_step step)
{
	lanes		s0 = lanes_zero(),
				s1 = lanes_zero(),
				s2 = lanes_zero(),
				s3 = lanes_zero();
	size_t		i = 0;

	for (; n - i >= 4 * LANES; i += 4 * LANES)
	{
		s0 = step(s0, lanes_load(a + i), lanes_load(b + i));
		s1 = step(s1, lanes_load(a + i + LANES), lanes_load(b + i + LANES));
		s2 = step(s2, lanes_load(a + i + 2 * LANES), lanes_load(b + i + 2 * LANES));
		s3 = step(s3, lanes_load(a + i + 3 * LANES), lanes_load(b + i + 3 * LANES));
	}
	for (; n - i >= LANES; i += LANES)
		s0 = step(s0, lanes_load(a + i), lanes_load(b + i));
	if (i < n)
		s1 = step(s1, lanes_load_first(a + i, n - i), lanes_load_first(b + i, n - i));
	return lanes_sum(lanes_add(lanes_add(s0, s1), lanes_add(s2, s3)));
}

static float
l2_squared_f32(const float *a, const float *b, size_t n)
{
	return sum_steps(a, b, n, step_l2_squared);
}

static float
dot_f32(const float *a, const float *b, size_t n)
{
	return sum_steps(a, b, n, step_dot);
}

static float
l1_f32(const float *a, const float *b, size_t n)
{
	return sum_steps(a, b, n, step_l1);
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
static void
cosine_parts_f32(const float *a, const float *b, size_t n, float out[3])
{
	cosine_sums even = {lanes_zero(), lanes_zero(), lanes_zero()};
	cosine_sums odd = even;
	size_t		i = 0;

	for (; n - i >= 2 * LANES; i += 2 * LANES)
	{
		step_cosine(&even, lanes_load(a + i), lanes_load(b + i));
		step_cosine(&odd, lanes_load(a + i + LANES), lanes_load(b + i + LANES));
	}
	for (; n - i >= LANES; i += LANES)
		step_cosine(&even, lanes_load(a + i), lanes_load(b + i));
	if (i < n)
		step_cosine(&odd, lanes_load_first(a + i, n - i), lanes_load_first(b + i, n - i));
	out[0] = lanes_sum(lanes_add(even.ab, odd.ab));
	out[1] = lanes_sum(lanes_add(even.aa, odd.aa));
	out[2] = lanes_sum(lanes_add(even.bb, odd.bb));
}

#endif							/* RAG_SIMD_F32_BODY_H */
