/*
 * speculate.h: guesses at the next tokens of a sequence, from what it has read and said.
 *
 *     int n = speculate_draft(tokens, count, most, tokens + count);
 *     n = speculate_worth(&s, &plan, n);              // as many as pay
 *     ... the step computes them behind the last token, and what would follow each ...
 *     speculate_note(&s, n, right);
 *
 * Prompt lookup (Saxena 2023; speculative decoding: Leviathan et al. 2023): where the last
 * tokens have occurred before, what followed them then is the guess. An answer that quotes its
 * context goes on like that for many tokens. A guess is kept only if it is the token that the
 * sequence would have got, so the text stays what it is, to the last bit.
 */
#ifndef RAG_ENGINE_SPECULATE_H
#define RAG_ENGINE_SPECULATE_H

#include <stdbool.h>
#include <stdint.h>

#define SPECULATE_MOST 6		/* guesses of a sequence in a step */

/* What is known of guessing: of a sequence, or of all of a model. */
typedef struct speculation
{
	float		right;			/* the part of the guesses that were, of late */
	int			passed;			/* times that no guess was made though there was one */
	int			patience;		/* how many of them until one is tried all the same */
} speculation;

#define SPECULATE_ROWS 12		/* of all sequences */

/* A step as far as it is planned: what guesses cost in it and what is expected of it. */
typedef struct speculation_step
{
	float		time[SPECULATE_ROWS + 1];	/* by the number of guesses; not descending */
	int			guesses;		/* planned */
	float		tokens;			/* expected */
} speculation_step;

/* like: what is known of the model; NULL: nothing */
extern void speculate_start(speculation *s, const speculation *like);

/*
 * The number of guesses that make the step's tokens cheapest, up to most; they are added to
 * the plan. To be called for a sequence that has a guess: after some zeros it says one, to
 * learn whether guessing has become better.
 */
extern int	speculate_worth(speculation *s, speculation_step *plan, int most);

/*
 * What followed the last place where the last tokens occurred, the longest match first, into
 * draft[0 .. most); returns the number, 0 without a match of some length.
 */
extern int	speculate_draft(const int32_t *tokens, int count, int most, int32_t *draft);

/* Of drafted guesses the first `right` were. */
extern void speculate_note(speculation *s, int drafted, int right);

#endif							/* RAG_ENGINE_SPECULATE_H */
