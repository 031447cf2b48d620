/*
 * json.c: a strict JSON reader without recursion.
 *
 * Values live in blocks, decoded strings in one buffer as long as the text: a
 * string is never longer decoded than it was written, and its quotes pay for the
 * final NUL. So memory is bounded by the text's length and JSON_MAX_VALUES.
 */
#include "engine/json.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "engine/tokenizer.h"
#include "engine/unicode.h"

#define JSON_MAX_DEPTH 128
#define JSON_MAX_VALUES ((size_t) 8 << 20)	/* 576 MB of values; Gemma's tokenizer.json has 1.8M */
#define JSON_MAX_NUMBER 400		/* characters of a number */
#define BLOCK_VALUES 4096

typedef struct json_block
{
	struct json_block *next;
	size_t		used;
	json_value	values[BLOCK_VALUES];
} json_block;

struct json
{
	json_block *blocks;
	char	   *strings;
	json_value *root;
};

/* An array or object that is being read. */
typedef struct json_level
{
	json_value *container;
	json_value *last;			/* its last child so far */
} json_level;

typedef struct json_parser
{
	json	   *doc;
	const char *text;
	size_t		length;
	size_t		at;
	size_t		string_used;
	size_t		values;
	int			depth;
	json_level	levels[JSON_MAX_DEPTH];
	engine_error *error;
} json_parser;

static bool
parser_fail(json_parser *p, const char *reason)
{
	return engine_fail(p->error, ENGINE_CORRUPT, "invalid JSON at byte %zu: %s", p->at, reason);
}

static void
skip_space(json_parser *p)
{
	while (p->at < p->length &&
		   (p->text[p->at] == ' ' || p->text[p->at] == '\n' || p->text[p->at] == '\t' ||
			p->text[p->at] == '\r'))
		p->at++;
}

/* The byte at the reading position, or -1 at the end. */
static int
peek(const json_parser *p)
{
	return p->at < p->length ? (unsigned char) p->text[p->at] : -1;
}

static json_value *
new_value(json_parser *p)
{
	json_block *block = p->doc->blocks;

	if (p->values == JSON_MAX_VALUES)
	{
		parser_fail(p, "too many values");
		return NULL;
	}
	if (block == NULL || block->used == BLOCK_VALUES)
	{
		block = malloc(sizeof(*block));
		if (block == NULL)
		{
			engine_fail_memory(p->error, "a JSON document");
			return NULL;
		}
		block->next = p->doc->blocks;
		block->used = 0;
		p->doc->blocks = block;
	}
	p->values++;
	memset(&block->values[block->used], 0, sizeof(json_value));
	return &block->values[block->used++];
}

static bool
read_hex4(json_parser *p, uint32_t *out)
{
	*out = 0;
	for (int i = 0; i < 4; i++)
	{
		int			c = peek(p);
		uint32_t	digit;

		if (c >= '0' && c <= '9')
			digit = (uint32_t) (c - '0');
		else if ((c | 0x20) >= 'a' && (c | 0x20) <= 'f')
			digit = (uint32_t) ((c | 0x20) - 'a' + 10);
		else
			return parser_fail(p, "\\u needs four hexadecimal digits");
		*out = *out << 4 | digit;
		p->at++;
	}
	return true;
}

/* After "\u": a code point, from two escapes when it is beyond the basic plane. */
static bool
read_unicode_escape(json_parser *p, uint32_t *code)
{
	uint32_t	low;

	if (!read_hex4(p, code))
		return false;
	if (*code >= 0xD800 && *code <= 0xDBFF)
	{
		if (p->length - p->at < 2 || memcmp(p->text + p->at, "\\u", 2) != 0)
			return parser_fail(p, "unpaired surrogate");
		p->at += 2;
		if (!read_hex4(p, &low))
			return false;
		if (low < 0xDC00 || low > 0xDFFF)
			return parser_fail(p, "unpaired surrogate");
		*code = 0x10000 + ((*code - 0xD800) << 10) + (low - 0xDC00);
	}
	else if (*code >= 0xDC00 && *code <= 0xDFFF)
		return parser_fail(p, "unpaired surrogate");
	return true;
}

