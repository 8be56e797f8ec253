/*
 * Upgrade: another binary takes the master's place, with its pid, its children and its sockets.
 *
 *   IDLE ──order──► WAITING ──quiet──► REHEARSING ──ready──► LEAVING ──execve──►┐
 *    ▲                └───────────────── refused ────────────────┘              │
 *    └──── proven, or back again ◄── RETURNING ◄──not proven── PROVING ◄────────┘ the new binary
 *                                        └──execve──► the old binary, IDLE
 *
 * The old workers serve all the time. What the new binary does is nothing but a reload of the same
 * configuration, with workers of its own; until those are proven the old binary can come back.
 *
 * Between two binaries there are three ways to start, all hidden, each with two numbers of
 * descriptors: `--rehearse STATE,ANSWER` (rehearsal.h), `--resume STATE,BINARY` (go on, and execute
 * BINARY if that cannot be) and `--return STATE,REASON` (go on where the other binary gave up; the
 * sentence in REASON says why). What the command line said otherwise follows. All signals are
 * blocked across an execve.
 */
#ifndef DAEMON_UPGRADE_H
#define DAEMON_UPGRADE_H

#include "daemon/asks.h"
#include "daemon/rehearsal.h"
#include "daemon/upgrade_file.h"

#include <jansson.h>

#include <stdbool.h>
#include <stdint.h>

#define UPGRADE_WHY_MAX 512

struct control_ask;
struct master;

enum upgrade_phase {
	UPGRADE_IDLE,
	UPGRADE_WAITING,    /* until nothing else is under way */
	UPGRADE_REHEARSING, /* the new binary runs as a child */
	UPGRADE_LEAVING,    /* until nothing else is under way, again */
	UPGRADE_PROVING,    /* we are the new binary; its workers must show that they are ready */
	UPGRADE_RETURNING   /* they were not; until what was built is gone */
};

/* How this process was started, and how the next image is. */
struct upgrade_start {
	char *binary; /* owns; absolute; what an upgrade executes when nothing else is named */
	char **words; /* borrows; what the command line said, without argv[0] and hidden options */
};

struct upgrade {
	enum upgrade_phase phase;
	struct upgrade_start start;
	int self; /* owns; the binary that runs */

	char *binary;             /* owns; of the present upgrade */
	struct upgrade_file file; /* what that led to; open from the rehearsal on */
	char *version;            /* owns; what it calls itself */
	uint64_t begun;           /* when it was ordered */
	uint64_t limit;           /* of the present phase */
	struct rehearsal rehearsal;
	struct asks asks; /* who waits for the outcome */

	int before;           /* owns; PROVING and RETURNING: the old binary; else -1 */
	char *before_binary;  /* owns; its path */
	char *before_version; /* owns */
	char *why;            /* owns; RETURNING: what went wrong */

	unsigned count, failed; /* ever, by all binaries */
	char *last_error;       /* owns; of the newest one, NULL when it was good */
};

/* As this process was started: takes `start` over. */
void upgrade_open(struct master *master, const struct upgrade_start *start);
void upgrade_close(struct upgrade *upgrade);
const char *upgrade_phase_name(enum upgrade_phase phase);
/* For `status`. */
json_t *upgrade_status(const struct upgrade *upgrade);

/*
 * Orders one, to `binary` (absolute; NULL: the path that we were started by). `who` is for the log.
 * `ask` (may be NULL) is answered when the new binary serves, or when all is as it was.
 */
void upgrade_order(
    struct master *master, const char *who, const char *binary, struct control_ask *ask);
/* Whether a reload would stand in its way. */
bool upgrade_is_busy(const struct upgrade *upgrade);
/* Takes the next step; it may not return. Returns when it wants to be called next. */
uint64_t upgrade_turn(struct master *master, uint64_t now);
/* A child is a zombie. True when it was the rehearsal, which then is reaped. */
bool upgrade_on_death(struct master *master, const siginfo_t *info);
/* The daemon stops: nothing is begun any more, who waits is told. */
void upgrade_stop(struct master *master);

/* What a reload for it came to: the new workers serve, or why they do not; takes `why` over. */
void upgrade_proven(struct master *master);
void upgrade_failed(struct master *master, char *why);

/* ---- between the upgrade's own files ---- */

/* Whether nothing is on its way that another image could not know of. */
bool upgrade_is_quiet(const struct master *master);
/* We are the new binary: its workers are started. */
void upgrade_prove(struct master *master);
/* It came to nothing, and this binary goes on: who waits is told. */
void upgrade_refuse(struct master *master, const char *why);

/* ---- upgrade_exec.c: from one image to the next ---- */

/* The state with our own part, in a memfd that the caller closes; -1 and a sentence in `why`. */
int upgrade_write_state(struct master *master, char *why, size_t why_size);
/*
 * Executes the new binary, or the old one again. Returns only when that was not to be, and all is
 * as before: true when something came in between, which may have ended the upgrade; call it again
 * in a later turn. Else it has failed, with a sentence in `why`.
 */
bool upgrade_leave(struct master *master, char *why, size_t why_size);
bool upgrade_go_back(struct master *master, char *why, size_t why_size);
/* What the hidden options say. */
enum upgrade_way { UPGRADE_NOT, UPGRADE_REHEARSE, UPGRADE_RESUME, UPGRADE_RETURN };

struct upgrade_arrival {
	enum upgrade_way way;
	int state, other; /* descriptors */
};

/* Reads the value of a hidden option; false where it is none, or names no such descriptors. */
bool upgrade_read_arrival(struct upgrade_arrival *arrival, enum upgrade_way way, const char *value);
/* The life of the next image, from its first step; or the rehearsal. Returns the exit status. */
int upgrade_arrive(
    const struct upgrade_arrival *arrival, char **words, const char *control_default);

/* upgrade_rehearse.c: shows that this binary could go on with the state. The exit status. */
int upgrade_rehearse(const struct upgrade_arrival *arrival, const char *control_default);

#endif
