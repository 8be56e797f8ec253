/*
 * handler = program, as the rest of workers/ sees it: instances come and go, the pool calls, time
 * passes. program.c decides who gets a lease; link.c speaks with the instance.
 */
#ifndef WORKERS_PROGRAM_H
#define WORKERS_PROGRAM_H

#include "ipc/msg.h"
#include "workers/deadline.h"
#include "workers/link.h"
#include "workers/pace.h"
#include "workers/req.h"

#include <stdbool.h>
#include <stdint.h>

struct pool;
struct service;

TAILQ_HEAD(link_list, link);

struct program {
	struct service *service;      /* borrows */
	struct pool *pool;            /* borrows */
	struct link **links;          /* owns; the newest known of each slot, or NULL */
	struct link_list held;        /* owns; with a lease, newest incarnation or not */
	struct req_list waiting;      /* owns; with a ticket, oldest first */
	unsigned waiting_count;       /* of `waiting` */
	unsigned instances;           /* known and not gone */
	struct pace pace;             /* of what its instances answered to this worker */
	uint64_t woken;               /* when the first reply of a turn was seen */
	unsigned woken_round;         /* in worker->round */
	STAILQ_ENTRY(program) due;    /* of program_ahead.c */
	TAILQ_ENTRY(program) in_line; /* of program.c; while something waits */
	bool is_due;
	bool hinted;                         /* it was told that lines cannot carry every message */
	struct deadline_line queue, running; /* of requests that wait; of links that are asked */
};

/* For the handler: a request that the framing can carry comes; one that waits loses its client. */
void program_enter(struct program *program, struct req *req);
void program_leave(struct program *program, struct req *req);
/* The lease ends badly. What was begun has failed, the rest goes back to the line. */
void program_break(struct link *link, enum pool_reason reason);
/* A request waited too long: for program->queue. */
void program_on_queue_late(struct deadline *deadline);

/* The master's messages. Takes over the descriptors. */
void program_on_instance(
    struct program *program, const struct msg_instance *instance, int in, int out);
void program_on_instance_gone(struct program *program, const struct msg_instance *instance);
/* Somebody says "look": the master changed something, or this worker was granted a lease. */
void program_look(struct program *program);
/* Likewise, if there may be more than grants; those the turn takes up. */
void program_wake(struct program *program);
/* Of all services: takes up what was granted while this worker was busy. */
void program_take_grants(void);
/* Of all services: others wake this worker from now on; false when something was granted already.
 */
bool program_may_sleep(void);
/* A few times a second: a wake-up may have been lost, a worker stand still, a program not flush. */
void program_tick(struct program *program);
/* Whether a request waits or is under way. */
bool program_is_busy(const struct program *program);
/* program.c: not a byte of it was written, so it goes back to its old place in the line. */
void program_again(struct program *program, struct req *req);
/* program.c: a request leaves the line of this worker. */
void program_stop_waiting(struct program *program, struct req *req);

/* program_ahead.c: whether there is anything that may be sent ahead at all. */
bool program_may_send_ahead(const struct program *program);
/* Adds this worker's oldest waiting requests to the lease, as far as `concurrency` allows. */
void program_send_ahead(struct program *program, struct link *link);
/* A request has to wait: at the end of the turn, all that came in it are sent ahead at once. */
void program_send_later(struct program *program);
/* The end of the turn. */
void program_send_due(void);

/* Frees links that ended in this turn. */
void program_free_ended(void);

#endif
