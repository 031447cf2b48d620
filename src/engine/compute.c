/*
 * compute.c: one step of one model, and what comes of it.
 */
#include "engine/engine_private.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Marks the beginning of the requests that are in a step for the first time. */
static void
note_start(loaded_model *m, uint64_t now)
{
	for (int i = 0; i < m->batch.sequences; i++)
	{
		request    *r = m->members[i]->owner;

		if (r->started_us == 0)
		{
			r->started_us = now;
			r->usage.queue_us = now - r->arrived_us;
		}
	}
}

static void
note_batch(loaded_model *m)
{
	m->statistics.batched_sequences += (uint64_t) m->batch.sequences;
	m->statistics.batched_rows += (uint64_t) m->batch.rows;
}

/* Ends a request of the step with an error, and takes its sequences out of the step. */
static void
fail_member(loaded_model *m, request *r, const engine_error *error)
{
	size_t		width = m->kv ? 0 : (size_t) graph_encode_width(m->graph);
	int			kept = 0;

	/* request_fail frees all sequences of the request */
	for (int i = 0; i < m->batch.sequences; i++)
	{
		if (m->members[i]->owner == r)
			continue;
		m->members[kept] = m->members[i];
		if (kept < i && width > 0)
			memcpy(m->vectors + (size_t) kept * width, m->vectors + (size_t) i * width, width * sizeof(float));
		kept++;
	}
	m->batch.sequences = kept;
	request_fail(r, error);
}

/* A step that failed: its requests get the error; the cache holds nothing to rely on. */
static void
fail_members(loaded_model *m, const engine_error *error)
{
	if (error->code == ENGINE_DIED)
		strcpy(m->engine->device_lost, error->message);
	while (m->batch.sequences > 0)
		fail_member(m, m->members[0]->owner, error);
	if (m->kv)
		kv_forget(m->kv);
}

static bool
all_finite(const float *vector, int width)
{
	for (int i = 0; i < width; i++)
	{
		if (!isfinite(vector[i]))
			return false;
	}
	return true;
}

/* Requests whose vectors are none, as an unsound model makes them, are not answered with them. */
static void
fail_not_finite(loaded_model *m, int width)
{
	engine_error error;
	int			i = 0;

	while (i < m->batch.sequences)
	{
		if (all_finite(m->vectors + (size_t) i * (size_t) width, width))
		{
			i++;
			continue;
		}
		engine_fail(&error, ENGINE_CORRUPT, "the model's result for a text is not a finite number");
		fail_member(m, m->members[i]->owner, &error);
		/* some before it may have been of the same request */
		i = 0;
	}
}

/* Matryoshka: the first dimensions, of unit length again if the whole was. */
static void
shorten(float *vector, uint32_t dimensions, bool normalize)
{
	double		sum = 0;

	for (uint32_t i = 0; normalize && i < dimensions; i++)
		sum += (double) vector[i] * vector[i];
	for (uint32_t i = 0; normalize && sum > 0 && i < dimensions; i++)
		vector[i] = (float) (vector[i] / sqrt(sum));
}

static void
give_vector(loaded_model *m, sequence *s, float *vector)
{
	request    *r = s->owner;
	protocol_writer *out = &m->engine->output;

	role_pause(s);
	r->usage.prompt_tokens += (uint32_t) s->count;
	m->statistics.embedded_tokens += (uint64_t) s->count;
	if (r->type == PROTOCOL_RERANK)
		r->scores[s->index] = vector[0];
	else
	{
		if (r->dimensions < m->info.dimensions)
			shorten(vector, r->dimensions, model_get_config(m->files)->normalize);
		protocol_begin(out, PROTOCOL_VECTOR, r->id);
		protocol_put_u32(out, s->index);
		protocol_put_u32(out, r->dimensions);
		protocol_put_f32s(out, vector, r->dimensions);
		protocol_end(out);
	}
	if (--r->remaining == 0)
	{
		if (r->type == PROTOCOL_RERANK)
		{
			protocol_begin(out, PROTOCOL_VECTOR, r->id);
			protocol_put_u32(out, 0);
			protocol_put_u32(out, r->sequence_count);
			protocol_put_f32s(out, r->scores, r->sequence_count);
			protocol_end(out);
		}
		request_finish(r);
	}
}

