/*
 * tokenizer.c: the public functions: texts to ids and ids to bytes.
 */
#include "engine/tokenizer_internal.h"

#define TEXT_MAX ((size_t) 1 << 30) /* bytes; symbols and places are 32-bit */

static bool
check_text(const char *text, size_t length, engine_error *error)
{
	size_t		valid;

	if (length > TEXT_MAX)
		return engine_fail(error, ENGINE_TOO_LONG, "text has %zu bytes, limit is %zu", length,
						   TEXT_MAX);
	valid = utf8_validate(text, length);
	if (valid < length)
		return engine_fail(error, ENGINE_INVALID, "text is not valid UTF-8 at byte %zu", valid);
	return true;
}

tokenizer *
tokenizer_view(const tokenizer *t, const atomic_bool *stop, engine_error *error)
{
	tokenizer  *view = malloc(sizeof(*view));

	if (view == NULL)
	{
		engine_fail_memory(error, "a request");
		return NULL;
	}
	*view = *t;
	view->stop = stop;
	return view;
}

void
tokenizer_view_free(tokenizer *view)
{
	free(view);
}

/* Hands the ids over; an empty list is an array all the same. */
static bool
finish(tokenizer_run *run, bool done, int32_t **ids, size_t *count)
{
	if (done && run->ids.data == NULL)
	{
		run->ids.data = malloc(sizeof(int32_t));
		if (run->ids.data == NULL)
			done = engine_fail_memory(run->error, "the tokens of a text");
	}
	if (done)
	{
		*ids = run->ids.data;
		*count = run->ids.used;
		run->ids.data = NULL;
	}
	tokenizer_run_free(run);
	return done;
}

bool
tokenizer_encode(const tokenizer *t, const char *text, size_t length, int flags,
				 int32_t **ids, size_t *count, engine_error *error)
{
	tokenizer_run run = {.t = t,.error = error};
	bool		done = true;

	*ids = NULL;
	*count = 0;
	if (!check_text(text, length, error))
		return false;
	if (!(flags & TOKENIZE_SPECIAL) || t->single.count == 0)
		done = tokenizer_run_text(&run, text, length, flags);
	for (int i = 0; (flags & TOKENIZE_SPECIAL) && i < t->single.count && done; i++)
	{
		if (t->single.items[i].kind == TEMPLATE_TOKEN)
			done = tokenizer_run_emit(&run, t->single.items[i].id);
		else
			done = tokenizer_run_text(&run, text, length, flags);
	}
	return finish(&run, done, ids, count);
}

/* How many tokens of b may stay so that a, b and what surrounds them have at most limit. */
static bool
pair_room(const tokenizer *t, size_t a, size_t b, size_t limit, size_t *room,
		  engine_error *error)
{
	size_t		fixed = 0;

	for (int i = 0; i < t->pair.count; i++)
		fixed += t->pair.items[i].kind == TEMPLATE_TOKEN ? 1 :
			t->pair.items[i].kind == TEMPLATE_A ? a : 0;
	*room = b;
	if (limit == 0 || fixed + b <= limit)
		return true;
	if (fixed > limit)
		return engine_fail(error, ENGINE_TOO_LONG,
						   "the first text of a pair has %zu tokens, limit is %zu", fixed, limit);
	*room = limit - fixed;
	return true;
}

bool
tokenizer_encode_pair(const tokenizer *t, const char *a, size_t a_length,
					  const char *b, size_t b_length, size_t limit,
					  int32_t **ids, int32_t **types, size_t *count,
					  engine_error *error)
{
	tokenizer_run runs[2] = {{.t = t,.error = error}, {.t = t,.error = error}};
	tokenizer_run out = {.t = t,.error = error};
	id_list		kinds = {0};
	size_t		room;
	bool		done;

	*ids = *types = NULL;
	*count = 0;
	if (t->pair.count == 0)
		return engine_fail(error, ENGINE_UNSUPPORTED,
						   "the tokenizer has no form for a pair of texts");
	done = check_text(a, a_length, error) && check_text(b, b_length, error) &&
		tokenizer_run_text(&runs[0], a, a_length, TOKENIZE_PLAIN) &&
		tokenizer_run_text(&runs[1], b, b_length, TOKENIZE_PLAIN) &&
		pair_room(t, runs[0].ids.used, runs[1].ids.used, limit, &room, error);
	if (done)
		runs[1].ids.used = room;
	for (int i = 0; done && i < t->pair.count; i++)
	{
		const template_item *item = &t->pair.items[i];
		const id_list *part = &runs[item->kind == TEMPLATE_B].ids;
		size_t		n = item->kind == TEMPLATE_TOKEN ? 1 : part->used;

		for (size_t k = 0; done && k < n; k++)
		{
			done = tokenizer_run_emit(&out, item->kind == TEMPLATE_TOKEN ? item->id : part->data[k]);
			if (done && !id_append(&kinds, item->type))
				done = engine_fail_memory(error, "the tokens of a text");
		}
	}
	tokenizer_run_free(&runs[0]);
	tokenizer_run_free(&runs[1]);
	if (done && kinds.data == NULL)
		done = id_append(&kinds, 0) || engine_fail_memory(error, "the tokens of a text");
	done = finish(&out, done, ids, count);
	if (done)
		*types = kinds.data;
	else
		free(kinds.data);
	return done;
}

