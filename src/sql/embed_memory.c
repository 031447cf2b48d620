/*
 * embed_memory.c: the last embeddings of this backend.
 */
#include "postgres.h"

#include "common/hashfn.h"
#include "utils/memutils.h"

#include "sql/embed_memory.h"

#define MEMORY_SLOTS 16
#define MEMORY_LONGEST_TEXT 8192

typedef struct EmbedSlot
{
	uint32		hash;
	uint64		used;			/* when last, in calls; 0: empty */
	char	   *key;			/* EmbedKey as bytes */
	Size		key_length;
	Vector	   *vector;
} EmbedSlot;

typedef struct EmbedMemory
{
	MemoryContext context;
	uint32		generation;		/* of the models that the slots are about */
	uint64		calls;
	EmbedSlot	slots[MEMORY_SLOTS];
} EmbedMemory;

/* One for the backend, made when first used. */
static EmbedMemory *memory = NULL;

static void
EmbedSlotClear(EmbedSlot *slot)
{
	if (slot->key)
		pfree(slot->key);
	if (slot->vector)
		pfree(slot->vector);
	memset(slot, 0, sizeof(EmbedSlot));
}

static void
EmbedMemoryReady(void)
{
	uint32		generation = ClientModelsGeneration();

	if (memory == NULL)
	{
		MemoryContext context = AllocSetContextCreate(TopMemoryContext, "rag embeddings",
													  ALLOCSET_DEFAULT_SIZES);

		memory = MemoryContextAllocZero(context, sizeof(EmbedMemory));
		memory->context = context;
		memory->generation = generation;
	}
	if (memory->generation == generation)
		return;
	for (int i = 0; i < MEMORY_SLOTS; i++)
		EmbedSlotClear(&memory->slots[i]);
	memory->generation = generation;
}

/* The key as bytes, in the given context: equal keys and no others have equal bytes. */
static char *
EmbedKeyBytes(const EmbedKey *key, MemoryContext context, Size *length)
{
	Size		uri = strlen(key->model->uri) + 1;
	Size		options = strlen(key->model->options) + 1;
	char	   *bytes;
	char	   *end;

	*length = uri + options + 2 * sizeof(uint32) + key->input.length;
	bytes = end = MemoryContextAlloc(context, *length);
	end = (char *) memcpy(end, key->model->uri, uri) + uri;
	end = (char *) memcpy(end, key->model->options, options) + options;
	end = (char *) memcpy(end, &key->flags, sizeof(uint32)) + sizeof(uint32);
	end = (char *) memcpy(end, &key->dimensions, sizeof(uint32)) + sizeof(uint32);
	memcpy(end, key->input.data, key->input.length);
	return bytes;
}

Vector *
EmbedRecall(const EmbedKey *key)
{
	Vector	   *copy = NULL;
	char	   *bytes;
	Size		length;
	uint32		hash;

	EmbedMemoryReady();
	if (key->input.length > MEMORY_LONGEST_TEXT)
		return NULL;
	bytes = EmbedKeyBytes(key, CurrentMemoryContext, &length);
	hash = hash_bytes((unsigned char *) bytes, (int) length);
	for (int i = 0; i < MEMORY_SLOTS && copy == NULL; i++)
	{
		EmbedSlot  *slot = &memory->slots[i];

		if (slot->hash != hash || slot->key_length != length || memcmp(slot->key, bytes, length) != 0)
			continue;
		slot->used = ++memory->calls;
		copy = palloc(VARSIZE(slot->vector));
		memcpy(copy, slot->vector, VARSIZE(slot->vector));
	}
	pfree(bytes);
	return copy;
}

void
EmbedRemember(const EmbedKey *key, const Vector *vector)
{
	EmbedSlot  *slot;
	char	   *bytes;
	Vector	   *copy;
	Size		length;

	EmbedMemoryReady();
	if (key->input.length > MEMORY_LONGEST_TEXT)
		return;
	slot = &memory->slots[0];
	for (int i = 1; i < MEMORY_SLOTS; i++)
	{
		if (memory->slots[i].used < slot->used)
			slot = &memory->slots[i];
	}
	/* a slot is changed when both allocations have succeeded */
	copy = MemoryContextAlloc(memory->context, VARSIZE(vector));
	bytes = EmbedKeyBytes(key, memory->context, &length);
	memcpy(copy, vector, VARSIZE(vector));
	EmbedSlotClear(slot);
	slot->key = bytes;
	slot->key_length = length;
	slot->hash = hash_bytes((unsigned char *) bytes, (int) length);
	slot->vector = copy;
	slot->used = ++memory->calls;
}
