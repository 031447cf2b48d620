/*
 * kernels.c: the tables of an instruction set.
 */
#include "engine/cpu/kernels.h"

/*
 * AVX-512 without VNNI has no advantage over AVX2 in 8-bit products worth a table of its
 * own; AVX-VNNI has none over AVX2 in f32.
 */
cpu_kernels
kernels_get(simd_isa isa)
{
	int			fetch_rows = simd_is_intel() ? 1 : 8;

#if defined(__x86_64__)
	switch (isa)
	{
		case SIMD_AVX2:
			return (cpu_kernels) {&float_kernels_avx2, &integer_kernels_avx2, fetch_rows};
		case SIMD_AVXVNNI:
			return (cpu_kernels) {&float_kernels_avx2, &integer_kernels_avxvnni, fetch_rows};
		case SIMD_AVX512:
			return (cpu_kernels) {&float_kernels_avx512, &integer_kernels_avx2, fetch_rows};
		case SIMD_AVX512VNNI:
			return (cpu_kernels) {&float_kernels_avx512, &integer_kernels_avx512vnni, fetch_rows};
		case SIMD_SCALAR:
			break;
	}
#endif
	(void) isa;
	return (cpu_kernels) {&float_kernels_scalar, &integer_kernels_scalar, fetch_rows};
}
