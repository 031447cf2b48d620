/*
 * exact.h: exact nearest neighbours, without an index: ORDER BY column <-> value LIMIT k as
 * one node of a plan, which reads all rows and keeps the k nearest.
 *
 *     Limit
 *       ->  Custom Scan (ExactNearest) on t
 *             Distance: (v <-> '[1,2,3]'::vector)
 *             Nearest Rows: 10
 *             ->  Seq Scan on t
 *
 * PostgreSQL's own plan has a Sort in its place. That computes the distance as a column,
 * makes a copy of every row, and then finds that most copies are not needed.
 *
 * Only _PG_init and the two files of this room include this.
 */
#ifndef RAG_EXACT_EXACT_H
#define RAG_EXACT_EXACT_H

#include "nodes/extensible.h"
#include "nodes/pg_list.h"
#include "nodes/primnodes.h"

/* What is ordered by: a call of a distance function, as an operator or a function. */
typedef struct ExactOrder
{
	Expr	   *call;
	Oid			function;
	int			column;			/* which argument depends on the row, 0 or 1; the other one does not */
} ExactOrder;


/* ---- exact_path.c ---- */

/* False when the expression is nothing that can be ordered by here. */
extern bool ExactFindOrder(Expr *expression, ExactOrder *order);

/* ---- exact_scan.c ---- */

extern const CustomScanMethods ExactScanMethods;

/* What a plan's node says to its execution: a list for custom_private. The call itself is the
 * only one of custom_exprs. */
extern List *ExactMakePrivate(const ExactOrder *order, int limit);

#endif							/* RAG_EXACT_EXACT_H */