/* After the backslash. */
static bool
read_escape(json_parser *p, char **out)
{
	static const char from[] = "\"\\/bfnrt";
	static const char to[] = "\"\\/\b\f\n\r\t";
	int			c = peek(p);
	const char *found;
	uint32_t	code;

	if (c == 'u')
	{
		p->at++;
		if (!read_unicode_escape(p, &code))
			return false;
		*out += utf8_encode(code, *out);
		return true;
	}
	found = c > 0 ? strchr(from, c) : NULL;
	if (found == NULL)
		return parser_fail(p, "unknown escape");
	p->at++;
	*(*out)++ = to[found - from];
	return true;
}

/* At the opening quote. */
static bool
read_string(json_parser *p, const char **string, size_t *length)
{
	char	   *start = p->doc->strings + p->string_used;
	char	   *out = start;

	p->at++;
	for (;;)
	{
		size_t		run = p->at;

		while (run < p->length && p->text[run] != '"' && p->text[run] != '\\' &&
			   (unsigned char) p->text[run] >= 0x20)
			run++;
		memcpy(out, p->text + p->at, run - p->at);
		out += run - p->at;
		p->at = run;
		if (run == p->length)
			return parser_fail(p, "unterminated string");
		if (p->text[run] == '"')
			break;
		if (p->text[run] != '\\')
			return parser_fail(p, "control character in a string");
		p->at++;
		if (!read_escape(p, &out))
			return false;
	}
	p->at++;
	*out = '\0';
	*string = start;
	*length = (size_t) (out - start);
	p->string_used += *length + 1;
	return true;
}

static size_t
skip_digits(json_parser *p)
{
	size_t		start = p->at;

	while (peek(p) >= '0' && peek(p) <= '9')
		p->at++;
	return p->at - start;
}

static bool
read_number(json_parser *p, double *number)
{
	char		copy[JSON_MAX_NUMBER + 1];
	size_t		start = p->at;
	size_t		length;
	bool		leading_zero;

	if (peek(p) == '-')
		p->at++;
	leading_zero = peek(p) == '0';
	length = skip_digits(p);
	if (length == 0 || (leading_zero && length > 1))
		return parser_fail(p, "malformed number");
	if (peek(p) == '.')
	{
		p->at++;
		if (skip_digits(p) == 0)
			return parser_fail(p, "malformed number");
	}
	if (peek(p) == 'e' || peek(p) == 'E')
	{
		p->at++;
		if (peek(p) == '+' || peek(p) == '-')
			p->at++;
		if (skip_digits(p) == 0)
			return parser_fail(p, "malformed number");
	}
	length = p->at - start;
	if (length > JSON_MAX_NUMBER)
		return parser_fail(p, "number is too long");
	memcpy(copy, p->text + start, length);
	copy[length] = '\0';
	*number = strtod(copy, NULL);
	if (!isfinite(*number))
		return parser_fail(p, "number is out of range");
	return true;
}

static bool
read_literal(json_parser *p, const char *word)
{
	size_t		length = strlen(word);

	if (p->length - p->at < length || memcmp(p->text + p->at, word, length) != 0)
		return parser_fail(p, "expected a value");
	p->at += length;
	return true;
}

/* Opens a container: what follows are its children. */
static bool
open_container(json_parser *p, json_value *value, json_kind kind)
{
	if (p->depth == JSON_MAX_DEPTH)
		return parser_fail(p, "nested too deeply");
	value->kind = kind;
	p->levels[p->depth].container = value;
	p->levels[p->depth].last = NULL;
	p->depth++;
	p->at++;
	return true;
}

/* A scalar, or the opening of a container. */
static bool
read_value(json_parser *p, json_value *value)
{
	switch (peek(p))
	{
		case '{':
			return open_container(p, value, JSON_OBJECT);
		case '[':
			return open_container(p, value, JSON_ARRAY);
		case '"':
			value->kind = JSON_STRING;
			return read_string(p, &value->string, &value->length);
		case 't':
			value->kind = JSON_TRUE;
			return read_literal(p, "true");
		case 'f':
			value->kind = JSON_FALSE;
			return read_literal(p, "false");
		case 'n':
			value->kind = JSON_NULL;
			return read_literal(p, "null");
		case '-':
		case '0':
		case '1':
		case '2':
		case '3':
		case '4':
		case '5':
		case '6':
		case '7':
		case '8':
		case '9':
			value->kind = JSON_NUMBER;
			return read_number(p, &value->number);
		default:
			return parser_fail(p, "expected a value");
	}
}

