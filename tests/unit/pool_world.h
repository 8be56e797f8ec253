/*
 * A pool without sockets and programs, for tests: several workers in one process, each through a
 * handle of its own, and a model of the master.
 *
 * World functions return a sentence about what is wrong, or NULL, so that they serve inside Check
 * and in forked children alike.
 */
#ifndef TESTS_POOL_WORLD_H
#define TESTS_POOL_WORLD_H

#include "ipc/pool.h"

#include <stdbool.h>
#include <stdint.h>

#define WORLD_WORKERS 64
#define WORLD_SLOTS   128
#define WORLD_TICKETS 512

enum world_fate { WORLD_WAITS, WORLD_HELD, WORLD_DONE };

/* A request that the test knows of. */
struct world_ticket {
	struct pool_ticket ticket;
	struct pool_grant grant; /* while WORLD_HELD */
	unsigned worker;
	enum world_fate fate;
	bool again; /* came back to its old place */
};

struct world {
	struct pool_shape shape;
	struct pool *pool;              /* owns */
	struct pool *as[WORLD_WORKERS]; /* owns; the handle of each worker id */
	bool dead[WORLD_WORKERS];       /* these ids are not asked for grants */
	unsigned woken[WORLD_WORKERS];  /* wake-ups that the others sent */
	unsigned master_woken;
	uint32_t incarnation[WORLD_SLOTS];          /* newest that was offered */
	struct world_ticket tickets[WORLD_TICKETS]; /* in arrival order */
	unsigned count;
	uint64_t now; /* what the operations are told */
};

/* A pool and a handle for each worker. exit(2) when there is no memory for it. */
struct world *world_new(unsigned slots, unsigned queue, unsigned batch, unsigned workers);
void world_free(struct world *world);
/* A fresh handle, as a new process with this id has. */
void world_attach(struct world *world, unsigned worker);

/* The next incarnation of the slot. */
void world_offer(struct world *world, unsigned slot);
/* Offers the next incarnation of every slot that is empty or broken. Returns how many. */
unsigned world_offer_lost(struct world *world);
/* Offers all slots and lets worker 0 look. */
void world_open(struct world *world);

/* pool_enter() that remembers the request; returns its entry, or NULL when the line was full. */
struct world_ticket *world_enter(struct world *world, unsigned worker);
/* The oldest remembered request of the worker in this state, or NULL. */
struct world_ticket *world_oldest(struct world *world, unsigned worker, enum world_fate fate);
/* Asks a worker for its new grants; every one must answer a remembered waiting request. */
const char *world_collect(struct world *world, unsigned worker);
/* Gives the lease back and takes what comes with it. */
const char *world_give(struct world *world, struct world_ticket *held, enum pool_reason reason);
/* Drops what the tests know of a killed worker. */
void world_forget(struct world *world, unsigned worker);
/* Re-offers, looks, collects and gives until every remembered request was answered, in order. */
const char *world_drain(struct world *world);
/* Fills an idle pool up to its bound, one more is refused, and drains it. */
const char *world_full_load(struct world *world, const unsigned *workers, unsigned count);

/*
 * Compares lists, counts and bit maps with the commit words, when nobody is in the lock. Everything
 * must agree, and violations be 0.
 */
const char *world_whole(const struct pool *pool);
/* Whether grants stand in the order of their arrival, those that came again excepted. */
const char *world_in_order(const struct pool *pool);

#endif
