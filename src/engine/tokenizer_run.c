/*
 * tokenizer_run.c: one call: a text through added tokens, normalizer, pieces and model.
 */
#include "engine/tokenizer_internal.h"

#include "engine/unicode.h"

void
tokenizer_run_free(tokenizer_run *run)
{
	free(run->ids.data);
	free(run->normal[0].data);
	free(run->normal[1].data);
	free(run->spaced.data);
	free(run->symbols);
	free(run->heap);
	free(run->nodes);
}

bool
tokenizer_run_goes_on(const tokenizer_run *run)
{
	const atomic_bool *stop = run->t->stop;

	return stop == NULL || !atomic_load_explicit(stop, memory_order_relaxed) ||
		engine_fail(run->error, ENGINE_CANCELED, "the request was canceled");
}

bool
tokenizer_run_emit(tokenizer_run *run, int32_t id)
{
	return id_append(&run->ids, id) || engine_fail_memory(run->error, "the tokens of a text");
}

bool
tokenizer_run_unknown(tokenizer_run *run, const char *text, size_t length)
{
	const tokenizer *t = run->t;
	bool		bytes = t->byte_fallback;

	for (size_t i = 0; i < length && bytes; i++)
		bytes = t->byte_ids[(unsigned char) text[i]] >= 0;
	if (!bytes)
		return t->unknown < 0 || tokenizer_run_emit(run, t->unknown);
	for (size_t i = 0; i < length; i++)
	{
		if (!tokenizer_run_emit(run, t->byte_ids[(unsigned char) text[i]]))
			return false;
	}
	return true;
}

static bool
encode_pieces(tokenizer_run *run, const char *text, size_t length)
{
	pretokenize_cursor c = {.p = &run->t->pre,.text = text,.length = length};
	size_t		start;
	size_t		end;

	while (pretokenize_next(&c, &start, &end))
	{
		if (!tokenizer_run_goes_on(run) || !run->t->encode_piece(run, text + start, end - start))
			return false;
	}
	return true;
}

/* Spaces to U+2581, one in front where the tokenizer wants it; then pieces. */
static bool
encode_metaspace(tokenizer_run *run, const char *text, size_t length, bool first)
{
	const pretokenizer *p = &run->t->pre;
	text_buffer *out = &run->spaced;
	bool		starts = (length > 0 && text[0] == ' ') ||
		(length >= METASPACE_LENGTH && memcmp(text, METASPACE, METASPACE_LENGTH) == 0);
	bool		done = true;

	out->used = 0;
	if (!starts && length > 0 &&
		(p->prepend == PREPEND_ALWAYS || (p->prepend == PREPEND_FIRST && first)))
		done = text_append(out, METASPACE, METASPACE_LENGTH);
	for (size_t i = 0; done && i < length;)
	{
		size_t		run_end = i;

		while (run_end < length && text[run_end] != ' ')
			run_end++;
		done = text_append(out, text + i, run_end - i);
		if (done && run_end < length)
			done = text_append(out, METASPACE, METASPACE_LENGTH);
		i = run_end + 1;
	}
	if (!done)
		return engine_fail_memory(run->error, "a text");
	return encode_pieces(run, out->data, out->used);
}

/* White space separates words, each of which is a text to encode_metaspace. */
static bool
encode_words(tokenizer_run *run, const char *text, size_t length, bool first)
{
	size_t		at = 0;

	while (at < length)
	{
		size_t		end = at;
		int			n = 0;

		while (end < length && !(unicode_kind(utf8_decode(text + end, &n)) & UNICODE_SPACE))
			end += (size_t) n;
		if (end > at && !encode_metaspace(run, text + at, end - at, first && at == 0))
			return false;
		at = end < length ? end + (size_t) n : end;
	}
	return true;
}

/* A stretch of normalised text without added tokens; first: it begins the whole text. */
static bool
encode_section(tokenizer_run *run, const char *text, size_t length, bool first)
{
	const pretokenizer *p = &run->t->pre;

	if (length == 0)
		return true;
	if (p->kind == PRETOKENIZE_METASPACE)
		return p->words ? encode_words(run, text, length, first)
			: encode_metaspace(run, text, length, first);
	if (p->prefix_space && text[0] != ' ')
	{
		run->spaced.used = 0;
		if (!text_append(&run->spaced, " ", 1) || !text_append(&run->spaced, text, length))
			return engine_fail_memory(run->error, "a text");
		text = run->spaced.data;
		length = run->spaced.used;
	}
	return encode_pieces(run, text, length);
}

/* A stretch of raw text: normalise, cut out the tokens that are looked for in normalised text. */
static bool
encode_raw(tokenizer_run *run, const char *text, size_t length, bool parse, bool first)
{
	const tokenizer *t = run->t;
	size_t		at = 0;
	added_match match;

	if (!normalize_text(&t->normal, text, length, run->normal, &text, &length))
		return engine_fail_memory(run->error, "a normalised text");
	while (t->any_normalized &&
		   added_next(t, &t->added_normalized, text, length, at, parse, &match))
	{
		if (!encode_section(run, text + at, match.start - at, first && at == 0) ||
			!tokenizer_run_emit(run, match.token->id))
			return false;
		at = match.end;
	}
	return encode_section(run, text + at, length - at, first && at == 0);
}

bool
tokenizer_run_text(tokenizer_run *run, const char *text, size_t length, int flags)
{
	const tokenizer *t = run->t;
	bool		parse = (flags & TOKENIZE_PARSE) != 0;
	size_t		at = 0;
	added_match match;

	while (t->any_raw && added_next(t, &t->added_raw, text, length, at, parse, &match))
	{
		if (!encode_raw(run, text + at, match.start - at, parse,
						at == 0 && !run->continued) ||
			!tokenizer_run_emit(run, match.token->id))
			return false;
		at = match.end;
	}
	return encode_raw(run, text + at, length - at, parse, at == 0 && !run->continued);
}
