/*
 * One thread and one job. Owns the thread, a semaphore that wakes it and an eventfd that wakes the
 * loop. Touches nothing but the job: no log, no counter, no request; those are the loop's.
 */
#include "workers/committer.h"

#include "common/mem.h"

#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

struct committer {
	pthread_t thread;
	sem_t given;
	int done_fd; /* owns */
	atomic_bool done;
	struct committer_job *job; /* borrows; the thread's between `given` and `done` */
};

static void
committer_write(struct committer_job *job)
{
	size_t before = 0;

	while (job->count < job->records.count && job->error == 0) {
		struct ledger_result result;
		struct ledger_records rest = {.bytes = job->records.bytes + before,
		    .ends = job->records.ends + job->count,
		    .count = job->records.count - job->count,
		    .before = before};

		ledger_append(job->ledger, job->framing, job->tail_max, &rest, &result);
		job->count += result.count;
		job->error = result.error;
		job->what = result.what;
		job->size = result.size != 0 ? result.size : job->size;
		job->cut += result.cut;
		job->foreign += result.foreign;
		if (result.count > 0)
			before = job->records.ends[job->count - 1];
	}
}

/* What is not on the disk was not done, be it written or not. */
static void
committer_sync(struct committer_job *job)
{
	const char *what;

	if (job->count == 0)
		return;
	if (ledger_sync(job->ledger, &what) == 0) {
		job->syncs++;
		return;
	}
	job->error = errno;
	job->what = what;
	job->count = 0;
}

static void *
committer_main(void *arg)
{
	struct committer *committer = arg;
	const uint64_t one = 1;

	for (;;) {
		while (sem_wait(&committer->given) != 0)
			continue;
		committer_write(committer->job);
		if (committer->job->sync)
			committer_sync(committer->job);
		atomic_store(&committer->done, true);
		while (write(committer->done_fd, &one, sizeof(one)) < 0 && errno == EINTR)
			continue;
	}
	return NULL;
}

/* Signals are the loop's alone. */
static int
committer_start(struct committer *committer)
{
	sigset_t all, before;
	int error;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	error = pthread_create(&committer->thread, NULL, committer_main, committer);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return error;
}

struct committer *
committer_new(void)
{
	struct committer *committer = mem_alloc(1, sizeof(*committer));
	int error;

	committer->done_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	error = committer->done_fd < 0                   ? errno
		: sem_init(&committer->given, 0, 0) != 0 ? errno
							 : committer_start(committer);
	if (error == 0)
		return committer;
	if (committer->done_fd >= 0)
		close(committer->done_fd);
	free(committer);
	errno = error;
	return NULL;
}

int
committer_fd(const struct committer *committer)
{
	return committer->done_fd;
}

void
committer_give(struct committer *committer, struct committer_job *job)
{
	committer->job = job;
	atomic_store(&committer->done, false);
	sem_post(&committer->given);
}

bool
committer_take(struct committer *committer)
{
	uint64_t count;

	if (read(committer->done_fd, &count, sizeof(count)) < 0 && errno != EAGAIN)
		return false;
	return atomic_exchange(&committer->done, false);
}
