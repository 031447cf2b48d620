/*
 * resident.c: see resident.h.
 */
#include "postgres.h"

#include "storage/buf_internals.h"
#include "storage/bufmgr.h"

#include "rag.h"
#include "type/resident.h"

Buffer
ResidentBuffer(Relation relation, BlockNumber block, Buffer guess)
{
	BufferTag	tag;
	uint32		hash;
	LWLock	   *partition;
	int			id;

	if (RelationUsesLocalBuffers(relation))
		return InvalidBuffer;
	RagBufferTagInit(&tag, relation);
	tag.blockNum = block;
	if (guess > 0 && guess <= NBuffers &&
		memcmp(&GetBufferDescriptor(guess - 1)->tag, &tag, sizeof(BufferTag)) == 0)
		return guess;
	hash = BufTableHashCode(&tag);
	partition = BufMappingPartitionLock(hash);
	LWLockAcquire(partition, LW_SHARED);
	id = BufTableLookup(&tag, hash);
	LWLockRelease(partition);
	return id + 1;
}
