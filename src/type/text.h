/*
 * text.h: what the text forms of vector, halfvec and sparsevec have in common.
 */
#ifndef RAG_TYPE_TEXT_H
#define RAG_TYPE_TEXT_H

#include "type/dense.h"

/* not isspace(), which depends on the locale */
static inline const char *
TextSkipSpace(const char *at)
{
	while (*at == ' ' || (*at >= '\t' && *at <= '\r'))
		at++;
	return at;
}

/* number.c: the number at this place and its end, with errno, as strtof() has them */
extern float TextReadFloat(const char *at, const char **end);

/* "invalid input syntax", with a detail or NULL; false where the error is saved */
extern bool TextSyntaxError(const DenseType *type, const char *input, const char *detail,
							Node *escontext);

/* "out of range" of a number of this length; false where the error is saved */
extern bool TextRangeError(const DenseType *type, const char *number, Size length,
						   Node *escontext);

#endif							/* RAG_TYPE_TEXT_H */
