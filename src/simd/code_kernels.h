/*
 * code_kernels.h: what code.c needs of an instruction set.
 */
#ifndef RAG_SIMD_CODE_KERNELS_H
#define RAG_SIMD_CODE_KERNELS_H

#include "simd/simd.h"

/* The byte of a code that stands for 0, and the largest 16-bit integer of code and fine. */
#define CODE_MIDDLE 128
#define CODE_FINE_LIMIT (127 * 256 + 127)

typedef struct code_extent
{
	double		largest;		/* magnitude */
	double		squares;		/* their sum */
} code_extent;

typedef struct code_rounding
{
	int32_t		code_squares;	/* the sum of squares of the code, in its units */
	double		residue_squares;	/* of what code and fine leave out */
} code_rounding;

/* Arrays of n doubles are padded with zeros to a multiple of eight where it says so. */
typedef struct code_kernels
{
	/* The sum of (code[i] - CODE_MIDDLE) * steps[i]; steps are not below -127 and
	 * steps_sum is their sum. */
	int32_t		(*dot) (const uint8_t *code, const int8_t *steps, size_t n, int32_t steps_sum);
	/* That of count codes, which are asked for some time before they are read. */
	void		(*dot_many) (const uint8_t *const *codes, size_t count, const int8_t *steps, size_t n,
							 int32_t steps_sum, int32_t *dots);
	/* The same of two codes. */
	int32_t		(*between) (const uint8_t *a, const uint8_t *b, size_t n);
	/* x[i] * signs[i] * factor, then the Walsh-Hadamard transform; n is a power of two. */
	void		(*hadamard) (double *x, const int8_t *signs, size_t n, double factor);
	/* x is padded */
	void		(*measure) (const double *x, size_t n, code_extent *extent);
	/* To integers of 16 bits, unit > 0; x is padded, code and fine have room for as much. */
	void		(*round) (const double *x, size_t n, double unit, uint8_t *code, uint8_t *fine,
						  code_rounding *rounding);
	/* The squared distance and the dot product of the query, which is padded, and of code
	 * and fine. */
	double		(*fine_l2) (const double *query, const uint8_t *code, const uint8_t *fine, size_t n,
							double unit);
	double		(*fine_dot) (const double *query, const uint8_t *code, const uint8_t *fine, size_t n,
							 double unit);
} code_kernels;

/* one table from the functions that are in scope under these names */
#define CODE_KERNELS { \
	.dot = code_dot, \
	.dot_many = code_dot_many, \
	.between = code_between_bytes, \
	.hadamard = code_hadamard, \
	.measure = code_measure, \
	.round = code_round, \
	.fine_l2 = code_fine_l2, \
	.fine_dot = code_fine_dot, \
}

extern const code_kernels code_kernels_scalar;

#if defined(__x86_64__)
extern const code_kernels code_kernels_avx2;
extern const code_kernels code_kernels_avxvnni;
extern const code_kernels code_kernels_avx512vnni;
#endif

/* The table of a set that simd_get_for() has found. */
extern const code_kernels *code_kernels_for(simd_isa isa);

/* A step of a code: its lowest byte is never made, but may be read from a damaged one. */
static inline int
code_step(uint8_t byte)
{
	return byte == 0 ? 1 - CODE_MIDDLE : byte - CODE_MIDDLE;
}

#endif							/* RAG_SIMD_CODE_KERNELS_H */
