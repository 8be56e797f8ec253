/*
 * A service as one worker sees it, and the worker's own state. Everybody in workers/ may look;
 * worker.c makes both.
 */
#ifndef WORKERS_SERVICE_H
#define WORKERS_SERVICE_H

#include "common/conf.h"
#include "common/stats.h"
#include "workers/deadline.h"
#include "workers/watch.h"

#include <stdbool.h>
#include <sys/queue.h>

struct access;
struct collect;
struct give;
struct take;
struct conn;
struct conn_busy;
struct event;
struct event_base;
struct handler;
struct listener;
struct program;
struct route;
struct proto;
struct worker_start;

TAILQ_HEAD(conn_list, conn);
TAILQ_HEAD(conn_busy_list, conn_busy);
LIST_HEAD(take_list, take);

struct service {
	const struct conf_service *conf; /* borrows */
	unsigned index;
	struct worker *worker;         /* borrows */
	const struct proto *proto;     /* borrows; what a new connection speaks */
	const struct handler *handler; /* borrows */
	struct access *access;         /* owns; NULL without an access log */
	struct stats_row *stats;       /* borrows; this worker is its only writer */
	struct stats_times *times;     /* borrows; likewise */
	struct conn_list conns;        /* owns */
	struct program *program;       /* owns; handler = program only */
	struct collect *collect;       /* owns; handler = collect only */
	int root;                      /* owns; handler = static only; -1: there is none */
	uint64_t root_until;           /* when it is opened anew */
	struct deadline_line idles, silents, messages, writes, lingers; /* of connections */
	struct deadline_line limits; /* of requests whose clients set one */
};

struct worker {
	const struct worker_start *start; /* borrows */
	struct event_base *base;
	struct watch watch;           /* how connections are watched on that loop */
	int epoll;                    /* borrows; the loop's, for exclusive_watch(); -1 */
	struct service *services;     /* owns; start->conf->service_count of them */
	struct listener *listeners;   /* owns; start->listener_count of them */
	struct event *listener_timer; /* owns; looks again whether to accept */
	uint64_t listener_wake;       /* when it comes due; 0 when it is not set */
	uint64_t started;             /* when it was made */
	uint64_t now;                 /* when this turn, or this event of it, began */
	char *scratch;                /* owns; WORKER_SCRATCH bytes to read into */
	unsigned round;               /* counts turns */
	uint64_t turned;              /* when the last turn began */
	uint64_t waited;              /* since when it waited for events; 0: it did not */
	struct conn_busy_list turn;   /* connections with something to do in this turn */
	struct conn_list closed;      /* freed at the end of the turn */
	struct stats_row *sum;        /* borrows; of the whole daemon, as each service's stats */
	unsigned open;                /* connections */
	unsigned files;               /* that connections send */
	int fd_limit;                 /* descriptors from here on are kept for instances */
	struct route *routes;         /* owns; of each listening socket, who is behind it */
	uint64_t *listener_inodes;    /* owns; of each listening socket, which name it everywhere */
	struct give *give;            /* owns; NULL while no connections are given away */
	struct take_list takes;       /* owns; from whom connections come */
	uint64_t promised;            /* descriptors for those that may still come */
	int fd_base;                  /* descriptors below this one are not connections' */
	bool ready;                   /* it said so */
	bool draining;                /* accepts no more, ends when nothing is left */
	bool hasty;                   /* and closes what is idle */
	bool done;
	int status; /* exit status */
};

#define WORKER_SCRATCH 65536

/* Reads everything that the master has sent; called when a grant names an unknown instance. */
void worker_read_channel(struct worker *worker);
/* What a pool needs to say to others; see struct pool_hooks. */
void worker_wake(struct worker *worker, unsigned id);
void worker_wake_master(struct worker *worker);
void worker_lock_stuck(struct worker *worker, unsigned service);
void worker_pool_damaged(struct worker *worker, unsigned service);
/* The file that a service collects in was given up, or is large enough: asks for another one. */
void worker_ask_file(struct worker *worker, unsigned service, uint32_t number, bool given_up);
/* A file that was replaced is closed here. */
void worker_leave_file(struct worker *worker, unsigned service, uint32_t number);
/* How many more descriptors connections of clients may have, those of other workers too. */
uint64_t worker_room(const struct worker *worker);
/* Something ended that the worker may have waited for before it may exit. */
void worker_check_drained(struct worker *worker);

#endif
