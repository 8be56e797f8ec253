/*
 * A service as the master sees it: its pool, its counts, its instances, and when the next may be
 * started. It belongs to every generation that has it, and ends when none has it any more.
 */
#ifndef DAEMON_SERVICE_H
#define DAEMON_SERVICE_H

#include "common/conf.h"
#include "common/stats.h"
#include "daemon/backoff.h"
#include "daemon/instance.h"
#include "daemon/priv.h"
#include "daemon/spawn.h"
#include "ipc/pool.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

struct generation;
struct master;

/* How many instances it wants, and whom it replaces: service_size.c, service_recycle.c. */
struct service_size {
	unsigned scaled; /* so many by order; 0: as configured */
	unsigned wanted; /* now */
	unsigned used;   /* places from here on are empty */

	struct instance *worn;     /* borrows; is being replaced; NULL for none */
	uint32_t worn_incarnation; /* which process of it */
	const char *worn_why;      /* the limit that it reached */
	uint64_t recycled;         /* how many were */
	uint64_t weigh_next;       /* when memory is looked at again */
	uint64_t good;             /* good replies when they were last looked at */
};

/*
 * A pool that another version laid out in another way, and that only workers of that version can
 * read. Its service is *foreign*: it has an empty pool in place of it, which nobody looks into;
 * none of its instances is started, offered, recycled or replaced. They serve until the generation
 * ends, and the next reload puts a fresh service beside it.
 */
struct service_foreign {
	int fd; /* owns; -1: the service is an ordinary one */
	struct pool_shape shape;
};

struct service {
	TAILQ_ENTRY(service) entry;      /* of master->services */
	struct master *master;           /* borrows */
	struct generation *generation;   /* borrows; whose configuration it follows */
	const struct conf_service *conf; /* borrows; of that generation */
	char *name;                      /* owns */
	unsigned holders;                /* generations that have it */
	struct pool *pool;               /* owns; NULL where the handler needs none */
	struct stats *stats;             /* holds */
	struct instance *instances;      /* owns; as many as the pool is made for */
	unsigned count;                  /* of `instances`: more than it will usually need */
	struct service_size size;
	unsigned failures;               /* instances that died by themselves or could not start */
	char last_exit[SPAWN_WHY_MAX];   /* how the last of them ended */
	char last_said[OUTPUT_LAST_MAX]; /* and what it said last */
	bool ending;                     /* nobody has it: its instances end, then it is freed */
	struct backoff_rate rate;
	struct backoff_loop loop;
	bool cannot_start;      /* a start failed, and none after it has lived on */
	struct priv priv;       /* of its instances */
	struct spawn_plan plan; /* all but the environment, which is the instance's */
	bool is_damaged;        /* its pool starts over as soon as no worker is left */
	struct service_foreign foreign;
};

TAILQ_HEAD(service_list, service);

/* How many instances of it there are to be at most; 0 without a program. */
unsigned service_instances(const struct conf_service *conf);
/* Places for them: more, so that it can be scaled and what is worn out can be replaced first. */
unsigned service_capacity(const struct conf_service *conf);
/*
 * Makes it as the configuration's service `index` says, held by that generation alone. `stats` are
 * those of the service that it replaces, or NULL. NULL and a sentence in `why` when it cannot be.
 */
struct service *service_new(
    struct generation *generation, unsigned index, struct stats *stats, char *why, size_t why_size);
/*
 * The same of one that another image of the master had: `pool` (NULL without a program) is taken
 * over, and so is `stats`, but only where it succeeds. Its instances are empty, and it is told
 * nothing.
 */
struct service *service_restore(struct generation *generation, unsigned index, struct stats *stats,
    struct pool *pool, char *why, size_t why_size);
bool service_is_foreign(const struct service *service);
/* One more generation has it; each calls service_release(). Nobody's instances come to their end.
 */
void service_hold(struct service *service);
void service_release(struct service *service);
/* Whether its pool is made for what the configuration asks. */
bool service_can_adopt(const struct service *service, const struct conf_service *conf);
/* It follows another configuration from now on, which differs in limits alone. */
void service_adopt(struct service *service, struct generation *generation, unsigned index);
/* Frees it; it has no instance any more. */
void service_free(struct service *service);

/* Whether as many instances as there are to be at least were given out to the workers for `time`.
 */
bool service_is_up(const struct service *service, uint64_t now, uint64_t time);
/* How many instances have a process. */
unsigned service_processes(const struct service *service);
/* The instance with this process, or NULL. */
struct instance *service_find(const struct service *service, pid_t pid);
/* Ends all instances, or kills them. */
void service_stop(struct service *service, uint64_t now);
void service_kill(struct service *service, const char *why);
/*
 * Starts what is due, looks after each instance; frees a service that has ended. Returns when it
 * wants to be called next.
 */
uint64_t service_turn(struct service *service, uint64_t now);
/* An instance died by itself, or could not be started. */
void service_note_death(
    struct service *service, const struct instance *instance, uint64_t started, uint64_t now);
/* So many instances from now until the next reload. False and a sentence in `why` when it cannot
 * be.
 */
bool service_scale(struct service *service, unsigned instances, char *why, size_t why_size);
/* Kills all instances and makes the pool new; only when no worker is alive. */
void service_start_over(struct service *service);

/* ---- between the service's own files ---- */

struct service_census {
	unsigned live;   /* instances that serve or are about to */
	unsigned ready;  /* those that serve */
	unsigned proven; /* those that have shown that they can */
};

struct service_census service_count(const struct service *service, uint64_t now);
/* Writes down what the workers tell of it: see STAFF in common/stats.h. */
void service_tell(const struct service *service);
/* The bounds of `wanted`. */
unsigned service_least(const struct service *service);
unsigned service_most(const struct service *service);
/* Ends a crash loop: by a good reply, or when an instance simply lives on. */
void service_look(struct service *service, uint64_t now);
/* How many shall be live: those wanted, and one more while a worn one is replaced. */
unsigned service_target(const struct service *service);
/* How many are to be started. */
unsigned service_missing(const struct service *service);
/* The first time at which one more may be started. */
uint64_t service_start_time(const struct service *service);
/* Good replies over all instances, dead ones too. */
uint64_t service_good_replies(const struct service *service);
/* Whether any instance may be given out by the workers. */
bool service_has_offered(const struct service *service);
/* The environment of the instance in this place; the caller owns it. */
char **service_environment(const struct service *service, unsigned slot);
/* Its configuration is another one: what was ordered ends, the new bounds hold. */
void service_size_adopt(struct service *service);
/* Decides how many there shall be, and whom that costs. Returns when it wants to be called next. */
uint64_t service_size_turn(struct service *service, uint64_t now);
/* An instance is about to be started in the place. */
void service_note_place(struct service *service, unsigned slot);
/* Replaces what is worn out. Returns when it wants to be called next. */
uint64_t service_recycle(struct service *service, uint64_t now);

#endif
