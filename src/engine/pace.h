/*
 * pace.h: how long steps take, and so how much of a prompt goes into one.
 *
 *     int prompt = pace_allows(&p, decode_rows);      // rows of prompts beside these
 *     ... a step of decode_rows + prompt_rows ...
 *     pace_note(&p, decode_rows, prompt_rows, microseconds);
 *
 * Sequences that generate wait for the whole of each step, so the prompts read beside
 * them may make it only so many times as long as it is without them. Both times are
 * measured, on whatever device and model this is, and followed as they change. Costs
 * decide when something is computed, never what comes of it.
 */
#ifndef RAG_ENGINE_PACE_H
#define RAG_ENGINE_PACE_H

#include <stdint.h>

#define PACE_SIZES 32

typedef struct pace
{
	float		slowdown;		/* >= 1; 0: whatever prompts cost */
	float		decode_us[PACE_SIZES];	/* of a step without prompts, by its rows; 0: not known */
	int			since[PACE_SIZES];	/* steps with prompts since it was measured */
	float		row_us;			/* that a row of a prompt adds; 0: not known */
} pace;

extern void pace_start(pace *p, float slowdown);

/*
 * Rows of prompts that the next step may have beside decode_rows: INT_MAX without any, 0 when the
 * time without prompts has to be measured first (so ask once for each step).
 */
extern int	pace_allows(pace *p, int decode_rows);

extern void pace_note(pace *p, int decode_rows, int prompt_rows, uint64_t us);

/* Microseconds that others' work may take between two such steps; a negative number: any. */
extern float pace_room(const pace *p, int decode_rows);

/* The time of a step of so many decode rows, in some unit: measured, or between and beyond what was. */
extern float pace_estimate(const pace *p, int rows);

#endif							/* RAG_ENGINE_PACE_H */
