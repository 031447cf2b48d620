/*
 * meter.c: histograms of times, and rates.
 */
#include "engine/meter.h"

const uint32_t histogram_bounds[HISTOGRAM_SIZE - 1] = {
	1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10000, 20000, 50000
};

void
histogram_add(histogram *h, uint64_t us, uint64_t count)
{
	int			i = 0;

	while (i < HISTOGRAM_SIZE - 1 && us > (uint64_t) histogram_bounds[i] * 1000)
		i++;
	h->counts[i] += count;
}

void
rate_add(rate *r, uint64_t now_us, uint64_t count)
{
	uint64_t	second = now_us / 1000000;
	int			i = (int) (second % (RATE_SECONDS + 1));

	if (r->second[i] != second)
	{
		r->second[i] = second;
		r->count[i] = 0;
	}
	r->count[i] += count;
}

double
rate_read(const rate *r, uint64_t now_us)
{
	uint64_t	second = now_us / 1000000;
	uint64_t	sum = 0;

	for (int i = 0; i <= RATE_SECONDS; i++)
	{
		if (r->second[i] < second && r->second[i] + RATE_SECONDS >= second)
			sum += r->count[i];
	}
	return (double) sum / RATE_SECONDS;
}
