/*
 * jobs.c: a queue, a few threads, and a descriptor that says when to look.
 */
#include "engine/jobs.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

typedef struct job_queue
{
	job		   *first;
	job		  **last;
} job_queue;

struct jobs
{
	pthread_mutex_t mutex;
	pthread_cond_t arrived;
	job_queue	waiting;		/* short jobs */
	job_queue	waiting_long;
	job_queue	finished;
	int			running_long;
	int			max_long;
	bool		closing;
	int			fd;
	int			threads;
	pthread_t  *thread;
};

static void
push(job_queue *q, job *work)
{
	work->next = NULL;
	*q->last = work;
	q->last = &work->next;
}

static job *
pop(job_queue *q)
{
	job		   *work = q->first;

	if (work)
	{
		q->first = work->next;
		if (q->first == NULL)
			q->last = &q->first;
	}
	return work;
}

/* The job to run next, or NULL. */
static job *
take(jobs *j)
{
	job		   *work = pop(&j->waiting);

	if (work == NULL && j->running_long < j->max_long)
	{
		work = pop(&j->waiting_long);
		j->running_long += work != NULL;
	}
	return work;
}

static void *
thread_main(void *argument)
{
	jobs	   *j = argument;
	uint64_t	one = 1;

	pthread_mutex_lock(&j->mutex);
	for (;;)
	{
		job		   *work = NULL;

		while (!j->closing && (work = take(j)) == NULL)
			pthread_cond_wait(&j->arrived, &j->mutex);
		if (j->closing)
			break;
		pthread_mutex_unlock(&j->mutex);
		work->run(work);
		pthread_mutex_lock(&j->mutex);
		if (work->is_long)
		{
			/* another long one may have its turn */
			j->running_long--;
			pthread_cond_signal(&j->arrived);
		}
		push(&j->finished, work);
		/* cannot fail: the counter is far from its limit */
		while (write(j->fd, &one, sizeof(one)) < 0 && errno == EINTR)
			;
	}
	pthread_mutex_unlock(&j->mutex);
	return NULL;
}

jobs *
jobs_open(int threads, engine_error *error)
{
	jobs	   *j = calloc(1, sizeof(*j));
	sigset_t	all,
				old;

	if (j == NULL || (j->thread = calloc((size_t) threads, sizeof(*j->thread))) == NULL)
	{
		free(j);
		engine_fail_memory(error, "the background threads");
		return NULL;
	}
	j->waiting.last = &j->waiting.first;
	j->waiting_long.last = &j->waiting_long.first;
	j->finished.last = &j->finished.first;
	j->max_long = threads - 1;
	pthread_mutex_init(&j->mutex, NULL);
	pthread_cond_init(&j->arrived, NULL);
	j->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	while (j->fd >= 0 && j->threads < threads &&
		   pthread_create(&j->thread[j->threads], NULL, thread_main, j) == 0)
		j->threads++;
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (j->threads < threads)
	{
		engine_fail(error, ENGINE_IO, "could not start the background threads");
		jobs_close(j);
		return NULL;
	}
	return j;
}

void
jobs_close(jobs *j)
{
	if (j == NULL)
		return;
	pthread_mutex_lock(&j->mutex);
	j->closing = true;
	pthread_cond_broadcast(&j->arrived);
	pthread_mutex_unlock(&j->mutex);
	for (int i = 0; i < j->threads; i++)
		pthread_join(j->thread[i], NULL);
	if (j->fd >= 0)
		close(j->fd);
	pthread_mutex_destroy(&j->mutex);
	pthread_cond_destroy(&j->arrived);
	free(j->thread);
	free(j);
}

void
jobs_start(jobs *j, job *work)
{
	pthread_mutex_lock(&j->mutex);
	push(work->is_long ? &j->waiting_long : &j->waiting, work);
	pthread_cond_signal(&j->arrived);
	pthread_mutex_unlock(&j->mutex);
}

job *
jobs_done(jobs *j)
{
	job		   *work;
	uint64_t	count;

	pthread_mutex_lock(&j->mutex);
	work = pop(&j->finished);
	/* empty: the descriptor must not stay readable */
	if (work == NULL && read(j->fd, &count, sizeof(count)) < 0)
		count = 0;
	pthread_mutex_unlock(&j->mutex);
	return work;
}

int
jobs_fd(const jobs *j)
{
	return j->fd;
}
