/*
 * meter.h: how long things take, as histograms, and how many there are in a second.
 *
 *     histogram_add(&h, microseconds, count);
 *     rate_add(&r, now_us, tokens); ... rate_read(&r, now_us)
 */
#ifndef RAG_ENGINE_METER_H
#define RAG_ENGINE_METER_H

#include <stdint.h>

#define HISTOGRAM_SIZE 16

/* The upper bounds of all counts but the last, in milliseconds: 1 2 5 10 ... 50000 */
extern const uint32_t histogram_bounds[HISTOGRAM_SIZE - 1];

typedef struct histogram
{
	uint64_t	counts[HISTOGRAM_SIZE];
} histogram;

extern void histogram_add(histogram *h, uint64_t us, uint64_t count);

#define RATE_SECONDS 10

typedef struct rate
{
	uint64_t	second[RATE_SECONDS + 1];	/* which one each count is of */
	uint64_t	count[RATE_SECONDS + 1];
} rate;

extern void rate_add(rate *r, uint64_t now_us, uint64_t count);
/* In a second, over the last RATE_SECONDS whole ones. */
extern double rate_read(const rate *r, uint64_t now_us);

#endif							/* RAG_ENGINE_METER_H */
