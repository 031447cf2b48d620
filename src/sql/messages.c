/*
 * messages.c: what a model is told: a prompt, or a conversation.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "utils/builtins.h"
#include "lib/stringinfo.h"

#include "sql/generate.h"

static const char *const roles[] = {"system", "user", "assistant", "tool"};

static ClientText
MessageText(const char *string)
{
	return (ClientText) {string, strlen(string)};
}

/* A list with room for count messages; it begins with the call's system message. */
static MessageList
MessagesBegin(const GenerateCall *call, uint32 count)
{
	MessageList list = {.messages = palloc(sizeof(ClientMessage) * (count + 1))};

	if (call->system.data != NULL)
		list.messages[list.count++] = (ClientMessage) {MessageText("system"), call->system};
	return list;
}

static void
MessagesCheckRaw(const GenerateCall *call, const MessageList *list)
{
	if ((call->sampling.flags & PROTOCOL_GENERATE_RAW) && list->count != 1)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("option \"raw\" takes a single prompt"),
				 errdetail("Without the model's chat format there is no place for a system message or a conversation.")));
}

MessageList
MessagesOfPrompt(const GenerateCall *call, Datum prompt)
{
	MessageList list = MessagesBegin(call, 1);
	text	   *string = DatumGetTextPP(prompt);

	list.messages[list.count++] = (ClientMessage) {
		MessageText("user"), {VARDATA_ANY(string), VARSIZE_ANY_EXHDR(string)}
	};
	MessagesCheckRaw(call, &list);
	return list;
}

/* ---------------------------------------------------------------------------
 * Conversations
 * ---------------------------------------------------------------------------
 */

_Noreturn static void
MessageFail(uint32 number, const char *what)
{
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("message %u %s", number, what),
			 errhint("Messages are an array of objects: [{\"role\": \"user\", \"content\": \"...\"}].")));
}

static ClientText
MessageString(const JsonbValue *value)
{
	return (ClientText) {value->val.string.val, value->val.string.len};
}

/* The content in parts, as OpenAI's clients may send it: [{"type": "text", "text": "..."}, ...] */
static ClientText
MessageParts(JsonbContainer *container, uint32 number)
{
	StringInfoData content;
	uint32		count = JsonContainerSize(container);

	if (!JsonContainerIsArray(container))
		MessageFail(number, "has a content that is neither a string nor an array");
	initStringInfo(&content);
	for (uint32 i = 0; i < count; i++)
	{
		JsonbValue *part = getIthJsonbValueFromContainer(container, i);
		JsonbValue *string = NULL;

		if (part->type == jbvBinary && JsonContainerIsObject(part->val.binary.data))
		{
			JsonbValue *type = getKeyJsonValueFromContainer(part->val.binary.data, "type", 4, NULL);

			if (type != NULL && type->type == jbvString && type->val.string.len == 4 &&
				memcmp(type->val.string.val, "text", 4) == 0)
				string = getKeyJsonValueFromContainer(part->val.binary.data, "text", 4, NULL);
		}
		if (string == NULL || string->type != jbvString)
			MessageFail(number, "has a part that is not text");
		appendBinaryStringInfo(&content, string->val.string.val, string->val.string.len);
	}
	return (ClientText) {content.data, content.len};
}

static ClientText
MessageRole(const JsonbValue *value, uint32 number)
{
	if (value->type == jbvString)
	{
		for (int i = 0; i < lengthof(roles); i++)
		{
			if (strlen(roles[i]) == value->val.string.len &&
				memcmp(roles[i], value->val.string.val, value->val.string.len) == 0)
				return MessageText(roles[i]);
		}
	}
	MessageFail(number, "has a role that is not \"system\", \"user\", \"assistant\" or \"tool\"");
}

static ClientMessage
MessageOfObject(JsonbContainer *object, uint32 number)
{
	JsonbValue *role = getKeyJsonValueFromContainer(object, "role", 4, NULL);
	JsonbValue *content = getKeyJsonValueFromContainer(object, "content", 7, NULL);
	ClientMessage message;

	if (role == NULL || content == NULL || JsonContainerSize(object) != 2)
		MessageFail(number, "must have \"role\" and \"content\", and nothing else");
	message.role = MessageRole(role, number);
	if (content->type == jbvString)
		message.content = MessageString(content);
	else if (content->type == jbvBinary)
		message.content = MessageParts(content->val.binary.data, number);
	else
		MessageFail(number, "has a content that is neither a string nor an array");
	return message;
}

MessageList
MessagesOfJson(const GenerateCall *call, Jsonb *conversation)
{
	uint32		count = JB_ROOT_COUNT(conversation);
	MessageList list;

	if (!JB_ROOT_IS_ARRAY(conversation) || JB_ROOT_IS_SCALAR(conversation) || count == 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("messages must be a JSON array with at least one message"),
				 errhint("Messages are an array of objects: [{\"role\": \"user\", \"content\": \"...\"}].")));
	list = MessagesBegin(call, count);
	for (uint32 i = 0; i < count; i++)
	{
		JsonbValue *value = getIthJsonbValueFromContainer(&conversation->root, i);

		if (value->type != jbvBinary || !JsonContainerIsObject(value->val.binary.data))
			MessageFail(i + 1, "is not an object");
		list.messages[list.count++] = MessageOfObject(value->val.binary.data, i + 1);
	}
	MessagesCheckRaw(call, &list);
	return list;
}

Jsonb *
MessagesArgument(FunctionCallInfo fcinfo)
{
	Datum		value = PG_GETARG_DATUM(ARGUMENT_INPUT);

	if (get_fn_expr_argtype(fcinfo->flinfo, ARGUMENT_INPUT) == JSONOID)
		value = DirectFunctionCall1(jsonb_in, CStringGetDatum(TextDatumGetCString(value)));
	return DatumGetJsonbP(value);
}
