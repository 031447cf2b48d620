/*
 * test_jobs.c: background jobs: all come back, and long ones leave a thread to the short.
 */
#include "tap.h"

#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>

#include "engine/jobs.h"

#define MANY 200

/* Holds a long job until it is let go. */
static pthread_mutex_t gate = PTHREAD_MUTEX_INITIALIZER;
static atomic_int running_long;
static atomic_int most_long;
static atomic_int ran;

static void
run_short(job *j)
{
	(void) j;
	atomic_fetch_add(&ran, 1);
}

static void
run_long(job *j)
{
	int			now = atomic_fetch_add(&running_long, 1) + 1;

	(void) j;
	if (now > most_long)
		most_long = now;
	pthread_mutex_lock(&gate);
	pthread_mutex_unlock(&gate);
	atomic_fetch_sub(&running_long, 1);
}

static int
collect(jobs *j, int wanted)
{
	int			got = 0;

	for (int i = 0; i < 1000 && got < wanted; i++)
	{
		struct pollfd fd = {.fd = jobs_fd(j),.events = POLLIN};

		poll(&fd, 1, 10);
		while (jobs_done(j) != NULL)
			got++;
	}
	return got;
}

int
main(void)
{
	engine_error error;
	jobs	   *j = jobs_open(2, &error);
	job			many[MANY] = {0};
	job			slow[3] = {0};

	pthread_mutex_lock(&gate);
	for (int i = 0; i < 3; i++)
	{
		slow[i].run = run_long;
		slow[i].is_long = true;
		jobs_start(j, &slow[i]);
	}
	for (int i = 0; i < MANY; i++)
	{
		many[i].run = run_short;
		jobs_start(j, &many[i]);
	}
	ok(collect(j, MANY) == MANY && ran == MANY, "short jobs run while three long ones are under way");
	pthread_mutex_unlock(&gate);
	ok(collect(j, 3) == 3 && most_long == 1, "the long ones follow each other");
	ok(poll(&(struct pollfd) {.fd = jobs_fd(j),.events = POLLIN}, 1, 0) == 0,
	   "with nothing to collect the descriptor is quiet");
	/* whatever is still waiting is forgotten */
	for (int i = 0; i < MANY; i++)
		jobs_start(j, &many[i]);
	jobs_close(j);
	ok(true, "closing with jobs that have not begun");
	return tap_done();
}
