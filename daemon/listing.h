/*
 * Which connections there are. The workers know, the master does not: it sends each a file in
 * memory to write its own into, and reads them when they say that they have, or after a second.
 *
 * What a worker writes is not believed: the file's size is sealed, each line is read as JSON, and
 * what is not of the right form is left out.
 */
#ifndef DAEMON_LISTING_H
#define DAEMON_LISTING_H

#include "daemon/control_line.h"

#include <event2/event.h>

#include <stdint.h>

#define LISTING_TIME 1 /* seconds that a worker has */

struct listing;
struct master;
struct msg;
struct slot;

struct listing *listing_open(struct master *master);
/* Who waits is told that there will be no answer. */
void listing_close(struct listing *listing);

/* For the table of commands; `arg` is the struct master. */
json_t *listing_answer(void *arg, const json_t *request, struct control_ask *ask);
/* Whether somebody waits for one. */
bool listing_is_busy(const struct listing *listing);
/* A worker says that it has written. False when it was never asked to. */
bool listing_heard(struct listing *listing, const struct slot *slot, const struct msg *msg);
/* A worker has died: nobody waits for it any more. */
void listing_forget(struct listing *listing, const struct slot *slot);

#endif
