/*
 * fuzz_gguf.c: the GGUF reader against arbitrary bytes: in memory of exactly their
 * size, where reading beyond the end is seen, and as a model.
 */
#include "engine/gguf.h"
#include "fuzz_model.h"

static void
check_container(const uint8_t *data, size_t size)
{
	engine_error error = {0};
	tensor_table table = {0};
	uint8_t    *copy = malloc(size + 1);
	file_map	map = {.name = "fuzz",.size = size};
	gguf	   *g;

	/* at the end of the memory, not at its start */
	memcpy(copy + 1, data, size);
	map.data = copy + 1;
	g = gguf_parse(&map, &table, &error);
	for (size_t i = 0; g && i < table.count; i++)
	{
		const table_tensor *t = &table.tensors[i];

		if (t->data < map.data || t->data + t->bytes > map.data + map.size ||
			tensor_table_find(&table, t->name) != t)
			abort();
	}
	for (size_t i = 0; g && i < g->count; i++)
	{
		const gguf_value *v = &g->values[i];

		for (size_t n = 0; v->strings && n < v->count; n++)
		{
			const unsigned char *s = (const unsigned char *) v->strings[n].data;

			if (s < map.data || s + v->strings[n].length > map.data + map.size)
				abort();
		}
	}
	gguf_free(g);
	tensor_table_free(&table);
	free(copy);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static memory_file file;
	engine_error error = {0};

	check_container(data, size);
	memory_file_write(&file, data, size);
	check_model(model_open(file.path, &error), &error);
	return 0;
}
