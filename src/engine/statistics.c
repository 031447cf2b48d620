/*
 * statistics.c: what the engine is doing, as the JSON document of protocol.h.
 */
#include "engine/engine_private.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A JSON string; bytes that are not valid UTF-8 become '?'. */
static void
write_string(FILE *f, const char *s)
{
	size_t		length = strlen(s);
	size_t		valid = utf8_validate(s, length);

	fputc('"', f);
	for (size_t i = 0; i < length; i++)
	{
		unsigned char c = (unsigned char) s[i];

		if (i == valid)
		{
			fputc('?', f);
			valid = i + 1 + utf8_validate(s + i + 1, length - i - 1);
		}
		else if (c == '"' || c == '\\')
			fprintf(f, "\\%c", c);
		else if (c < 0x20)
			fprintf(f, "\\u%04x", c);
		else
			fputc(c, f);
	}
	fputc('"', f);
}

static void
write_member(FILE *f, const char *name, const char *value)
{
	fprintf(f, "\"%s\": ", name);
	write_string(f, value);
	fputs(", ", f);
}

static void
write_number(FILE *f, const char *name, uint64_t value)
{
	fprintf(f, "\"%s\": %" PRIu64 ", ", name, value);
}

static void
write_histogram(FILE *f, const char *name, const histogram *h)
{
	fprintf(f, "\"%s\": [", name);
	for (int i = 0; i < HISTOGRAM_SIZE; i++)
		fprintf(f, "%s%" PRIu64, i > 0 ? ", " : "", h->counts[i]);
	fputs("], ", f);
}

/* What is counted of a model. */
static void
write_counts(FILE *f, const loaded_statistics *s)
{
	const struct
	{
		const char *name;
		uint64_t	value;
	}			counts[] =
	{
		{"requests", s->requests},
		{"prompt_tokens", s->prompt_tokens},
		{"generated_tokens", s->generated_tokens},
		{"embedded_tokens", s->embedded_tokens},
		{"prefix_hit_tokens", s->prefix_hit_tokens},
		{"prefix_query_tokens", s->prefix_query_tokens},
		{"steps", s->steps},
		{"batched_sequences", s->batched_sequences},
		{"batched_rows", s->batched_rows},
		{"preemptions", s->preemptions},
		{"drafted_tokens", s->drafted_tokens},
		{"accepted_tokens", s->accepted_tokens},
		{"compute_us", s->compute_us},
	};

	for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++)
		write_number(f, counts[i].name, counts[i].value);
	write_histogram(f, "first_token", &s->first_token);
	write_histogram(f, "token", &s->token);
	fprintf(f, "\"tokens_per_second\": %.1f", rate_read(&s->rate, engine_now()));
}

static void
write_model(FILE *f, loaded_model *m)
{
	static const char *const kinds[] = {"", "embedding", "generation", "rerank"};
	bool		ready = m->state == LOADED_READY && !m->failed;
	int			waiting = m->waiting.count;

	/* requests that wait for the model to be loaded, or for their texts to be split */
	for (const request *r = m->engine->first; r; r = r->next)
		waiting += r->model == m && r->state != REQUEST_RUNS;
	fputc('{', f);
	write_member(f, "uri", m->uri);
	write_member(f, "options", m->options_text);
	write_member(f, "state", ready ? "ready" : "loading");
	/* the rest belongs to the load until it is done, but for what it says of its progress */
	write_number(f, "load_bytes", m->progress.total);
	write_number(f, "loaded_bytes", m->progress.loaded);
	write_member(f, "name", ready ? m->info.name : "");
	write_member(f, "architecture", ready ? m->info.architecture : "");
	write_member(f, "kind", ready ? kinds[m->info.kind] : "");
	write_number(f, "memory_bytes", ready ? m->info.memory_bytes : 0);
	write_number(f, "kv_blocks", ready && m->kv ? (uint64_t) kv_total(m->kv) : 0);
	write_number(f, "kv_blocks_used", ready && m->kv ? (uint64_t) (kv_total(m->kv) - kv_free(m->kv)) : 0);
	write_number(f, "kv_block_tokens", KV_BLOCK_SIZE);
	write_number(f, "running", (uint64_t) m->running.count);
	write_number(f, "waiting", (uint64_t) waiting);
	write_counts(f, &m->statistics);
	fputc('}', f);
}

