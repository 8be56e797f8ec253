/*
 * The files that lines are appended to: the daemon's own log, and an access log for each service
 * that asks for one. The master opens them, because it has the right to; workers inherit them by
 * fork and are sent what is opened anew later.
 *
 * At a reload logs_open() proves everything and changes nothing; then either logs_use() puts it in
 * force, or logs_close() forgets it.
 */
#ifndef DAEMON_LOGS_H
#define DAEMON_LOGS_H

#include "common/conf.h"

#include <stdbool.h>
#include <stddef.h>

struct master;
struct slot;

/* Of one generation. */
struct logs {
	const struct conf *conf; /* borrows */
	int *access;             /* owns, and the descriptors; for each service, -1 for none */
	int own;                 /* owns; the daemon's log, before logs_use(); -1 where it stays */
};

/* At the start, first of all: the daemon's log is opened and used. A failure is fatal. */
void logs_start(const struct conf *conf);
/*
 * Opens every access log that `conf` names, and the daemon's log where it is another one than in
 * `old` (NULL at the start). False, with every failure told in `errors`, when one cannot be opened;
 * logs_close() is needed all the same.
 */
bool logs_open(
    struct logs *logs, const struct conf *conf, const struct conf *old, struct conf_errors *errors);
/* Puts the daemon's log and its format in force, and has every worker told, of its level too. */
void logs_use(struct master *master, struct logs *logs);
void logs_close(struct logs *logs);

/*
 * Opens everything in force anew, because somebody moved the files away, and has every worker told.
 * What cannot be opened stays as it is and is told in the log; then it returns false with a
 * sentence about the first of it in `why`.
 */
bool logs_reopen(struct master *master, char *why, size_t why_size);

/* Another level for the daemon's log in every process, until it is configured or set anew. */
void logs_set_level(struct master *master, enum log_level level);

/* The worker in the place was forked just now, so it has what the master has. */
void logs_know(struct slot *slot);
/* Sends the worker what it does not have yet. False when there is no room; call it again then. */
bool logs_tell(struct slot *slot);

#endif
