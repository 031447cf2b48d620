/*
 * distance.h: what the distances of all types have in common.
 */
#ifndef RAG_TYPE_DISTANCE_H
#define RAG_TYPE_DISTANCE_H

#include <math.h>

/* A cosine that rounding has carried out of its range; NaN stays. */
static inline double
DistanceClampCosine(double cosine)
{
	if (cosine > 1)
		return 1;
	if (cosine < -1)
		return -1;
	return cosine;
}

/* From a.b, a.a and b.b; NaN where a or b is zero. */
static inline double
DistanceOfCosine(double ab, double aa, double bb)
{
	return 1 - DistanceClampCosine(ab / sqrt(aa * bb));
}

#endif							/* RAG_TYPE_DISTANCE_H */
