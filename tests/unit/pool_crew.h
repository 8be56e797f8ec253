/*
 * Real worker processes at full speed on one pool, against a model of instances: a shared word for
 * each slot says which process uses it. The caller plays the master.
 */
#ifndef TESTS_POOL_CREW_H
#define TESTS_POOL_CREW_H

#include "ipc/pool.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define CREW_IDS   64
#define CREW_SLOTS 64

/* Shared by everybody, and not part of the pool. */
struct crew_shared {
	_Atomic int used_by[CREW_SLOTS];  /* pid, or 0 */
	_Atomic uint64_t beats[CREW_IDS]; /* grows while the worker gets on */
	_Atomic bool idle[CREW_IDS];      /* no request of its own is left */
	_Atomic bool drain;               /* no new requests */
	_Atomic bool stop;                /* end with status 0 */
	_Atomic bool lawless;             /* the memory was scribbled on: believe nothing */
	_Atomic uint64_t granted, refused, left, ahead, again, stuck, damaged;
	_Atomic bool failed;
	char failure[200]; /* the first sentence; complete when failed is true */
};

struct crew {
	struct pool_shape shape;
	struct pool *pool;          /* owns */
	struct crew_shared *shared; /* owns */
	int wakes[CREW_IDS];        /* owns; an eventfd for each id, made before anybody is born */
	int master_wake;            /* owns */
	pid_t pids[CREW_IDS];       /* 0: not alive */
	uint32_t incarnation[CREW_SLOTS]; /* newest that was offered */
	uint32_t doomed[CREW_SLOTS];      /* newest that is known to be dead */
	uint64_t seed;
};

struct crew *crew_new(const struct pool_shape *shape, uint64_t seed);
/* Kills whoever is left. */
void crew_free(struct crew *crew);

/* xorshift: the same numbers for the same seed. */
uint64_t crew_random(uint64_t *state);

/* What a worker does until shared->stop: pool_hand.c. */
void crew_work(struct crew *crew, unsigned id);

/* Forks a worker with an unused id; returns the id, or -1 when all ids wait to be swept. */
int crew_start(struct crew *crew);
/* kill -9, reap, bury, wake everybody. */
void crew_kill(struct crew *crew, unsigned id);
void crew_wake_all(struct crew *crew);
/* Offers a new instance for every slot that is lost; nobody alive may be using it. */
void crew_replace(struct crew *crew);
/* The instance of the slot dies. */
void crew_doom(struct crew *crew, unsigned slot);
/* The instance of the slot goes when nobody holds it. */
void crew_retire(struct crew *crew, unsigned slot);
/* After scribbling: kills everybody, starts over with an empty pool, and offers all slots. */
void crew_reset(struct crew *crew);
/* What is wrong so far: a worker's complaint, or a worker that ended by itself. NULL: nothing. */
const char *crew_trouble(struct crew *crew);
/* No new requests; waits until every request was answered, while replacing instances. */
const char *crew_drain(struct crew *crew, unsigned seconds);
/* Ends all workers in peace. */
const char *crew_stop(struct crew *crew);
/* Drains and stops; then the pool must be whole, in order, and every slot free. */
const char *crew_end(struct crew *crew, unsigned seconds);

#endif
