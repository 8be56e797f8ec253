/*
 * A fixed rate of requests over all connections of a run: request number i is due at a time of its
 * own, whether or not the server has answered those before it. Each goes to the connection with
 * room that has waited longest; while there is none, requests wait, and their latency counts from
 * when they were due. What is due and could never be sent is counted as missed.
 */
#ifndef CTL_LOAD_RATE_H
#define CTL_LOAD_RATE_H

#include "ctl/load_conn.h"

#include <event2/event.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

TAILQ_HEAD(load_conn_list, load_conn);

/* All zero: there is no rate. Times are values of clock_now() or nanoseconds. */
struct load_rate {
	int fd;                     /* owns; timerfd(2), as libevent's timers are too coarse */
	struct event *timer;        /* owns */
	struct load_conn_list room; /* those that could send, longest first */
	unsigned rooms;             /* how many */
	bool sending;               /* load_rate_send() is at work */
	uint64_t origin;            /* when request 0 is due; 0: not yet */
	uint64_t armed;             /* when the timer is to fire; 0: not at all */
	uint64_t made;              /* requests */
	uint64_t behind;            /* the longest time that one was made after it was due */
	uint64_t own;               /* the same where only this program was to blame */
	uint64_t missed;            /* requests due and not made when sending stopped */
};

/* Nothing to do without a rate. Returns 0, or -1 with errno. */
int load_rate_open(struct load_run *run);
void load_rate_close(struct load_run *run);
/* The first request is due now. */
void load_rate_begin(struct load_run *run, uint64_t now);
/* Counts start again: the warm-up is over. */
void load_rate_restart(struct load_run *run);
/* No request is made any more. */
void load_rate_stop(struct load_run *run, uint64_t now);
/* The connection has room for a request. */
void load_rate_offer(struct load_run *run, struct load_conn *conn);
/* It has none any more. */
void load_rate_withdraw(struct load_run *run, struct load_conn *conn);
/* A request is made: when it was due. `now` without a rate. */
uint64_t load_rate_take(struct load_run *run, uint64_t now);
/* How many are due and not made. */
uint64_t load_rate_owed(const struct load_run *run, uint64_t now);

#endif
