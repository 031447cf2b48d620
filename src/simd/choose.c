/*
 * choose.c: which instruction set this CPU has, and the table for it.
 *
 * A CPU may have instructions that the operating system does not save between
 * threads (XCR0 says which registers it does), and hypervisors hide single features,
 * so every set is tested by all the features that its files are compiled for.
 */
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "simd/code_kernels.h"
#include "simd/kernels.h"

#define SIMD_ISA_COUNT (SIMD_AVX512VNNI + 1)

static const char *const isa_names[SIMD_ISA_COUNT] = {
	[SIMD_SCALAR] = "scalar",
	[SIMD_AVX2] = "avx2",
	[SIMD_AVXVNNI] = "avxvnni",
	[SIMD_AVX512] = "avx512",
	[SIMD_AVX512VNNI] = "avx512vnni",
};

#if defined(__x86_64__)

#include <cpuid.h>

/* Bits of CPUID and XCR0: Intel's Software Developer's Manual, volume 2, CPUID. */
#define LEAF1_ECX_FMA			(1u << 12)
#define LEAF1_ECX_POPCNT		(1u << 23)
#define LEAF1_ECX_OSXSAVE		(1u << 27)
#define LEAF1_ECX_AVX			(1u << 28)
#define LEAF1_ECX_F16C			(1u << 29)
#define LEAF7_EBX_AVX2			(1u << 5)
#define LEAF7_EBX_BMI2			(1u << 8)
#define LEAF7_EBX_AVX512F		(1u << 16)
#define LEAF7_EBX_AVX512DQ		(1u << 17)
#define LEAF7_EBX_AVX512BW		(1u << 30)
#define LEAF7_EBX_AVX512VL		(1u << 31)
#define LEAF7_ECX_AVX512VNNI	(1u << 11)
#define LEAF7_ECX_VPOPCNTDQ		(1u << 14)
#define LEAF7_1_EAX_AVXVNNI		(1u << 4)
#define XCR0_YMM				0x06u	/* SSE and AVX registers */
#define XCR0_ZMM				0xe6u	/* and masks and both parts of AVX-512 */

typedef struct cpu_features
{
	unsigned	leaf1_ecx;
	unsigned	leaf7_ebx;
	unsigned	leaf7_ecx;
	unsigned	leaf7_1_eax;
	unsigned	xcr0;
} cpu_features;

static bool
has_all(unsigned word, unsigned bits)
{
	return (word & bits) == bits;
}

static void
read_cpu_features(cpu_features *cpu)
{
	unsigned	eax,
				ebx,
				ecx,
				edx;

	memset(cpu, 0, sizeof(*cpu));
	if (!__get_cpuid(1, &eax, &ebx, &ecx, &edx))
		return;
	cpu->leaf1_ecx = ecx;
	if (has_all(ecx, LEAF1_ECX_OSXSAVE))
	{
		unsigned	high;

		__asm__ volatile("xgetbv" : "=a" (cpu->xcr0), "=d" (high) : "c" (0));
	}
	if (!__get_cpuid_count(7, 0, &eax, &ebx, &ecx, &edx))
		return;
	cpu->leaf7_ebx = ebx;
	cpu->leaf7_ecx = ecx;
	/* leaf 7.0 gives the last subleaf; beyond it the answer means nothing */
	if (eax >= 1 && __get_cpuid_count(7, 1, &eax, &ebx, &ecx, &edx))
		cpu->leaf7_1_eax = eax;
}

static bool
has_avx2(const cpu_features *cpu)
{
	return has_all(cpu->xcr0, XCR0_YMM) &&
		has_all(cpu->leaf1_ecx, LEAF1_ECX_FMA | LEAF1_ECX_POPCNT | LEAF1_ECX_OSXSAVE |
				LEAF1_ECX_AVX | LEAF1_ECX_F16C) &&
		has_all(cpu->leaf7_ebx, LEAF7_EBX_AVX2 | LEAF7_EBX_BMI2);
}

