/*
 * tokenizer_json.h: the parts of tokenizer.json, one function each.
 *
 * Each part is recognised by its exact structure; what is not known is
 * ENGINE_UNSUPPORTED with its name quoted. Strings point into the JSON document.
 */
#ifndef RAG_ENGINE_TOKENIZER_JSON_H
#define RAG_ENGINE_TOKENIZER_JSON_H

#include "engine/json.h"
#include "engine/tokenizer_internal.h"

/* "model" and "added_tokens": tokens, merges and flags of the source. */
extern bool tokenizer_json_model(tokenizer_source *s, const json_value *root,
								 engine_error *error);
extern bool tokenizer_json_added(tokenizer_source *s, const json_value *added,
								 engine_error *error);

/* "normalizer" (NULL or null: none) */
extern bool tokenizer_json_normalizer(normalizer *n, const json_value *value,
									  engine_error *error);
/* "pre_tokenizer"; sets byte_level of the source too */
extern bool tokenizer_json_pre(tokenizer_source *s, const json_value *value,
							   engine_error *error);
/* "post_processor": the templates of the source */
extern bool tokenizer_json_post(tokenizer_source *s, const json_value *value,
								engine_error *error);

#endif							/* RAG_ENGINE_TOKENIZER_JSON_H */
