/*
 * integer_avxvnni.c: the 8-bit kernels for AVX2 with AVX-VNNI: VPDPBUSD in 256 bits.
 */
#include "engine/cpu/bytes_avx2.h"

#define INTEGER_ROWS 3
#define INTEGER_VECS 1
#define SIGNED_WEIGHTS 0

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
	const __m256i four = _mm256_set1_epi32(x);

	return (stage) {_mm256_dpbusd_avx_epi32(s.low, w.low, four),
					_mm256_dpbusd_avx_epi32(s.high, w.high, four)};
}

/* not reached: no weights are signed here */
VEC_INLINE stage
stage_add_signed(stage s, bytes w, int32_t x)
{
	return stage_add(s, w, x);
}

#include "engine/cpu/integer_body.h"

const integer_kernels integer_kernels_avxvnni = INTEGER_KERNELS(SIMD_AVXVNNI);
