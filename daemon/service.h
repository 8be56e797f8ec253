/*
 * A service as the master sees it: how many instances it has, and when the next may be started.
 */
#ifndef DAEMON_SERVICE_H
#define DAEMON_SERVICE_H

#include "common/conf.h"
#include "daemon/backoff.h"
#include "daemon/instance.h"
#include "daemon/priv.h"
#include "daemon/spawn.h"
#include "ipc/pool.h"

#include <stdbool.h>
#include <stdint.h>

struct master;

struct service {
	struct master *master;           /* borrows */
	const struct conf_service *conf; /* borrows */
	unsigned index;
	struct pool *pool;          /* borrows; NULL where the handler needs none */
	struct instance *instances; /* borrows; its part of master->instances */
	unsigned count;
	struct backoff_rate rate;
	struct backoff_loop loop;
	bool cannot_start;      /* the newest try to start an instance failed */
	struct priv priv;       /* of its instances */
	struct spawn_plan plan; /* all but the environment, which is the instance's */
	bool is_damaged;        /* its pool starts over as soon as no worker is left */
};

/* How many instances of it there are to be; 0 without a program. */
unsigned service_instances(const struct conf_service *conf);
/* Prepares it; `instances` is room for its part. False and a sentence in `why` when it cannot be.
 */
bool service_open(struct service *service, struct master *master, unsigned index,
    struct instance *instances, char *why, size_t why_size);
void service_close(struct service *service);
/* Starts what is due, looks after each instance. Returns when it wants to be called next. */
uint64_t service_turn(struct service *service, uint64_t now);
/* An instance died by itself, or could not be started. */
void service_note_death(
    struct service *service, const struct instance *instance, uint64_t started, uint64_t now);
/* Kills all instances and makes the pool new; only when no worker is alive. */
void service_start_over(struct service *service);

#endif
