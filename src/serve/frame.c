/*
 * frame.c: typed requests and replies as protocol frames, text as UTF-8.
 */
#include "postgres.h"

#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "utils/memutils.h"

#include "serve/frame.h"
#include "serve/report.h"
#include "serve/settings.h"

void *
FrameResize(void *old, size_t size)
{
	if (old == NULL)
		return MemoryContextAllocHuge(CurrentMemoryContext, size);
	return repalloc_huge(old, size);
}

/* In UTF-8; the same memory if it is that already. */
static ClientText
FrameToUtf8(const ClientText *string)
{
	ClientText	utf8;

	/* no conversion of PostgreSQL's takes more */
	if (string->length >= MaxAllocSize / MAX_CONVERSION_GROWTH && GetDatabaseEncoding() != PG_UTF8)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("text of %zu bytes is too long to be converted to UTF-8", string->length)));
	utf8.data = pg_server_to_any(string->data, (int) string->length, PG_UTF8);
	utf8.length = utf8.data == string->data ? string->length : strlen(utf8.data);
	return utf8;
}

static void
FramePutText(protocol_writer *w, const ClientText *string)
{
	ClientText	utf8 = FrameToUtf8(string);

	protocol_put_string(w, utf8.data, utf8.length);
	if (utf8.data != string->data)
		pfree(unconstify(char *, utf8.data));
}

static void
FramePutModel(protocol_writer *w, const ClientModel *model)
{
	ClientText	given = {model->options, strlen(model->options)};
	ClientText	options = FrameToUtf8(&given);
	protocol_model wire = {
		/* a path is bytes: as the file system has it, not converted */
		.uri = model->uri,.uri_length = strlen(model->uri),
		.options = options.data,.options_length = options.length,
	};

	protocol_put_model(w, &wire);
}

/*
 * The limits are those that the session logged in with, unless a superuser has changed them; so they
 * are the account of its own role, whatever role a function or SET ROLE has put on.
 */
static void
FramePutCaller(protocol_writer *w, const ClientRequest *request)
{
	protocol_caller caller = {
		.role = GetSessionUserId(),
		.priority = request->type == PROTOCOL_GENERATE ? request->priority : rag_settings.priority,
		.max_requests = rag_settings.role_max_requests,
		.max_tokens = rag_settings.role_max_tokens,
	};

	protocol_put_caller(w, &caller);
}

static void
FramePutGeneration(protocol_writer *w, const ClientRequest *request)
{
	protocol_sampling sampling = *request->sampling;
	protocol_message *messages = palloc(sizeof(protocol_message) * Max(request->message_count, 1));

	Assert(request->stop_count <= PROTOCOL_MAX_STOPS);
	sampling.stops = request->stop_count;
	for (uint32 i = 0; i < request->stop_count; i++)
	{
		ClientText	stop = FrameToUtf8(&request->stops[i]);

		sampling.stop[i].data = stop.data;
		sampling.stop[i].length = stop.length;
	}
	protocol_put_sampling(w, &sampling);
	for (uint32 i = 0; i < request->message_count; i++)
	{
		ClientText	role = FrameToUtf8(&request->messages[i].role);
		ClientText	content = FrameToUtf8(&request->messages[i].content);

		messages[i] = (protocol_message) {
			.role = role.data,.role_length = role.length,
			.content = content.data,.content_length = content.length,
		};
	}
	protocol_put_messages(w, messages, request->message_count);
	pfree(messages);
}

