/*
 * chat.c: a conversation in the model's chat format, as text and as ids.
 *
 * The text is written with marks at its special tokens. Only what is marked becomes
 * a special token; all between two marks is plain text, whatever it looks like.
 */
#include "engine/chat.h"

#include "engine/chat_template.h"
#include "engine/tokenizer_internal.h"
#include "engine/unicode.h"

typedef struct chat_mark
{
	size_t		start;			/* bytes of the text */
	size_t		end;
	const added_token *token;
} chat_mark;

typedef struct chat_text
{
	const tokenizer *t;
	text_buffer text;
	chat_mark  *marks;
	size_t		n_marks;
	size_t		marks_capacity;
	engine_error *error;
} chat_text;

static bool
put(chat_text *c, const char *text, size_t length)
{
	return text_append(&c->text, text, length) || engine_fail_memory(c->error, "a conversation");
}

static bool
put_string(chat_text *c, const char *text)
{
	return put(c, text, strlen(text));
}

/* A marker: a special token if the vocabulary has it, else text. */
static bool
put_marker(chat_text *c, const char *text, size_t length)
{
	const added_token *token = added_find(c->t, text, length);
	void	   *grown = c->marks;

	if (token == NULL)
		return put(c, text, length);
	if (!buffer_grow(&grown, c->n_marks, &c->marks_capacity, 1, sizeof(chat_mark)))
		return engine_fail_memory(c->error, "a conversation");
	c->marks = grown;
	c->marks[c->n_marks++] = (chat_mark) {c->text.used, c->text.used + length, token};
	return put(c, text, length);
}

static bool
put_marker_string(chat_text *c, const char *text)
{
	return put_marker(c, text, strlen(text));
}

static bool
put_token(chat_text *c, int32_t id, const char *what)
{
	const char *text;
	size_t		length;

	if (id < 0)
		return engine_fail(c->error, ENGINE_CORRUPT, "the chat format needs %s token", what);
	text = vocabulary_text(&c->t->words, id, &length);
	return put_marker(c, text, length);
}

static bool
put_bos(chat_text *c)
{
	return put_token(c, c->t->bos, "a beginning");
}

static bool
put_eos(chat_text *c)
{
	return put_token(c, c->t->eos, "an end");
}

/* The length of a text without the white space at its end. */
static size_t
trimmed_length(const char *text, size_t length)
{
	while (length > 0)
	{
		size_t		last = length - 1;
		int			n;

		while (last > 0 && ((unsigned char) text[last] & 0xC0) == 0x80)
			last--;
		if (!unicode_is_blank(utf8_decode(text + last, &n)))
			break;
		length = last;
	}
	return length;
}

/* A message without the white space around it. */
static void
trim(const char **text, size_t *length)
{
	int			n;

	while (*length > 0 && unicode_is_blank(utf8_decode(*text, &n)))
	{
		*text += n;
		*length -= (size_t) n;
	}
	*length = trimmed_length(*text, *length);
}

static bool
put_trimmed(chat_text *c, const chat_message *m)
{
	const char *text = m->content;
	size_t		length = m->length;

	trim(&text, &length);
	return put(c, text, length);
}

static bool
has_role(const chat_message *m, const char *role)
{
	return strcmp(m->role, role) == 0;
}

static bool
chatml_turn(chat_text *c, const char *role, const char *content, size_t length)
{
	return put_marker_string(c, "<|im_start|>") && put_string(c, role) && put_string(c, "\n") &&
		put(c, content, length) && put_marker_string(c, "<|im_end|>") && put_string(c, "\n");
}

static bool
chatml(chat_text *c, const chat_style *style, const chat_message *m, size_t count, bool generate)
{
	if (style->begin && !put_bos(c))
		return false;
	if (style->system.used > 0 && !has_role(&m[0], "system") &&
		!chatml_turn(c, "system", style->system.data, style->system.used))
		return false;
	for (size_t i = 0; i < count; i++)
	{
		if (!chatml_turn(c, m[i].role, m[i].content, m[i].length))
			return false;
	}
	return !generate || (put_marker_string(c, "<|im_start|>") && put_string(c, "assistant\n"));
}

