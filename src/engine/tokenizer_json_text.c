/*
 * tokenizer_json_text.c: "normalizer" and "pre_tokenizer" of tokenizer.json.
 */
#include "engine/tokenizer_json.h"

static const char *
type_of(const json_value *v)
{
	return json_get_string(v, "type", "");
}

static bool
type_is(const json_value *v, const char *type)
{
	return strcmp(type_of(v), type) == 0;
}

static bool
is_null(const json_value *v)
{
	return v == NULL || v->kind == JSON_NULL;
}

/* A short string of a step. */
static bool
take_string(const json_value *v, char out[NORMALIZE_MAX_STRING], int *length,
			engine_error *error)
{
	if (v == NULL || v->kind != JSON_STRING || v->length > NORMALIZE_MAX_STRING)
		return engine_fail(error, ENGINE_UNSUPPORTED,
						   "a normalizer without a string of at most %d bytes",
						   NORMALIZE_MAX_STRING);
	memcpy(out, v->string, v->length);
	*length = (int) v->length;
	return true;
}

static bool
take_replace(normalize_step *step, const json_value *v, engine_error *error)
{
	const json_value *pattern = json_get(v, "pattern");
	const char *expression = json_get_string(pattern, "Regex", NULL);

	if (expression && strcmp(expression, " {2,}") == 0)
		step->kind = NORMALIZE_SQUEEZE;
	else if (expression)
		return engine_fail(error, ENGINE_UNSUPPORTED,
						   "the normalizer's regular expression \"%.200s\" is not known", expression);
	else
	{
		step->kind = NORMALIZE_REPLACE;
		if (!take_string(json_get(pattern, "String"), step->pattern, &step->pattern_length, error))
			return false;
		if (step->pattern_length == 0)
			return engine_fail(error, ENGINE_CORRUPT, "a normalizer replaces the empty string");
	}
	return take_string(json_get(v, "content"), step->replacement, &step->replacement_length, error);
}

static bool
take_step(normalizer *n, const json_value *v, engine_error *error)
{
	static const char *const forms[] = {"NFC", "NFD", "NFKC", "NFKD"};
	normalize_step *step = &n->steps[n->count];

	if (n->count == NORMALIZE_MAX_STEPS)
		return engine_fail(error, ENGINE_UNSUPPORTED, "more than %d normalizers", NORMALIZE_MAX_STEPS);
	n->count++;
	*step = (normalize_step) {0};
	for (int i = 0; i < 4; i++)
	{
		if (type_is(v, forms[i]))
		{
			step->kind = NORMALIZE_FORM;
			step->form = (unicode_form) i;
			return true;
		}
	}
	if (type_is(v, "BertNormalizer"))
	{
		step->kind = NORMALIZE_BERT;
		step->clean = json_get_bool(v, "clean_text", true);
		step->space_ideographs = json_get_bool(v, "handle_chinese_chars", true);
		step->lower = json_get_bool(v, "lowercase", true);
		step->strip_accents = json_get_bool(v, "strip_accents", step->lower);
		return true;
	}
	if (type_is(v, "Lowercase"))
	{
		step->kind = NORMALIZE_LOWER;
		return true;
	}
	if (type_is(v, "Strip"))
	{
		step->kind = NORMALIZE_STRIP;
		step->left = json_get_bool(v, "strip_left", true);
		step->right = json_get_bool(v, "strip_right", true);
		return true;
	}
	if (type_is(v, "Prepend"))
	{
		step->kind = NORMALIZE_PREPEND;
		return take_string(json_get(v, "prepend"), step->replacement, &step->replacement_length,
						   error);
	}
	if (type_is(v, "Replace"))
		return take_replace(step, v, error);
	return engine_fail(error, ENGINE_UNSUPPORTED, "normalizer \"%.64s\" is not supported", type_of(v));
}

bool
tokenizer_json_normalizer(normalizer *n, const json_value *value, engine_error *error)
{
	const json_value *list = json_get(value, "normalizers");

	n->count = 0;
	if (is_null(value))
		return true;
	if (!type_is(value, "Sequence"))
		return take_step(n, value, error);
	if (list == NULL || list->kind != JSON_ARRAY)
		return engine_fail(error, ENGINE_CORRUPT, "a sequence of normalizers without a list");
	for (const json_value *v = list->child; v; v = v->next)
	{
		if (!take_step(n, v, error))
			return false;
	}
	return true;
}

