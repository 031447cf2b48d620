/*
 * pace.h: how long steps take, and so how much of a prompt goes into one.
 *
 *     int prompt = pace_allows(&p, sequences, decode_rows);   // rows of prompts beside these
 *     ... a step of decode_rows + prompt_rows ...
 *     pace_note(&p, decode_rows, prompt_rows, microseconds);
 *
 * Sequences that generate wait for the whole of each step, so the prompts read beside
 * them may make it only so many times as long as it is without them. Guesses at their next
 * tokens are decode rows too and take their part of that time. All times are measured, on
 * whatever device and model this is, and followed as they change. Costs decide when
 * something is computed, never what comes of it.
 */
#ifndef RAG_ENGINE_PACE_H
#define RAG_ENGINE_PACE_H

#include <stdbool.h>
#include <stdint.h>

#define PACE_SIZES 32

typedef struct pace
{
	float		slowdown;		/* >= 1; 0: whatever prompts cost */
	float		decode_us[PACE_SIZES];	/* of a step without prompts, by its rows; 0: not known */
	int			since[PACE_SIZES];	/* steps with prompts since it was measured */
	float		row_us;			/* that a row of a prompt adds beside decode rows; 0: not known */
	float		bulk_us;		/* a row costs in a step of nothing else, where there are many; 0: not known */
} pace;

extern void pace_start(pace *p, float slowdown);

/*
 * Rows of prompts that the next step may have beside the last tokens of `sequences` and guesses, together
 * decode_rows: INT_MAX without any, 0 when the time without prompts has to be measured first (so ask once
 * for each step).
 */
extern int	pace_allows(pace *p, int sequences, int decode_rows);

/* Whether the next step is to show how long it takes with the last tokens of so many sequences alone. */
extern bool pace_measures(const pace *p, int sequences);

extern void pace_note(pace *p, int decode_rows, int prompt_rows, uint64_t us);

/* Microseconds that others' work may take beside such a step; a negative number: any. */
extern float pace_room(const pace *p, int sequences, int decode_rows);

/*
 * Microseconds that guesses may take where prompts wait: half of what both may, and no more than leaves
 * a row of a prompt its time. A negative number: any.
 */
extern float pace_guess_room(const pace *p, int sequences);

/* The time of a step of so many decode rows, in some unit: measured, or between and beyond what was. */
extern float pace_estimate(const pace *p, int rows);

#endif							/* RAG_ENGINE_PACE_H */
