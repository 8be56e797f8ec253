/*
 * Connections of another worker come here, over the channel of ipc/move.h. One is this worker's
 * from the moment at which it has said TAKEN, and nothing is done with it before.
 */
#ifndef WORKERS_TAKE_H
#define WORKERS_TAKE_H

#include "ipc/msg.h"

struct worker;

/* The master's order; takes over the channel. */
void take_on_order(struct worker *worker, const struct msg_take *order, int channel);
/* Looks again whether there is room for more. */
void take_tick(struct worker *worker);
/* No more is taken; what is not whole yet stays with its giver. */
void take_stop_all(struct worker *worker);

#endif
