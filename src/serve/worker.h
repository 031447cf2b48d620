/*
 * worker.h: the model worker, one background worker per server.
 *
 * Owns the engine process: starts it, feeds it from the channels, relays its answers,
 * starts it again when it has ended. Computes nothing, is connected to no database,
 * holds no lock while it waits.
 */
#ifndef RAG_SERVE_WORKER_H
#define RAG_SERVE_WORKER_H

/* At preload: has the postmaster start and restart it. */
extern void WorkerRegister(void);

#endif							/* RAG_SERVE_WORKER_H */