static bool
llama3_header(chat_text *c, const char *role)
{
	return put_marker_string(c, "<|start_header_id|>") && put_string(c, role) &&
		put_marker_string(c, "<|end_header_id|>") && put_string(c, "\n\n");
}

static bool
llama3(chat_text *c, const chat_style *style, const chat_message *m, size_t count, bool generate)
{
	size_t		i = 0;

	if (style->begin && !put_bos(c))
		return false;
	if (style->dates.used > 0)
	{
		if (!llama3_header(c, "system") || !put(c, style->dates.data, style->dates.used))
			return false;
		if (has_role(&m[0], "system") && !put_trimmed(c, &m[i++]))
			return false;
		if (!put_marker_string(c, "<|eot_id|>"))
			return false;
	}
	for (; i < count; i++)
	{
		if (!llama3_header(c, m[i].role) || !put_trimmed(c, &m[i]) ||
			!put_marker_string(c, "<|eot_id|>"))
			return false;
	}
	return !generate || llama3_header(c, "assistant");
}

/* A user's turn, the first with the system message inside; what is trimmed is the whole. */
static bool
llama2_user(chat_text *c, const chat_style *style, const chat_message *system,
			const chat_message *m)
{
	const char *text = m->content;
	size_t		length = m->length;
	size_t		start;

	if (!put_bos(c) || !put_string(c, "[INST] "))
		return false;
	start = c->text.used;
	if (system)
	{
		if (!put_string(c, "<<SYS>>\n") || !put(c, system->content, system->length) ||
			!put_string(c, "\n<</SYS>>\n\n"))
			return false;
	}
	else if (style->trim)
		trim(&text, &length);
	if (!put(c, text, length))
		return false;
	if (style->trim)
		c->text.used = start + trimmed_length(c->text.data + start, c->text.used - start);
	return put_string(c, " [/INST]");
}

static bool
llama2(chat_text *c, const chat_style *style, const chat_message *m, size_t count)
{
	const chat_message *system = has_role(&m[0], "system") ? &m[0] : NULL;

	for (size_t i = system ? 1 : 0, turn = 0; i < count; i++, turn++)
	{
		const char *text = m[i].content;
		size_t		length = m[i].length;

		if (!has_role(&m[i], turn % 2 == 0 ? "user" : "assistant"))
			return engine_fail(c->error, ENGINE_INVALID,
							   "the model's chat format wants user and assistant in turn, "
							   "message %zu is of role \"%s\"", i + 1, m[i].role);
		if (turn % 2 == 0)
		{
			if (!llama2_user(c, style, turn == 0 ? system : NULL, &m[i]))
				return false;
			continue;
		}
		if (style->trim)
			trim(&text, &length);
		if (!put_string(c, " ") || !put(c, text, length) || !put_string(c, " ") || !put_eos(c))
			return false;
	}
	return true;
}

static bool
zephyr(chat_text *c, const chat_message *m, size_t count, bool generate)
{
	for (size_t i = 0; i < count; i++)
	{
		if (!put_marker_string(c, has_role(&m[i], "user") ? "<|user|>" :
							   has_role(&m[i], "system") ? "<|system|>" : "<|assistant|>") ||
			!put_string(c, "\n") || !put(c, m[i].content, m[i].length) || !put_eos(c) ||
			!put_string(c, "\n"))
			return false;
	}
	return !generate || (put_marker_string(c, "<|assistant|>") && put_string(c, "\n"));
}

static bool
check_messages(const chat_message *m, size_t count, engine_error *error)
{
	if (count == 0)
		return engine_fail(error, ENGINE_INVALID, "a conversation needs at least one message");
	for (size_t i = 0; i < count; i++)
	{
		size_t		valid = utf8_validate(m[i].content, m[i].length);

		if (!has_role(&m[i], "system") && !has_role(&m[i], "user") && !has_role(&m[i], "assistant"))
			return engine_fail(error, ENGINE_INVALID,
							   "role \"%.64s\" of message %zu is none of system, user and assistant",
							   m[i].role, i + 1);
		if (valid < m[i].length)
			return engine_fail(error, ENGINE_INVALID, "message %zu is not valid UTF-8 at byte %zu",
							   i + 1, valid);
	}
	return true;
}

