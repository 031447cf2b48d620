/*
 * chat_template.c: recognising the family of a chat template.
 */
#include "engine/chat_template.h"

#include <stdio.h>

#define TEMPLATE_MAX_BYTES 65536

/* ---------------------------------------------------------------------------
 * One spelling. transformers renders with trim_blocks and lstrip_blocks: the line
 * break after a block goes, and so do the blanks of its line before it.
 * ---------------------------------------------------------------------------
 */
static bool
is_space(char c)
{
	return c == ' ' || c == '\n' || c == '\t' || c == '\r';
}

static bool
starts(const char *text, const char *word)
{
	return strncmp(text, word, strlen(word)) == 0;
}

static bool
append(text_buffer *out, const char *word)
{
	return text_append(out, word, strlen(word));
}

/* Takes white space off the end, down to where the last tag ended. */
static void
strip_text(text_buffer *out, size_t tag_end)
{
	while (out->used > tag_end && is_space(out->data[out->used - 1]))
		out->used--;
}

/* Takes the blanks of a line that holds nothing else so far. */
static void
strip_line(text_buffer *out, size_t tag_end)
{
	size_t		at = out->used;

	while (at > tag_end && (out->data[at - 1] == ' ' || out->data[at - 1] == '\t'))
		at--;
	if (at == 0 || out->data[at - 1] == '\n')
		out->used = at;
}

/* A string literal with single quotes; a line break is written \n. Returns what follows it. */
static const char *
copy_string(const char *at, text_buffer *out, bool *done)
{
	char		quote = *at++;

	*done = append(out, "'");
	while (*at && *at != quote && *done)
	{
		if (*at == '\n')
			*done = append(out, "\\n");
		else
			*done = text_append(out, at, 1);
		if (*at == '\\' && at[1] && *done)
			*done = text_append(out, ++at, 1);
		at++;
	}
	*done = *done && append(out, "'");
	return *at ? at + 1 : at;
}

/* The inside of {{ }} or {% %} without white space; returns what follows the tag. */
static const char *
copy_tag(const char *at, const char *close, text_buffer *out, bool *done)
{
	static const struct
	{
		const char *from;
		const char *to;
	}			spellings[] = {
		{".role", "['role']"}, {".content", "['content']"}, {".strip()", "|trim"}
	};

	*done = true;
	while (*at && *done && !starts(at, close) && !(*at == '-' && starts(at + 1, close)))
	{
		size_t		i = 0;

		if (*at == '\'' || *at == '"')
		{
			at = copy_string(at, out, done);
			continue;
		}
		while (i < 3 && !starts(at, spellings[i].from))
			i++;
		if (i < 3)
		{
			*done = append(out, spellings[i].to);
			at += strlen(spellings[i].from);
			continue;
		}
		if (!is_space(*at))
			*done = text_append(out, at, 1);
		at++;
	}
	return at;
}

bool
chat_template_canonical(const char *at, text_buffer *out)
{
	size_t		tag_end = 0;
	bool		done = true;

	while (*at && done)
	{
		char		kind = at[0] == '{' ? at[1] : '\0';
		const char *close = kind == '{' ? "}}" : kind == '%' ? "%}" : "#}";
		bool		strip;

		if (kind != '{' && kind != '%' && kind != '#')
		{
			done = text_append(out, at++, 1);
			continue;
		}
		at += 2;
		if (*at == '-')
		{
			strip_text(out, tag_end);
			at++;
		}
		else if (kind != '{')
			strip_line(out, tag_end);
		if (kind == '#')
		{
			const char *end = strstr(at, close);

			at = end ? end : at + strlen(at);
			strip = end && end[-1] == '-';
		}
		else
		{
			done = append(out, kind == '{' ? "{{" : "{%");
			if (done)
				at = copy_tag(at, close, out, &done);
			done = done && append(out, close);
			strip = *at == '-';
			at += strip;
		}
		tag_end = out->used;
		if (*at)
			at += 2;
		if (kind != '{' && *at == '\n')
			at++;
		while (strip && is_space(*at))
			at++;
	}
	return done && text_append(out, "", 1);
}

/* ---------------------------------------------------------------------------
 * Families
 * ---------------------------------------------------------------------------
 */
static bool
has(const char *text, const char *part)
{
	return strstr(text, part) != NULL;
}

