/*
 * dense.h: the types of one number per dimension, vector and halfvec: one body serves
 * both. A function that differs by the width of an element asks the DenseType.
 *
 *     Dense *v = DatumGetDense(datum);           detoasted; maybe a copy
 *     const float *x = DenseFloats(&HalfvecDense, v);
 *
 * pgvector's storage layout, so that data files, COPY BINARY streams and client
 * drivers are interchangeable:
 *     int32 varlena header, int16 dim, int16 unused (must be 0), dim elements:
 *     float4 (vector) or IEEE 754 binary16 (halfvec)
 * Every element is finite, and 1 <= dim <= max_dim.
 *
 * A function with an escontext reports through it when it is an ErrorSaveContext
 * (COPY ... ON_ERROR, pg_input_is_valid()) and then returns false, -1 or NULL; with
 * NULL it raises the error.
 */
#ifndef RAG_TYPE_DENSE_H
#define RAG_TYPE_DENSE_H

#include <math.h>

#include "fmgr.h"
#include "nodes/nodes.h"
#include "utils/array.h"

#include "simd/half.h"

typedef struct DenseType
{
	const char *name;			/* as messages say it */
	int			max_dim;
	Size		element_size;
	float		largest;		/* what is beyond it rounds to an infinite element */
} DenseType;

extern const DenseType VectorDense;
extern const DenseType HalfvecDense;

typedef struct Dense
{
	int32		vl_len_;		/* varlena header, do not touch directly */
	int16		dim;			/* number of dimensions */
	int16		unused;			/* reserved, always 0 */
	char		elements[FLEXIBLE_ARRAY_MEMBER];
} Dense;

#define DENSE_SIZE(type, dim) (offsetof(Dense, elements) + (type)->element_size * (dim))
#define DatumGetDense(d) ((Dense *) PG_DETOAST_DATUM(d))
#define PG_GETARG_DENSE_P(n) DatumGetDense(PG_GETARG_DATUM(n))

static inline bool
DenseIsHalf(const DenseType *type)
{
	return type->element_size == sizeof(uint16);
}

static inline float
DenseElement(const DenseType *type, const Dense *value, int i)
{
	if (DenseIsHalf(type))
		return half_to_float(((const uint16 *) value->elements)[i]);
	return ((const float *) value->elements)[i];
}

/* Is it finite, but not so when rounded to an element of the type? */
static inline bool
DenseOverflows(const DenseType *type, float value)
{
	return fabsf(value) > type->largest && !isinf(value);
}

/*
 * The entry points of a function that both types have, rag_vector_NAME and
 * rag_halfvec_NAME: thin, over static Datum dense_NAME(PG_FUNCTION_ARGS, type).
 */
#define DENSE_FUNCTION(name) \
	DENSE_ENTRY(name, rag_vector_##name, VectorDense) \
	DENSE_ENTRY(name, rag_halfvec_##name, HalfvecDense)
#define DENSE_ENTRY(name, entry, type) \
	PG_FUNCTION_INFO_V1(entry); \
	Datum \
	entry(PG_FUNCTION_ARGS) \
	{ \
		return dense_##name(fcinfo, &type); \
	}

/* ---- dense.c: limits and checks, with pgvector's wording ---- */

/* 1 <= dim <= max_dim; dim as the type modifier wants (-1: any); the same dim on both
 * sides of an operator; a finite element, in the range of the type */
extern bool DenseCheckDim(const DenseType *type, int dim, Node *escontext);
extern bool DenseCheckExpectedDim(int32 typmod, int dim, Node *escontext);
extern void DenseCheckSameDim(const DenseType *type, int a, int b);
extern bool DenseCheckElement(const DenseType *type, float value, Node *escontext);

/* type(3): the type modifier from the list of modifiers, a cstring array */
extern int32 DenseTypmodIn(const DenseType *type, ArrayType *modifiers);

/* ---- dense_value.c: values from floats and back ---- */

/* A zero-filled value in the current memory context; ERROR unless dim is valid. */
extern Dense *DenseMake(const DenseType *type, int dim);

/* A value of these elements; ERROR unless dim is valid and all are in range. */
extern Dense *DenseFromFloats(const DenseType *type, const float *values, int dim);

/* The elements of a value: in place, or converted to a palloc'd array. */
extern const float *DenseFloats(const DenseType *type, const Dense *value);

/* A value whose elements are computed as floats: fill x[0 .. dim - 1] between the two.
 * The end rounds them to the type, and checks nothing. */
typedef struct DenseResult
{
	Dense	   *value;
	float	   *x;				/* the value's own elements, or palloc'd */
	int			dim;
} DenseResult;

extern DenseResult DenseResultBegin(const DenseType *type, int dim);
extern Dense *DenseResultEnd(const DenseType *type, DenseResult *result);

/* The Euclidean norm, summed in double: finite for every value. */
extern double DenseNorm(const DenseType *type, const Dense *value);

/* The value divided by its norm, a new one; zero stays zero. */
extern Dense *DenseL2Normalize(const DenseType *type, const Dense *value);

/* ---- dense_text.c, dense_array.c ---- */

/* The elements of input in a palloc'd array, and how many, or -1. */
extern int	DenseParse(const DenseType *type, const char *input, float **values, Node *escontext);

/* The shortest text that reads back as the same elements, palloc'd. */
extern char *DenseFormat(const float *values, int dim);

/* How many elements an array has; ERROR unless they are in one dimension and not null. */
extern int	ArrayLength(ArrayType *array);

/* The elements of such an array of int4, float4, float8 or numeric in a palloc'd array,
 * and how many; what no float holds is infinite. ERROR at the first one that is finite
 * and out of the type's range. */
extern int	ArrayToFloats(const DenseType *type, ArrayType *array, float **values);

#endif							/* RAG_TYPE_DENSE_H */
