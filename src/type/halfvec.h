/*
 * halfvec.h: the halfvec type as it lies on disk. It is the dense type (dense.h) of
 * IEEE 754 binary16 elements.
 */
#ifndef RAG_TYPE_HALFVEC_H
#define RAG_TYPE_HALFVEC_H

#include "type/dense.h"

#define HALFVEC_MAX_DIM 16000

typedef struct Halfvec
{
	int32		vl_len_;		/* varlena header, do not touch directly */
	int16		dim;			/* number of dimensions */
	int16		unused;			/* reserved, always 0 */
	uint16		x[FLEXIBLE_ARRAY_MEMBER];
} Halfvec;

#define HALFVEC_SIZE(dim) (offsetof(Halfvec, x) + sizeof(uint16) * (dim))

#endif							/* RAG_TYPE_HALFVEC_H */
