/*
 * kernels.h: the tables of the instruction sets, for choose.c alone.
 *
 * A table may be taken only after the CPU was asked: the code behind it faults on a
 * machine without the instructions.
 */
#ifndef RAG_SIMD_KERNELS_H
#define RAG_SIMD_KERNELS_H

#include "simd/simd.h"

/* one table from the functions that are in scope under these names */
#define SIMD_FLOAT_KERNELS(isa_) \
	.isa = (isa_), \
	.l2_squared_f32 = l2_squared_f32, \
	.dot_f32 = dot_f32, \
	.l1_f32 = l1_f32, \
	.cosine_parts_f32 = cosine_parts_f32, \
	.l2_squared_f16 = l2_squared_f16, \
	.dot_f16 = dot_f16, \
	.l1_f16 = l1_f16, \
	.cosine_parts_f16 = cosine_parts_f16, \
	.f16_to_f32 = f16_to_f32, \
	.f32_to_f16 = f32_to_f16

#define SIMD_KERNELS(isa_) { \
	SIMD_FLOAT_KERNELS(isa_), \
	.hamming = hamming, \
	.jaccard_parts = jaccard_parts, \
}

extern const simd_kernels simd_kernels_scalar;

#if defined(__x86_64__)
extern const simd_kernels simd_kernels_avx2;
extern const simd_kernels simd_kernels_avxvnni;
extern const simd_kernels simd_kernels_avx512;
extern const simd_kernels simd_kernels_avx512vnni;
extern const simd_kernels simd_kernels_avx512popcnt;	/* as avx512vnni, but for bits */
#endif

#endif							/* RAG_SIMD_KERNELS_H */
