/*
 * A run of `hostler-load run`: connections are opened, requests sent, replies checked, until the
 * duration or the count is over and every reply is there or overdue.
 */
#ifndef CTL_LOAD_RUN_H
#define CTL_LOAD_RUN_H

#include "ctl/load_check.h"
#include "ctl/load_conn.h"
#include "ctl/load_gap.h"
#include "ctl/load_options.h"
#include "ctl/load_progress.h"
#include "ctl/load_rate.h"
#include "ctl/load_texts.h"
#include "ctl/load_wire.h"

#include <event2/event.h>
#include <stdbool.h>
#include <stdint.h>
#include <time.h>

/* All times are values of clock_now(); 0: not yet. */
struct load_run {
	const struct load_options *options; /* borrows */
	struct load_check check;
	struct load_wire wire;
	struct load_texts texts; /* owns; none where messages are made */
	struct load_rate rate;
	struct load_progress progress;
	struct load_conn *conns;      /* owns; one for each connection number */
	struct load_conn_list queue;  /* places that want to connect, first come first served */
	struct load_conn_list paused; /* places that go to `queue` at their time, in order of it */

	struct event_base *base;  /* owns */
	struct event *tick;       /* owns; looks for what is late */
	struct event *release;    /* owns; the next places send their first requests */
	struct event *duration;   /* owns; sending is over */
	struct event *warmup;     /* owns; what comes now is measured */
	struct event *closing;    /* owns; waiting for the peers' last bytes is over */
	struct event *signals[2]; /* owns; SIGINT, SIGTERM */
	char *input;        /* owns; what one read takes, with an unfinished reply before it */
	char *output;       /* owns; what one write takes */
	size_t output_size; /* bytes */

	unsigned connecting; /* connections under way */
	unsigned open;       /* connections open or closing */
	unsigned released;   /* places that could send since sending began */
	unsigned alive;      /* places that have, or will try for, a connection */
	unsigned tried;      /* places whose first attempt has ended, well or badly */
	bool pacing;         /* load_pace() is at work */
	bool sending;        /* requests may be made */
	bool stopping;       /* no more requests; waiting for replies */
	bool finishing;      /* no more replies are expected */
	bool interrupted;
	unsigned samples;     /* wrong replies shown */
	char connect_why[96]; /* why the last connection could not be opened */

	uint64_t started;            /* the run */
	uint64_t opened_all;         /* every first attempt had ended */
	uint64_t began;              /* sending */
	uint64_t measured;           /* the warm-up had ended, or there was none */
	uint64_t stopped;            /* sending */
	uint64_t ended;              /* waiting for replies */
	struct timespec measured_at; /* `measured` by the clock on the wall */
	uint64_t last_reply;
	struct load_gap gap;       /* without any reply */
	struct load_gap gap_right; /* without a right one */
	uint64_t last_open;        /* when a connection was open last */

	uint64_t opened, reconnected;
	uint64_t ends[LOAD_CONN_REASONS];
	uint64_t statuses[LOAD_HTTP_STATUSES]; /* replies of http, by their status; to handshakes */
	uint64_t pending;   /* requests without an outcome when the run was interrupted */
	uint64_t warming;   /* requests made while warming up */
	uint64_t cpu;       /* nanoseconds of our own CPU from `began` to `ended` */
	uint64_t expecting; /* nanoseconds until the command had told what to expect */
};

/* Runs to the end. Returns 0, or -1 with a sentence on standard error if it could not start. */
int load_run(struct load_run *run, const struct load_options *options);
void load_run_free(struct load_run *run);
/* Seconds from the first measured request until sending stopped and the last reply was there. */
double load_run_seconds(const struct load_run *run);
/* Nanoseconds from the first measured request to a moment of the run; 0 for one before it. */
uint64_t load_run_since(const struct load_run *run, uint64_t moment);

/* For load_conn.c: */
void load_run_on_open(struct load_run *run, struct load_conn *conn);
/* Replies were booked; some of them were right. */
void load_run_on_replies(struct load_run *run, bool right, uint64_t now);
void load_run_on_end(struct load_run *run, struct load_conn *conn, enum load_conn_reason reason);
bool load_run_may_make(const struct load_run *run, const struct load_conn *conn);

#endif
