/*
 * schedule.c: which sequences a step computes.
 *
 * Continuous batching (Orca, Yu et al. 2022) with chunked prefill (Sarathi, Agrawal et al. 2023):
 * decode tokens first, then chunks of the prompts being read, then new sequences, oldest
 * first, under the budget of max_rows tokens. New sequences with a common beginning do not
 * compute it side by side: all but one wait a step. When no block of the cache is free, the
 * newest sequence that is not in the step yet gives its blocks back and is computed again
 * later. The oldest sequence can always go on, since a sequence is accepted only if the
 * whole cache can hold it.
 *
 * A sequence that the limits of its role do not allow is passed by. Beside decode tokens a step
 * takes as much of prompts as pace.c says, and beside another model's an encoder no more texts.
 */
#include "engine/engine_private.h"

#include <string.h>

/*
 * Sequences that a step passes by because their roles have all they may have: so many at the
 * beginning of the queue, and as many further on
 */
#define MAX_PASSED 1024

/* The arrays behind the batch, which the graph sees as constant. */
typedef struct step
{
	loaded_model *model;
	int32_t    *tokens;
	int32_t    *positions;
	int32_t    *types;
	int32_t    *start;
	int32_t    *outputs;
	int32_t    *context;
	int32_t    *tables;
	int			prompt_left;	/* rows that prompts may still have */
	bool		preempted;
	int			draft_left;		/* guesses that the step may still have */
	speculation_step plan;
} step;

static void
begin_step(step *st, loaded_model *m)
{
	st->model = m;
	st->tokens = m->rows;
	st->positions = m->rows + m->max_rows;
	st->types = m->rows + 2 * m->max_rows;
	st->start = m->tables;
	st->outputs = st->start + m->max_sequences + 1;
	st->context = st->outputs + m->max_outputs;
	st->tables = st->context + m->max_sequences;
	st->preempted = false;
	m->batch.rows = 0;
	m->batch.sequences = 0;
	m->outputs.count = 0;
	st->start[0] = 0;
}

/* Rows [first, first + count) of the sequence's tokens. */
static void
add_rows(step *st, sequence *s, int first, int count)
{
	loaded_model *m = st->model;
	backend_batch *b = &m->batch;

	for (int i = 0; i < count; i++)
	{
		st->tokens[b->rows + i] = s->tokens[first + i];
		st->positions[b->rows + i] = first + i;
		if (m->batch.types)
			st->types[b->rows + i] = s->types ? s->types[first + i] : 0;
	}
	m->members[b->sequences] = s;
	b->rows += count;
	b->sequences++;
	st->start[b->sequences] = b->rows;
}

/*
 * A look for sequences that may begin. A step that has something to do need not look at all that
 * wait: when it has passed many by, it goes on where the step before it has stopped. So each is
 * looked at within some steps, however many before it may not begin.
 */
typedef struct search
{
	loaded_model *model;
	sequence   *next;
	int			passed;
	bool		further;
} search;

static sequence *
search_next(search *f)
{
	sequence   *s = f->next;

	if (s)
		f->next = s->next;
	else if (f->further)
		f->model->waiting.look = NULL;
	return s;
}

/* The last one may not begin. */
static void
search_pass(search *f)
{
	sequence_queue *q = &f->model->waiting;

	if (++f->passed < MAX_PASSED || f->model->batch.rows == 0)
		return;
	f->passed = 0;
	if (f->further)
	{
		q->look = f->next;
		f->further = false;
		f->next = NULL;
		return;
	}
	f->further = true;
	if (q->look)
		f->next = q->look;
}

bool
schedule_encoder(loaded_model *m)
{
	step		st;
	sequence   *s;
	search		f = {.model = m,.next = m->waiting.first};
	int			rows = engine_encoder_rows(m);

	begin_step(&st, m);
	if (rows > m->max_rows)
		rows = m->max_rows;
	while ((s = search_next(&f)) != NULL)
	{
		/* the first goes whatever it costs */
		if (m->batch.sequences == m->max_sequences ||
			(m->batch.rows > 0 && m->batch.rows + s->count > rows))
			break;
		if (!role_allows(s))
		{
			search_pass(&f);
			continue;
		}
		role_begin(s);
		queue_remove(s);
		queue_append(&m->running, s);
		add_rows(&st, s, 0, s->count);
	}
	return m->batch.rows > 0;
}

void
sequence_release(loaded_model *m, sequence *s)
{
	while (s->block_count > 0)
		kv_release(m->kv, s->blocks[--s->block_count]);
	s->computed = 0;
	s->registered = 0;
	s->chain = KV_ROOT;
}

/* The newest running sequence that is not in the step gives way. */
static bool
preempt(step *st, const sequence *for_whom)
{
	loaded_model *m = st->model;
	sequence   *victim = m->running.last;

	while (victim && (victim->scheduled > 0 || victim == for_whom))
		victim = victim->previous;
	if (victim == NULL || !queue_goes_before(for_whom, victim))
		return false;
	queue_remove(victim);
	role_pause(victim);
	sequence_release(m, victim);
	queue_insert(&m->waiting, victim);
	m->statistics.preemptions++;
	st->preempted = true;
	return true;
}

