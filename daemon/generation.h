/*
 * A generation: one loaded configuration with the workers that run it. One is current; beside it
 * there may be the one before, which finishes what it has begun, or one that is being built.
 *
 *   STARTING ──all READY──► RUNNING ──replaced──► DRAINING ──workers gone──► ENDING ──► freed
 *       └──────────────── failed ────────────────────┘
 *
 * Services are shared: what a reload does not replace belongs to both generations.
 */
#ifndef DAEMON_GENERATION_H
#define DAEMON_GENERATION_H

#include "common/conf.h"
#include "common/conf_diff.h"
#include "daemon/collect.h"
#include "daemon/listen.h"
#include "daemon/logs.h"
#include "daemon/slot.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

struct master;
struct service;

enum generation_state {
	GENERATION_STARTING,
	GENERATION_RUNNING,
	GENERATION_DRAINING,
	GENERATION_ENDING, /* its workers are gone, programs of its own are ending */
};

struct generation {
	TAILQ_ENTRY(generation) entry; /* of master->generations */
	struct master *master;         /* borrows */
	unsigned number;               /* counts from 1 */
	enum generation_state state;
	uint64_t since;    /* when it came into its state */
	uint64_t drain_by; /* what drains is killed then */
	bool abandoned;    /* it never served: its own services start nothing any more */
	bool killed;       /* by order: its own programs get no time to end either */
	struct conf *conf; /* owns */

	struct service **services; /* owns the list; conf->service_count, each held */
	struct pool **pools;       /* owns the list, for the workers; NULL where there is none */
	struct stats **stats;      /* owns the list, for the workers */
	unsigned *places;          /* owns; where each service's instances begin in slot->told */
	unsigned place_count;

	struct listen_set listen;
	struct logs logs;
	struct collect_set collects;
	struct slot *slots;       /* owns; as many as there may ever be */
	unsigned slot_count;      /* that were in use */
	unsigned wanted;          /* workers */
	unsigned max_connections; /* as configured, or as many as the workers can carry */
	char failure[256];        /* why it cannot start; "" */
};

TAILQ_HEAD(generation_list, generation);

/*
 * Makes everything but processes: binds addresses, maps pools. Takes `conf` over. Sockets and
 * services of `before` are shared where `diff` says that they stay; both are NULL for the first.
 * NULL, with every failure told in `errors`, when anything cannot be had; then nothing is left of
 * it, and nothing of `before` was touched.
 */
struct generation *generation_new(struct master *master, struct conf *conf,
    const struct generation *before, const struct conf_diff *diff, struct conf_errors *errors);
/* Frees it; its workers must be gone. What only it holds ends. */
void generation_free(struct generation *generation);

/* It serves from now on: its workers accept, shared services follow its configuration. */
void generation_run(struct generation *generation);
/* Its workers finish what they have begun, then it ends by itself, by `drain_timeout` at last. */
void generation_drain(struct generation *generation, uint64_t now);
/*
 * Somebody does not want to wait for one that drains: its clients get what is whole, for a second
 * at most. `at_once`: its processes are killed, its own programs too.
 */
void generation_end(struct generation *generation, bool at_once, uint64_t now);
/* It failed before it served: its workers and its own instances are killed. */
void generation_abandon(struct generation *generation);
/* Starts, watches, ends. Returns when it wants to be called next; it may be freed here. */
uint64_t generation_turn(struct generation *generation, uint64_t now);

/* How many workers it may have at most, and whether it may have so many. */
unsigned generation_most(const struct generation *generation);
bool generation_may_have(const struct generation *generation, uint64_t workers);
/* So many workers from now on, which it may have. */
void generation_scale(struct generation *generation, unsigned workers, uint64_t now);

/* The index of a service in it, or -1. */
int generation_find(const struct generation *generation, const struct service *service);
/* Whether a service of it is: then none of our workers can serve for it. */
bool generation_is_foreign(const struct generation *generation);
bool generation_all_ready(const struct generation *generation);
const char *generation_state_name(enum generation_state state);

#endif