static bool
take_split(tokenizer_source *s, const json_value *v, engine_error *error)
{
	const json_value *pattern = json_get(v, "pattern");
	const char *expression = json_get_string(pattern, "Regex", NULL);
	const char *string = json_get_string(pattern, "String", NULL);
	const char *behavior = json_get_string(v, "behavior", "");
	pretokenizer *p = &s->pre;

	if (json_get_bool(v, "invert", false))
		return engine_fail(error, ENGINE_UNSUPPORTED, "an inverted split is not supported");

	/* Gemma: the normalizer has left no space to cut at */
	if (string && strcmp(string, " ") == 0 && strcmp(behavior, "MergedWithPrevious") == 0)
	{
		for (int i = 0; i < s->normal.count; i++)
		{
			if (s->normal.steps[i].kind == NORMALIZE_REPLACE &&
				s->normal.steps[i].pattern_length == 1 && s->normal.steps[i].pattern[0] == ' ')
				return true;
		}
	}
	if (expression == NULL)
		return engine_fail(error, ENGINE_UNSUPPORTED, "a split at \"%.64s\" is not supported",
						   string ? string : "");
	if (strcmp(behavior, "Isolated") != 0 || p->pattern != PATTERN_NONE)
		return engine_fail(error, ENGINE_UNSUPPORTED,
						   "a split with behavior \"%.64s\" is not supported", behavior);
	p->pattern = pretokenize_find_pattern(expression);
	if (p->pattern == PATTERN_NONE)
		return engine_fail(error, ENGINE_UNSUPPORTED,
						   "the pre-tokenizer's regular expression \"%.300s\" is not known",
						   expression);
	p->kind = PRETOKENIZE_PATTERN;
	return true;
}

static bool
take_byte_level(tokenizer_source *s, const json_value *v, bool alone, engine_error *error)
{
	pretokenizer *p = &s->pre;

	if (s->byte_level)
		return engine_fail(error, ENGINE_UNSUPPORTED, "two byte-level pre-tokenizers");
	s->byte_level = true;
	p->kind = PRETOKENIZE_PATTERN;
	p->prefix_space = json_get_bool(v, "add_prefix_space", true);
	if (p->prefix_space && !alone)
		return engine_fail(error, ENGINE_UNSUPPORTED,
						   "a prefix space for each of several pieces is not supported");
	if (!json_get_bool(v, "use_regex", true))
		return true;
	if (p->pattern != PATTERN_NONE)
		return engine_fail(error, ENGINE_UNSUPPORTED, "two regular expressions, one after the other");
	p->pattern = PATTERN_GPT2;
	return true;
}

static bool
take_metaspace(tokenizer_source *s, const json_value *v, bool after_words, engine_error *error)
{
	static const char *const schemes[] = {"never", "first", "always"};
	const char *replacement = json_get_string(v, "replacement", METASPACE);
	bool		prefix = json_get_bool(v, "add_prefix_space", true);
	const char *scheme = json_get_string(v, "prepend_scheme", prefix ? "always" : "never");
	pretokenizer *p = &s->pre;

	if (strcmp(replacement, METASPACE) != 0)
		return engine_fail(error, ENGINE_UNSUPPORTED, "\"%.16s\" in the place of spaces", replacement);
	p->kind = PRETOKENIZE_METASPACE;
	p->split = json_get_bool(v, "split", true);
	p->words = after_words;
	for (int i = 0; i < 3; i++)
	{
		if (strcmp(scheme, schemes[i]) == 0)
		{
			p->prepend = (metaspace_prepend) i;
			return true;
		}
	}
	return engine_fail(error, ENGINE_UNSUPPORTED, "metaspace scheme \"%.64s\" is not known", scheme);
}

/* One pre-tokenizer; those of a list are taken in turn, in the few orders that models use. */
static bool
take_pre(tokenizer_source *s, const json_value *v, bool alone, const char *previous,
		 engine_error *error)
{
	pretokenizer *p = &s->pre;

	if (type_is(v, "ByteLevel"))
		return take_byte_level(s, v, alone, error);
	if (s->byte_level || p->kind == PRETOKENIZE_METASPACE)
		return engine_fail(error, ENGINE_UNSUPPORTED, "pre-tokenizer \"%.64s\" after \"%.64s\"",
						   type_of(v), previous);
	if (type_is(v, "Split"))
		return take_split(s, v, error);
	if (type_is(v, "Digits") && p->kind == PRETOKENIZE_WHOLE)
	{
		p->kind = PRETOKENIZE_PATTERN;
		p->digits = true;
		p->single_digits = json_get_bool(v, "individual_digits", false);
		return true;
	}
	if (type_is(v, "BertPreTokenizer") && alone)
	{
		p->kind = PRETOKENIZE_BERT;
		return true;
	}
	if (type_is(v, "Metaspace") && (alone || strcmp(previous, "WhitespaceSplit") == 0))
		return take_metaspace(s, v, !alone, error);
	if (type_is(v, "WhitespaceSplit") && !alone && previous[0] == '\0')
		return true;			/* a Metaspace must follow: see below */
	return engine_fail(error, ENGINE_UNSUPPORTED, "pre-tokenizer \"%.64s\" is not supported here",
					   type_of(v));
}

bool
tokenizer_json_pre(tokenizer_source *s, const json_value *value, engine_error *error)
{
	const json_value *list = json_get(value, "pretokenizers");
	const char *previous = "";

	if (is_null(value))
		return true;
	if (!type_is(value, "Sequence"))
		return take_pre(s, value, true, "", error);
	if (list == NULL || list->kind != JSON_ARRAY)
		return engine_fail(error, ENGINE_CORRUPT, "a sequence of pre-tokenizers without a list");
	for (const json_value *v = list->child; v; v = v->next)
	{
		if (!take_pre(s, v, list->count == 1, previous, error))
			return false;
		previous = type_of(v);
	}
	if (strcmp(previous, "WhitespaceSplit") == 0)
		return engine_fail(error, ENGINE_UNSUPPORTED, "pre-tokenizer \"WhitespaceSplit\" alone");
	return true;
}
