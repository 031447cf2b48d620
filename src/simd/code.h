/*
 * code.h: vectors in one or two bytes a dimension, and distances between them.
 *
 * A vector is taken relative to a centre, turned by a random rotation that is the same
 * for all vectors of a space, and rounded to integers of a scale of its own. After
 * the rotation all coordinates are about equally large, whatever the data, so that one
 * scale does for all of them. A byte a dimension (the code) is enough to walk a graph;
 * another byte (fine) makes it 16 bits and the distance certain to a small bound.
 *
 *     code_space *space = code_space_init(memory, CODE_L2, dimensions, centre, seed);
 *     code_query *query = code_query_init(memory, space, x);
 *     code_encode(query, &head, code, fine);
 *     float d = code_estimate(query, &other_head, other_code);
 *     code_distance near = code_refine(query, &other_head, other_code, other_fine);
 *
 * Plain C, no allocation, no errors: the caller gives memory of the size asked for,
 * aligned to 8 bytes. All finite floats are good input; no result is a NaN, and no
 * distance infinite, even of codes that were damaged on their way. Squares and products
 * beyond FLT_MAX count as FLT_MAX in an estimate. Every instruction set gives the same
 * bits.
 *
 * The rotation: N. Ailon, B. Chazelle, "The fast Johnson-Lindenstrauss transform", 2009;
 * random signs and fast Walsh-Hadamard transforms.
 */
#ifndef RAG_SIMD_CODE_H
#define RAG_SIMD_CODE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CODE_MAX_DIMENSIONS 16000

typedef enum code_metric
{
	CODE_L2,					/* the square of the Euclidean distance */
	CODE_INNER_PRODUCT			/* the negative inner product */
} code_metric;

/* What is stored with each code; directly before it, where many are estimated. */
typedef struct code_head
{
	float		scale;			/* of a unit of the code */
	float		error;			/* at least |x - what code and fine say|; infinite: unknown */
	float		term;			/* what of a distance depends on this vector alone */
	float		offset;			/* the inner product with the centre; 0 for CODE_L2 */
} code_head;

typedef struct code_space code_space;
typedef struct code_query code_query;

typedef struct code_distance
{
	double		distance;
	double		bound;			/* the true distance is no farther off; may be infinite */
} code_distance;

/* Bytes of head and code. The fine part has a byte for each dimension. */
extern size_t code_size(size_t dimensions);

/* All vectors that are compared are of one space: same dimensions (1 to
 * CODE_MAX_DIMENSIONS), centre and seed. The centre, best the mean of the data, is copied;
 * NULL is the origin. Read-only from then on. */
extern size_t code_space_size(size_t dimensions);
extern code_space *code_space_init(void *memory, code_metric metric, size_t dimensions,
								   const float *centre, uint64_t seed);

/* A vector that others are compared with. The space must outlive it. */
extern size_t code_query_size(size_t dimensions);
extern code_query *code_query_init(void *memory, const code_space *space, const float *x);
/* The same of a vector that is known by its code only. It has estimates, no refined
 * distances, and cannot be encoded. */
extern code_query *code_query_init_coded(void *memory, const code_space *space, const code_head *head,
										 const uint8_t *code);

/* Encodes the vector of a query. fine may be NULL. */
extern void code_encode(const code_query *query, code_head *head, uint8_t *code, uint8_t *fine);

/* The distance of the codes: symmetric, and for CODE_L2 never negative. */
extern float code_estimate(const code_query *query, const code_head *head, const uint8_t *code);
/*
 * The same for n heads that are each followed by their code, loaded ahead. Where the first
 * part of a code makes it as good as certain that the distance is beyond limit (INFINITY:
 * it never is), the rest is not read, the distance is a guess, which is beyond limit, and
 * rough is true.
 */
extern void code_estimate_many(const code_query *query, size_t n, const code_head *const *heads,
							   float limit, float *distances, bool *rough);
/* How many bytes it reads of every one: the head and a code, or the first part of that. */
extern size_t code_estimate_bytes(const code_query *query, float limit);
extern float code_between(const code_space *space, const code_head *a_head, const uint8_t *a_code,
						  const code_head *b_head, const uint8_t *b_code);

/* The distance by 16 bits, and how far at most it is from that of the vectors themselves in
 * exact arithmetic. */
extern code_distance code_refine(const code_query *query, const code_head *head, const uint8_t *code,
								 const uint8_t *fine);

#endif							/* RAG_SIMD_CODE_H */
