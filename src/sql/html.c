/*
 * html.c: rag.html_to_text().
 */
#include "postgres.h"

#include "fmgr.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "utils/builtins.h"

#include "rag.h"
#include "text/html.h"

/*
 * Whether CHECK_FOR_INTERRUPTS() would end the query. Called by the HTML parser, through which no
 * error may jump.
 */
static bool
interrupt_waits(void *context)
{
	if (!INTERRUPTS_PENDING_CONDITION() || InterruptHoldoffCount > 0 || CritSectionCount > 0)
		return false;
	return ProcDiePending || (QueryCancelPending && QueryCancelHoldoffCount == 0);
}

/* The text of a page in the server's encoding. */
static text *
read_page(const char *html, size_t length)
{
	char	   *bytes = NULL;
	size_t		bytes_length = 0;
	text	   *result = NULL;
	text_html_status status;

	do
	{
		status = text_from_html(html, length, interrupt_waits, NULL, &bytes, &bytes_length);
		/* may return: some conflicts of a standby are over by the time they are looked at */
		if (status == TEXT_HTML_INTERRUPTED)
			CHECK_FOR_INTERRUPTS();
	} while (status == TEXT_HTML_INTERRUPTED);
	if (status == TEXT_HTML_TOO_LONG)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("HTML page is too long"),
				 errdetail("It has %zu bytes, the limit is %zu.", length, TEXT_HTML_MAX_LENGTH)));
	if (status != TEXT_HTML_DONE)
		ereport(ERROR,
				(errcode(ERRCODE_OUT_OF_MEMORY),
				 errmsg("out of memory"),
				 errdetail("Failed while reading an HTML page of %zu bytes.", length)));

	PG_TRY();
	{
		char	   *converted = pg_any_to_server(bytes, (int) bytes_length, PG_UTF8);

		result = cstring_to_text_with_len(converted, (int) (converted == bytes ? bytes_length
															: strlen(converted)));
	}
	PG_FINALLY();
	{
		free(bytes);
	}
	PG_END_TRY();
	return result;
}

PG_FUNCTION_INFO_V1(rag_html_to_text);
Datum
rag_html_to_text(PG_FUNCTION_ARGS)
{
	text	   *input = PG_GETARG_TEXT_PP(0);
	char	   *bytes = VARDATA_ANY(input);
	size_t		length = VARSIZE_ANY_EXHDR(input);
	char	   *html = pg_server_to_any(bytes, (int) length, PG_UTF8);

	PG_RETURN_TEXT_P(read_page(html, html == bytes ? length : strlen(html)));
}
