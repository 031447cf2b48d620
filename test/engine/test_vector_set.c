/*
 * test_vector_set.c: sets of vectors behind the engine's frames: the nearest of those before, refusals,
 * the end of a set.
 */
#include "tap.h"

#include "tensors.h"
#include "vector_requests.h"

#define DIMENSIONS 9
#define K 6
#define VECTORS 700

static float rows[VECTORS][DIMENSIONS];

static double
distance(int a, int b)
{
	double		sum = 0;

	for (int i = 0; i < DIMENSIONS; i++)
		sum += ((double) rows[a][i] - rows[b][i]) * ((double) rows[a][i] - rows[b][i]);
	return sum;
}

/* Is the answer of vector v, K numbers of earlier ones, the nearest first, none missing? */
static bool
is_nearest(int v, const uint32_t *numbers)
{
	double		last = 0;
	int			nearer = 0;

	for (int i = 0; i < K; i++)
	{
		double		d;

		if (i >= v)
		{
			if (numbers[i] != PROTOCOL_NO_VECTOR)
				return false;
			continue;
		}
		if (numbers[i] >= (uint32_t) v)
			return false;
		d = distance(v, (int) numbers[i]);
		if (d < last - 1e-5)
			return false;
		last = d;
	}
	for (int i = 0; i < v; i++)
		nearer += distance(v, i) < last - 1e-5;
	return nearer < K;
}

static void
test_nearest(drive *d)
{
	static const int cuts[] = {0, 1, 1, 40, 500, VECTORS};
	int			wrong = 0;

	test_fill(rows[0], VECTORS * DIMENSIONS);
	drive_vectors(d, 1, 77, 0, PROTOCOL_DISTANCE_L2, DIMENSIONS, K);
	for (uint64_t i = 0; i + 1 < sizeof(cuts) / sizeof(cuts[0]); i++)
	{
		int			count = cuts[i + 1] - cuts[i];
		drive_answer *a;

		drive_nearest(d, 2 + i, 77, rows[cuts[i]], (uint32_t) count, DIMENSIONS);
		a = drive_wait(d, 2 + i);
		wrong += a->code != ENGINE_OK || a->neighbour_count != (uint32_t) (count * K);
		for (int v = 0; v < count && a->neighbour_count == (uint32_t) (count * K); v++)
			wrong += !is_nearest(cuts[i] + v, a->neighbours + v * K);
	}
	ok(wrong == 0, "the nearest of those before, of %d vectors in five requests (%d wrong)", VECTORS, wrong);
	ok(!d->answers[1].over, "the set stays open");
}

/* With two of them waiting, the set goes, and they with it. */
static void
test_cancel(drive *d)
{
	drive_nearest(d, 20, 77, rows[0], VECTORS, DIMENSIONS);
	drive_nearest(d, 21, 77, rows[0], 1, DIMENSIONS);
	drive_simple(d, PROTOCOL_CANCEL, 1);
	drive_collect(d);
	ok(d->answers[1].code == ENGINE_CANCELED && d->answers[20].code == ENGINE_CANCELED &&
	   d->answers[21].code == ENGINE_CANCELED, "a set is canceled with what waits for it");
	drive_nearest(d, 22, 77, rows[0], 1, DIMENSIONS);
	ok(drive_wait(d, 22)->code == ENGINE_NOT_FOUND, "and is there no more");
	drive_vectors(d, 23, 77, 0, PROTOCOL_DISTANCE_COSINE, DIMENSIONS, K);
	drive_nearest(d, 24, 77, rows[0], 3, DIMENSIONS);
	drive_nearest(d, 25, 77, rows[0], 3, DIMENSIONS);
	ok(drive_wait(d, 24)->code == ENGINE_OK && d->answers[24].neighbours[0] == PROTOCOL_NO_VECTOR,
	   "another one of its name begins at nothing");
	drive_simple(d, PROTOCOL_CANCEL, 25);
	drive_collect(d);
	ok(d->answers[25].code == ENGINE_CANCELED && d->answers[23].code == ENGINE_CANCELED,
	   "an addition is canceled with its set: the next would have other numbers");
}

