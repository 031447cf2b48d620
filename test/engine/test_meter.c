/*
 * test_meter.c: histograms and rates.
 */
#include "tap.h"

#include "engine/meter.h"

int
main(void)
{
	histogram	h = {{0}};
	rate		r = {{0}, {0}};
	uint64_t	now = UINT64_C(5000000000);
	uint64_t	sum = 0;

	histogram_add(&h, 0, 1);
	histogram_add(&h, 1000, 2);
	histogram_add(&h, 1001, 4);
	histogram_add(&h, 50000000, 8);
	histogram_add(&h, UINT64_MAX, 16);
	ok(h.counts[0] == 3 && h.counts[1] == 4 && h.counts[14] == 8 && h.counts[15] == 16,
	   "each time is under the first bound that it does not exceed");
	for (int i = 0; i < HISTOGRAM_SIZE; i++)
		sum += h.counts[i];
	ok(sum == 31, "and nowhere else");

	ok(rate_read(&r, now) == 0, "nothing yet");
	for (int i = 0; i < 30; i++)
		rate_add(&r, now + (uint64_t) i * 500000, 50);
	ok(rate_read(&r, now + 15000000) == 100, "50 twice a second are 100");
	ok(rate_read(&r, now + 20000000) == 50, "when they have stopped for half the time, half");
	ok(rate_read(&r, now + 26000000) == 0, "later none");
	return tap_done();
}
