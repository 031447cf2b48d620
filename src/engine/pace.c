/*
 * pace.c: how long steps take, and so how much of a prompt goes into one.
 */
#include "engine/pace.h"

#include <limits.h>

/* A new time moves what is known by this part of the difference */
#define WEIGHT 0.25f

/* and counts as no more than this many times what is known: the machine may have been elsewhere */
#define OUTLIER 4

/* Rows while it is not known what they cost, and those that a prompt gets whatever they cost */
#define FIRST_ROWS 32
#define LEAST_ROWS 4

/* Steps with prompts after which a time without them is measured again: contexts grow */
#define STALE_STEPS 256

/* What a row more costs while nothing is known, and the least that is believed */
#define USUAL_ROW_COST 0.3f
#define LEAST_ROW_COST 0.02f

/* Up to 8 rows each number has its time, above each power of two. */
static int
size_of(int rows)
{
	int			size = 8;

	if (rows <= 8)
		return rows - 1;
	for (int most = 16; most < rows && size < PACE_SIZES - 1; most *= 2)
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

float
pace_room(const pace *p, int decode_rows)
{
	if (p->slowdown <= 0 || decode_rows <= 0)
		return -1;
	return (p->slowdown - 1) * p->decode_us[size_of(decode_rows)];
}

int
pace_allows(pace *p, int decode_rows)
{
	float		room = pace_room(p, decode_rows);
	float		rows;
	int			size;

	if (room < 0)
		return INT_MAX;
	size = size_of(decode_rows);
	if (p->decode_us[size] <= 0 || p->since[size] >= STALE_STEPS)
		return 0;
	p->since[size]++;
	if (p->row_us <= 0)
		return FIRST_ROWS;
	rows = room / p->row_us;
	return rows < LEAST_ROWS ? LEAST_ROWS : rows > INT_MAX / 2 ? INT_MAX / 2 : (int) rows;
}

void
pace_note(pace *p, int decode_rows, int prompt_rows, uint64_t us)
{
	float		alone = 0;

	if (decode_rows > 0)
	{
		int			size = size_of(decode_rows);

		if (prompt_rows == 0)
		{
			p->decode_us[size] = follow(p->decode_us[size], (float) us);
			p->since[size] = 0;
			return;
		}
		alone = p->decode_us[size];
		if (alone <= 0)
			return;
		/* without prompts it cannot take longer: the machine has become faster */
		if ((float) us < alone)
		{
			p->decode_us[size] = 0;
			return;
		}
	}
	if (prompt_rows > 0)
		p->row_us = follow(p->row_us, ((float) us - alone) / (float) prompt_rows);
}

float
pace_row_cost(const pace *p)
{
	float		one = p->decode_us[0];
	float		sum = 0;
	int			known = 0;

	for (int rows = 2; one > 0 && rows <= 8; rows++)
	{
		if (p->decode_us[rows - 1] <= 0)
			continue;
		sum += (p->decode_us[rows - 1] / one - 1) / (float) (rows - 1);
		known++;
	}
	if (known == 0)
		return USUAL_ROW_COST;
	sum /= (float) known;
	return sum < LEAST_ROW_COST ? LEAST_ROW_COST : sum > 1 ? 1 : sum;
}
