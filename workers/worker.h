/* What the master may know of the workers: how to become one. The only header it includes. */
#ifndef WORKERS_WORKER_H
#define WORKERS_WORKER_H

#include "common/backend.h"
#include "common/conf.h"
#include "common/stats.h"
#include "ipc/pool.h"

/* A listening socket that all workers share. */
struct worker_listener {
	int fd;           /* borrows */
	unsigned service; /* index in conf->services */
};

/* Everything a worker inherits by fork. All pointers are borrowed for the life of the process. */
struct worker_start {
	const struct conf *conf;
	unsigned id;              /* worker id: row in the statistics, owner in the pools */
	unsigned ids;             /* how many worker ids there are */
	enum backend backend;     /* of its event loop; never auto */
	unsigned max_connections; /* of all workers together */
	int channel;              /* its end of the control channel; select can carry it */
	const int *wakes;         /* an eventfd for each worker id */
	int wake_master;          /* eventfd */
	const struct worker_listener *listeners;
	unsigned listener_count;
	const int *access_logs;     /* a descriptor for each service; -1 where it has no such log */
	struct pool *const *pools;  /* one for each service; NULL where the handler needs none */
	struct stats *const *stats; /* one for each service */
	const struct stats *sum;    /* of the whole daemon */
	bool is_trial; /* it shows that it can be READY: it serves nobody and takes no lock */
};

/*
 * The life of a worker: sets up its loop, is told of every instance, says READY, accepts once it is
 * told to, serves until it is told to drain or its channel closes, then returns the exit status.
 * Called in the child, without privileges, with all signals blocked and default.
 */
int worker_main(const struct worker_start *start);

#endif
