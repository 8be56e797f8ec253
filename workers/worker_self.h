/* What worker.c and worker_talk.c alone know of the worker. */
#ifndef WORKERS_WORKER_SELF_H
#define WORKERS_WORKER_SELF_H

#include "ipc/msg.h"
#include "workers/service.h"

#include <event2/util.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>
#include <sys/time.h>

/* A message that came while the worker waited for a lock, to be handled later. */
struct worker_mail {
	STAILQ_ENTRY(worker_mail) entry;
	struct msg msg;
	int fds[MSG_FDS_MAX];
};

STAILQ_HEAD(worker_mails, worker_mail);

/* What only worker.c knows of the worker. */
struct worker_self {
	struct worker worker;
	struct event *channel, *wake, *tick, *term;
	struct worker_mails mails;
	uint64_t stuck_since, stuck_last;
	struct timeval tick_time;
	uint64_t active; /* when there last was an event */
};

static inline struct worker_self *
worker_self(struct worker *worker)
{
	return (struct worker_self *)(void *)worker; /* it is the first member */
}

/* worker.c: the loop ends after this turn. */
void worker_end(struct worker *worker, int status, const char *why);
/* Every instance is known now, so whatever the pool grants can be taken up. */
void worker_say_ready(struct worker *worker);
void worker_accept(struct worker *worker);
/* How many descriptors connections may use: the rest is kept for the instances that there may be.
 */
void worker_keep_fds(struct worker *worker);
/* A second order may be hastier than the first. */
void worker_drain(struct worker *worker, bool hastily);

/* What follows each round of the loop. */
void worker_turn(struct worker *worker);
void worker_open_service(struct worker *worker, unsigned index);

/* worker_talk.c */
void worker_send(struct worker *worker, const struct msg *msg);
void worker_on_channel(evutil_socket_t fd, short what, void *arg);

#endif
