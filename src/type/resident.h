/*
 * resident.h: which shared buffer holds a block, if one does.
 *
 *     Buffer      buffer = ResidentBuffer(relation, block, before + 1);
 *
 * Neither pinned nor locked: it may hold another block at any time. Good for a prefetch of
 * memory, or for ReadRecentBuffer(), which makes sure.
 */
#ifndef RAG_TYPE_RESIDENT_H
#define RAG_TYPE_RESIDENT_H

#include "storage/buf.h"
#include "utils/rel.h"

/* The guess, any number, is looked at first: pages that were read or written one after the other are often
 * in buffers side by side. InvalidBuffer for temporary tables. No error. */
extern Buffer ResidentBuffer(Relation relation, BlockNumber block, Buffer guess);

#endif							/* RAG_TYPE_RESIDENT_H */
