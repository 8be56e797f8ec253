/*
 * Evens out how many connections the workers of the current generation hold: once by order, and by
 * itself where `rebalance` is yes. Says how many each shall give; the moves are mover.h's.
 *
 * By itself: a worker that holds more than share * 5/4 + 16 for a second gives what is above the
 * share, and all together no more than `rebalance_rate` connections a second.
 */
#ifndef DAEMON_BALANCE_H
#define DAEMON_BALANCE_H

#include <stdint.h>

struct master;

struct balance {
	uint64_t looked;    /* when the workers were looked at; 0: not yet */
	uint64_t allowance; /* connections that may move by now, in billionths */
};

/* Looks whether somebody holds too many. Returns when it wants to be called next. */
uint64_t balance_turn(struct master *master, uint64_t now);

#endif
