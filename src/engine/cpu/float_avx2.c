/*
 * float_avx2.c: the f32 kernels for AVX2 with fused multiply-add.
 */
#include "engine/cpu/vec_avx2.h"

#define FLOAT_ROWS 6
#define FLOAT_VECS 1

#include "engine/cpu/attention_body.h"
#include "engine/cpu/float_body.h"
#include "engine/cpu/rows_body.h"

const float_kernels float_kernels_avx2 = FLOAT_KERNELS(SIMD_AVX2);
