/*
 * Connections of this worker go to another one, over the channel of ipc/move.h. One after the
 * other: idle ones and those in the middle of a message at once, those with a request under way as
 * soon as it is answered. Each is served here until the very moment in which it goes.
 */
#ifndef WORKERS_GIVE_H
#define WORKERS_GIVE_H

#include "ipc/msg.h"

#include <stdbool.h>

struct conn;
struct give;
struct worker;

/* The master's order; takes over the channel. A second one waits for nothing: it is refused. */
void give_on_order(struct worker *worker, const struct msg_give *order, int channel);
/* Gives what can go now. At the end of a turn. */
void give_turn(struct worker *worker);
/* A few times a second: an order that is held up while others could go ends. */
void give_tick(struct worker *worker);
/* Whether there is nothing to give before something happens. */
bool give_may_sleep(const struct worker *worker);
/* No more goes; what was sent and not answered yet is settled. */
void give_stop(struct worker *worker);

/* Whether it may move at all, now or later. */
bool give_can_ever(const struct conn *conn);
/* A connection with conn->leaving has nothing under way any more. It may be gone on return. */
void give_quiet(struct conn *conn);
/* A connection with conn->leaving was closed. */
void give_left(struct conn *conn);

#endif
