/*
 * sampler.h: one token from one row of logits.
 *
 * The order of llama.cpp and vLLM: penalties over what was seen, then temperature,
 * top_k, top_p, min_p, then a draw from a Philox4x32-10 stream keyed by (seed, step).
 * So a request's tokens depend on its own logits, seed and step alone. temperature 0
 * is the greatest logit, the lowest id among equals.
 */
#ifndef RAG_ENGINE_SAMPLER_H
#define RAG_ENGINE_SAMPLER_H

#include <stdbool.h>
#include <stdint.h>

typedef struct sampler_params
{
	float		temperature;	/* >= 0 */
	int			top_k;			/* 0: all */
	float		top_p;			/* (0, 1]; 1: off */
	float		min_p;			/* [0, 1]; 0: off */
	float		repetition_penalty; /* > 0; 1: off; over prompt and output tokens */
	float		presence_penalty;	/* 0: off; over output tokens */
	float		frequency_penalty;	/* 0: off; over output tokens */
	bool		want_logprob;	/* costs a pass over the vocabulary */
	uint64_t	seed;
	uint64_t	step;			/* tokens that the request has drawn so far */
	/* what was seen, distinct ids ascending; count_output may be 0 (prompt only) */
	const int32_t *seen;
	const int32_t *seen_output_count;
	int			seen_count;
} sampler_params;

typedef struct sampler_result
{
	int32_t		token;
	float		logprob;		/* of the token, after penalties, before temperature; 0 if not wanted */
} sampler_result;

/* logits: [vocab], changed in place; scratch: [vocab] pairs owned by the caller. Returns false
 * when no logit is finite. */
typedef struct sampler_candidate
{
	float		logit;
	int32_t		id;
} sampler_candidate;

extern bool sampler_pick(float *logits, int vocab, const sampler_params *params,
						 sampler_candidate *scratch, sampler_result *result);

#endif							/* RAG_ENGINE_SAMPLER_H */
