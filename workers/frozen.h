/*
 * A connection at rest, between two workers: what there is to say about it in struct move_head, and
 * the bytes that belong to it. Who sends them and who owns it when is give.c's and take.c's.
 */
#ifndef WORKERS_FROZEN_H
#define WORKERS_FROZEN_H

#include "common/buf.h"
#include "ipc/move.h"

#include <stdbool.h>

struct conn;
struct worker;

/* Whether it can be frozen now: nothing is under way, and its protocol knows how. */
bool frozen_may(const struct conn *conn);
/*
 * Takes it out of everything: no event and no deadline can reach it, it is in no list. The head is
 * filled but for the number; `state` gets the protocol's bytes (the caller frees it). Input and
 * output stay in conn->busy, where there is any.
 */
void frozen_make(struct conn *conn, struct move_head *head, struct buf *state);
/* It goes on where it was, as if nothing had been. */
void frozen_undo(struct conn *conn, const struct move_head *head);
/* Another worker has it now: our descriptor is closed, its place is given back. */
void frozen_let_go(struct conn *conn);

/* Whether this worker has what the head needs; *service is the index. */
bool frozen_fits(const struct worker *worker, const struct move_head *head, unsigned *service);
/*
 * The connection goes on here. `bytes` are its state, input and output, one behind the other, as
 * long as the head says. Takes the descriptor over, and the place that listener_welcome() took.
 * What cannot be made sense of is closed.
 */
void frozen_thaw(struct worker *worker, unsigned service, const struct move_head *head,
    const char *bytes, int fd);

#endif
