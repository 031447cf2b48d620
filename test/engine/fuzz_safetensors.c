/*
 * fuzz_safetensors.c: the safetensors reader against arbitrary bytes, in memory of
 * exactly their size, where reading beyond the end is seen.
 */
#include <stdlib.h>
#include <string.h>

#include "engine/safetensors.h"

extern int	LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	engine_error error = {0};
	tensor_table table = {0};
	uint8_t    *copy = malloc(size + 1);
	file_map	map = {.name = "fuzz",.size = size};
	bool		good;

	memcpy(copy + 1, data, size);
	map.data = copy + 1;
	good = safetensors_parse(&map, &table, &error) && tensor_table_sort(&table, &error);
	if (!good && (error.code == ENGINE_OK || error.code == ENGINE_INTERNAL))
		abort();
	for (size_t i = 0; good && i < table.count; i++)
	{
		const table_tensor *t = &table.tensors[i];

		if (t->data < map.data || t->data + t->bytes > map.data + map.size ||
			tensor_table_find(&table, t->name) != t)
			abort();
	}
	tensor_table_free(&table);
	free(copy);
	return 0;
}