/* Blocks for the first tokens of s; false if there are none to be had in this step. */
static bool
reserve_blocks(step *st, sequence *s, int tokens)
{
	loaded_model *m = st->model;
	int			wanted = (tokens + KV_BLOCK_SIZE - 1) / KV_BLOCK_SIZE;

	while (s->block_count < wanted)
	{
		int			block = kv_alloc(m->kv);

		if (block >= 0)
			s->blocks[s->block_count++] = block;
		else if (!preempt(st, s))
			return false;
	}
	return true;
}

/* The guesses that the blocks of s have room for; more blocks only if nobody lacks them. */
static int
reserve_drafts(const loaded_model *m, sequence *s, int drafts)
{
	int			wanted = (s->count + drafts + KV_BLOCK_SIZE - 1) / KV_BLOCK_SIZE;
	int			room;

	while (s->block_count < wanted && kv_free(m->kv) > m->running.count)
		s->blocks[s->block_count++] = kv_alloc(m->kv);
	room = s->block_count * KV_BLOCK_SIZE - s->count;
	return drafts < room ? drafts : room;
}

/*
 * Guesses at what follows the last token of s, behind which they are written. They are no
 * part of it until the step has shown that they are right. With penalties there are none: what
 * they count would have to be counted for each guess.
 */
static void
draft(step *st, sequence *s)
{
	loaded_model *m = st->model;
	int			most = s->capacity - s->count - 1;

	most = most < st->draft_left ? most : st->draft_left;
	most = most < SPECULATE_MOST ? most : SPECULATE_MOST;
	if (most <= 0 || s->seen || (s->owner->sampling.flags & PROTOCOL_GENERATE_PLAIN) ||
		speculate_draft(s->tokens, s->count, most, s->tokens + s->count) == 0)
		return;
	if (m->options.speculation == SPECULATION_AUTO)
		most = speculate_worth(&s->speculation, &st->plan, most);
	s->drafted = reserve_drafts(m, s, most);
	st->draft_left -= s->drafted;
	m->statistics.drafted_tokens += (uint64_t) s->drafted;
}

/* The next token is wanted after each of the last rows of s: its own, and those of guesses. */
static void
add_outputs(step *st, const sequence *s)
{
	loaded_model *m = st->model;

	for (int i = 0; i <= s->drafted; i++)
	{
		int			n = m->outputs.count++;

		st->outputs[n] = m->batch.rows - 1 - s->drafted + i;
		m->params[n] = &s->sampler;
		if (i > 0)
		{
			m->draft_params[n] = s->sampler;
			m->draft_params[n].step += (uint64_t) i;
			m->params[n] = &m->draft_params[n];
		}
	}
}

/* Up to the budget of what s has left to compute. */
static bool
schedule_sequence(step *st, sequence *s)
{
	loaded_model *m = st->model;
	backend_batch *b = &m->batch;
	int			count = s->count - s->computed;
	int32_t    *table = st->tables + (size_t) b->sequences * (size_t) m->table_stride;

	s->drafted = 0;

	if (count > 1 && count > st->prompt_left)
		count = st->prompt_left;
	if (count > m->max_rows - b->rows)
		count = m->max_rows - b->rows;
	if (count <= 0 || b->sequences == m->max_sequences ||
		!reserve_blocks(st, s, s->computed + count))
		return false;
	if (s->count - s->computed > 1)
		st->prompt_left -= count;
	else
		draft(st, s);
	for (int i = 0; i < s->block_count; i++)
		table[i] = s->blocks[i];
	st->context[b->sequences] = s->computed + count + s->drafted;
	add_rows(st, s, s->computed, count + s->drafted);
	s->scheduled = count;
	if (s->computed + count == s->count)
		add_outputs(st, s);
	return true;
}

/* The running sequences of one kind: with one token to compute, or with more. */
static void
schedule_running(step *st, bool decode)
{
	for (sequence *s = st->model->running.first; s; s = s->next)
	{
		if (s->scheduled == 0 && (s->count - s->computed == 1) == decode)
			schedule_sequence(st, s);
	}
}

/*
 * Takes over the blocks that hold the sequence's beginning already. The last token is
 * always computed: its logits are wanted.
 */
static void
take_prefix(loaded_model *m, sequence *s)
{
	int			most = (s->count - 1) / KV_BLOCK_SIZE;

	while (s->block_count < most)
	{
		uint64_t	identity;
		int			block = kv_lookup(m->kv, s->chain, s->tokens + s->block_count * KV_BLOCK_SIZE,
									  &identity);

		if (block < 0)
			break;
		kv_acquire(m->kv, block);
		s->blocks[s->block_count++] = block;
		s->chain = identity;
	}
	s->registered = s->block_count;
	s->computed = s->block_count * KV_BLOCK_SIZE;
}

