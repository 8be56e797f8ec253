/*
 * The files that services collect in, for handler = collect. The master opens them, because it has
 * the right to, renames them when they are large enough or given up, and sends every worker
 * descriptors of its own. It never writes to one and never takes its lock (ipc/ledger.h).
 *
 * A file belongs to all services, of all generations, that have it: there is one lock for it.
 */
#ifndef DAEMON_COLLECT_H
#define DAEMON_COLLECT_H

#include "common/conf.h"
#include "ipc/msg.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

#define COLLECT_FDS 6 /* of the master for each file, while it is exchanged */

struct collect_file;
struct master;
struct slot;

struct collect_open;

TAILQ_HEAD(collect_files, collect_file);
TAILQ_HEAD(collect_opens, collect_open);

/* Of one generation. */
struct collect_set {
	const struct conf *conf;     /* borrows */
	struct collect_file **files; /* owns the list; of each service, held; NULL for none */
};

/*
 * Opens what `conf` names, and makes what is not there. False, with every failure told in `errors`,
 * when one cannot be had; collect_close() is needed all the same.
 */
bool collect_open(struct collect_set *set, struct master *master, const struct conf *conf,
    struct conf_errors *errors);
void collect_close(struct collect_set *set, struct master *master);

/*
 * Opens every path anew and has workers go on there where it is another file now. What cannot be
 * opened stays as it is and is told in the log; then it returns false with a sentence in `why`,
 * which may be NULL.
 */
bool collect_reopen(struct master *master, char *why, size_t why_size);

/* Sends the worker what it does not have yet. False when there is no room; call it again then. */
bool collect_tell(struct slot *slot);
/* A worker wants another file, or has closed an old one. False when it may not say that. */
bool collect_heard(struct slot *slot, const struct msg_file *msg, uint64_t now);
bool collect_left(struct slot *slot, const struct msg_file *msg);
/* The worker with this id is dead. */
void collect_bury(struct master *master, unsigned id);
/*
 * Files that were replaced and that no worker has any more are brought to their end: what its last
 * writer left torn is cut off. Returns when it wants to be called next.
 */
uint64_t collect_file_turn(struct master *master, uint64_t now);

#endif
