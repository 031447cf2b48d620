/*
 * queue.c: the order in which sequences wait and run.
 *
 * Each has its place from the moment its request arrives, counted in steps of the model:
 * the step of arrival; more for the later texts of a request, one step for each, so
 * that a request of many texts does not hold up those that come after it; more or less by
 * its priority. So one of low priority waits for those that come within some steps
 * after it, and for no others: nothing starves, however much arrives.
 */
#include "engine/engine_private.h"

/* What one level of priority is worth, in steps of the model */
#define PRIORITY_STEPS 256

void
queue_append(sequence_queue *q, sequence *s)
{
	s->previous = q->last;
	s->next = NULL;
	if (q->last)
		q->last->next = s;
	else
		q->first = s;
	q->last = s;
	q->count++;
	s->queue = q;
}

void
queue_remove(sequence *s)
{
	sequence_queue *q = s->queue;

	if (q->look == s)
		q->look = s->next;
	if (s->previous)
		s->previous->next = s->next;
	else
		q->first = s->next;
	if (s->next)
		s->next->previous = s->previous;
	else
		q->last = s->previous;
	q->count--;
	s->queue = NULL;
}

bool
queue_goes_before(const sequence *a, const sequence *b)
{
	if (a->due != b->due)
		return a->due < b->due;
	if (a->owner->serial != b->owner->serial)
		return a->owner->serial < b->owner->serial;
	return a->index < b->index;
}

/* To its place, which lies behind `after` (NULL: anywhere). */
static void
insert_behind(sequence_queue *q, sequence *s, sequence *after)
{
	sequence   *next;

	/* the usual case */
	if (q->last == NULL || !queue_goes_before(s, q->last))
	{
		queue_append(q, s);
		return;
	}
	next = after ? after->next : q->first;
	while (!queue_goes_before(s, next))
		next = next->next;
	s->next = next;
	s->previous = next->previous;
	next->previous = s;
	if (s->previous)
		s->previous->next = s;
	else
		q->first = s;
	q->count++;
	s->queue = q;
}

void
queue_insert(sequence_queue *q, sequence *s)
{
	insert_behind(q, s, NULL);
}

void
queue_insert_request(sequence_queue *q, request *r)
{
	int64_t		due = r->arrived_step + (int64_t) r->caller.priority * PRIORITY_STEPS;

	for (uint32_t i = 0; i < r->sequence_count; i++)
	{
		r->sequences[i].due = due + i;
		insert_behind(q, &r->sequences[i], i > 0 ? &r->sequences[i - 1] : NULL);
	}
}
