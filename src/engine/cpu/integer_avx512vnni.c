/*
 * integer_avx512vnni.c: the 8-bit kernels for AVX-512 with VNNI.
 *
 * VPDPBUSD multiplies unsigned by signed bytes and adds four products to a sum of 32
 * bits, so weights are unpacked as unsigned.
 */
#include "engine/cpu/vec_avx512.h"

#define INTEGER_ROWS 6
#define INTEGER_VECS 2
#define SIGNED_WEIGHTS 0

typedef __m512i bytes;
typedef __m512i dots;
typedef __m512i stage;

VEC_INLINE bytes
bytes_load(const uint8_t *p)
{
	return _mm512_loadu_si512(p);
}

VEC_INLINE void
bytes_store(uint8_t *p, bytes v)
{
	_mm512_storeu_si512(p, v);
}

VEC_INLINE bytes
bytes_set(int x)
{
	return _mm512_set1_epi8((char) x);
}

VEC_INLINE bytes
bytes_and(bytes a, bytes b)
{
	return _mm512_and_si512(a, b);
}

VEC_INLINE bytes
bytes_or(bytes a, bytes b)
{
	return _mm512_or_si512(a, b);
}

VEC_INLINE bytes
bytes_xor(bytes a, bytes b)
{
	return _mm512_xor_si512(a, b);
}

VEC_INLINE bytes
bytes_shift_left(bytes v, int n)
{
	return _mm512_slli_epi16(v, (unsigned) n);
}

VEC_INLINE bytes
bytes_shift_right(bytes v, int n)
{
	return _mm512_srli_epi16(v, (unsigned) n);
}

VEC_INLINE bytes
bytes_low(bytes v)
{
	return _mm512_and_si512(v, _mm512_set1_epi8(0x0F));
}

VEC_INLINE bytes
bytes_high(bytes v)
{
	return _mm512_and_si512(_mm512_srli_epi16(v, 4), _mm512_set1_epi8(0x0F));
}

VEC_INLINE dots
dots_set(int32_t x)
{
	return _mm512_set1_epi32(x);
}

VEC_INLINE dots
dots_shift_left(dots v, int n)
{
	return _mm512_slli_epi32(v, (unsigned) n);
}

VEC_INLINE vec
dots_to_vec(dots v)
{
	return _mm512_cvtepi32_ps(v);
}

VEC_INLINE stage
stage_begin(dots d)
{
	return d;
}

VEC_INLINE dots
stage_end(dots d, stage s)
{
	(void) d;
	return s;
}

VEC_INLINE stage
stage_add(stage s, bytes w, int32_t x)
{
	return _mm512_dpbusd_epi32(s, w, _mm512_set1_epi32(x));
}

/* not reached: no weights are signed here */
VEC_INLINE stage
stage_add_signed(stage s, bytes w, int32_t x)
{
	return stage_add(s, w, x);
}

#include "engine/cpu/integer_body.h"

const integer_kernels integer_kernels_avx512vnni = INTEGER_KERNELS(SIMD_AVX512VNNI);
