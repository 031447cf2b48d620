/*
 * simd.h: distances and dot products; the instruction set is chosen once, at run
 * time, and everything else in the tree asks here instead of testing the CPU.
 *
 *     const simd_kernels *k = simd_get();
 *     float d = k->l2_squared_f32(a, b, n);
 *
 * Plain C, no allocation, no errors; arrays need no alignment, and nothing outside
 * them is read. The scalar table (simd_get_for(SIMD_SCALAR)) is the oracle of the
 * others. Sums are float and may be taken in any order: results agree with the
 * scalar ones within rounding, and exactly where every partial sum is exact.
 *
 * Nothing is checked: a sum that overflows is infinite, infinities and NaNs in the
 * input go by IEEE 754 (inf - inf and 0 * inf are NaN), n = 0 gives 0.
 */
#ifndef RAG_SIMD_H
#define RAG_SIMD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* In rising order: simd_get() takes the last one that the machine has. */
typedef enum simd_isa
{
	SIMD_SCALAR = 0,			/* portable C */
	SIMD_AVX2,					/* AVX2 + FMA + F16C + BMI2 + POPCNT */
	SIMD_AVXVNNI,				/* SIMD_AVX2 + AVX-VNNI (256-bit int8 dot product) */
	SIMD_AVX512,				/* SIMD_AVX2 + F + BW + VL + DQ */
	SIMD_AVX512VNNI				/* SIMD_AVX512 + AVX512-VNNI; VPOPCNTDQ is used if there */
} simd_isa;

typedef struct simd_kernels
{
	simd_isa	isa;
	/* n elements each; l2_squared has no square root, cosine parts are separate */
	float		(*l2_squared_f32) (const float *a, const float *b, size_t n);
	float		(*dot_f32) (const float *a, const float *b, size_t n);
	float		(*l1_f32) (const float *a, const float *b, size_t n);
	/* out[0] = a.b, out[1] = a.a, out[2] = b.b in one pass */
	void		(*cosine_parts_f32) (const float *a, const float *b, size_t n, float out[3]);
	/* the same over IEEE 754 binary16, summed in float */
	float		(*l2_squared_f16) (const uint16_t *a, const uint16_t *b, size_t n);
	float		(*dot_f16) (const uint16_t *a, const uint16_t *b, size_t n);
	float		(*l1_f16) (const uint16_t *a, const uint16_t *b, size_t n);
	void		(*cosine_parts_f16) (const uint16_t *a, const uint16_t *b, size_t n, float out[3]);
	/* n elements; to the nearest, ties to even; what no f16 holds becomes infinite */
	void		(*f16_to_f32) (const uint16_t *in, float *out, size_t n);
	void		(*f32_to_f16) (const float *in, uint16_t *out, size_t n);
	/* bits that differ; out[0] = bits set in both, out[1] = in one or both */
	uint64_t	(*hamming) (const uint8_t *a, const uint8_t *b, size_t bytes);
	void		(*jaccard_parts) (const uint8_t *a, const uint8_t *b, size_t bytes, uint64_t out[2]);
} simd_kernels;

/* The best table for this CPU. The environment variable RAG_SIMD (scalar, avx2,
 * avxvnni, avx512, avx512vnni) lowers it, for tests and benchmarks: the best set up
 * to the named one is taken; another value is ignored. Read at the first call.
 * Thread safe. */
extern const simd_kernels *simd_get(void);

/* The table of one instruction set, or NULL when this CPU, its operating system or
 * this build lacks it. RAG_SIMD has no say here. */
extern const simd_kernels *simd_get_for(simd_isa isa);

/* What simd_get() chose, and its name for tables and logs. Code with kernels of its
 * own for several sets (the engine's CPU backend) chooses among them by this:
 * simd_current() >= SIMD_AVX2 has AVX2 and so on, save that SIMD_AVX512 and
 * SIMD_AVX512VNNI do not imply AVX-VNNI. */
extern simd_isa simd_current(void);
extern const char *simd_name(simd_isa isa);

/* Whether the CPU is Intel's: makes differ in what their hardware prefetches. */
extern bool simd_is_intel(void);

#endif							/* RAG_SIMD_H */
