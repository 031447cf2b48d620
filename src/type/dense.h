/*
 * dense.h: what types of one number per dimension have in common: their limits,
 * checks with their messages, the text form "[1,2.5,3]", and arrays as a source.
 *
 *     DenseCheckDim(&VectorDense, dim, NULL);
 *
 * A function with an escontext reports through it when it is an ErrorSaveContext
 * (COPY ... ON_ERROR, pg_input_is_valid()) and then returns false or -1; with NULL
 * it raises the error. Nothing here knows how a type lies on disk.
 */
#ifndef RAG_TYPE_DENSE_H
#define RAG_TYPE_DENSE_H

#include "nodes/nodes.h"
#include "utils/array.h"

typedef struct DenseType
{
	const char *name;			/* as messages say it */
	int			max_dim;
} DenseType;

/* dense.c: 1 <= dim <= max_dim; dim as the type modifier wants (-1: any); the same
 * dim on both sides of an operator; a finite element */
extern bool DenseCheckDim(const DenseType *type, int dim, Node *escontext);
extern bool DenseCheckExpectedDim(int32 typmod, int dim, Node *escontext);
extern void DenseCheckSameDim(const DenseType *type, int a, int b);
extern bool DenseCheckElement(const DenseType *type, float value, Node *escontext);

/* type(3): the type modifier from the list of modifiers, a cstring array */
extern int32 DenseTypmodIn(const DenseType *type, ArrayType *modifiers);

/* dense_text.c: the elements of input in a palloc'd array, and how many, or -1 */
extern int	DenseParse(const DenseType *type, const char *input, float **values, Node *escontext);

/* the shortest text that reads back as the same elements, palloc'd */
extern char *DenseFormat(const float *values, int dim);

/* dense_array.c: the elements of an int4, float4, float8 or numeric array in a
 * palloc'd array, and how many; not yet checked, what no float holds is infinite */
extern int	DenseFromArray(const DenseType *type, ArrayType *array, int32 typmod, float **values);

#endif							/* RAG_TYPE_DENSE_H */