void
FrameWrite(protocol_writer *w, const ClientRequest *request, uint32 number)
{
	protocol_begin(w, request->type, number);
	if (request->model)
		FramePutModel(w, request->model);
	switch (request->type)
	{
		case PROTOCOL_EMBED:
			FramePutCaller(w, request);
			protocol_put_u32(w, request->flags);
			protocol_put_u32(w, request->dimensions);
			protocol_put_u32(w, request->text_count);
			for (uint32 i = 0; i < request->text_count; i++)
				FramePutText(w, &request->texts[i]);
			break;
		case PROTOCOL_COUNT:
			FramePutCaller(w, request);
			FramePutText(w, &request->texts[0]);
			break;
		case PROTOCOL_GENERATE:
			FramePutCaller(w, request);
			FramePutGeneration(w, request);
			break;
		case PROTOCOL_VECTORS:
			protocol_put_u64(w, request->set);
			protocol_put_u32(w, request->flags);
			protocol_put_u32(w, request->distance);
			protocol_put_u32(w, request->dimensions);
			protocol_put_u32(w, request->k);
			break;
		case PROTOCOL_NEAREST:
			protocol_put_u64(w, request->set);
			protocol_put_u32(w, request->row_count);
			protocol_put_f32s(w, request->rows, (size_t) request->row_count * request->dimensions);
			break;
		default:
			break;
	}
	if (!protocol_end(w))
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("request to the model is larger than %u bytes", PROTOCOL_MAX_PAYLOAD)));
}

/* A model may make U+0000, which no text can hold: it is left out. */
static const char *
FrameDropNuls(const char *utf8, uint32 *length)
{
	char	   *copy;
	uint32		kept = 0;

	if (memchr(utf8, '\0', *length) == NULL)
		return utf8;
	copy = palloc(*length);
	for (uint32 i = 0; i < *length; i++)
	{
		if (utf8[i] != '\0')
			copy[kept++] = utf8[i];
	}
	*length = kept;
	return copy;
}

/* A text of the engine in the server's encoding. */
static ClientText
FrameGetText(protocol_reader *r)
{
	uint32		length;
	const char *utf8 = protocol_get_string(r, &length);
	ClientText	string = {"", 0};

	if (r->failed || length == 0)
		return string;
	utf8 = FrameDropNuls(utf8, &length);
	string.data = pg_any_to_server(utf8, (int) length, PG_UTF8);
	string.length = string.data == utf8 ? length : strlen(string.data);
	return string;
}

/* Raises the error; model NULL: returns its text, in characters that every encoding has. */
static ClientText
FrameGetError(protocol_reader *r, const char *model)
{
	uint32		code = protocol_get_u32(r);
	uint32		length;
	const char *message = protocol_get_string(r, &length);
	char	   *copy;

	if (!protocol_finish_read(r))
		return (ClientText) {"", 0};
	if (model != NULL)
		ReportEngineError(code, message, length, model);
	copy = pnstrdup(message, length);
	for (char *c = copy; *c != '\0'; c++)
	{
		if (IS_HIGHBIT_SET(*c))
			*c = '?';
	}
	return (ClientText) {copy, strlen(copy)};
}

void
FrameRead(const protocol_header *header, const char *payload, const char *model, ClientReply *reply)
{
	protocol_reader r = {.data = payload,.length = header->length};

	reply->request = (uint32) header->request;
	reply->type = header->type;
	switch (reply->type)
	{
		case PROTOCOL_LOADED:
			protocol_get_info(&r, &reply->info);
			break;
		case PROTOCOL_VECTOR:
			reply->index = protocol_get_u32(&r);
			reply->count = protocol_get_u32(&r);
			reply->values = protocol_get_f32s(&r, reply->count);
			break;
		case PROTOCOL_NEIGHBOURS:
			reply->index = protocol_get_u32(&r);
			reply->count = protocol_get_u32(&r);
			reply->values = protocol_get_f32s(&r, reply->count);
			break;
		case PROTOCOL_COUNTED:
			reply->tokens = protocol_get_u64(&r);
			break;
		case PROTOCOL_PIECE:
		case PROTOCOL_STATISTICS:
			reply->text = FrameGetText(&r);
			break;
		case PROTOCOL_DONE:
			protocol_get_usage(&r, &reply->usage);
			break;
		case PROTOCOL_ERROR:
			reply->text = FrameGetError(&r, model);
			break;
		default:
			r.failed = true;
			break;
	}
	if (!protocol_finish_read(&r))
		ereport(ERROR,
				(errcode(ERRCODE_PROTOCOL_VIOLATION),
				 errmsg("the model engine sent a reply of type %d that breaks the protocol",
						(int) header->type)));
}
