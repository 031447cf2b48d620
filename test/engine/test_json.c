/*
 * test_json.c: what json.c accepts, what it refuses and where it says so.
 */
#include <stdlib.h>
#include <string.h>

#include "engine/json.h"
#include "tap.h"

static json *
parse(const char *text)
{
	return json_parse(text, strlen(text), NULL);
}

static void
test_values(void)
{
	json	   *doc = parse(" {\"a\": [1, -2.5e1, true, false, null, \"x\\u00e9\\n\"], \"b\": {}, "
							"\"a2\": 7, \"dup\": 1, \"dup\": 2} ");
	const json_value *root = doc ? json_root(doc) : NULL;
	const json_value *v = json_get(root, "a");

	ok(doc != NULL && root->kind == JSON_OBJECT && root->count == 5, "an object of five members");
	ok(v && v->kind == JSON_ARRAY && v->count == 6, "an array of six");
	v = v ? v->child : NULL;
	ok(v && v->kind == JSON_NUMBER && v->number == 1, "a whole number");
	v = v ? v->next : NULL;
	ok(v && v->number == -25, "a number with fraction and exponent");
	v = v ? v->next : NULL;
	ok(v && v->kind == JSON_TRUE && v->next->kind == JSON_FALSE, "true and false");
	v = v ? v->next->next : NULL;
	ok(v && v->kind == JSON_NULL, "null");
	v = v ? v->next : NULL;
	ok(v && v->kind == JSON_STRING && strcmp(v->string, "x\xC3\xA9\n") == 0 && v->length == 4 &&
	   v->next == NULL, "a string with escapes");
	ok(json_get_int(root, "dup", 0, 10, -1) == 2, "the last of equal keys wins");
	ok(json_get(root, "b")->count == 0 && json_get(root, "b")->child == NULL, "an empty object");
	ok(json_get(root, "none") == NULL && json_get(NULL, "a") == NULL, "absent members are NULL");
	json_free(doc);
}

static void
test_typed_members(void)
{
	json	   *doc = parse("{\"i\": 5, \"f\": 1.5, \"s\": \"t\", \"b\": true, \"n\": null, \"big\": 1e300}");
	const json_value *root = json_root(doc);

	ok(json_get_int(root, "i", 0, 9, -1) == 5, "a whole number in range");
	ok(json_get_int(root, "i", 6, 9, -1) == -1, "out of range is the default");
	ok(json_get_int(root, "f", 0, 9, -1) == -1, "a fraction is no whole number");
	ok(json_get_int(root, "big", 0, INT64_MAX, -1) == -1, "nor is 1e300");
	ok(json_get_number(root, "f", 0) == 1.5 && json_get_number(root, "s", 3) == 3, "numbers");
	ok(json_get_bool(root, "b", false) && json_get_bool(root, "n", true), "booleans");
	ok(strcmp(json_get_string(root, "s", ""), "t") == 0 &&
	   json_get_string(root, "i", NULL) == NULL, "strings");
	json_free(doc);
}

static void
test_strings(void)
{
	json	   *doc = parse("\"\\\"\\\\\\/\\b\\f\\n\\r\\t\\u0000\\ud83d\\ude00\\u20ac\"");
	const json_value *v = doc ? json_root(doc) : NULL;
	const char	expected[] = "\"\\/\b\f\n\r\t\0\xF0\x9F\x98\x80\xE2\x82\xAC";

	ok(v && v->length == sizeof(expected) - 1 && memcmp(v->string, expected, sizeof(expected)) == 0,
	   "every escape, a NUL and a surrogate pair");
	json_free(doc);
}

typedef struct bad_case
{
	const char *text;
	const char *message;
} bad_case;

