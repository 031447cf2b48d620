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
write_model(FILE *f, const loaded_model *m)
{
	static const char *const kinds[] = {"", "embedding", "generation", "rerank"};
	const loaded_statistics *s = &m->statistics;
	bool		ready = m->state == LOADED_READY && !m->failed;
	int			waiting = m->waiting.count;

	/* requests that wait for the model to be loaded, or for their texts to be split */
	for (const request *r = m->engine->first; r; r = r->next)
		waiting += r->model == m && r->state != REQUEST_RUNS;
	fputc('{', f);
	write_member(f, "uri", m->uri);
	write_member(f, "options", m->options_text);
	write_member(f, "state", ready ? "ready" : "loading");
	/* the rest belongs to the load until it is done */
	write_member(f, "name", ready ? m->info.name : "");
	write_member(f, "architecture", ready ? m->info.architecture : "");
	write_member(f, "kind", ready ? kinds[m->info.kind] : "");
	fprintf(f, "\"memory_bytes\": %" PRIu64 ", \"kv_blocks\": %d, \"kv_blocks_used\": %d, "
			"\"kv_block_tokens\": %d, ",
			ready ? m->info.memory_bytes : 0, ready && m->kv ? kv_total(m->kv) : 0,
			ready && m->kv ? kv_total(m->kv) - kv_free(m->kv) : 0, KV_BLOCK_SIZE);
	fprintf(f, "\"prefix_hit_tokens\": %" PRIu64 ", \"prefix_query_tokens\": %" PRIu64 ", "
			"\"running\": %d, \"waiting\": %d, \"requests\": %" PRIu64 ", "
			"\"prompt_tokens\": %" PRIu64 ", \"generated_tokens\": %" PRIu64 ", "
			"\"embedded_tokens\": %" PRIu64 ", \"steps\": %" PRIu64 ", \"preemptions\": %" PRIu64
			", \"drafted_tokens\": %" PRIu64 ", \"accepted_tokens\": %" PRIu64 ", \"compute_us\": %" PRIu64 "}",
			s->prefix_hit_tokens, s->prefix_query_tokens, m->running.count, waiting, s->requests,
			s->prompt_tokens, s->generated_tokens, s->embedded_tokens, s->steps, s->preemptions,
			s->drafted_tokens, s->accepted_tokens, s->compute_us);
}

void
statistics_write(engine *e, uint64_t id)
{
	char	   *text = NULL;
	size_t		length = 0;
	FILE	   *f = open_memstream(&text, &length);
	engine_error error;

	if (f)
	{
		fputc('{', f);
		write_member(f, "device", e->device_name);
		fprintf(f, "\"threads\": %d, \"models\": [", e->config.threads);
		for (const loaded_model *m = e->models; m; m = m->next)
		{
			write_model(f, m);
			if (m->next)
				fputs(", ", f);
		}
		fputs("]}", f);
	}
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
