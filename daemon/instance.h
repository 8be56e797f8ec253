/*
 * One instance of a service's program: a process that is a group of its own, three pipes, and a
 * slot in the pool.
 *
 *   EMPTY ──start──► RUNNING ──its contract broken, overdue──► DOOMED ──┐
 *     ▲                 │ └──────stop──────► STOPPING ──────────────────┤
 *     └─────────────────┴────────────────── death ◄─────────────────────┘
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
	bool was_killed;      /* by us */
	bool at_fault;        /* it broke its contract: that is worth a warning */
	bool was_asked;       /* TERM was sent */
	uint64_t due;         /* of the next step of dooming or stopping; 0 for none */
	char why[128];        /* why we end it; "" when we do not */
	unsigned starts;
	char **env;                      /* owns; its environment */
	struct output output;            /* its stderr */
	char last_exit[SPAWN_WHY_MAX];   /* how the last process ended; "" for none */
	char last_said[OUTPUT_LAST_MAX]; /* its last line on stderr */
};

/* Starts a process in an EMPTY instance; a failure counts as a death. Between turns of the loop. */
void instance_start(struct instance *instance, uint64_t now);
/* Offers it, watches it, takes the next step of its end. Returns when it wants to be called next.
 */
uint64_t instance_turn(struct instance *instance, uint64_t now);
/* Ends it at once. `why` is a clause like "did not reply within request_timeout". */
void instance_kill(struct instance *instance, const char *why);
/* Closes its input, so that it may finish: stop_timeout, then TERM, a second later KILL. */
void instance_stop(struct instance *instance, uint64_t now);
/* Its process is a zombie, waitid(2) says; it is reaped here. */
void instance_on_death(struct instance *instance, const siginfo_t *info, uint64_t now);
/* Whether workers are to know its pipes. */
bool instance_is_open(const struct instance *instance);

#endif
