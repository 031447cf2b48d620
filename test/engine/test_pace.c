/*
 * test_pace.c: how much of a prompt goes beside decode tokens, by made-up times.
 */
#include "tap.h"

#include <limits.h>

#include "engine/pace.h"

/* A device whose steps take so long. */
typedef struct machine
{
	float		first_us;		/* the first decode row */
	float		decode_us;		/* each further one */
	float		prompt_us;		/* a row of a prompt */
} machine;

static uint64_t
step_us(const machine *m, int decode, int prompt)
{
	float		us = (float) prompt * m->prompt_us;

	if (decode > 0)
		us += m->first_us + (float) (decode - 1) * m->decode_us;
	return (uint64_t) us;
}

/*
 * Steps with a prompt that has no end, beside sequences that have guesses at their next tokens; the
 * longest of those after the first 200, against those without either.
 */
static float
slowest_beside(pace *p, const machine *m, int decode, int guesses, int *rows)
{
	float		most = 0;

	*rows = 0;
	for (int i = 0; i < 400; i++)
	{
		int			guessed = pace_measures(p, decode) ? 0 : guesses;
		int			prompt = pace_allows(p, decode, decode + guessed);
		uint64_t	us;

		prompt = prompt > 2048 ? 2048 : prompt;
		us = step_us(m, decode + guessed, prompt);
		pace_note(p, decode + guessed, prompt, us);
		if (i >= 200)
		{
			float		times = (float) us / (float) step_us(m, decode, 0);

			most = times > most ? times : most;
			*rows += prompt;
		}
	}
	*rows /= 200;
	return most;
}

static float
slowest(pace *p, const machine *m, int decode, int *rows)
{
	return slowest_beside(p, m, decode, 0, rows);
}

int
main(void)
{
	static const machine machines[] = {
		{7000, 2000, 900},		/* two cores */
		{500000, 150000, 90000},	/* two cores, a large model */
		{3000, 20, 8},			/* a GPU */
		{100000, 1000, 60000},	/* a prompt's row costs more than half a step */
	};
	pace		p;
	int			rows;
	int			descents = 0;

	pace_start(&p, 2.5f);
	ok(pace_allows(&p, 0, 0) == INT_MAX, "nobody waits: any number of rows");
	ok(pace_allows(&p, 1, 1) == 0, "a step without the prompt is measured first");
	pace_note(&p, 1, 0, 7000);
	ok(pace_allows(&p, 1, 1) > 0 && pace_allows(&p, 1, 1) <= 64, "then it is tried with a few rows");
	for (int i = 0; i < 3; i++)
	{
		for (int decode = 1; decode <= 16; decode *= 4)
		{
			float		most;

			pace_start(&p, 2.5f);
			most = slowest(&p, &machines[i], decode, &rows);
			ok(most < 2.6f && most > 1.5f && rows > 5,
			   "machine %d, %d sequences: steps %.2f times as long, %d rows of the prompt", i, decode, most, rows);
		}
	}
	pace_start(&p, 2.5f);
	slowest(&p, &machines[3], 1, &rows);
	ok(rows > 0, "a prompt goes on whatever it costs (%d rows)", rows);
	for (int guesses = 1; guesses <= 3; guesses += 2)
	{
		float		most;

		pace_start(&p, 2.5f);
		for (int i = 1; i <= 4; i++)
			pace_note(&p, i, 0, step_us(&machines[0], i, 0));
		most = slowest_beside(&p, &machines[0], 1, guesses, &rows);
		ok(most < 2.6f && rows > 3, "beside %d guesses: %.2f times as long, %d rows of the prompt", guesses, most, rows);
	}
	ok(pace_room(&p, 1, 4) < pace_room(&p, 1, 1) && pace_room(&p, 1, 1000) == 0,
	   "guesses take of the time that prompts have");
	ok(pace_guess_room(&p, 1) > 0 && pace_guess_room(&p, 1) <= pace_room(&p, 1, 1) / 2, "and at most half of it");
	slowest(&p, &machines[3], 1, &rows);
	ok(pace_guess_room(&p, 1) == 0, "none where a prompt's row costs more than there is");
	pace_start(&p, 0);
	ok(pace_allows(&p, 1, 1) == INT_MAX && pace_room(&p, 1, 1) < 0, "without a limit none is kept");

	/* a row in a step of nothing but prompts is cheap, and says little of one beside a decode row */
	pace_start(&p, 2.5f);
	pace_note(&p, 0, 512, 512 * 100);
	pace_note(&p, 1, 0, 7000);
	ok(step_us(&machines[0], 1, pace_allows(&p, 1, 1)) < 7000 * 2.6, "the first rows beside a decode row are not too many");

	/* what is known follows what happens */
	pace_start(&p, 2.5f);
	slowest(&p, &machines[0], 1, &rows);
	ok(slowest(&p, &machines[1], 1, &rows) < 2.6f, "a machine that becomes slower");
	ok(slowest(&p, &machines[0], 1, &rows) < 2.6f, "and faster again");
	pace_start(&p, 2.5f);
	pace_note(&p, 1, 0, 7000);
	pace_note(&p, 1, 0, 7000000);
	ok(p.decode_us[0] < 7000 * 2, "one step that took for ever says little");
	pace_note(&p, 1000000, 0, 9);
	ok(pace_allows(&p, 1000000, 1000000) > 0, "very many rows have their place");

	pace_start(&p, 2.5f);
	ok(pace_estimate(&p, 2) > pace_estimate(&p, 1) && pace_estimate(&p, 20) > pace_estimate(&p, 3),
	   "what rows cost is assumed");
	pace_note(&p, 2, 0, 1000);
	ok(pace_estimate(&p, 1) == 1000 && pace_estimate(&p, 2) == 1000 && pace_estimate(&p, 4) > 1200,
	   "with one time known the others lie about it");
	pace_note(&p, 8, 0, 1600);
	pace_note(&p, 100, 0, 9000);
	ok(pace_estimate(&p, 5) == 1300 && pace_estimate(&p, 8) == 1600 && pace_estimate(&p, 16) > 1600 &&
	   pace_estimate(&p, 16) < 9000 && pace_estimate(&p, 100) == 9000 && pace_estimate(&p, 1000) > 9000,
	   "between and beyond those that are known");
	for (rows = 1; rows < 3000; rows++)
		descents += pace_estimate(&p, rows + 1) < pace_estimate(&p, rows);
	ok(descents == 0, "more rows never cost less");
	return tap_done();
}