static bool
has_avx512(const cpu_features *cpu)
{
	return has_avx2(cpu) && has_all(cpu->xcr0, XCR0_ZMM) &&
		has_all(cpu->leaf7_ebx, LEAF7_EBX_AVX512F | LEAF7_EBX_AVX512DQ |
				LEAF7_EBX_AVX512BW | LEAF7_EBX_AVX512VL);
}

const simd_kernels *
simd_get_for(simd_isa isa)
{
	cpu_features cpu;

	read_cpu_features(&cpu);
	switch (isa)
	{
		case SIMD_SCALAR:
			return &simd_kernels_scalar;
		case SIMD_AVX2:
			return has_avx2(&cpu) ? &simd_kernels_avx2 : NULL;
		case SIMD_AVXVNNI:
			return has_avx2(&cpu) && has_all(cpu.leaf7_1_eax, LEAF7_1_EAX_AVXVNNI) ?
				&simd_kernels_avxvnni : NULL;
		case SIMD_AVX512:
			return has_avx512(&cpu) ? &simd_kernels_avx512 : NULL;
		case SIMD_AVX512VNNI:
			if (!has_avx512(&cpu) || !has_all(cpu.leaf7_ecx, LEAF7_ECX_AVX512VNNI))
				return NULL;
			return has_all(cpu.leaf7_ecx, LEAF7_ECX_VPOPCNTDQ) ?
				&simd_kernels_avx512popcnt : &simd_kernels_avx512vnni;
	}
	return NULL;
}

const code_kernels *
code_kernels_for(simd_isa isa)
{
	switch (isa)
	{
		case SIMD_SCALAR:
			break;
		case SIMD_AVX2:
		case SIMD_AVX512:
			return &code_kernels_avx2;
		case SIMD_AVXVNNI:
			return &code_kernels_avxvnni;
		case SIMD_AVX512VNNI:
			return &code_kernels_avx512vnni;
	}
	return &code_kernels_scalar;
}

bool
simd_is_intel(void)
{
	unsigned	eax,
				ebx = 0,
				ecx = 0,
				edx = 0;

	return __get_cpuid(0, &eax, &ebx, &ecx, &edx) && ebx == signature_INTEL_ebx &&
		edx == signature_INTEL_edx && ecx == signature_INTEL_ecx;
}

#else

const simd_kernels *
simd_get_for(simd_isa isa)
{
	return isa == SIMD_SCALAR ? &simd_kernels_scalar : NULL;
}

const code_kernels *
code_kernels_for(simd_isa isa)
{
	(void) isa;
	return &code_kernels_scalar;
}

bool
simd_is_intel(void)
{
	return false;
}

#endif

/* The highest set that RAG_SIMD allows; a name that is none of ours allows all. */
static simd_isa
allowed_isa(void)
{
	const char *name = getenv("RAG_SIMD");

	for (int isa = 0; name != NULL && isa < SIMD_ISA_COUNT; isa++)
	{
		if (strcmp(name, isa_names[isa]) == 0)
			return (simd_isa) isa;
	}
	return SIMD_AVX512VNNI;
}

const simd_kernels *
simd_get(void)
{
	/* Threads that come here first at once all find the same table. */
	static _Atomic(const simd_kernels *) chosen;
	const simd_kernels *kernels = atomic_load_explicit(&chosen, memory_order_relaxed);

	if (kernels == NULL)
	{
		int			isa = allowed_isa();

		while ((kernels = simd_get_for((simd_isa) isa)) == NULL)
			isa--;				/* ends at SIMD_SCALAR, which every machine has */
		atomic_store_explicit(&chosen, kernels, memory_order_relaxed);
	}
	return kernels;
}

simd_isa
simd_current(void)
{
	return simd_get()->isa;
}

const char *
simd_name(simd_isa isa)
{
	return (unsigned) isa < SIMD_ISA_COUNT ? isa_names[isa] : "unknown";
}
