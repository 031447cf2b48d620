/*
 * vector_requests.h: the requests about sets of vectors, for drive.h.
 */
#ifndef RAG_TEST_VECTOR_REQUESTS_H
#define RAG_TEST_VECTOR_REQUESTS_H

#include "drive.h"

__attribute__((unused))
static void
drive_vectors(drive *d, uint64_t request, uint64_t name, uint32_t flags, uint32_t distance, uint32_t dimensions,
			  uint32_t k)
{
	protocol_writer w = {0};

	protocol_begin(&w, PROTOCOL_VECTORS, request);
	protocol_put_u64(&w, name);
	protocol_put_u32(&w, flags);
	protocol_put_u32(&w, distance);
	protocol_put_u32(&w, dimensions);
	protocol_put_u32(&w, k);
	drive_send(d, &w);
}

__attribute__((unused))
static void
drive_nearest(drive *d, uint64_t request, uint64_t name, const float *rows, uint32_t count, uint32_t dimensions)
{
	protocol_writer w = {0};

	protocol_begin(&w, PROTOCOL_NEAREST, request);
	protocol_put_u64(&w, name);
	protocol_put_u32(&w, count);
	protocol_put_f32s(&w, rows, (size_t) count * dimensions);
	drive_send(d, &w);
}

#endif							/* RAG_TEST_VECTOR_REQUESTS_H */