/*
 * True if this step computes the block that s, whose cached prefix has been taken, would
 * begin with: s does better to start in the next step and share it.
 */
static bool
computed_by_another(const loaded_model *m, const sequence *s)
{
	int			first = s->block_count * KV_BLOCK_SIZE;

	if (first + KV_BLOCK_SIZE >= s->count)
		return false;
	for (int i = 0; i < m->batch.sequences; i++)
	{
		const sequence *other = m->members[i];

		if (other->chain == s->chain && other->registered == s->block_count &&
			first + KV_BLOCK_SIZE <= other->computed + other->scheduled &&
			memcmp(other->tokens + first, s->tokens + first,
				   KV_BLOCK_SIZE * sizeof(*s->tokens)) == 0)
			return true;
	}
	return false;
}

/*
 * True if the cache has room for all of the tokens of s, and one block more for each
 * running sequence: else the first of them to grow would take the new one's blocks away.
 */
static bool
has_room(const loaded_model *m, const sequence *s)
{
	int			needed = (s->count + KV_BLOCK_SIZE - 1) / KV_BLOCK_SIZE - s->block_count;

	return kv_free(m->kv) >= needed + m->running.count;
}

static void
start_sequence(step *st, sequence *s)
{
	loaded_model *m = st->model;

	role_begin(s);
	queue_remove(s);
	queue_insert(&m->running, s);
	if (s->owner->started_us == 0)
	{
		speculate_start(&s->speculation, &m->speculation);
		s->owner->usage.cached_tokens = (uint32_t) s->computed;
		m->statistics.prefix_hit_tokens += (uint64_t) s->computed;
		m->statistics.prefix_query_tokens += (uint64_t) s->count;
	}
	schedule_sequence(st, s);
}

/* Waiting sequences start, in order, until the first that has to wait for room. */
static void
admit(step *st)
{
	loaded_model *m = st->model;
	sequence   *s;
	search		f = {.model = m,.next = m->waiting.first};

	while ((s = search_next(&f)) != NULL)
	{
		if (m->running.count >= m->max_sequences || m->batch.rows >= m->max_rows || st->prompt_left <= 0)
			return;
		if (!role_allows(s))
		{
			search_pass(&f);
			continue;
		}
		take_prefix(m, s);
		if (computed_by_another(m, s))
			sequence_release(m, s);
		else if (has_room(m, s))
			start_sequence(st, s);
		else
		{
			sequence_release(m, s);
			return;
		}
	}
}

/*
 * Guesses are for a step that has room beside all that it has to compute: none when the batch is
 * full, and as many as pay beside so many sequences (speculate_worth). Where prompts wait both share
 * the time that the step may take beyond its usual one.
 */
static void
plan_drafts(step *st, int generating, bool prompts)
{
	const loaded_model *m = st->model;
	speculation_step *plan = &st->plan;
	float		room = prompts ? pace_guess_room(&m->pace, generating) : -1;

	*plan = (speculation_step) {.tokens = (float) generating};
	st->draft_left = m->max_outputs - m->max_sequences;
	/* beside none there is nothing to compare with: one that is admitted with all but its last
	 * token in the cache guesses from its next step on */
	if (m->options.speculation == SPECULATION_AUTO &&
		(generating == 0 || (m->running.count > 1 && m->running.count == m->max_sequences) ||
		 (prompts && pace_measures(&m->pace, generating))))
		st->draft_left = 0;
	if (generating == 0 || st->draft_left == 0)
		return;
	for (int i = SPECULATE_ROWS; i >= 0; i--)
	{
		plan->time[i] = pace_estimate(&m->pace, generating + i);
		/* others on the machine can make a step longer, but not shorter: the shorter time is right */
		if (i < SPECULATE_ROWS && plan->time[i] > plan->time[i + 1])
			plan->time[i] = plan->time[i + 1];
	}
	while (room >= 0 && st->draft_left > 0 && plan->time[st->draft_left] - plan->time[0] > room)
		st->draft_left--;
}

bool
schedule_decoder(loaded_model *m)
{
	step		st;
	int			generating = 0;

	begin_step(&st, m);
	for (sequence *s = m->running.first; s; s = s->next)
	{
		s->scheduled = 0;
		generating += s->count - s->computed == 1;
	}
	plan_drafts(&st, generating, m->waiting.count > 0 || m->running.count > generating);
	st.prompt_left = m->max_rows;
	schedule_running(&st, true);
	m->decode_sequences = m->batch.sequences;
	m->decode_rows = m->batch.rows;
	st.prompt_left = pace_allows(&m->pace, m->decode_sequences, m->decode_rows);
	schedule_running(&st, false);
	if (!st.preempted)
		admit(&st);
	return m->batch.rows > 0;
}
