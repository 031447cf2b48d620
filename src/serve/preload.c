/*
 * preload.c: the models that the engine loads when it starts.
 */
#include "postgres.h"

#include <ctype.h>

#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/jsonb.h"

#include "serve/preload.h"
#include "serve/relay.h"
#include "serve/settings.h"

/* The end of the item that starts at text: a comma outside of its options, or the end. */
static const char *
PreloadItemEnd(const char *string)
{
	int			depth = 0;
	bool		quoted = false;

	for (; *string != '\0'; string++)
	{
		if (quoted)
		{
			if (*string == '\\' && string[1] != '\0')
				string++;
			else if (*string == '"')
				quoted = false;
		}
		else if (*string == '"' && depth > 0)
			quoted = true;
		else if (*string == '{')
			depth++;
		else if (*string == '}')
			depth--;
		else if (*string == ',' && depth <= 0)
			break;
	}
	return string;
}

/* The options' text as the catalog would have it, so that both name the same model; NULL if no object. */
static char *
PreloadOptions(const char *string)
{
	char	   *volatile canonical = NULL;
	MemoryContext context = CurrentMemoryContext;

	PG_TRY();
	{
		Datum		value = DirectFunctionCall1(jsonb_in, CStringGetDatum(string));

		if (JB_ROOT_IS_OBJECT(DatumGetJsonbP(value)))
			canonical = DatumGetCString(DirectFunctionCall1(jsonb_out, value));
	}
	PG_CATCH();
	{
		/* it was not JSON: nothing but memory was touched */
		MemoryContextSwitchTo(context);
		FlushErrorState();
	}
	PG_END_TRY();
	return canonical;
}

static char *
PreloadTrim(const char *start, const char *end)
{
	while (start < end && isspace((unsigned char) *start))
		start++;
	while (end > start && isspace((unsigned char) end[-1]))
		end--;
	return pnstrdup(start, end - start);
}

static void
PreloadItem(Engine *engine, const char *start, const char *end, uint32 number)
{
	const char *brace = memchr(start, '{', end - start);
	char	   *uri = PreloadTrim(start, brace ? brace : end);
	char	   *options = PreloadOptions(brace ? PreloadTrim(brace, end) : "{}");
	protocol_writer w = {0};
	protocol_model model;
	protocol_header header;

	if (*uri == '\0' && brace == NULL)
		return;
	if (!is_absolute_path(uri) || options == NULL)
	{
		ereport(WARNING,
				(errmsg("item %u of rag.preload_models is ignored", number),
				 errdetail("It must be an absolute path, with a JSON object after it or nothing.")));
		return;
	}
	model = (protocol_model) {
		.uri = uri,.uri_length = strlen(uri),
		.options = options,.options_length = strlen(options),
	};
	protocol_begin(&w, PROTOCOL_LOAD, RelayOwnRequest(number));
	protocol_put_model(&w, &model);
	if (protocol_end(&w))
	{
		memcpy(&header, w.data, sizeof(header));
		EngineSend(engine, &header, w.data + sizeof(header));
	}
	free(w.data);
}

void
PreloadSend(Engine *engine)
{
	const char *string = rag_settings.preload_models;
	uint32		number = 1;

	for (;;)
	{
		const char *end = PreloadItemEnd(string);

		PreloadItem(engine, string, end, number++);
		if (*end == '\0')
			return;
		string = end + 1;
	}
}

void
PreloadAnswer(const EngineFrame *frame)
{
	protocol_reader r = {.data = frame->payload,.length = frame->header.length};
	uint32		number = (uint32) frame->header.request;

	if (frame->header.type == PROTOCOL_LOADED)
	{
		protocol_model_info info;

		protocol_get_info(&r, &info);
		if (protocol_finish_read(&r))
			ereport(LOG, (errmsg("model %u of rag.preload_models is loaded: %s", number, info.name)));
	}
	else if (frame->header.type == PROTOCOL_ERROR)
	{
		uint32		length;
		const char *message;

		(void) protocol_get_u32(&r);
		message = protocol_get_string(&r, &length);
		if (protocol_finish_read(&r))
			ereport(WARNING, (errmsg("model %u of rag.preload_models could not be loaded: %.*s", number,
									 (int) length, message)));
	}
}