static bool
compute_encoder(loaded_model *m)
{
	engine_error error;
	uint64_t	begun;
	int			width = graph_encode_width(m->graph);
	int			count;

	if (!schedule_encoder(m))
		return false;
	begun = engine_now();
	note_start(m, begun);
	note_batch(m);
	if (!graph_encode(m->graph, &m->batch, m->vectors, &error))
	{
		fail_members(m, &error);
		return true;
	}
	m->step_us = engine_now();
	pace_note(&m->pace, 0, m->batch.rows, m->step_us - begun);
	rate_add(&m->statistics.rate, m->step_us, (uint64_t) m->batch.rows);
	fail_not_finite(m, width);
	count = m->batch.sequences;
	for (int i = 0; i < count; i++)
		queue_remove(m->members[i]);
	for (int i = 0; i < count; i++)
		give_vector(m, m->members[i], m->vectors + (size_t) i * (size_t) width);
	return true;
}

/* The penalties count what was generated. */
static void
count_seen(sequence *s, int32_t token)
{
	int			low = 0,
				high = s->sampler.seen_count;

	if (s->seen == NULL)
		return;
	while (low < high)
	{
		int			middle = (low + high) / 2;

		if (s->seen[middle] < token)
			low = middle + 1;
		else
			high = middle;
	}
	if (low == s->sampler.seen_count || s->seen[low] != token)
	{
		size_t		rest = (size_t) (s->sampler.seen_count - low);

		memmove(s->seen + low + 1, s->seen + low, rest * sizeof(*s->seen));
		memmove(s->seen_output + low + 1, s->seen_output + low, rest * sizeof(*s->seen_output));
		s->seen[low] = token;
		s->seen_output[low] = 0;
		s->sampler.seen_count++;
	}
	s->seen_output[low]++;
}

static void
give_text(loaded_model *m, sequence *s)
{
	text_output *t = &s->output;
	protocol_writer *out = &m->engine->output;

	if (t->ready == 0)
		return;
	protocol_begin(out, PROTOCOL_PIECE, s->owner->id);
	protocol_put_string(out, t->data, t->ready);
	protocol_end(out);
	text_output_take(t, t->ready);
}

static void
finish_generation(loaded_model *m, sequence *s, protocol_finish finish)
{
	request    *r = s->owner;

	r->usage.finish = finish;
	r->usage.prompt_tokens = (uint32_t) s->prompt;
	if (!s->output.stopped && !text_output_finish(&s->output))
	{
		engine_error error;

		engine_fail_memory(&error, "the answer");
		request_fail(r, &error);
		return;
	}
	give_text(m, s);
	queue_remove(s);
	sequence_release(m, s);
	request_finish(r);
}

static bool
push_piece(loaded_model *m, sequence *s, int32_t token)
{
	char		small[256];
	size_t		length = tokenizer_piece(m->tokenizer, token, small, sizeof(small));
	char	   *large;
	bool		good;

	if (length <= sizeof(small))
		return text_output_push(&s->output, small, length);
	large = malloc(length);
	if (large == NULL)
		return false;
	tokenizer_piece(m->tokenizer, token, large, length);
	good = text_output_push(&s->output, large, length);
	free(large);
	return good;
}

/* The model is unsound. What else it left in the cache may be no numbers either. */
static void
fail_token(loaded_model *m, request *r)
{
	engine_error error;

	engine_fail(&error, ENGINE_CORRUPT, "the model's logits for the next token have no finite number");
	request_fail(r, &error);
	kv_forget(m->kv);
}

/* The token that was chosen for s goes to its text, or ends it. True if it goes on. */
static bool
take_token(loaded_model *m, sequence *s, int32_t token)
{
	request    *r = s->owner;

	if (token == BACKEND_NO_TOKEN)
	{
		fail_token(m, r);
		return false;
	}
	if (r->usage.completion_tokens++ == 0)
		r->usage.prompt_us = m->step_us - r->started_us;
	m->statistics.generated_tokens++;
	if (tokenizer_is_end(m->tokenizer, token))
	{
		finish_generation(m, s, PROTOCOL_FINISH_STOP);
		return false;
	}
	s->tokens[s->count++] = token;
	s->sampler.step++;
	count_seen(s, token);
	if (!push_piece(m, s, token))
	{
		engine_error error;

		engine_fail_memory(&error, "the answer");
		request_fail(r, &error);
		return false;
	}
	if (s->output.stopped || s->count == s->capacity)
	{
		finish_generation(m, s, s->output.stopped ? PROTOCOL_FINISH_STOP : PROTOCOL_FINISH_LENGTH);
		return false;
	}
	if (r->sampling.flags & PROTOCOL_GENERATE_STREAM)
		give_text(m, s);
	return true;
}

