/*
 * chunk.c: chunk(), the text splitter as a set-returning function.
 *
 * One chunk per call, so a LIMIT or a closed cursor ends the work. The splitter works on UTF-8 and
 * has memory of its own, which goes with the call's memory context.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "fmgr.h"
#include "funcapi.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"

#include "text/splitter.h"

#define DEFAULT_SIZE 512

/* Arguments of chunk() */
enum
{
	ARG_INPUT,
	ARG_SIZE,
	ARG_OVERLAP,
	ARG_SEPARATORS,
	ARG_KEEP_SEPARATOR,
	ARG_STRIP_WHITESPACE
};

typedef struct ChunkScan
{
	text_splitter *splitter;
	int32		ord;
	MemoryContextCallback callback;
} ChunkScan;

static void
close_splitter(void *scan)
{
	text_splitter_close(((ChunkScan *) scan)->splitter);
	((ChunkScan *) scan)->splitter = NULL;
}

/* The bytes of a text in UTF-8; of the current memory context or of the text itself. */
static char *
text_to_utf8(text *input, size_t *length)
{
	char	   *bytes = VARDATA_ANY(input);
	char	   *converted = pg_server_to_any(bytes, VARSIZE_ANY_EXHDR(input), PG_UTF8);

	*length = converted == bytes ? VARSIZE_ANY_EXHDR(input) : strlen(converted);
	return converted;
}

static text *
utf8_to_text(const char *bytes, size_t length)
{
	char	   *converted = pg_any_to_server(bytes, (int) length, PG_UTF8);

	return cstring_to_text_with_len(converted,
									(int) (converted == bytes ? length : strlen(converted)));
}

static void
get_sizes(FunctionCallInfo fcinfo, text_split_options *options)
{
	int32		size = PG_ARGISNULL(ARG_SIZE) ? DEFAULT_SIZE : PG_GETARG_INT32(ARG_SIZE);
	int32		overlap = PG_ARGISNULL(ARG_OVERLAP) ? size / 10 : PG_GETARG_INT32(ARG_OVERLAP);

	if (size < 1 || size > (int32) TEXT_SPLIT_MAX_SIZE)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("chunk size must be between 1 and %d, not %d",
						(int) TEXT_SPLIT_MAX_SIZE, size)));
	if (overlap < 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("chunk overlap must not be negative, it is %d", overlap)));
	if (overlap > size)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("chunk overlap %d is greater than the chunk size %d", overlap, size),
				 errhint("Give a smaller overlap, or NULL for a tenth of the size.")));
	options->size = size;
	options->overlap = overlap;
}

/* NULL and an empty array stand for the default, as in LangChain. */
static void
get_separators(FunctionCallInfo fcinfo, text_split_options *options)
{
	ArrayType  *array;
	text_separator *separators;
	Datum	   *elements;
	bool	   *nulls;
	int			count;

	if (PG_ARGISNULL(ARG_SEPARATORS))
		return;
	array = PG_GETARG_ARRAYTYPE_P_COPY(ARG_SEPARATORS);
	if (ARR_NDIM(array) > 1)
		ereport(ERROR,
				(errcode(ERRCODE_ARRAY_SUBSCRIPT_ERROR),
				 errmsg("separators must be an array of one dimension, not %d", ARR_NDIM(array))));
	deconstruct_array(array, TEXTOID, -1, false, TYPALIGN_INT, &elements, &nulls, &count);
	if (count == 0)
		return;
	separators = palloc(sizeof(text_separator) * count);
	for (int i = 0; i < count; i++)
	{
		if (nulls[i])
			ereport(ERROR,
					(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
					 errmsg("separator %d is null", i + 1)));
		separators[i].bytes = text_to_utf8(DatumGetTextPP(elements[i]), &separators[i].length);
	}
	options->separators = separators;
	options->separator_count = count;
}