/* A token's text with U+2581 as the space that it stands for. */
static size_t
piece_with_spaces(const char *text, size_t length, char *out, size_t capacity)
{
	size_t		written = 0;
	size_t		i = 0;

	while (i < length)
	{
		char		c = text[i];

		if (length - i >= METASPACE_LENGTH && memcmp(text + i, METASPACE, METASPACE_LENGTH) == 0)
		{
			c = ' ';
			i += METASPACE_LENGTH;
		}
		else
			i++;
		if (written < capacity)
			out[written] = c;
		written++;
	}
	return written;
}

/* A continuation as it is, another token with a space before it. */
static size_t
wordpiece_piece(const tokenizer *t, const char *text, size_t length, char *out, size_t capacity)
{
	size_t		prefix = (size_t) t->prefix_length;

	if (prefix > 0 && length > prefix && memcmp(text, t->prefix, prefix) == 0)
	{
		length -= prefix;
		memcpy(out, text + prefix, length < capacity ? length : capacity);
		return length;
	}
	if (capacity > 0)
	{
		out[0] = ' ';
		memcpy(out + 1, text, length < capacity - 1 ? length : capacity - 1);
	}
	return length + 1;
}

size_t
tokenizer_piece(const tokenizer *t, int32_t id, char *out, size_t capacity)
{
	const char *text;
	size_t		length;

	if (id < 0 || id >= t->words.count || (t->flags[id] & TOKEN_IS_SPECIAL))
		return 0;
	text = vocabulary_text(&t->words, id, &length);
	if (t->flags[id] & TOKEN_IS_BYTE)
	{
		for (int byte = 0; byte < 256 && capacity > 0; byte++)
		{
			if (t->byte_ids[byte] == id)
				out[0] = (char) byte;
		}
		return 1;
	}
	if (t->kind == TOKENIZER_WORDPIECE)
		return length == 0 ? 0 : wordpiece_piece(t, text, length, out, capacity);
	if (!t->byte_level)
		return piece_with_spaces(text, length, out, capacity);
	memcpy(out, text, length < capacity ? length : capacity);
	return length;
}

int
tokenizer_vocab_size(const tokenizer *t)
{
	return t->words.count;
}

int32_t
tokenizer_find(const tokenizer *t, const char *content)
{
	size_t		length = strlen(content);
	const added_token *added = added_find(t, content, length);
	uint32_t	node = 0;

	if (added)
		return added->id;
	if (t->kind == TOKENIZER_BPE || t->kind == TOKENIZER_SENTENCEPIECE)
		return vocabulary_find(&t->words, content, length);
	for (size_t i = 0; i < length; i++)
	{
		node = trie_next(&t->pieces, node, (unsigned char) content[i]);
		if (node == 0)
			return -1;
	}
	return node == 0 ? -1 : t->pieces.values[node];
}

static bool
has_flag(const tokenizer *t, int32_t id, uint8_t flag)
{
	return id >= 0 && id < t->words.count && (t->flags[id] & flag);
}

bool
tokenizer_is_special(const tokenizer *t, int32_t id)
{
	return has_flag(t, id, TOKEN_IS_SPECIAL);
}

bool
tokenizer_is_end(const tokenizer *t, int32_t id)
{
	return has_flag(t, id, TOKEN_IS_END);
}

int32_t
tokenizer_bos(const tokenizer *t)
{
	return t->bos;
}

int32_t
tokenizer_eos(const tokenizer *t)
{
	return t->eos;
}

const char *
tokenizer_chat_template(const tokenizer *t)
{
	return t->chat_template;
}
