/*
 * distances.h: the functions of this library that are behind the distance operators of
 * vector, halfvec, sparsevec and bit, for code that looks for calls of them.
 */
#ifndef RAG_TYPE_DISTANCES_H
#define RAG_TYPE_DISTANCES_H

/* Is this the function of an operator <->, <#>, <=>, <+>, <~> or <%>, or one like it? Each is
 * strict, takes two values and returns a float8. No error, whatever the OID. */
extern bool IsDistanceFunction(Oid function);

#endif							/* RAG_TYPE_DISTANCES_H */
