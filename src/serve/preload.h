/*
 * preload.h: the models that the engine loads when it starts.
 *
 * rag.preload_models is a list separated by commas. An item is the path of a model,
 * followed by its options as a JSON object if it has any:
 *     /models/minilm, /models/llama.gguf {"max_model_len": 1000}
 * The worker sees no database, hence no rag.model: so paths, not names. A model that
 * is loaded under the same path and options is the same model.
 */
#ifndef RAG_SERVE_PRELOAD_H
#define RAG_SERVE_PRELOAD_H

#include "serve/supervisor.h"

/* Asks a ready engine for each of them. What is wrong with an item is said in the log. */
extern void PreloadSend(Engine *engine);

/* The engine's answer to one of these requests, for the log. */
extern void PreloadAnswer(const EngineFrame *frame);

#endif							/* RAG_SERVE_PRELOAD_H */
