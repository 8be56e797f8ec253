/*
 * The state of the master as a document: everything that another image of it needs to go on with
 * the same pid, children, sockets and pools. It is JSON in a memfd; every descriptor is named in it
 * by its number, so it only means something across an execve(2), or to a child.
 *
 * It is written between two turns, when nothing is under way: one generation, which runs, no
 * reload, no listing. Of control clients only those of the upgrade may wait for an answer.
 *
 * Both ways are the same: who has read it can write it again, for the image that wrote it first.
 */
#ifndef DAEMON_STATE_H
#define DAEMON_STATE_H

#include "daemon/asks.h"

#include <jansson.h>

#include <stdbool.h>
#include <stddef.h>

/*
 * Rises when something that stands in it gets another meaning, such as the number of a state. A new
 * key that may be missing, or one that is gone and was not needed, is no other version.
 */
#define STATE_VERSION 1

struct master;

/* What travels along for others: master->guest. */
struct state_guest {
	json_t *upgrade;  /* owns; upgrade.c's own words; NULL for none */
	struct asks asks; /* after state_load() who waits for an answer */
};

/* The document. NULL and a sentence in `why` when there is no moment for it now. */
json_t *state_make(struct master *master, char *why, size_t why_size);
/* The same in a memfd, which the caller closes; -1 and a sentence in `why`. */
int state_write(struct master *master, char *why, size_t why_size);
/*
 * All descriptors that are named in it stay open across an execve(2) from now on, or do not. A
 * number that is not open is passed over.
 */
void state_keep_fds(int state, bool keep);

/*
 * In place of master_open(), on an empty struct master: makes everything of what the document says.
 * False and a sentence in `why` when it cannot be understood, is of another version, or something
 * that it names is not there; then the struct is empty again, and no descriptor was closed.
 *
 * With master->rehearsal nothing happens outside of this process: shared memory is mapped so that
 * nobody sees what is written to it, nothing is sent or removed, and the log stays where it is.
 * Such a master is for one trial worker; it must not turn, and ends by _exit(2).
 */
bool state_load(struct master *master, int state, char *why, size_t why_size);
/* The same from a document that was read already. */
bool state_load_json(struct master *master, const json_t *state, char *why, size_t why_size);

/* Frees such a master again. What the document names belongs to who wrote it, and stays. */
void state_drop(struct master *master, const json_t *state);

/* No other image will come back: what was kept for it alone is let go. */
void state_settle(struct master *master);

#endif
