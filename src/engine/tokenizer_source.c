/*
 * tokenizer_source.c: what the readers of a tokenizer's files share.
 */
#include "engine/tokenizer_internal.h"

void
tokenizer_source_init(tokenizer_source *s)
{
	memset(s, 0, sizeof(*s));
	s->unknown = -1;
	s->bos = -1;
	s->eos = -1;
}

void
tokenizer_source_free(tokenizer_source *s)
{
	while (s->n_owned > 0)
	{
		s->n_owned--;
		s->owned_free[s->n_owned] (s->owned[s->n_owned]);
	}
}

void *
tokenizer_source_own(tokenizer_source *s, void *pointer, void (*release) (void *))
{
	if (pointer == NULL)
		return NULL;
	if (s->n_owned == (int) (sizeof(s->owned) / sizeof(s->owned[0])))
	{
		release(pointer);
		return NULL;
	}
	s->owned[s->n_owned] = pointer;
	s->owned_free[s->n_owned++] = release;
	return pointer;
}

bool
tokenizer_source_add_end(tokenizer_source *s, int64_t id)
{
	if (id < 0 || id >= VOCABULARY_MAX_TOKENS)
		return true;
	for (int i = 0; i < s->n_ends; i++)
	{
		if (s->ends[i] == id)
			return true;
	}
	if (s->n_ends == SOURCE_MAX_ENDS)
		return false;
	s->ends[s->n_ends++] = (int32_t) id;
	return true;
}
