/*
 * One instance of a service's program: a process that is a group of its own, three pipes, and a
 * slot in the pool.
 *
 *   EMPTY ──start──► STARTING ──first lines──► RUNNING ──broken, overdue──► DOOMED ──┐
 *     ▲                 │                       │ └────stop────► STOPPING ───────────┤
 *     └─────────────────┴───────────────────────┴────── death ◄──────────────────────┘
 *
 * STARTING is passed over where it need not write anything first. RUNNING and `retired`: it is
 * given out no more, and stopped as soon as the pool says that nobody holds it.
 */
#ifndef DAEMON_INSTANCE_H
#define DAEMON_INSTANCE_H

#include "daemon/output.h"
#include "daemon/spawn.h"

#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct service;

enum instance_state {
	INSTANCE_EMPTY,    /* no process */
	INSTANCE_STARTING, /* its first lines are waited for; no worker knows it */
	INSTANCE_RUNNING,  /* offered to the workers, or about to be */
	INSTANCE_DOOMED,   /* given out no more; killed now or in a moment */
	INSTANCE_STOPPING, /* its input was closed; it may finish */
};

struct instance {
	struct service *service; /* borrows */
	unsigned slot;           /* in its service's pool */
	enum instance_state state;
	uint64_t since;       /* when the process started, or ended */
	uint32_t incarnation; /* of the present or last process; never used again in the slot */
	pid_t pid;            /* 0 where EMPTY */
	int fds[2];           /* owns; to its stdin, from its stdout; -1 where closed */
	bool offered;         /* the pool may give it out */
	bool retired;         /* ... no more, as soon as nobody holds it */
	bool start_failed;    /* it is killed because it was not ready as agreed */
	bool was_killed;      /* by us */
	bool at_fault;        /* it broke its contract: that is worth a warning */
	bool was_asked;       /* TERM was sent */
	uint64_t due;         /* of the next step of dooming or stopping; 0 for none */
	char why[128];        /* why we end it; "" when we do not */
	unsigned starts;

	/* instance_ready.c */
	struct event *first_lines; /* owns; NULL where none is waited for */
	unsigned lines_left;
	size_t line_length; /* bytes of the line that is not whole */
	bool closed;        /* it closed its output instead */

	/* instance_worn.c, service_size.c, service_recycle.c */
	unsigned jitter;        /* by how much its limits are lower: thousandths of a tenth */
	uint64_t served_before; /* replies of its slot before it was started */
	uint64_t served;        /* replies of its slot when it was last looked at ... */
	uint64_t rested;        /* ... and since when it has rested, as far as is known */
	int64_t rss;            /* bytes, when they were last looked at */
	unsigned recycled;      /* processes of this place that were replaced because worn */

	char **env;                      /* owns; its environment; NULL before the first start */
	struct output output;            /* its stderr */
	char last_exit[SPAWN_WHY_MAX];   /* how the last process ended; "" for none */
	char last_said[OUTPUT_LAST_MAX]; /* its last line on stderr */
};

/* In which what cannot work dies at its start; a program that lives so long can be started. */
#define INSTANCE_TRIAL (250 * CLOCK_MS)

/* Starts a process in an EMPTY instance; a failure counts as a death. Between turns of the loop. */
void instance_start(struct instance *instance, uint64_t now);
/* Offers it, watches it, takes the next step of its end. Returns when it wants to be called next.
 */
uint64_t instance_turn(struct instance *instance, uint64_t now);
/* Ends it at once. `why` is a clause like "did not reply within request_timeout". */
void instance_kill(struct instance *instance, const char *why);
/* Closes its input, so that it may finish: stop_timeout, then TERM, a second later KILL. */
void instance_stop(struct instance *instance, uint64_t now);
/* Lets it go without costing a request: given out no more, then stopped. */
void instance_retire(struct instance *instance, uint64_t now);
/* Its process is a zombie, waitid(2) says; it is reaped here. */
void instance_on_death(struct instance *instance, const siginfo_t *info, uint64_t now);
/* Whether workers are to know its pipes. */
bool instance_is_open(const struct instance *instance);
/* Whether it serves, or is about to: it has a process that nobody has given up. */
bool instance_is_live(const struct instance *instance);

/* Good replies of the present process. */
uint64_t instance_requests(const struct instance *instance);
/* Which limit says that it has served long enough, by its name; NULL for none. */
const char *instance_worn(const struct instance *instance, uint64_t now);
/* When max_age will say so; UINT64_MAX for never. */
uint64_t instance_worn_time(const struct instance *instance);
/* Looks how large it is. */
void instance_weigh(struct instance *instance);

/* ---- between the instance's own files ---- */

#define INSTANCE_CLOSING (100 * CLOCK_MS) /* what closes its output is probably just ending */

/* Another process, another chance. */
void instance_draw_jitter(struct instance *instance);
/* Whether it has to write something before it is ready. */
bool instance_ready_waits(const struct instance *instance);
/* Begins to wait for that; false when that is impossible. */
bool instance_ready_open(struct instance *instance);
/* Goes on with that where another image stopped. Likewise. */
bool instance_ready_resume(struct instance *instance);
void instance_ready_close(struct instance *instance);
/* In STARTING: gives it up when it takes too long. Returns when to call again. */
uint64_t instance_ready_turn(struct instance *instance, uint64_t now);
/* It is ready: every worker is told, then it is offered. */
void instance_now_ready(struct instance *instance);

#endif