/* A literal's text with its escapes undone. */
static bool
unescape(const char *text, size_t length, text_buffer *out)
{
	for (size_t i = 0; i < length; i++)
	{
		char		c = text[i];

		if (c == '\\' && i + 1 < length)
		{
			c = text[++i];
			c = c == 'n' ? '\n' : c == 't' ? '\t' : c;
		}
		if (!text_append(out, &c, 1))
			return false;
	}
	return true;
}

/* True when part occurs right behind one of the contexts (a list that NULL ends). */
static bool
follows(const char *text, const char *part, const char *const *contexts)
{
	for (const char *found = strstr(text, part); found; found = strstr(found + 1, part))
	{
		for (int i = 0; contexts[i]; i++)
		{
			size_t		length = strlen(contexts[i]);

			if ((size_t) (found - text) >= length &&
				memcmp(found - length, contexts[i], length) == 0)
				return true;
		}
	}
	return false;
}

/*
 * The literal '<|im_start|>system\nTEXT<|im_end|>\n' stands for a system message that is
 * missing, where it stands in one of two places. In any other it is not known what it does.
 */
static bool
read_default_system(const char *text, chat_style *style, bool *known)
{
	static const char start[] = "'<|im_start|>system\\n";
	static const char *const contexts[] = {
		"messages[0]['role']!='system'%}{{",
		"{%ifmessages[0]['role']=='system'%}{{'<|im_start|>system\\n'+messages[0]['content']"
		"+'<|im_end|>\\n'}}{%else%}{{",
		NULL
	};
	const char *found = text;

	*known = true;
	while ((found = strstr(found, start)) != NULL && *known)
	{
		const char *body = found + sizeof(start) - 1;
		const char *end = strstr(body, "<|im_end|>\\n'}}");
		const char *quote = body;

		while (*quote && *quote != '\'')
			quote += quote[0] == '\\' && quote[1] ? 2 : 1;
		if (quote > body)		/* else a message follows the literal */
		{
			*known = end != NULL && end < quote && style->system.used == 0 &&
				follows(text, found, contexts); /* found is the rest of the text: one place */
			if (*known && !unescape(body, (size_t) (end - body), &style->system))
				return false;
		}
		found = body;
	}
	return true;
}

static bool
read_chatml(const char *text, chat_style *style, bool *known)
{
#define TURN "'<|im_start|>'+message['role']+'\\n'+message['content']+"
	static const char *const contexts[] = {
		"{%formessageinmessages%}{{",
		"{%endif%}{{",
		"{%if(message['role']=='user')or(message['role']=='system'andnotloop.first)or"
		"(message['role']=='assistant'andnotmessage.tool_calls)%}{{",
		NULL
	};

	*known = (follows(text, TURN "'<|im_end|>'+'\\n'}}", contexts) ||
			  follows(text, TURN "'<|im_end|>\\n'}}", contexts)) &&
		has(text, "{%ifadd_generation_prompt%}{{'<|im_start|>assistant\\n'}}");
#undef TURN
	style->format = CHAT_CHATML;
	style->begin = starts(text, "{{bos_token}}");
	/* a beginning token in any other place is not known */
	if (has(text + (style->begin ? strlen("{{bos_token}}") : 0), "bos_token"))
		*known = false;
	return !*known || read_default_system(text, style, known);
}

/*
 * Llama 3.1 and later always have a system message, which begins with dates. Where the
 * template asks for today's date, it also has one for renderers that do not know it; that
 * one is used, so that equal conversations give equal tokens.
 */
static bool
read_dates(const char *text, chat_style *style, bool *known)
{
	static const char header[] = "{{'<|start_header_id|>system<|end_header_id|>\\n\\n'}}";
	static const char dates[] = "{{'Cutting Knowledge Date: December 2023\\n'}}"
		"{{'Today Date: '+date_string+'\\n\\n'}}";
	static const char *const contexts[] = {"{%else%}{%setsystem_message=''%}{%endif%}", NULL};
	static const char assign[] = "{%setdate_string='";
	const char *date = strstr(text, assign);
	const char *end;

	*known = true;
	if (!has(text, "<|start_header_id|>system") && !has(text, "Today Date: "))
		return true;
	*known = false;
	if (date == NULL || !follows(text, header, contexts) || !has(text, dates) ||
		!has(text, "{%setsystem_message=messages[0]['content']|trim%}{%setmessages=messages[1:]%}") ||
		!has(text, "{{system_message}}{{'<|eot_id|>'}}"))
		return true;
	date += sizeof(assign) - 1;
	end = strchr(date, '\'');
	if (end == NULL || end - date > 32)
		return true;
	*known = true;
	return append(&style->dates, "Cutting Knowledge Date: December 2023\nToday Date: ") &&
		unescape(date, (size_t) (end - date), &style->dates) && append(&style->dates, "\n\n");
}

