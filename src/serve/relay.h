/*
 * relay.h: frames between channels and the engine.
 *
 *     RelayLook(relay, engine);			takes requests of the channels that rang
 *     RelayDeliver(relay, &frame);			an answer of the engine, to its channel
 *     RelayProgress(relay, &frame);
 *     RelayFailRunning(relay, code, message);
 *
 * A request's number on the engine's side is made of the channel's number, the
 * generation of its claim and the backend's own number, so that an answer to a claim
 * that is over finds nobody. A request is passed on when all of it is here: a
 * backend that stops in the middle of one holds up nobody else. What a channel's ring
 * has no room for waits here, so that a slow reader holds up nobody else either.
 */
#ifndef RAG_SERVE_RELAY_H
#define RAG_SERVE_RELAY_H

#include "serve/channel.h"
#include "serve/supervisor.h"

typedef struct Relay Relay;

extern Relay *RelayCreate(void);

/* Takes what channels have sent as far as the engine's state allows; frees those that are closing. */
extern void RelayLook(Relay *relay, Engine *engine);

/* An answer of the engine. False if it breaks the protocol. */
extern bool RelayDeliver(Relay *relay, const EngineFrame *frame);

/* How far running requests are, for rag.stat_activity. False if it breaks the protocol. */
extern bool RelayProgress(Relay *relay, const EngineFrame *frame);

/* True if any request is at the engine. */
extern bool RelayIsBusy(const Relay *relay);

/* Answers every running request with an error: the engine has ended. */
extern void RelayFailRunning(Relay *relay, engine_code code, const char *message);

/* The number of requests of the worker's own (their answers are not delivered). */
#define RELAY_OWN_CHANNEL 0xFFFF

static inline uint64
RelayOwnRequest(uint32 number)
{
	return ((uint64) RELAY_OWN_CHANNEL << 48) | number;
}

static inline bool
RelayIsOwn(uint64 request)
{
	return (request >> 48) == RELAY_OWN_CHANNEL;
}

#endif							/* RAG_SERVE_RELAY_H */