static void
write_role(FILE *f, const role_account *a)
{
	const role_statistics *s = &a->statistics;

	fputc('{', f);
	write_number(f, "role", a->role);
	write_number(f, "waiting", a->users - a->requests);
	write_number(f, "running", a->requests);
	write_number(f, "held_tokens", a->tokens);
	write_number(f, "requests", s->requests);
	write_number(f, "prompt_tokens", s->prompt_tokens);
	write_number(f, "cached_tokens", s->cached_tokens);
	write_number(f, "generated_tokens", s->generated_tokens);
	write_number(f, "queue_us", s->queue_us);
	fprintf(f, "\"compute_us\": %" PRIu64 "}", s->compute_us);
}

static void
write_document(FILE *f, engine *e)
{
	fputc('{', f);
	write_member(f, "device", e->device_name);
	write_number(f, "threads", (uint64_t) e->threads);
	fputs("\"latency_ms\": [", f);
	for (int i = 0; i < HISTOGRAM_SIZE - 1; i++)
		fprintf(f, "%s%" PRIu32, i > 0 ? ", " : "", histogram_bounds[i]);
	fputs("], \"models\": [", f);
	for (loaded_model *m = e->models; m; m = m->next)
	{
		write_model(f, m);
		if (m->next)
			fputs(", ", f);
	}
	fputs("], \"roles\": [", f);
	for (const role_account *a = e->roles; a; a = a->next)
	{
		write_role(f, a);
		if (a->next)
			fputs(", ", f);
	}
	fputs("]}", f);
}

void
statistics_write(engine *e, uint64_t id)
{
	char	   *text = NULL;
	size_t		length = 0;
	FILE	   *f = open_memstream(&text, &length);
	engine_error error;

	if (f)
		write_document(f, e);
	if (f == NULL || fclose(f) != 0)
	{
		engine_fail_memory(&error, "the statistics");
		engine_answer_error(e, id, &error);
	}
	else
	{
		protocol_begin(&e->output, PROTOCOL_STATISTICS, id);
		protocol_put_string(&e->output, text, length);
		protocol_end(&e->output);
	}
	free(text);
}

void
statistics_reset(engine *e)
{
	for (loaded_model *m = e->models; m; m = m->next)
		m->statistics = (loaded_statistics) {0};
	for (role_account *a = e->roles; a; a = a->next)
		a->statistics = (role_statistics) {0};
}

/* What has been done for a request so far. */
static protocol_usage
usage_so_far(const request *r, uint64_t now)
{
	protocol_usage usage = r->usage;

	usage.compute_us = now - r->started_us;
	if (r->type == PROTOCOL_GENERATE)
		usage.prompt_tokens = (uint32_t) r->sequences[0].prompt;
	return usage;
}

static bool
shows_progress(const request *r)
{
	return r->begun && r->started_us > 0;
}

void
statistics_progress(engine *e)
{
	uint64_t	now = engine_now();
	uint32_t	count = 0;

	if (e->config.progress_ms <= 0 || now - e->progress_us < (uint64_t) e->config.progress_ms * 1000)
		return;
	for (const request *r = e->first; r; r = r->next)
		count += shows_progress(r);
	if (count == 0)
		return;
	e->progress_us = now;
	protocol_begin(&e->output, PROTOCOL_PROGRESS, 0);
	protocol_put_u32(&e->output, count);
	for (const request *r = e->first; r; r = r->next)
	{
		protocol_usage usage;

		if (!shows_progress(r))
			continue;
		usage = usage_so_far(r, now);
		protocol_put_u64(&e->output, r->id);
		protocol_put_usage(&e->output, &usage);
	}
	protocol_end(&e->output);
}
