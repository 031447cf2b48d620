/*
 * half.h: 16-bit floats in portable C, bit by bit as the F16C instructions do it
 * (IEEE 754 binary16, round to nearest even).
 */
#ifndef RAG_SIMD_HALF_H
#define RAG_SIMD_HALF_H

#include <stdint.h>
#include <string.h>

static inline float
half_bits_to_float(uint32_t bits)
{
	float		f;

	memcpy(&f, &bits, sizeof(f));
	return f;
}

static inline float
half_to_float(uint16_t h)
{
	uint32_t	sign = (uint32_t) (h & 0x8000) << 16;
	uint32_t	exponent = h >> 10 & 0x1F;
	uint32_t	fraction = h & 0x3FF;

	if (exponent == 0x1F)		/* infinity; NaNs become quiet */
		return half_bits_to_float(sign | 0x7F800000 | fraction << 13 |
								  (fraction != 0 ? 0x400000 : 0));
	if (exponent == 0)			/* fraction * 2^-24 */
		return half_bits_to_float(sign | 0x3F800000) * (float) fraction * 0x1p-24f;
	return half_bits_to_float(sign | (exponent + 112) << 23 | fraction << 13);
}

static inline uint16_t
half_from_float(float f)
{
	uint32_t	bits;
	uint32_t	sign;
	uint32_t	magnitude;

	memcpy(&bits, &f, sizeof(bits));
	sign = bits >> 16 & 0x8000;
	magnitude = bits & 0x7FFFFFFF;
	if (magnitude > 0x7F800000)
		return (uint16_t) (sign | 0x7E00 | (magnitude >> 13 & 0x3FF));
	if (magnitude >= 0x477FF000)	/* 65520 and above round to infinity */
		return (uint16_t) (sign | 0x7C00);
	if (magnitude < 0x38800000) /* below 2^-14: units of 2^-24; adding 0.5 aligns them */
	{
		float		aligned = half_bits_to_float(magnitude) + 0.5f;

		memcpy(&bits, &aligned, sizeof(bits));
		return (uint16_t) (sign | (bits - 0x3F000000));
	}
	magnitude += 0xFFF + (magnitude >> 13 & 1) - (112u << 23);
	return (uint16_t) (sign | magnitude >> 13);
}

static inline float
half_bfloat_to_float(uint16_t h)
{
	return half_bits_to_float((uint32_t) h << 16);
}

#endif							/* RAG_SIMD_HALF_H */