static void
test_refused(void)
{
	static const bad_case cases[] = {
		{"", "invalid JSON at byte 0: expected a value"},
		{"  ", "invalid JSON at byte 2: expected a value"},
		{"[1,]", "invalid JSON at byte 3: expected a value"},
		{"[1 2]", "invalid JSON at byte 3: expected a comma or the end of the list"},
		{"[1", "invalid JSON at byte 2: expected a comma or the end of the list"},
		{"{\"a\":1,}", "invalid JSON at byte 7: expected a key"},
		{"{\"a\" 1}", "invalid JSON at byte 5: expected a colon"},
		{"{1:2}", "invalid JSON at byte 1: expected a key"},
		{"1 2", "invalid JSON at byte 2: text after the value"},
		{"01", "invalid JSON at byte 2: malformed number"},
		{"-", "invalid JSON at byte 1: malformed number"},
		{"1.", "invalid JSON at byte 2: malformed number"},
		{"1e", "invalid JSON at byte 2: malformed number"},
		{"1e999", "invalid JSON at byte 5: number is out of range"},
		{"+1", "invalid JSON at byte 0: expected a value"},
		{"NaN", "invalid JSON at byte 0: expected a value"},
		{"nul", "invalid JSON at byte 0: expected a value"},
		{"truex", "invalid JSON at byte 4: text after the value"},
		{"'a'", "invalid JSON at byte 0: expected a value"},
		{"// c\n1", "invalid JSON at byte 0: expected a value"},
		{"\"a", "invalid JSON at byte 2: unterminated string"},
		{"\"a\\", "invalid JSON at byte 3: unknown escape"},
		{"\"\\x\"", "invalid JSON at byte 2: unknown escape"},
		{"\"\\u12g4\"", "invalid JSON at byte 5: \\u needs four hexadecimal digits"},
		{"\"\\ud800\"", "invalid JSON at byte 7: unpaired surrogate"},
		{"\"\\ud800\\u0041\"", "invalid JSON at byte 13: unpaired surrogate"},
		{"\"\\udc00\"", "invalid JSON at byte 7: unpaired surrogate"},
		{"\"\n\"", "invalid JSON at byte 1: control character in a string"},
		{"\"\xC0\x80\"", "invalid JSON at byte 1: invalid UTF-8"},
		{"\xEF\xBB\xBF{}", "invalid JSON at byte 0: expected a value"},
		{"]", "invalid JSON at byte 0: expected a value"},
		{"[}", "invalid JSON at byte 1: expected a value"},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
	{
		engine_error error = {0};
		json	   *doc = json_parse(cases[i].text, strlen(cases[i].text), &error);

		if (!ok(doc == NULL && error.code == ENGINE_CORRUPT &&
				strcmp(error.message, cases[i].message) == 0,
				"refused, case %zu: %s", i, cases[i].message))
			tap_note("got: %s", error.message);
		json_free(doc);
	}
}

/* depth arrays inside each other */
static json *
parse_nested(int depth, engine_error *error)
{
	char		text[600];
	json	   *doc;

	memset(text, '[', (size_t) depth);
	memset(text + depth, ']', (size_t) depth);
	doc = json_parse(text, 2 * (size_t) depth, error);
	return doc;
}

static void
test_limits(void)
{
	engine_error error = {0};
	json	   *doc = parse_nested(128, &error);
	size_t		length = 9 << 20;
	char	   *text = malloc(2 * length + 2);
	char		digits[500];

	ok(doc != NULL, "128 levels");
	json_free(doc);
	ok(parse_nested(129, &error) == NULL && strstr(error.message, "nested too deeply"),
	   "129 levels are refused");

	memset(digits, '1', sizeof(digits));
	ok(json_parse(digits, sizeof(digits), &error) == NULL &&
	   strstr(error.message, "number is too long"), "a number of 500 digits is refused");

	for (size_t i = 0; i < length; i++)
		memcpy(text + 2 * i, i == 0 ? "[1" : ",1", 2);
	text[2 * length] = ']';
	ok(json_parse(text, 2 * length + 1, &error) == NULL &&
	   strstr(error.message, "too many values"), "nine million values are refused");
	text[2 << 20] = ']';
	doc = json_parse(text, (2 << 20) + 1, &error);
	ok(doc && json_root(doc)->count == 1 << 20, "a million values are read");
	json_free(doc);

	/* nothing may be read beyond the given length */
	doc = json_parse("12345", 3, &error);
	ok(doc && json_root(doc)->number == 123, "the length is respected");
	json_free(doc);
	free(text);
}

int
main(void)
{
	test_values();
	test_typed_members();
	test_strings();
	test_refused();
	test_limits();
	json_free(NULL);
	return tap_done();
}
