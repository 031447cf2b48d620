/*
 * cuda_fp16.h: the few words of CUDA's 16-bit floats that kernels use.
 */
#ifndef EMULATOR_CUDA_FP16_H
#define EMULATOR_CUDA_FP16_H

#include <cstring>

struct __half
{
	unsigned short bits;
};

static inline float
__half2float(__half h)
{
	_Float16	f;

	memcpy(&f, &h, sizeof(f));
	return (float) f;
}

static inline __half
__float2half_rn(float x)
{
	_Float16	f = (_Float16) x;
	__half		h;

	memcpy(&h, &f, sizeof(h));
	return h;
}

static inline unsigned short
__half_as_ushort(__half h)
{
	return h.bits;
}

static inline __half
__ushort_as_half(unsigned short bits)
{
	return __half {bits};
}

#endif							/* EMULATOR_CUDA_FP16_H */
