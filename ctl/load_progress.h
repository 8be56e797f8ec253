/*
 * How a run goes, on standard error, once a second: one line that is written over the one before on
 * a terminal, a new line each time elsewhere.
 */
#ifndef CTL_LOAD_PROGRESS_H
#define CTL_LOAD_PROGRESS_H

#include "common/histogram.h"

#include <event2/event.h>
#include <stdbool.h>
#include <stdint.h>

struct load_run;

struct load_progress {
	struct event *timer;     /* owns; NULL: nothing is shown */
	bool terminal;           /* lines are written over */
	bool shown;              /* something is */
	uint64_t at;             /* when it was shown last */
	uint64_t right;          /* right replies by then */
	struct histogram before; /* their latency */
};

/* Nothing to do unless it is wanted. Returns 0 or -1. */
int load_progress_open(struct load_run *run);
/* Sending begins. */
void load_progress_begin(struct load_run *run, uint64_t now);
/* Takes the line away, where it can be. */
void load_progress_end(struct load_run *run);
void load_progress_close(struct load_run *run);

#endif
