/*
 * prepare.c: a request's payload into sequences of tokens.
 *
 * Runs in the engine's thread for short payloads and in a job for long ones; touches the
 * request and the read-only parts of its model only.
 */
#include "engine/engine_private.h"

#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* of one request: each costs some hundred bytes, even if it is empty */
#define MAX_INPUTS (1 << 20)

bool
request_needs_job(const request *r)
{
	return r->length > ENGINE_INLINE_BYTES;
}

void
request_free(request *r)
{
	for (uint32_t i = 0; i < r->sequence_count; i++)
	{
		sequence   *s = &r->sequences[i];

		free(s->tokens);
		free(s->types);
		free(s->blocks);
		free(s->seen);
		free(s->seen_output);
		text_output_free(&s->output);
	}
	free(r->sequences);
	free(r->scores);
	free(r->payload);
	free(r);
}

static bool
allocate_sequences(request *r, uint32_t count, engine_error *error)
{
	if (count == 0)
		return engine_fail(error, ENGINE_PROTOCOL, "the request has no input");
	if (count > MAX_INPUTS)
		return engine_fail(error, ENGINE_INVALID, "a request of %u inputs exceeds the limit of %d",
						   count, MAX_INPUTS);
	r->sequences = calloc(count, sizeof(*r->sequences));
	if (r->sequences == NULL)
		return engine_fail_memory(error, "a request");
	r->sequence_count = r->remaining = count;
	for (uint32_t i = 0; i < count; i++)
	{
		r->sequences[i].owner = r;
		r->sequences[i].index = i;
	}
	return true;
}

static bool
wrong_frame(engine_error *error)
{
	return engine_fail(error, ENGINE_PROTOCOL, "the request does not have the form of its type");
}

static bool
wrong_kind(const loaded_model *m, const char *wanted, engine_error *error)
{
	static const char *const kinds[] = {"", "embeds text", "generates text", "ranks documents"};

	return engine_fail(error, ENGINE_INVALID, "model \"%s\" %s, it does not %s", m->info.name,
					   kinds[m->info.kind], wanted);
}

/* Takes the ids over. */
static bool
set_tokens(sequence *s, int32_t *ids, size_t count, engine_error *error)
{
	s->tokens = ids;
	if (count == 0)
		return engine_fail(error, ENGINE_INVALID, "the text has no tokens");
	if (count > INT_MAX / 2)
		return engine_fail(error, ENGINE_TOO_LONG, "the text has more than %d tokens", INT_MAX / 2);
	s->count = s->prompt = s->capacity = (int) count;
	return true;
}

/* A request that nobody waits for any more is not worth its job. */
static bool
still_wanted(request *r, engine_error *error)
{
	return !r->canceled || engine_fail(error, ENGINE_CANCELED, "the request was canceled");
}

/* A text that is too long for the encoder: an error, or the model's option to cut it. */
static bool
fit_encoder(const loaded_model *m, sequence *s, engine_error *error)
{
	int			limit = (int) m->info.max_model_len;

	if (s->count <= limit)
		return true;
	if (!m->options.truncate)
	{
		if (s->owner->sequence_count == 1)
			return engine_fail(error, ENGINE_TOO_LONG,
							   "input has %d tokens, but model \"%s\" takes at most %d", s->count,
							   m->info.name, limit);
		return engine_fail(error, ENGINE_TOO_LONG,
						   "input %u has %d tokens, but model \"%s\" takes at most %d",
						   s->index + 1, s->count, m->info.name, limit);
	}
	/* the last token is the closing [SEP] */
	s->tokens[limit - 1] = s->tokens[s->count - 1];
	s->count = s->prompt = limit;
	return true;
}

static bool
encode_with_prefix(const char *prefix, const char *text, uint32_t length, sequence *s,
				   engine_error *error)
{
	size_t		head = strlen(prefix);
	char	   *joined = NULL;
	int32_t    *ids;
	size_t		count;
	bool		good;

	if (head > 0)
	{
		joined = malloc(head + length);
		if (joined == NULL)
			return engine_fail_memory(error, "a text");
		memcpy(joined, prefix, head);
		memcpy(joined + head, text, length);
	}
	good = tokenizer_encode(s->owner->tokenizer, joined ? joined : text, head + length, TOKENIZE_SPECIAL,
							&ids, &count, error);
	free(joined);
	return good && set_tokens(s, ids, count, error);
}

