/*
 * Who gives connections to whom: the workers of a generation that was replaced, and those that are
 * one too many, give all they have to those that serve; a worker that holds more than its share
 * gives what is above it when that was ordered. One move at a time for each giver, so that every
 * step is decided by how many connections each has then.
 */
#ifndef DAEMON_MOVER_H
#define DAEMON_MOVER_H

#include "ipc/msg.h"

#include <stdbool.h>
#include <stdint.h>

struct master;
struct slot;

/* Orders what can be ordered now. Between turns; returns when it wants to be called next. */
uint64_t mover_turn(struct master *master, uint64_t now);
/* A giver is done with an order. False when it had none. */
bool mover_heard(struct slot *slot, const struct msg_given *given, uint64_t now);
/* Its worker is gone. */
void mover_forget(struct slot *slot);
/*
 * Evens out the workers of the current generation, once. Returns how many connections will move:
 * 0 when they are even.
 */
uint64_t mover_rebalance(struct master *master);
/* Connections that a worker has. */
uint64_t mover_count(const struct slot *slot);

#endif
