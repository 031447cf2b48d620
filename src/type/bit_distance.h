/*
 * bit_distance.h: distances of bit strings of the same length.
 */
#ifndef RAG_TYPE_BIT_DISTANCE_H
#define RAG_TYPE_BIT_DISTANCE_H

#include "utils/varbit.h"

/* ERROR "different bit lengths %u and %u" unless a has this length. */
extern void BitCheckSameLength(const VarBit *a, int length);

/* The number of bits that differ. */
extern uint64 BitHamming(const VarBit *a, const VarBit *b);

/* 1 - bits set in both / bits set in one or both; 1 when none is set in both. */
extern double BitJaccard(const VarBit *a, const VarBit *b);

#endif							/* RAG_TYPE_BIT_DISTANCE_H */