static bool
prepare_embed(request *r, protocol_reader *in, engine_error *error)
{
	const loaded_model *m = r->model;
	uint32_t	flags = protocol_get_u32(in);
	uint32_t	dimensions = protocol_get_u32(in);
	uint32_t	count = protocol_get_count(in, sizeof(uint32_t));
	const char *prefix = flags == PROTOCOL_EMBED_QUERY ? m->options.query_prefix :
		flags == PROTOCOL_EMBED_DOCUMENT ? m->options.document_prefix : "";

	if (in->failed || flags > PROTOCOL_EMBED_DOCUMENT)
		return wrong_frame(error);
	if (m->info.kind != 1)
		return wrong_kind(m, "embed", error);
	if (dimensions > m->info.dimensions)
		return engine_fail(error, ENGINE_INVALID,
						   "%u dimensions were asked for, but model \"%s\" has %u", dimensions,
						   m->info.name, m->info.dimensions);
	r->dimensions = dimensions ? dimensions : m->info.dimensions;
	if (!allocate_sequences(r, count, error))
		return false;
	for (uint32_t i = 0; i < count; i++)
	{
		uint32_t	length;
		const char *text = protocol_get_string(in, &length);

		if (in->failed)
			return wrong_frame(error);
		if (!still_wanted(r, error) ||
			!encode_with_prefix(prefix, text, length, &r->sequences[i], error) ||
			!fit_encoder(m, &r->sequences[i], error))
			return false;
	}
	return protocol_finish_read(in) || wrong_frame(error);
}

static bool
prepare_rerank(request *r, protocol_reader *in, engine_error *error)
{
	const loaded_model *m = r->model;
	uint32_t	query_length;
	const char *query = protocol_get_string(in, &query_length);
	uint32_t	count = protocol_get_count(in, sizeof(uint32_t));

	if (in->failed)
		return wrong_frame(error);
	if (m->info.kind != 3)
		return wrong_kind(m, "rank documents", error);
	if (!allocate_sequences(r, count, error))
		return false;
	r->scores = calloc(count, sizeof(*r->scores));
	if (r->scores == NULL)
		return engine_fail_memory(error, "the scores");
	for (uint32_t i = 0; i < count; i++)
	{
		sequence   *s = &r->sequences[i];
		uint32_t	length;
		const char *text = protocol_get_string(in, &length);
		int32_t    *ids;
		size_t		tokens;

		if (in->failed)
			return wrong_frame(error);
		if (!still_wanted(r, error) ||
			!tokenizer_encode_pair(r->tokenizer, query, query_length, text, length,
								   m->options.truncate ? m->info.max_model_len : 0, &ids,
								   &s->types, &tokens, error) ||
			!set_tokens(s, ids, tokens, error) || !fit_encoder(m, s, error))
			return false;
	}
	return protocol_finish_read(in) || wrong_frame(error);
}

static bool
prepare_count(request *r, protocol_reader *in, engine_error *error)
{
	uint32_t	length;
	const char *text = protocol_get_string(in, &length);
	int32_t    *ids;
	size_t		count;

	if (!protocol_finish_read(in))
		return wrong_frame(error);
	if (!tokenizer_encode(r->tokenizer, text, length, TOKENIZE_PLAIN, &ids, &count, error))
		return false;
	free(ids);
	r->tokens = count;
	return true;
}

