/*
 * server.h: the engine over one stream socket; what rag-engine is.
 */
#ifndef RAG_ENGINE_SERVER_H
#define RAG_ENGINE_SERVER_H

#include "engine/engine.h"

/*
 * Serves frames on fd until the other end closes it: true; or until the stream breaks the
 * protocol, memory for answers runs out or the device is lost: false and *error. Sleeps when there is
 * nothing to do.
 */
extern bool server_run(engine *e, int fd, engine_error *error);

#endif							/* RAG_ENGINE_SERVER_H */
