/*
 * float_scalar.c: the portable f32 kernels, the oracle of every other instruction set.
 */
#include "engine/cpu/vec_scalar.h"

#define FLOAT_ROWS 4
#define FLOAT_VECS 1

#include "engine/cpu/attention_body.h"
#include "engine/cpu/float_body.h"
#include "engine/cpu/rows_body.h"

const float_kernels float_kernels_scalar = FLOAT_KERNELS(SIMD_SCALAR);