static bool
check_sampling(const protocol_sampling *s, engine_error *error)
{
	if (!(s->temperature >= 0 && s->temperature <= 100))
		return engine_fail(error, ENGINE_INVALID, "temperature must be between 0 and 100");
	if (!(s->top_p > 0 && s->top_p <= 1))
		return engine_fail(error, ENGINE_INVALID,
						   "top_p must be greater than 0 and at most 1");
	if (!(s->min_p >= 0 && s->min_p <= 1))
		return engine_fail(error, ENGINE_INVALID, "min_p must be between 0 and 1");
	if (!(s->repetition_penalty > 0 && s->repetition_penalty <= 100))
		return engine_fail(error, ENGINE_INVALID,
						   "repetition_penalty must be greater than 0 and at most 100");
	if (!(fabsf(s->presence_penalty) <= 100) || !(fabsf(s->frequency_penalty) <= 100))
		return engine_fail(error, ENGINE_INVALID,
						   "presence_penalty and frequency_penalty must be between -100 and 100");
	if (s->top_k > INT_MAX)
		return engine_fail(error, ENGINE_INVALID, "top_k is out of range");
	return true;
}

static int
compare_ids(const void *a, const void *b)
{
	int32_t		x = *(const int32_t *) a,
				y = *(const int32_t *) b;

	return x < y ? -1 : x > y;
}

/* What the penalties look at; grows with the answer, within what is allocated here. */
static bool
start_sampler(sequence *s, const protocol_sampling *p, engine_error *error)
{
	sampler_params *out = &s->sampler;
	int			distinct = 0;

	out->temperature = p->temperature;
	out->top_k = (int) p->top_k;
	out->top_p = p->top_p;
	out->min_p = p->min_p;
	out->repetition_penalty = p->repetition_penalty;
	out->presence_penalty = p->presence_penalty;
	out->frequency_penalty = p->frequency_penalty;
	out->seed = p->seed;
	if (p->repetition_penalty == 1 && p->presence_penalty == 0 && p->frequency_penalty == 0)
		return true;
	s->seen = malloc((size_t) s->capacity * sizeof(*s->seen));
	s->seen_output = calloc((size_t) s->capacity, sizeof(*s->seen_output));
	if (s->seen == NULL || s->seen_output == NULL)
		return engine_fail_memory(error, "a request");
	memcpy(s->seen, s->tokens, (size_t) s->prompt * sizeof(*s->seen));
	qsort(s->seen, (size_t) s->prompt, sizeof(*s->seen), compare_ids);
	for (int i = 0; i < s->prompt; i++)
	{
		if (distinct == 0 || s->seen[distinct - 1] != s->seen[i])
			s->seen[distinct++] = s->seen[i];
	}
	out->seen = s->seen;
	out->seen_output_count = s->seen_output;
	out->seen_count = distinct;
	return true;
}

/* Room for the whole answer, so that no step has to allocate. */
static bool
reserve_answer(const loaded_model *m, sequence *s, uint32_t max_tokens, engine_error *error)
{
	int			limit = (int) m->info.max_model_len;
	int32_t    *grown;

	if (s->prompt >= limit)
		return engine_fail(error, ENGINE_TOO_LONG,
						   "prompt has %d tokens, but model \"%s\" is loaded for at most %d, the answer included",
						   s->prompt, m->info.name, limit);
	if (max_tokens == 0 || max_tokens > (uint32_t) (limit - s->prompt))
		max_tokens = (uint32_t) (limit - s->prompt);
	s->capacity = s->prompt + (int) max_tokens;
	grown = realloc(s->tokens, (size_t) s->capacity * sizeof(*s->tokens));
	if (grown == NULL)
		return engine_fail_memory(error, "a request");
	s->tokens = grown;
	s->block_capacity = (s->capacity + KV_BLOCK_SIZE - 1) / KV_BLOCK_SIZE;
	s->blocks = malloc((size_t) s->block_capacity * sizeof(*s->blocks));
	return s->blocks != NULL || engine_fail_memory(error, "a request");
}

