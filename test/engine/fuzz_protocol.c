/*
 * fuzz_protocol.c: requests made of hostile bytes, to an engine with the tiny models.
 *
 * The input is a list of frames: a byte for the type, a byte for the length, the payload. The name
 * of a model goes before most payloads, since the fuzzer would take long to guess it.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "engine/engine.h"

extern int	LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char *const uris[] = {"test/data/models/tiny-llama.gguf", "test/data/models/tiny-bert"};

static engine *
the_engine(void)
{
	static engine *e;
	engine_error error;

	if (e == NULL)
	{
		e = engine_open(&(engine_config) {.threads = 1,.max_queue = 64}, &error);
		if (e == NULL)
			abort();
	}
	return e;
}

static void
submit(engine *e, uint8_t type, uint64_t request, const uint8_t *payload, size_t length)
{
	protocol_writer w = {0};

	protocol_begin(&w, PROTOCOL_LOAD, 0);
	if (type < 224)
		protocol_put_model(&w, &(protocol_model) {uris[type / 16 % 2], (uint32_t) strlen(uris[type / 16 % 2]),
												  "{\"max_model_len\": 32}", 21});
	for (size_t i = 0; i < length; i += 4)
	{
		uint32_t	word = 0;

		memcpy(&word, payload + i, length - i < 4 ? length - i : 4);
		protocol_put_u32(&w, word);
	}
	engine_submit(e, type % 16, request, w.data + sizeof(protocol_header),
				  w.length - sizeof(protocol_header));
	free(w.data);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	engine	   *e = the_engine();
	uint64_t	request = 1;

	while (size >= 2)
	{
		size_t		length = data[1] < size - 2 ? data[1] : size - 2;

		submit(e, data[0], request++, data + 2, length);
		engine_step(e);
		data += 2 + length;
		size -= 2 + length;
	}
	for (uint64_t i = 1; i < request; i++)
		engine_submit(e, PROTOCOL_CANCEL, i, "", 0);
	engine_step(e);
	if (engine_output(e)->failed)
		abort();
	engine_output(e)->length = 0;
	return 0;
}
