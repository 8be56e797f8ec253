/*
 * When may something be started again? Pure: the time comes from the caller, in nanoseconds of
 * CLOCK_MONOTONIC.
 */
#ifndef DAEMON_BACKOFF_H
#define DAEMON_BACKOFF_H

#include "common/clock.h"

#include <stdbool.h>
#include <stdint.h>

#define BACKOFF_FIRST (100 * CLOCK_MS)
#define BACKOFF_MOST  (30 * CLOCK_SECOND)
/* An instance that lived so long has nothing to do with a crash loop. */
#define BACKOFF_LONG_LIFE (60 * CLOCK_SECOND)

/* How long to wait after so many failures in a row: 0, 0.1 s, 0.2 s, 0.4 s ... 30 s. */
uint64_t backoff_delay(unsigned failures);

/* At most `rate` starts in any one second. */
struct backoff_rate {
	uint64_t *recent; /* owns; a ring of the newest starts' times */
	unsigned rate;
	unsigned next; /* index of the oldest */
};

void backoff_rate_open(struct backoff_rate *rate, unsigned per_second);
void backoff_rate_close(struct backoff_rate *rate);
/* The first time at which one more start is allowed; 0 for "at any time". */
uint64_t backoff_rate_time(const struct backoff_rate *rate);
void backoff_rate_note(struct backoff_rate *rate, uint64_t now);

/*
 * A crash loop: the instances of a service die by themselves one after another, with no good reply
 * between. The first restart is immediate, the others wait longer and longer. An instance counts
 * only when it was started after the last one that counted, so that a crowd that dies together is
 * one failure.
 */
struct backoff_loop {
	unsigned streak;     /* failures in a row */
	uint64_t failed;     /* when the last counted one was */
	uint64_t not_before; /* no start before this time */
};

/*
 * An instance that was started at `started` died by itself. `works` says that it has replied, or
 * one that was started after the last failure: what older ones reply tells nothing of a program
 * that has been broken since. True when a loop begins with it.
 */
bool backoff_loop_death(struct backoff_loop *loop, uint64_t now, uint64_t started, bool works);
/* True when a loop ends because it `works` again. Call it from time to time. */
bool backoff_loop_look(struct backoff_loop *loop, bool works);
/* Ends the loop, if there is one; true when there was. */
bool backoff_loop_end(struct backoff_loop *loop);
/* Whether starts are delayed because of a loop. */
bool backoff_loop_is_on(const struct backoff_loop *loop);

#endif