static bool
read_key(json_parser *p, json_value *value)
{
	skip_space(p);
	if (peek(p) != '"')
		return parser_fail(p, "expected a key");
	if (!read_string(p, &value->key, &value->key_length))
		return false;
	skip_space(p);
	if (peek(p) != ':')
		return parser_fail(p, "expected a colon");
	p->at++;
	return true;
}

/* The next child of the innermost container, or its end. */
static bool
read_child(json_parser *p)
{
	json_level *level = &p->levels[p->depth - 1];
	json_value *container = level->container;
	json_value *value;

	skip_space(p);
	if (peek(p) == (container->kind == JSON_OBJECT ? '}' : ']'))
	{
		p->at++;
		p->depth--;
		return true;
	}
	if (container->count > 0)
	{
		if (peek(p) != ',')
			return parser_fail(p, "expected a comma or the end of the list");
		p->at++;
	}
	value = new_value(p);
	if (value == NULL)
		return false;
	if (container->kind == JSON_OBJECT && !read_key(p, value))
		return false;
	if (level->last)
		level->last->next = value;
	else
		container->child = value;
	level->last = value;
	container->count++;
	skip_space(p);
	return read_value(p, value);
}

static bool
read_document(json_parser *p)
{
	p->doc->root = new_value(p);
	if (p->doc->root == NULL)
		return false;
	skip_space(p);
	if (!read_value(p, p->doc->root))
		return false;
	while (p->depth > 0)
	{
		if (!read_child(p))
			return false;
	}
	skip_space(p);
	if (p->at < p->length)
		return parser_fail(p, "text after the value");
	return true;
}

json *
json_parse(const char *text, size_t length, engine_error *error)
{
	json_parser p = {.text = text,.length = length,.error = error};

	p.at = utf8_validate(text, length);
	if (p.at < length)
	{
		parser_fail(&p, "invalid UTF-8");
		return NULL;
	}
	p.at = 0;
	p.doc = calloc(1, sizeof(json));
	if (p.doc)
		p.doc->strings = malloc(length + 1);
	if (p.doc == NULL || p.doc->strings == NULL)
	{
		json_free(p.doc);
		engine_fail_memory(error, "a JSON document");
		return NULL;
	}
	if (!read_document(&p))
	{
		json_free(p.doc);
		return NULL;
	}
	return p.doc;
}

void
json_free(json *doc)
{
	if (doc == NULL)
		return;
	while (doc->blocks)
	{
		json_block *next = doc->blocks->next;

		free(doc->blocks);
		doc->blocks = next;
	}
	free(doc->strings);
	free(doc);
}

const json_value *
json_root(const json *doc)
{
	return doc->root;
}

const json_value *
json_get(const json_value *object, const char *key)
{
	size_t		length = strlen(key);
	const json_value *found = NULL;

	if (object == NULL || object->kind != JSON_OBJECT)
		return NULL;
	for (const json_value *v = object->child; v; v = v->next)
	{
		if (v->key_length == length && memcmp(v->key, key, length) == 0)
			found = v;
	}
	return found;
}

bool
json_get_bool(const json_value *object, const char *key, bool otherwise)
{
	const json_value *v = json_get(object, key);

	if (v && (v->kind == JSON_TRUE || v->kind == JSON_FALSE))
		return v->kind == JSON_TRUE;
	return otherwise;
}

double
json_get_number(const json_value *object, const char *key, double otherwise)
{
	const json_value *v = json_get(object, key);

	return v && v->kind == JSON_NUMBER ? v->number : otherwise;
}

int64_t
json_get_int(const json_value *object, const char *key, int64_t low, int64_t high,
			 int64_t otherwise)
{
	const json_value *v = json_get(object, key);

	/* beyond 2^53 a double no longer says which whole number was written */
	if (v == NULL || v->kind != JSON_NUMBER || fabs(v->number) > 9007199254740992.0 ||
		v->number != floor(v->number))
		return otherwise;
	if ((int64_t) v->number < low || (int64_t) v->number > high)
		return otherwise;
	return (int64_t) v->number;
}

const char *
json_get_string(const json_value *object, const char *key, const char *otherwise)
{
	const json_value *v = json_get(object, key);

	return v && v->kind == JSON_STRING ? v->string : otherwise;
}