static bool
read_llama3(const char *text, chat_style *style, bool *known)
{
	static const char *const contexts[] = {
		"{%formessageinmessages%}{{",
		"{%formessageinmessages%}{%setcontent=",
		"{%formessageinloop_messages%}{%setcontent=",
		"{%ifnot(message['role']=='ipython'ormessage['role']=='tool'or'tool_calls'inmessage)%}{{",
		NULL
	};

	style->format = CHAT_LLAMA3;
	style->begin = starts(text, "{{bos_token}}") ||
		has(text, "{%ifloop.index0==0%}{%setcontent=bos_token+content%}{%endif%}");
	*known = follows(text, "'<|start_header_id|>'+message['role']+'<|end_header_id|>\\n\\n'"
					 "+message['content']|trim+'<|eot_id|>'", contexts) &&
		has(text, "{{'<|start_header_id|>assistant<|end_header_id|>\\n\\n'}}") &&
		(style->begin || !has(text, "bos_token"));
	return !*known || read_dates(text, style, known);
}

static bool
read_llama2(const char *text, chat_style *style)
{
	bool		trimmed = has(text, "bos_token+'[INST] '+content|trim+' [/INST]'") &&
		has(text, "' '+content|trim+' '+eos_token");
	bool		plain = has(text, "bos_token+'[INST] '+content+' [/INST]'") &&
		has(text, "' '+content+' '+eos_token");

	style->format = CHAT_LLAMA2;
	style->trim = trimmed;
	return trimmed != plain &&
		has(text, "content='<<SYS>>\\n'+system_message+'\\n<</SYS>>\\n\\n'+message['content']");
}

static bool
read_zephyr(const char *text, chat_style *style)
{
	static const char *const roles[] = {"user", "system", "assistant"};

	style->format = CHAT_ZEPHYR;
	for (int i = 0; i < 3; i++)
	{
		char		turn[80];
		char		inside[88];

		snprintf(turn, sizeof(turn), "{{'<|%s|>\\n'+message['content']+eos_token", roles[i]);
		snprintf(inside, sizeof(inside), "%s+'\\n'}}", turn);
		if (!has(text, inside))
		{
			snprintf(inside, sizeof(inside), "%s}}\n", turn);
			if (!has(text, inside))
				return false;
		}
	}
	return has(text, "add_generation_prompt%}{{'<|assistant|>'}}\n") ||
		has(text, "add_generation_prompt%}{{'<|assistant|>\\n'}}");
}

static bool
recognise(const char *text, chat_style *style, bool *known)
{
	if (has(text, "<|im_start|>"))
		return read_chatml(text, style, known);
	if (has(text, "<|start_header_id|>"))
		return read_llama3(text, style, known);
	if (has(text, "[INST]"))
		*known = read_llama2(text, style);
	else if (has(text, "<|assistant|>"))
		*known = read_zephyr(text, style);
	return true;
}

bool
chat_style_read(const char *text, chat_style *style, engine_error *error)
{
	text_buffer canonical = {0};
	bool		known = false;
	bool		done = true;

	*style = (chat_style) {0};
	if (text && strlen(text) <= TEMPLATE_MAX_BYTES)
		done = chat_template_canonical(text, &canonical) &&
			recognise(canonical.data, style, &known);
	free(canonical.data);
	if (done && known)
		return true;
	chat_style_free(style);
	if (!done)
		return engine_fail_memory(error, "a chat template");
	if (text == NULL)
		return engine_fail(error, ENGINE_UNSUPPORTED, "the model has no chat template");
	return engine_fail(error, ENGINE_UNSUPPORTED, "the model's chat template is not known: \"%.200s\"",
					   text);
}

void
chat_style_free(chat_style *style)
{
	free(style->system.data);
	free(style->dates.data);
	*style = (chat_style) {0};
}