static void
get_keep_separator(FunctionCallInfo fcinfo, text_split_options *options)
{
	char	   *keep;

	if (PG_ARGISNULL(ARG_KEEP_SEPARATOR))
		return;
	keep = text_to_cstring(PG_GETARG_TEXT_PP(ARG_KEEP_SEPARATOR));
	if (strcmp(keep, "start") == 0)
		options->keep = TEXT_KEEP_START;
	else if (strcmp(keep, "end") == 0)
		options->keep = TEXT_KEEP_END;
	else if (strcmp(keep, "none") == 0)
		options->keep = TEXT_KEEP_NONE;
	else
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("unrecognized value \"%s\" of keep_separator", keep),
				 errhint("Available values are \"start\", \"end\" and \"none\".")));
}

/* Checks the arguments and opens the splitter, in memory that lives as long as the call. */
static ChunkScan *
begin_scan(FunctionCallInfo fcinfo, MemoryContext context)
{
	MemoryContext old_context = MemoryContextSwitchTo(context);
	text_split_options options = text_split_defaults();
	ChunkScan  *scan = palloc0(sizeof(ChunkScan));
	char	   *bytes;
	size_t		length;

	get_sizes(fcinfo, &options);
	get_separators(fcinfo, &options);
	get_keep_separator(fcinfo, &options);
	if (!PG_ARGISNULL(ARG_STRIP_WHITESPACE))
		options.strip = PG_GETARG_BOOL(ARG_STRIP_WHITESPACE);

	scan->callback.func = close_splitter;
	scan->callback.arg = scan;
	MemoryContextRegisterResetCallback(context, &scan->callback);
	if (!PG_ARGISNULL(ARG_INPUT))
	{
		/* a copy: the argument may be freed before the next call */
		bytes = text_to_utf8(PG_GETARG_TEXT_P_COPY(ARG_INPUT), &length);
		scan->splitter = text_splitter_open(&options, bytes, length);
		if (scan->splitter == NULL)
			ereport(ERROR,
					(errcode(ERRCODE_OUT_OF_MEMORY),
					 errmsg("out of memory"),
					 errdetail("Failed while splitting a text.")));
	}
	MemoryContextSwitchTo(old_context);
	return scan;
}

static bool
next_chunk(ChunkScan *scan, text_chunk *chunk)
{
	if (scan->splitter == NULL)
		return false;
	for (;;)
	{
		CHECK_FOR_INTERRUPTS();
		switch (text_splitter_next(scan->splitter, chunk))
		{
			case TEXT_SPLIT_CHUNK:
				return true;
			case TEXT_SPLIT_BUSY:
				break;
			case TEXT_SPLIT_END:
				return false;
			case TEXT_SPLIT_NO_MEMORY:
				ereport(ERROR,
						(errcode(ERRCODE_OUT_OF_MEMORY),
						 errmsg("out of memory"),
						 errdetail("Failed while splitting a text.")));
		}
	}
}

PG_FUNCTION_INFO_V1(rag_chunk);
Datum
rag_chunk(PG_FUNCTION_ARGS)
{
	FuncCallContext *call;
	ChunkScan  *scan;
	text_chunk	chunk;
	Datum		values[4];
	bool		nulls[4] = {false, false, false, false};

	if (SRF_IS_FIRSTCALL())
	{
		TupleDesc	descriptor;
		MemoryContext old_context;

		call = SRF_FIRSTCALL_INIT();
		old_context = MemoryContextSwitchTo(call->multi_call_memory_ctx);
		if (get_call_result_type(fcinfo, NULL, &descriptor) != TYPEFUNC_COMPOSITE)
			elog(ERROR, "return type must be a row type");
		call->tuple_desc = BlessTupleDesc(descriptor);
		MemoryContextSwitchTo(old_context);
		call->user_fctx = begin_scan(fcinfo, call->multi_call_memory_ctx);
	}

	call = SRF_PERCALL_SETUP();
	scan = call->user_fctx;
	if (!next_chunk(scan, &chunk))
		SRF_RETURN_DONE(call);
	values[0] = Int32GetDatum(++scan->ord);
	values[1] = PointerGetDatum(utf8_to_text(chunk.bytes, chunk.length));
	values[2] = Int32GetDatum((int32) chunk.start);
	values[3] = Int32GetDatum((int32) chunk.end);
	SRF_RETURN_NEXT(call, HeapTupleGetDatum(heap_form_tuple(call->tuple_desc, values, nulls)));
}
