/*
 * Reload: the file is read again, what it changes is built beside what runs, and only when all of
 * it is proven does the new generation take over.
 *
 *   IDLE ──order──► BUILDING ──proven──► FINISHING ──the generation before has ended──► IDLE
 *                       └──anything fails: all that is new goes ──────┘
 *
 * At most two generations live at a time. An order that comes meanwhile sets one flag, so that the
 * file is read once more at the end.
 */
#ifndef DAEMON_RELOAD_H
#define DAEMON_RELOAD_H

#include "common/conf_diff.h"
#include "daemon/asks.h"

#include <jansson.h>

#include <stdbool.h>
#include <stdint.h>

struct control_ask;
struct generation;
struct master;

enum reload_phase { RELOAD_IDLE, RELOAD_BUILDING, RELOAD_FINISHING };

struct reload {
	enum reload_phase phase;
	bool again;         /* one more, when this one is over */
	bool is_upgrade;    /* the present one follows no file, see reload_upgrade() */
	struct asks asking; /* of the present reload */
	struct asks next;   /* of the one after it */
	uint64_t begun;
	uint64_t limit;           /* until when all must be proven */
	struct generation *built; /* borrows; BUILDING only */
	struct conf_diff *diff;   /* owns; BUILDING only */
	unsigned count, failed;   /* ever */
	char *last_error;         /* owns; of the newest one, NULL when it was good */
};

/*
 * Orders one. `who` is for the log. `ask` (may be NULL) is answered when the new generation serves,
 * or when it has failed: with what changed, or with every error.
 */
void reload_order(struct master *master, const char *who, struct control_ask *ask);
/*
 * The same configuration once more, with new workers, because the binary is another one; pools that
 * it cannot use are replaced, what was scaled stays. The outcome is told to upgrade.c.
 */
void reload_upgrade(struct master *master);
/* What a reload would change now, as the reply to a command; nothing is touched. */
json_t *reload_try(struct master *master);
/* Takes the next step. Returns when it wants to be called next. */
uint64_t reload_turn(struct master *master, uint64_t now);
/* The daemon stops: what is being built is given up, who waits is told. */
void reload_stop(struct master *master);
void reload_close(struct reload *reload);
const char *reload_phase_name(enum reload_phase phase);

/* reload_read.c: reads the file and works out what it changes. NULL with at least one error. */
struct conf *reload_read(
    const struct master *master, struct conf_diff **diff, struct conf_errors *errors);
/* The configuration that runs once more, for another binary. NULL and a sentence in `why`. */
struct conf *reload_copy(
    const struct master *master, struct conf_diff **diff, char *why, size_t why_size);
/* What was scaled by hand goes back to what the file says: that is a change as well. */
void reload_note_scaled(
    const struct master *master, const struct conf *conf, struct conf_diff *diff);

/* reload_report.c: the reply of a good reload, and of one that failed. */
json_t *reload_report(const struct conf_diff *diff, bool dry_run, unsigned generation, double took);
json_t *reload_report_errors(const struct conf_errors *errors);
/* "2 replaced, 1 added, 3 unchanged": for the log. Returns `text`. */
const char *reload_summary(const struct conf_diff *diff, char text[128]);

#endif
