/*
 * frame.h: typed requests and replies as protocol frames, text as UTF-8.
 */
#ifndef RAG_SERVE_FRAME_H
#define RAG_SERVE_FRAME_H

#include "serve/client.h"

/* A protocol_writer's resize: memory of the current context, an error without any. */
extern void *FrameResize(void *old, size_t size);

/* Appends the request to the writer; an error if it is too large. */
extern void FrameWrite(protocol_writer *w, const ClientRequest *request, uint32 number);

/* A frame of the engine as a reply; raises what it reports, unless model is NULL. Texts are in the current context. */
extern void FrameRead(const protocol_header *header, const char *payload, const char *model,
					  ClientReply *reply);

#endif							/* RAG_SERVE_FRAME_H */