static bool
write_chat(chat_text *c, chat_format format, const chat_message *m, size_t count, bool generate)
{
	chat_style	style;
	bool		done;

	if (!check_messages(m, count, c->error) ||
		!chat_style_read(c->t->chat_template, &style, c->error))
		return false;
	if (style.format != format)
		done = engine_fail(c->error, ENGINE_INVALID, "the model's chat template is of another family");
	else if (format == CHAT_CHATML)
		done = chatml(c, &style, m, count, generate);
	else if (format == CHAT_LLAMA3)
		done = llama3(c, &style, m, count, generate);
	else if (format == CHAT_LLAMA2)
		done = llama2(c, &style, m, count);
	else
		done = zephyr(c, m, count, generate);
	chat_style_free(&style);

	/* the template and the tokens that it names come from a file */
	if (done && utf8_validate(c->text.data, c->text.used) < c->text.used)
		done = engine_fail(c->error, ENGINE_CORRUPT, "the model's chat format is not valid UTF-8");
	return done;
}

bool
chat_format_of(const tokenizer *t, chat_format *format, engine_error *error)
{
	chat_style	style;

	if (!chat_style_read(t->chat_template, &style, error))
		return false;
	*format = style.format;
	chat_style_free(&style);
	return true;
}

bool
chat_render(const tokenizer *t, chat_format format, const chat_message *messages, size_t count,
			bool generate, char **text, size_t *length, engine_error *error)
{
	chat_text	c = {.t = t,.error = error};
	bool		done = write_chat(&c, format, messages, count, generate) && put(&c, "", 1);

	free(c.marks);
	*text = done ? c.text.data : NULL;
	*length = done ? c.text.used - 1 : 0;
	if (!done)
		free(c.text.data);
	return done;
}

/* The text between two marks, without the white space that a mark's token takes to itself. */
static bool
encode_between(tokenizer_run *run, const chat_text *c, const chat_mark *before,
			   const chat_mark *after)
{
	size_t		start = before ? before->end : 0;
	size_t		end = after ? after->start : c->text.used;
	int			n;

	while (before && before->token->strip_right && start < end &&
		   (unicode_kind(utf8_decode(c->text.data + start, &n)) & UNICODE_SPACE))
		start += (size_t) n;
	while (after && after->token->strip_left && end > start)
	{
		size_t		last = end - 1;

		while (((unsigned char) c->text.data[last] & 0xC0) == 0x80)
			last--;
		if (!(unicode_kind(utf8_decode(c->text.data + last, &n)) & UNICODE_SPACE))
			break;
		end = last;
	}
	run->continued = before != NULL;
	return start == end ||
		tokenizer_run_text(run, c->text.data + start, end - start, TOKENIZE_PLAIN);
}

bool
chat_encode(const tokenizer *t, chat_format format, const chat_message *messages, size_t count,
			bool generate, int32_t **ids, size_t *n_ids, engine_error *error)
{
	chat_text	c = {.t = t,.error = error};
	tokenizer_run run = {.t = t,.error = error};
	bool		done = write_chat(&c, format, messages, count, generate);

	*ids = NULL;
	*n_ids = 0;
	for (size_t i = 0; done && i <= c.n_marks; i++)
	{
		done = encode_between(&run, &c, i > 0 ? &c.marks[i - 1] : NULL,
							  i < c.n_marks ? &c.marks[i] : NULL) &&
			(i == c.n_marks || tokenizer_run_emit(&run, c.marks[i].token->id));
	}
	if (done && run.ids.data == NULL)
		done = (run.ids.data = malloc(sizeof(int32_t))) != NULL ||
			engine_fail_memory(error, "the tokens of a conversation");
	if (done)
	{
		*ids = run.ids.data;
		*n_ids = run.ids.used;
		run.ids.data = NULL;
	}
	tokenizer_run_free(&run);
	free(c.marks);
	free(c.text.data);
	return done;
}
