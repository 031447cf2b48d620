/*
 * speculate.c: guesses at the next tokens of a sequence.
 */
#include "engine/speculate.h"

#include <stddef.h>

/* Tokens that must have occurred before, and those beyond which a match is as good as any */
#define MATCH_LEAST 3
#define MATCH_ENOUGH 8

/* What is believed of the first guesses, and how far one more moves it */
#define FIRST_RIGHT 0.7f
#define LEAST_FIRST_RIGHT 0.4f
#define WEIGHT 0.15f

/* Guesses must make tokens this much cheaper: costs and chances are estimates */
#define MARGIN 1.03f

/* Guesses passed up before one is tried, at first and at last */
#define PATIENCE 16
#define PATIENCE_MOST 256

void
speculate_start(speculation *s, const speculation *like)
{
	*s = (speculation) {.right = like ? like->right : FIRST_RIGHT,.patience = PATIENCE};
	/* whatever the others were like, this one is tried */
	if (s->right < LEAST_FIRST_RIGHT)
		s->right = LEAST_FIRST_RIGHT;
}

int
speculate_worth(speculation *s, speculation_step *plan, int most)
{
	const float *time = plan->time + plan->guesses;
	float		tokens = plan->tokens;
	float		chance = s->right;
	float		best = plan->tokens / time[0] * MARGIN;
	float		best_tokens = plan->tokens;
	int			count = 0;

	if (most > SPECULATE_ROWS - plan->guesses)
		most = SPECULATE_ROWS - plan->guesses;
	for (int i = 1; i <= most; i++)
	{
		tokens += chance;
		chance *= s->right;
		if (tokens / time[i] > best)
		{
			best = tokens / time[i];
			best_tokens = tokens;
			count = i;
		}
	}
	if (count == 0 && most > 0 && ++s->passed >= s->patience)
		count = 1;
	plan->guesses += count;
	plan->tokens = best_tokens;
	return count;
}

/* The length of the match that ends at tokens[at] and at the last token, up to what is enough. */
static int
match_length(const int32_t *tokens, int count, int at)
{
	int			length = 0;

	while (length < MATCH_ENOUGH && length <= at && tokens[at - length] == tokens[count - 1 - length])
		length++;
	return length;
}

int
speculate_draft(const int32_t *tokens, int count, int most, int32_t *draft)
{
	int			best = MATCH_LEAST - 1;
	int			from = -1;

	for (int at = count - 2; at >= MATCH_LEAST - 1 && best < MATCH_ENOUGH; at--)
	{
		int			length;

		if (tokens[at] != tokens[count - 1])
			continue;
		length = match_length(tokens, count, at);
		if (length > best)
		{
			best = length;
			from = at + 1;
		}
	}
	if (from < 0)
		return 0;
	/* beyond the last token the match repeats itself */
	for (int i = 0; i < most; i++)
		draft[i] = tokens[from + i % (count - from)];
	return most;
}

void
speculate_note(speculation *s, int drafted, int right)
{
	int			tried = right < drafted ? right + 1 : right;

	for (int i = 0; i < tried; i++)
		s->right += WEIGHT * ((i < right ? 1.0f : 0.0f) - s->right);
	if (s->passed >= s->patience)
	{
		/* that was a trial */
		s->patience = right > 0 ? PATIENCE : s->patience * 2;
		if (s->patience > PATIENCE_MOST)
			s->patience = PATIENCE_MOST;
		/* one success is reason enough to look closer */
		if (right > 0 && s->right < FIRST_RIGHT)
			s->right = FIRST_RIGHT;
	}
	s->passed = 0;
}