static bool
encode_messages(request *r, const chat_message *messages, uint32_t count, engine_error *error)
{
	const loaded_model *m = r->model;
	int32_t    *ids;
	size_t		n;

	if (r->sampling.flags & PROTOCOL_GENERATE_RAW)
	{
		if (count != 1)
			return wrong_frame(error);
		if (!tokenizer_encode(r->tokenizer, messages[0].content, messages[0].length,
							  TOKENIZE_SPECIAL, &ids, &n, error))
			return false;
	}
	else
	{
		if (!m->has_chat)
		{
			if (error)
				*error = m->chat_error;
			return false;
		}
		if (!chat_encode(r->tokenizer, m->chat, messages, count, true, &ids, &n, error))
			return false;
	}
	return set_tokens(&r->sequences[0], ids, n, error);
}

/* Roles are NUL-terminated for the chat templates: longer ones are none of theirs. */
#define ROLE_SIZE 32

static bool
read_messages(request *r, protocol_reader *in, engine_error *error)
{
	uint32_t	count = protocol_get_count(in, 2 * sizeof(uint32_t));
	chat_message *messages;
	char		(*roles)[ROLE_SIZE];
	bool		good = true;

	if (in->failed || count == 0)
		return engine_fail(error, ENGINE_INVALID, "a conversation needs at least one message");
	messages = calloc(count, sizeof(*messages));
	roles = calloc(count, sizeof(*roles));
	if (messages == NULL || roles == NULL)
		good = engine_fail_memory(error, "the messages");
	for (uint32_t i = 0; good && i < count; i++)
	{
		protocol_message message;

		protocol_get_message(in, &message);
		if (in->failed)
			good = wrong_frame(error);
		else if (message.role_length >= ROLE_SIZE)
			good = engine_fail(error, ENGINE_INVALID, "unrecognized role \"%.*s...\"",
							   ROLE_SIZE - 1, message.role);
		else
		{
			memcpy(roles[i], message.role, message.role_length);
			messages[i] = (chat_message) {roles[i], message.content, message.content_length};
		}
	}
	if (good && !protocol_finish_read(in))
		good = wrong_frame(error);
	good = good && encode_messages(r, messages, count, error);
	free(messages);
	free(roles);
	return good;
}

static bool
prepare_generate(request *r, protocol_reader *in, engine_error *error)
{
	sequence   *s;

	protocol_get_sampling(in, &r->sampling);
	if (in->failed)
		return wrong_frame(error);
	if (r->model->info.kind != 2)
		return wrong_kind(r->model, "generate", error);
	if (!check_sampling(&r->sampling, error) || !allocate_sequences(r, 1, error))
		return false;
	s = &r->sequences[0];
	s->output.sampling = &r->sampling;
	return read_messages(r, in, error) &&
		reserve_answer(r->model, s, r->sampling.max_tokens, error) &&
		start_sampler(s, &r->sampling, error);
}

static bool
prepare(request *r, engine_error *error)
{
	protocol_reader in = {.data = r->payload,.length = r->length};
	protocol_model name;
	protocol_caller caller;

	protocol_get_model(&in, &name);
	if (r->type != PROTOCOL_LOAD)
		protocol_get_caller(&in, &caller);	/* known since the request arrived */
	switch (r->type)
	{
		case PROTOCOL_EMBED:
			return prepare_embed(r, &in, error);
		case PROTOCOL_RERANK:
			return prepare_rerank(r, &in, error);
		case PROTOCOL_COUNT:
			return prepare_count(r, &in, error);
		case PROTOCOL_GENERATE:
			return prepare_generate(r, &in, error);
		case PROTOCOL_LOAD:
			return protocol_finish_read(&in) || wrong_frame(error);
		default:
			return engine_fail(error, ENGINE_INTERNAL, "a request of type %d cannot be prepared",
							   (int) r->type);
	}
}

bool
request_prepare(request *r, engine_error *error)
{
	tokenizer  *view;
	bool		good;

	r->tokenizer = r->model->tokenizer;
	if (!request_needs_job(r))
		return prepare(r, error);
	/* the engine's thread may cancel it meanwhile */
	view = tokenizer_view(r->model->tokenizer, &r->canceled, error);
	if (view == NULL)
		return false;
	r->tokenizer = view;
	good = prepare(r, error);
	r->tokenizer = r->model->tokenizer;
	tokenizer_view_free(view);
	return good;
}
