/*
 * test_speculate.c: what is guessed, and when guessing stops.
 */
#include "tap.h"

#include <string.h>

#include "engine/speculate.h"

#define COUNT(a) ((int) (sizeof(a) / sizeof((a)[0])))

static void
test_draft(void)
{
	static const int32_t quote[] = {1, 2, 3, 4, 5, 6, 7, 9, 9, 2, 3, 4};
	static const int32_t longer[] = {7, 1, 2, 3, 50, 8, 1, 2, 3, 60, 7, 1, 2, 3};
	static const int32_t loop[] = {5, 4, 5, 4, 5, 4, 5};
	static const int32_t none[] = {1, 2, 3, 4, 5, 6, 7, 9, 3, 4};
	int32_t		draft[8];

	ok(speculate_draft(quote, COUNT(quote), 3, draft) == 3 && draft[0] == 5 && draft[1] == 6 && draft[2] == 7,
	   "what followed the same three tokens");
	ok(speculate_draft(longer, COUNT(longer), 1, draft) == 1 && draft[0] == 50,
	   "the longest match goes before the latest");
	ok(speculate_draft(longer + 5, 4 + 5, 1, draft) == 1 && draft[0] == 60, "among equals the latest");
	ok(speculate_draft(loop, COUNT(loop), 6, draft) == 6 && draft[0] == 4 && draft[1] == 5 && draft[4] == 4,
	   "what goes round in circles goes on so");
	ok(speculate_draft(none, COUNT(none), 6, draft) == 0, "two tokens are no match");
	ok(speculate_draft(none, 1, 6, draft) == 0 && speculate_draft(none, 2, 6, draft) == 0 &&
	   speculate_draft(none, 3, 6, draft) == 0, "nor is a short text");
}

/* Guesses of a step of some sequences in which a row more costs so much. */
static speculation_step
plan_of(int sequences, float row_cost)
{
	speculation_step plan = {.tokens = (float) sequences};

	for (int i = 0; i <= SPECULATE_ROWS; i++)
		plan.time[i] = 1 + row_cost * (float) (sequences - 1 + i);
	return plan;
}

static int
worth(speculation *s, int sequences, float row_cost)
{
	speculation_step plan = plan_of(sequences, row_cost);

	return speculate_worth(s, &plan, SPECULATE_MOST);
}

static void
test_worth(void)
{
	speculation s;
	speculation of_model;
	speculation_step plan = plan_of(1, 0.3f);
	int			first;

	speculate_start(&s, NULL);
	first = worth(&s, 1, 0.3f);
	ok(first > 0 && first < SPECULATE_MOST, "at first a few (%d)", first);
	for (int i = 0; i < 20; i++)
		speculate_note(&s, 4, 4);
	ok(worth(&s, 1, 0.3f) == SPECULATE_MOST, "as many as may be while they are right");
	ok(worth(&s, 16, 0.3f) > 0 && worth(&s, 1, 1.2f) == 0, "a row must be worth its cost");
	for (int i = 0; i < 8; i++)
		speculate_note(&s, 4, 2);
	ok(worth(&s, 1, 0.3f) > worth(&s, 16, 0.3f), "fewer beside others");
	of_model = s;
	for (int i = 0; i < 20; i++)
		speculate_note(&of_model, 4, 0);
	speculate_start(&s, &of_model);
	ok(worth(&s, 1, 0.3f) <= 1 && s.right > of_model.right, "after others' failures one is tried");
	for (int i = 0; i < 4; i++)
		plan.guesses += speculate_worth(&of_model, &plan, 0);
	ok(plan.guesses == 0, "none where there is no room");
	plan.guesses = SPECULATE_ROWS;
	speculate_start(&s, NULL);
	ok(speculate_worth(&s, &plan, SPECULATE_MOST) == 0, "nor beyond the rows of a step");
}

/* A text in which guesses are always wrong, then one in which they are right. */
static void
test_back_off(void)
{
	speculation s;
	int			rows = 0;
	int			until = 0;

	speculate_start(&s, NULL);
	for (int i = 0; i < 1000; i++)
	{
		int			n = worth(&s, 1, 0.3f);

		rows += n;
		if (n > 0)
			speculate_note(&s, n, 0);
	}
	ok(rows < 20, "1000 wrong guesses: %d rows were computed for nothing", rows);
	for (; until < 1000 && worth(&s, 1, 0.3f) == 0; until++)
		;
	speculate_note(&s, 1, 1);
	ok(until <= 256 && worth(&s, 1, 0.3f) > 0 && s.passed == 0, "one that is right is enough to go on guessing (after %d)", until);
}

int
main(void)
{
	test_draft();
	test_worth();
	test_back_off();
	return tap_done();
}
