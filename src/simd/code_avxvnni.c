/*
 * code_avxvnni.c: the kernels of the codes in 256-bit registers with a dot product of
 * bytes, unsigned by signed ones.
 */
#include <immintrin.h>

#include "simd/code_body.h"

#define BIAS CODE_MIDDLE

static inline __m256i
add_products(__m256i sum, const uint8_t *code, __m256i steps)
{
	return _mm256_dpbusd_avx_epi32(sum, _mm256_loadu_si256((const __m256i *) code), steps);
}

#include "simd/code_dot256.h"

const code_kernels code_kernels_avxvnni = CODE_KERNELS;
