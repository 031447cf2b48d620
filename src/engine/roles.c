/*
 * roles.c: what the requests of each role hold of the engine, and what they were given.
 *
 * A request counts from the step in which the first of its sequences begins until its
 * end; the tokens of a sequence count while it holds its place: for a decoder the
 * prompt and all of the answer that may come. A sequence that its role's limits do not
 * allow waits, and others pass it by. One larger than the limit runs when its
 * role has nothing else.
 */
#include "engine/engine_private.h"

#include <stdlib.h>

/* Roles that have nothing to do any more are remembered for the statistics, as many as this. */
#define ROLES_KEPT 1024

/* Forgets one that nobody needs, the least recently made first. */
static void
forget_idle(engine *e)
{
	role_account **idle = NULL;
	role_account *gone;

	for (role_account **link = &e->roles; *link; link = &(*link)->next)
	{
		if ((*link)->users == 0)
			idle = link;
	}
	if (idle == NULL)
		return;
	gone = *idle;
	*idle = gone->next;
	free(gone);
	e->role_count--;
}

role_account *
role_hold(engine *e, uint32_t role)
{
	role_account *a = e->roles;

	while (a && a->role != role)
		a = a->next;
	if (a == NULL)
	{
		if (e->role_count >= ROLES_KEPT)
			forget_idle(e);
		a = calloc(1, sizeof(*a));
		if (a == NULL)
			return NULL;
		a->role = role;
		a->next = e->roles;
		e->roles = a;
		e->role_count++;
	}
	a->users++;
	return a;
}

/*
 * No role waits with more requests than there are free places: it has at most half of what the
 * others leave, so there is room for the first requests of a role however much one asks
 * (dynamic thresholds, Choudhury and Hahne 1998).
 */
bool
role_may_wait(const engine *e, const role_account *a)
{
	return (int64_t) (a->users - a->requests) + e->queued <= e->config.max_queue;
}

void
roles_close(engine *e)
{
	while (e->roles)
	{
		role_account *a = e->roles;

		e->roles = a->next;
		free(a);
	}
}

static uint64_t
tokens_of(const sequence *s)
{
	return (uint64_t) s->capacity;
}

bool
role_allows(const sequence *s)
{
	const request *r = s->owner;
	const protocol_caller *limits = &r->caller;
	const role_account *a = r->role;

	if (!r->begun && limits->max_requests > 0 && a->requests >= limits->max_requests)
		return false;
	return limits->max_tokens == 0 || a->tokens == 0 ||
		a->tokens + tokens_of(s) <= limits->max_tokens;
}

void
role_begin(sequence *s)
{
	request    *r = s->owner;

	if (!r->begun)
	{
		r->begun = true;
		r->role->requests++;
		r->engine->queued--;
	}
	s->held = tokens_of(s);
	r->role->tokens += s->held;
}

void
role_pause(sequence *s)
{
	s->owner->role->tokens -= s->held;
	s->held = 0;
}

void
role_leave(request *r)
{
	for (uint32_t i = 0; i < r->sequence_count; i++)
		role_pause(&r->sequences[i]);
	if (r->begun)
		r->role->requests--;
	else
		r->engine->queued--;
	r->role->users--;
}

void
role_count(request *r)
{
	role_statistics *s = &r->role->statistics;

	s->requests++;
	s->prompt_tokens += r->usage.prompt_tokens;
	s->cached_tokens += r->usage.cached_tokens;
	s->generated_tokens += r->usage.completion_tokens;
	s->queue_us += r->usage.queue_us;
	s->compute_us += r->usage.compute_us;
}
