/*
 * pace.c: how long steps take, and so how much of a prompt goes into one.
 */
#include "engine/pace.h"

#include <limits.h>
#include <math.h>

/* A new time moves what is known by this part of the difference */
#define WEIGHT 0.25f

/* and counts as no more than this many times what is known: the machine may have been elsewhere */
#define OUTLIER 4

/* Rows that a prompt gets whatever they cost, and a limit that no step reaches */
#define LEAST_ROWS 1
#define MOST_ROWS (1 << 24)

/* Steps with prompts after which a time without them is measured again: contexts grow */
#define STALE_STEPS 256

/* What a row more costs while nothing is known, in steps of one row */
#define USUAL_ROW_COST 0.3f

/* Up to so many rows each number has its time, above each power of two. */
#define EXACT_SIZES 16

static int
size_of(int rows)
{
	int			size = EXACT_SIZES;

	if (rows <= EXACT_SIZES)
		return rows - 1;
	for (int most = 2 * EXACT_SIZES; most < rows && size < PACE_SIZES - 1; most *= 2)
		size++;
	return size;
}

static float
follow(float known, float us)
{
	if (us < 1)
		us = 1;
	if (known <= 0)
		return us;
	if (us > known * OUTLIER)
		us = known * OUTLIER;
	return known + WEIGHT * (us - known);
}

void
pace_start(pace *p, float slowdown)
{
	*p = (pace) {.slowdown = slowdown};
}

/* The rows that stand for a size. */
static int
rows_of(int size)
{
	return size < EXACT_SIZES ? size + 1 : (EXACT_SIZES << (size - EXACT_SIZES)) / 2 * 3;
}

/* The known size nearest to the given one in a direction, or -1. */
static int
nearest(const pace *p, int size, int direction)
{
	while (size >= 0 && size < PACE_SIZES && p->decode_us[size] <= 0)
		size += direction;
	return size < PACE_SIZES ? size : -1;
}

/* What a row more is taken to cost beyond the last of the sizes that are known. */
static float
usual_row_us(const pace *p, int last)
{
	int			first = 0;
	float		rise;

	while (first < last && p->decode_us[first] <= 0)
		first++;
	if (first == last)
		return USUAL_ROW_COST * p->decode_us[last] / (float) rows_of(last);
	rise = p->decode_us[last] - p->decode_us[first];
	return rise > 0 ? rise / (float) (rows_of(last) - rows_of(first)) : 0;
}

float
pace_estimate(const pace *p, int rows)
{
	int			size = size_of(rows);
	int			low = nearest(p, size, -1);
	int			high = nearest(p, size, 1);
	float		part;

	if (low < 0 && high < 0)
		return 1 + USUAL_ROW_COST * (float) (rows - 1);
	if (low < 0)
		return p->decode_us[high];
	if (high < 0)
		return p->decode_us[low] + (float) (rows - rows_of(low)) * usual_row_us(p, low);
	if (low == high)
		return p->decode_us[size];
	part = (float) (rows - rows_of(low)) / (float) (rows_of(high) - rows_of(low));
	return p->decode_us[low] + part * (p->decode_us[high] - p->decode_us[low]);
}

static bool
knows(const pace *p, int sequences)
{
	int			size = size_of(sequences);

	return p->decode_us[size] > 0 && p->since[size] < STALE_STEPS;
}

float
pace_room(const pace *p, int sequences, int rows)
{
	if (p->slowdown <= 0 || sequences <= 0)
		return -1;
	return fmaxf(p->slowdown * pace_estimate(p, sequences) - pace_estimate(p, rows), 0);
}

bool
pace_measures(const pace *p, int sequences)
{
	return p->slowdown > 0 && sequences > 0 && !knows(p, sequences);
}

/* What a row of a prompt adds; before it has been measured, rather too much. */
static float
row_cost(const pace *p, int sequences)
{
	if (p->row_us > 0)
		return p->row_us;
	return fmaxf(p->bulk_us, USUAL_ROW_COST * pace_estimate(p, sequences));
}

float
pace_guess_room(const pace *p, int sequences)
{
	float		room = pace_room(p, sequences, sequences);

	return room < 0 ? room : fmaxf(fminf(room / 2, room - row_cost(p, sequences)), 0);
}

int
pace_allows(pace *p, int sequences, int rows)
{
	float		room = pace_room(p, sequences, rows);
	float		most;

	if (room < 0)
		return INT_MAX;
	/* with guesses in it the step would not show what was to be measured */
	if (rows == sequences && !knows(p, sequences))
		return 0;
	p->since[size_of(sequences)]++;
	/* rounded: of few rows each seems to cost more than one of many, so they would stay few */
	most = roundf(room / row_cost(p, sequences));
	return most < LEAST_ROWS ? LEAST_ROWS : most > MOST_ROWS ? MOST_ROWS : (int) most;
}

void
pace_note(pace *p, int decode_rows, int prompt_rows, uint64_t us)
{
	int			size;
	float		alone;

	if (decode_rows == 0)
	{
		if (prompt_rows > 0)
			p->bulk_us = follow(p->bulk_us, (float) us / (float) prompt_rows);
		return;
	}
	size = size_of(decode_rows);
	if (prompt_rows == 0)
	{
		p->decode_us[size] = follow(p->decode_us[size], (float) us);
		p->since[size] = 0;
		return;
	}
	alone = pace_estimate(p, decode_rows);
	/* without prompts it cannot take longer: the machine has become faster */
	if ((float) us < alone)
		p->decode_us[size] = 0;
	else
		p->row_us = follow(p->row_us, ((float) us - alone) / (float) prompt_rows);
}
