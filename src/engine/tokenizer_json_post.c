/*
 * tokenizer_json_post.c: "post_processor" of tokenizer.json: what surrounds a text or two.
 */
#include "engine/tokenizer_json.h"

static bool
add_item(sequence_template *t, int kind, int32_t id, int64_t type, engine_error *error)
{
	if (t->count == TEMPLATE_MAX_ITEMS)
		return engine_fail(error, ENGINE_UNSUPPORTED, "more than %d tokens around a text",
						   TEMPLATE_MAX_ITEMS);
	t->items[t->count].kind = kind;
	t->items[t->count].id = id;
	t->items[t->count++].type = (int32_t) type;
	return true;
}

/* {"SpecialToken": {"id": "[CLS]", "type_id": 0}}: its ids are under "special_tokens" */
static bool
take_special(sequence_template *t, const json_value *special, const json_value *tokens,
			 engine_error *error)
{
	const char *name = json_get_string(special, "id", "");
	const json_value *ids = json_get(json_get(tokens, name), "ids");

	if (ids == NULL || ids->kind != JSON_ARRAY || ids->count == 0)
		return engine_fail(error, ENGINE_CORRUPT, "template token \"%.64s\" has no ids", name);
	for (const json_value *v = ids->child; v; v = v->next)
	{
		if (v->kind != JSON_NUMBER || !(v->number >= 0 && v->number < VOCABULARY_MAX_TOKENS))
			return engine_fail(error, ENGINE_CORRUPT, "template token \"%.64s\" has no ids", name);
		if (!add_item(t, TEMPLATE_TOKEN, (int32_t) v->number,
					  json_get_int(special, "type_id", 0, 1, 0), error))
			return false;
	}
	return true;
}

static bool
take_items(sequence_template *t, const json_value *list, const json_value *tokens,
		   engine_error *error)
{
	if (list == NULL || list->kind != JSON_ARRAY)
		return engine_fail(error, ENGINE_UNSUPPORTED, "a template that is no list of items");
	t->count = 0;
	for (const json_value *v = list->child; v; v = v->next)
	{
		const json_value *special = json_get(v, "SpecialToken");
		const json_value *sequence = json_get(v, "Sequence");
		bool		second = strcmp(json_get_string(sequence, "id", ""), "B") == 0;

		if (special ? !take_special(t, special, tokens, error) : sequence == NULL ?
			!engine_fail(error, ENGINE_CORRUPT, "a template item is neither token nor text") :
			!add_item(t, second ? TEMPLATE_B : TEMPLATE_A, -1,
					  json_get_int(sequence, "type_id", 0, 1, 0), error))
			return false;
	}
	return true;
}

/* ["[SEP]", 102] */
static bool
take_named(const json_value *v, int32_t *id, engine_error *error)
{
	const json_value *number = v && v->kind == JSON_ARRAY && v->count == 2 ? v->child->next : NULL;

	if (number == NULL || number->kind != JSON_NUMBER ||
		!(number->number >= 0 && number->number < VOCABULARY_MAX_TOKENS))
		return engine_fail(error, ENGINE_CORRUPT, "a post-processor without its tokens");
	*id = (int32_t) number->number;
	return true;
}

/* BERT: [CLS] A [SEP] B:1 [SEP]:1; RoBERTa: <s> A </s> </s> B </s> */
static bool
take_classic(tokenizer_source *s, const json_value *v, bool roberta, engine_error *error)
{
	int32_t		cls = -1;
	int32_t		sep = -1;
	int			second = roberta ? 0 : 1;

	if (!take_named(json_get(v, "cls"), &cls, error) || !take_named(json_get(v, "sep"), &sep, error))
		return false;
	s->single.count = 0;
	return add_item(&s->single, TEMPLATE_TOKEN, cls, 0, error) &&
		add_item(&s->single, TEMPLATE_A, -1, 0, error) &&
		add_item(&s->single, TEMPLATE_TOKEN, sep, 0, error) &&
		(s->pair = s->single, true) &&
		(!roberta || add_item(&s->pair, TEMPLATE_TOKEN, sep, 0, error)) &&
		add_item(&s->pair, TEMPLATE_B, -1, second, error) &&
		add_item(&s->pair, TEMPLATE_TOKEN, sep, second, error);
}

static bool
take_processor(tokenizer_source *s, const json_value *v, engine_error *error)
{
	const char *type = json_get_string(v, "type", "");

	if (strcmp(type, "ByteLevel") == 0) /* changes offsets, not ids */
		return true;
	if (strcmp(type, "BertProcessing") == 0)
		return take_classic(s, v, false, error);
	if (strcmp(type, "RobertaProcessing") == 0)
		return take_classic(s, v, true, error);
	if (strcmp(type, "TemplateProcessing") == 0)
		return take_items(&s->single, json_get(v, "single"), json_get(v, "special_tokens"), error) &&
			take_items(&s->pair, json_get(v, "pair"), json_get(v, "special_tokens"), error);
	return engine_fail(error, ENGINE_UNSUPPORTED, "post-processor \"%.64s\" is not supported", type);
}

bool
tokenizer_json_post(tokenizer_source *s, const json_value *value, engine_error *error)
{
	const json_value *list = json_get(value, "processors");

	if (value == NULL || value->kind == JSON_NULL)
		return true;
	if (strcmp(json_get_string(value, "type", ""), "Sequence") != 0)
		return take_processor(s, value, error);
	if (list == NULL || list->kind != JSON_ARRAY)
		return engine_fail(error, ENGINE_CORRUPT, "a sequence of post-processors without a list");
	for (const json_value *v = list->child; v; v = v->next)
	{
		if (!take_processor(s, v, error))
			return false;
	}
	return true;
}