/* Tokens more are in the cache now: full blocks can be shared. */
static void
note_computed(loaded_model *m, sequence *s, int tokens)
{
	int			end = s->computed + tokens;
	int			prompt_end = end < s->prompt ? end : s->prompt;

	if (prompt_end > s->computed)
		m->statistics.prompt_tokens += (uint64_t) (prompt_end - s->computed);
	s->computed = end;
	while ((s->registered + 1) * KV_BLOCK_SIZE <= s->computed)
	{
		s->chain = kv_register(m->kv, s->blocks[s->registered], s->chain,
							   s->tokens + s->registered * KV_BLOCK_SIZE);
		s->registered++;
	}
}

/* Blocks that only guesses had been put into, which were wrong. */
static void
trim_blocks(loaded_model *m, sequence *s)
{
	int			needed = (s->count + KV_BLOCK_SIZE - 1) / KV_BLOCK_SIZE;

	while (s->block_count > needed)
		kv_release(m->kv, s->blocks[--s->block_count]);
}

/* So many tokens of s are there now. */
static void
note_latency(loaded_model *m, sequence *s, int tokens)
{
	loaded_statistics *statistics = &m->statistics;

	if (s->last_us == 0)
		histogram_add(&statistics->first_token, m->step_us - s->owner->arrived_us, 1);
	else
		histogram_add(&statistics->token, (m->step_us - s->last_us) / (uint64_t) tokens, (uint64_t) tokens);
	s->last_us = m->step_us;
	rate_add(&statistics->rate, m->step_us, (uint64_t) tokens);
}

/*
 * The token after the last one; after it, if it is what was guessed, the one after that, and so
 * on. The keys and values of wrong guesses stay where they are until those of the right tokens
 * are written over them: nothing looks beyond what is computed.
 */
static void
take_tokens(loaded_model *m, sequence *s, const sampler_result *results)
{
	int			drafted = s->drafted;
	int			right = 0;

	while (right < drafted && results[right].token == s->tokens[s->count + right])
		right++;
	if (drafted > 0)
	{
		speculate_note(&s->speculation, drafted, right);
		speculate_note(&m->speculation, drafted, right);
		m->statistics.accepted_tokens += (uint64_t) right;
	}
	note_latency(m, s, right + 1);
	for (int i = 0; i <= right; i++)
	{
		/* the token before was a guess, whose row this step has computed */
		if (i > 0)
			note_computed(m, s, 1);
		if (!take_token(m, s, results[i].token))
			return;
	}
	if (drafted > 0)
		trim_blocks(m, s);
}

static bool
compute_decoder(loaded_model *m)
{
	engine_error error;
	uint64_t	begun;
	int			output = 0;
	int			count;

	if (!schedule_decoder(m))
		return false;
	begun = engine_now();
	note_start(m, begun);
	note_batch(m);
	if (!graph_decode(m->graph, &m->batch, &m->outputs, &error))
	{
		fail_members(m, &error);
		return true;
	}
	m->step_us = engine_now();
	pace_note(&m->pace, m->decode_rows, m->batch.rows - m->decode_rows, m->step_us - begun);
	count = m->batch.sequences;
	for (int i = 0; i < count; i++)
	{
		sequence   *s = m->members[i];

		note_computed(m, s, s->scheduled);
		s->scheduled = 0;
		if (s->computed == s->count)
		{
			int			rows = 1 + s->drafted;

			take_tokens(m, s, &m->results[output]);
			output += rows;
		}
	}
	return true;
}

bool
compute_step(loaded_model *m)
{
	uint64_t	before;
	bool		computed;

	if (m->state != LOADED_READY || (m->waiting.count == 0 && m->running.count == 0))
		return false;
	before = engine_now();
	m->users++;
	computed = m->kv ? compute_decoder(m) : compute_encoder(m);
	if (computed)
	{
		m->clock++;
		m->statistics.steps++;
		m->statistics.compute_us += engine_now() - before;
	}
	loaded_leave(m);
	return computed;
}
