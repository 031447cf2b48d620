/*
 * math_body.h: exp and what is made of it, over `vec`. Polynomials are minimax fits made
 * for this file; all instruction sets take the same steps, so they agree within rounding.
 */
#ifndef RAG_ENGINE_CPU_MATH_BODY_H
#define RAG_ENGINE_CPU_MATH_BODY_H

/*
 * e^x within 2e-7 of it, relatively; exactly 0 below -87.7, exactly 1 at 0. With
 * n = round(x / ln 2) and r = x - n ln 2: 2^n * e^r. NaN stays NaN.
 */
VEC_INLINE vec
math_exp(vec x)
{
	vec			n,
				r,
				p;

	x = vec_min(vec_set(88.37f), vec_max(vec_set(-88.0f), x));
	n = vec_round(vec_mul(x, vec_set(0x1.715476p+0f)));
	r = vec_fnma(n, vec_set(0x1.62e4p-1f), x);
	r = vec_fnma(n, vec_set(0x1.7f7d1cp-20f), r);
	p = vec_set(0x1.6a2448p-10f);
	p = vec_fma(p, r, vec_set(0x1.1239d4p-7f));
	p = vec_fma(p, r, vec_set(0x1.5558f2p-5f));
	p = vec_fma(p, r, vec_set(0x1.555492p-3f));
	p = vec_fma(p, r, vec_set(0x1.fffffcp-2f));
	p = vec_fma(p, r, vec_set(1.0f));
	p = vec_fma(p, r, vec_set(1.0f));
	return vec_mul(p, vec_power_of_two(n));
}

VEC_INLINE vec
math_silu(vec x)
{
	return vec_div(x, vec_add(vec_set(1.0f), math_exp(vec_sub(vec_zero(), x))));
}

VEC_INLINE vec
math_tanh(vec x)
{
	vec			e = math_exp(vec_mul(vec_abs(x), vec_set(2.0f)));
	vec			t = vec_sub(vec_set(1.0f), vec_div(vec_set(2.0f), vec_add(e, vec_set(1.0f))));

	return vec_copy_sign(t, x);
}

/*
 * x * (1 + erf(x / sqrt 2)) / 2 = max(x, 0) - |x| erfc(|x| / sqrt 2) / 2, where erfc(a) is
 * e^(-a P(a)) with P of degree 7: within 2e-8 before rounding.
 */
VEC_INLINE vec
math_gelu(vec x)
{
	vec			magnitude = vec_abs(x);
	vec			a = vec_mul(magnitude, vec_set(0.70710678f));
	vec			p = vec_set(3.144013317e-05f);

	p = vec_fma(p, a, vec_set(-3.088018e-04f));
	p = vec_fma(p, a, vec_set(1.0324000614e-03f));
	p = vec_fma(p, a, vec_set(5.3693665168e-04f));
	p = vec_fma(p, a, vec_set(-1.9583962858e-02f));
	p = vec_fma(p, a, vec_set(1.0291961581e-01f));
	p = vec_fma(p, a, vec_set(6.3659775257e-01f));
	p = vec_fma(p, a, vec_set(1.1283802986f));
	p = math_exp(vec_sub(vec_zero(), vec_mul(a, p)));
	return vec_fnma(vec_mul(magnitude, vec_set(0.5f)), p, vec_max(x, vec_zero()));
}

#endif							/* RAG_ENGINE_CPU_MATH_BODY_H */