static void
test_refusals(drive *d)
{
	static const struct
	{
		uint32_t	flags;
		uint32_t	distance;
		uint32_t	dimensions;
		uint32_t	k;
		engine_code code;
	}			wrong[] = {
		{0, 0, 0, 1, ENGINE_INVALID}, {0, 0, PROTOCOL_MAX_DIMENSIONS + 1, 1, ENGINE_INVALID},
		{0, 3, 4, 1, ENGINE_INVALID}, {0, 0, 4, 0, ENGINE_INVALID}, {0, 0, 4, 1025, ENGINE_INVALID},
		{2, 0, 4, 1, ENGINE_INVALID}, {PROTOCOL_VECTORS_DEDICATED, 0, 4, 1, ENGINE_UNSUPPORTED},
	};
	int			accepted = 0;

	for (uint64_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
	{
		drive_vectors(d, 40 + i, 5, wrong[i].flags, wrong[i].distance, wrong[i].dimensions, wrong[i].k);
		accepted += drive_wait(d, 40 + i)->code != wrong[i].code;
	}
	ok(accepted == 0, "sets that cannot be are refused (%d were not)", accepted);
	ok(strstr(d->answers[46].message, "has no GPU") != NULL, "a device that is made for it is asked for: %s",
	   d->answers[46].message);
	drive_vectors(d, 50, 5, 0, 0, 4, 1);
	drive_vectors(d, 51, 5, 0, 0, 4, 1);
	ok(drive_wait(d, 51)->code == ENGINE_INVALID && !d->answers[50].over, "a name is given once");
	for (uint64_t i = 0; i < 6; i++)
		drive_nearest(d, 60 + i, 5, rows[0], 4, 4);
	ok(drive_wait(d, 65)->code == ENGINE_FULL && drive_wait(d, 63)->code == ENGINE_OK,
	   "no more than four additions wait");
	drive_nearest(d, 70, 5, rows[0], 4, 3);
	ok(drive_wait(d, 70)->code == ENGINE_PROTOCOL, "vectors of other dimensions");
}

/* Every shorter payload, and counts of which the product overflows. */
static void
test_hostile(drive *d)
{
	protocol_writer w = {0};
	int			accepted = 0;

	protocol_begin(&w, PROTOCOL_NEAREST, 100);
	protocol_put_u64(&w, 5);
	protocol_put_u32(&w, 2);
	protocol_put_f32s(&w, rows[0], 8);
	protocol_end(&w);
	for (size_t length = 0; length < w.length - sizeof(protocol_header); length++)
	{
		engine_submit(d->engine, PROTOCOL_NEAREST, 100 + length, w.data + sizeof(protocol_header), length);
		accepted += drive_wait(d, 100 + length)->code == ENGINE_OK;
	}
	for (uint64_t i = 0; i < 3; i++)
	{
		static const uint32_t counts[] = {UINT32_MAX, 1u << 30, 1u << 28};

		memcpy(w.data + sizeof(protocol_header) + 8, &counts[i], 4);
		engine_submit(d->engine, PROTOCOL_NEAREST, 200 + i, w.data + sizeof(protocol_header),
					  w.length - sizeof(protocol_header));
		accepted += drive_wait(d, 200 + i)->code == ENGINE_OK;
	}
	for (size_t length = 0; length < 24; length++)
	{
		engine_submit(d->engine, PROTOCOL_VECTORS, 300 + length, w.data + sizeof(protocol_header), length);
		accepted += drive_wait(d, 300 + length)->code == ENGINE_OK;
	}
	ok(accepted == 0, "payloads that are too short or lie are refused (%d were not)", accepted);
	free(w.data);
}

static void
test_many(drive *d)
{
	int			refused = 0;

	for (uint64_t i = 0; i < 64; i++)
		drive_vectors(d, 400 + i, 1000 + i, 0, 0, 4, 1);
	drive_collect(d);
	for (int i = 0; i < 64; i++)
		refused += d->answers[400 + i].over && d->answers[400 + i].code == ENGINE_FULL;
	ok(refused == 1, "there are no more than 64 sets, with the one that is there (%d refused)", refused);
}

int
main(void)
{
	drive	   *d = drive_open(&(engine_config) {.device = ENGINE_DEVICE_CPU,.threads = 2}, "", "{}");

	test_nearest(d);
	test_cancel(d);
	test_refusals(d);
	test_hostile(d);
	test_many(d);
	ok(d->bad_frames == 0, "every frame was as it should be");
	drive_close(d);
	return tap_done();
}
