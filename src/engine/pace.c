/*
 * pace.c: how long steps take, and so how much of a prompt goes into one.
 */
#include "engine/pace.h"

#include <limits.h>

/* A new time moves what is known by this part of the difference */
#define WEIGHT 0.25f

/* and counts as no more than this many times what is known: the machine may have been elsewhere */
#define OUTLIER 4

/* Rows while it is not known what they cost, those that a prompt gets whatever they cost, and
 * a limit that no step reaches */
#define FIRST_ROWS 32
#define LEAST_ROWS 4
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
	return rows < LEAST_ROWS ? LEAST_ROWS : rows > MOST_ROWS ? MOST_ROWS : (int) rows;
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
