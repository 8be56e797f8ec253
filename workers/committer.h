/*
 * The thread that writes and syncs for one service of one worker, so that the worker's loop never
 * waits for a disk. It has one job at a time; meanwhile the next one gathers in the loop.
 */
#ifndef WORKERS_COMMITTER_H
#define WORKERS_COMMITTER_H

#include "ipc/ledger.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct committer;

struct committer_job {
	struct ledger *ledger; /* borrows, as all of it, until the job is done */
	struct ledger_records records;
	enum ledger_framing framing;
	size_t tail_max;
	bool sync;

	/* What became of it: of the records, `count` are where they should be. */
	size_t count;
	int error;        /* errno: why the others are not */
	const char *what; /* which call failed */
	uint64_t size, cut;
	int64_t foreign;
	unsigned syncs;
};

/* Starts the thread. NULL with errno. It lives as long as the process. */
struct committer *committer_new(void);
/* Readable when the job is done. */
int committer_fd(const struct committer *committer);
/* Begins the job; there is none under way. */
void committer_give(struct committer *committer, struct committer_job *job);
/* Whether the job that was given is done; then the next may be given. */
bool committer_take(struct committer *committer);

#endif
