/*
 * jobs.h: work that must not hold up a step, on threads of its own.
 *
 *     jobs_start(jobs, &request->job);           // job.run runs in a thread
 *     ... jobs_fd(jobs) becomes readable ...
 *     while ((job = jobs_done(jobs)) != NULL)    // in the caller's thread again
 *         job->done(job);
 *
 * A job belongs to the caller again once jobs_done has returned it; a started job
 * cannot be called off. Long jobs never take the last thread, so a short one waits
 * for short ones only.
 */
#ifndef RAG_ENGINE_JOBS_H
#define RAG_ENGINE_JOBS_H

#include "engine/error.h"

typedef struct job job;
struct job
{
	void		(*run) (job *j);	/* in a thread of jobs */
	void		(*done) (job *j);	/* for the caller of jobs_done */
	bool		is_long;		/* may take minutes */
	job		   *next;
};

typedef struct jobs jobs;

/* threads: at least 2 */
extern jobs *jobs_open(int threads, engine_error *error);
/* Waits for the running jobs; those not begun and not collected are forgotten. */
extern void jobs_close(jobs *j);
extern void jobs_start(jobs *j, job *work);
extern job *jobs_done(jobs *j);
extern int	jobs_fd(const jobs *j);

#endif							/* RAG_ENGINE_JOBS_H */
