/*
 * test_protocol.c: frames survive the way there and back, and nothing read is trusted.
 */
#include "tap.h"

#include <stdlib.h>
#include <string.h>

#include "engine/protocol.h"

static protocol_reader
payload_of(const protocol_writer *w)
{
	return (protocol_reader) {
		.data = w->data + sizeof(protocol_header),
		.length = w->length - sizeof(protocol_header)
	};
}

static void
test_round_trip(void)
{
	protocol_writer w = {0};
	protocol_reader r;
	protocol_header header;
	protocol_model name;
	protocol_sampling in = {.max_tokens = 7,.temperature = 0.5f,.top_p = 0.9f,.top_k = 3,
	.repetition_penalty = 1.1f,.seed = UINT64_MAX,.stops = 2};
	protocol_caller caller;
	protocol_sampling out;
	protocol_message messages[2] = {{"user", 4, "hello", 5}, {"assistant", 9, "", 0}};
	protocol_message message;

	in.stop[0].data = "END";
	in.stop[0].length = 3;
	in.stop[1].data = "\0x";
	in.stop[1].length = 2;
	protocol_begin(&w, PROTOCOL_GENERATE, 42);
	protocol_put_model(&w, &(protocol_model) {"/m", 2, "{}", 2});
	protocol_put_caller(&w, &(protocol_caller) {16384, -2, 3, UINT32_MAX});
	protocol_put_sampling(&w, &in);
	protocol_put_messages(&w, messages, 2);
	ok(protocol_end(&w), "a frame is written");
	memcpy(&header, w.data, sizeof(header));
	ok(header.length == w.length - sizeof(header) && header.type == PROTOCOL_GENERATE &&
	   header.request == 42, "its header says so");
	r = payload_of(&w);
	protocol_get_model(&r, &name);
	protocol_get_caller(&r, &caller);
	protocol_get_sampling(&r, &out);
	ok(caller.role == 16384 && caller.priority == -2 && caller.max_requests == 3 &&
	   caller.max_tokens == UINT32_MAX, "the caller comes back");
	ok(name.uri_length == 2 && memcmp(name.uri, "/m", 2) == 0 && name.options_length == 2,
	   "the model comes back");
	ok(out.max_tokens == 7 && out.temperature == 0.5f && out.seed == UINT64_MAX &&
	   out.stops == 2 && memcmp(out.stop[1].data, "\0x", 2) == 0,
	   "the sampling comes back");
	ok(protocol_get_count(&r, 8) == 2, "the count comes back");
	protocol_get_message(&r, &message);
	ok(message.content_length == 5 && memcmp(message.content, "hello", 5) == 0, "a message comes back");
	ok(!protocol_finish_read(&r), "what is left unread is noticed");
	protocol_get_message(&r, &message);
	ok(protocol_finish_read(&r) && message.content_length == 0, "the end is the end");
	free(w.data);
}

static void
test_info_and_usage(void)
{
	protocol_writer w = {0};
	protocol_reader r;
	protocol_model_info info = {.kind = 1,.dimensions = 384,.max_model_len = 256,.parameters = 22713216,
	.architecture = "bert",.name = "MiniLM"};
	protocol_model_info info_out;
	protocol_usage usage = {PROTOCOL_FINISH_LENGTH, 1, 2, 3, 4, 5, 6};
	protocol_usage usage_out;

	protocol_begin(&w, PROTOCOL_LOADED, 1);
	protocol_put_info(&w, &info);
	protocol_put_usage(&w, &usage);
	protocol_end(&w);
	r = payload_of(&w);
	protocol_get_info(&r, &info_out);
	protocol_get_usage(&r, &usage_out);
	ok(protocol_finish_read(&r) && info_out.parameters == info.parameters &&
	   strcmp(info_out.name, "MiniLM") == 0 && usage_out.prompt_us == 5 && usage_out.compute_us == 6 &&
	   usage_out.finish == PROTOCOL_FINISH_LENGTH, "info and usage come back");
	free(w.data);
}

/* Every prefix of a frame, read as the whole: refused, and never read beyond. */
static void
test_truncated(void)
{
	protocol_writer w = {0};
	protocol_sampling sampling = {.stops = 1};
	int			accepted = 0;

	sampling.stop[0].data = "stop";
	sampling.stop[0].length = 4;
	protocol_begin(&w, PROTOCOL_GENERATE, 1);
	protocol_put_model(&w, &(protocol_model) {"/model", 6, "", 0});
	protocol_put_caller(&w, &(protocol_caller) {0});
	protocol_put_sampling(&w, &sampling);
	protocol_put_messages(&w, &(protocol_message) {"user", 4, "text", 4}, 1);
	protocol_end(&w);
	for (size_t n = 0; n < w.length - sizeof(protocol_header); n++)
	{
		/* a copy of its own, so that the sanitizer sees a byte too far */
		char	   *copy = malloc(n ? n : 1);
		protocol_reader r = {.data = copy,.length = n};
		protocol_model name;
		protocol_caller caller;
		protocol_sampling out;
		protocol_message message;

		memcpy(copy, w.data + sizeof(protocol_header), n);
		protocol_get_model(&r, &name);
		protocol_get_caller(&r, &caller);
		protocol_get_sampling(&r, &out);
		if (protocol_get_count(&r, 8) > 0)
			protocol_get_message(&r, &message);
		accepted += protocol_finish_read(&r);
		free(copy);
	}
	ok(accepted == 0, "no part of a frame passes for the whole");
	free(w.data);
}

static void
test_limits(void)
{
	uint32_t	huge = UINT32_MAX;
	protocol_reader r = {.data = (const char *) &huge,.length = 4};
	uint32_t	length;
	protocol_writer w = {0};

	ok(protocol_get_count(&r, 4) == 0 && r.failed, "a count that cannot be is refused");
	r = (protocol_reader) {.data = (const char *) &huge,.length = 4};
	ok(*protocol_get_string(&r, &length) == '\0' && length == 0 && r.failed,
	   "a length beyond the payload is refused");
	r = (protocol_reader) {.data = (const char *) &huge,.length = 4};
	ok(protocol_get_f32s(&r, SIZE_MAX / 2) == NULL && r.failed, "so is a count that overflows");
	protocol_begin(&w, PROTOCOL_EMBED, 1);
	protocol_put_string(&w, "x", (size_t) PROTOCOL_MAX_PAYLOAD + 1);
	ok(!protocol_end(&w), "a payload over the limit fails the writer");
	protocol_put_u32(&w, 1);
	ok(!protocol_end(&w) && w.failed, "and the failure stays");
	free(w.data);
}

int
main(void)
{
	test_round_trip();
	test_info_and_usage();
	test_truncated();
	test_limits();
	return tap_done();
}
