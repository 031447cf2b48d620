/*
 * float_avx512.c: the f32 kernels for AVX-512.
 */
#include "engine/cpu/vec_avx512.h"

#define FLOAT_ROWS 12
#define FLOAT_VECS 2

#include "engine/cpu/attention_body.h"
#include "engine/cpu/float_body.h"
#include "engine/cpu/rows_body.h"

const float_kernels float_kernels_avx512 = FLOAT_KERNELS(SIMD_AVX512);
