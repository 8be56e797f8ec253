/*
 * A worker's place. The place stays, the worker in it comes and goes.
 *
 *   WAITING ──fork──► STARTING ──READY──► READY ──DRAIN──► DRAINING
 *      ▲                  └──────────────────┴───── death ─────┘
 *
 * What a worker must know is kept as a difference: what it was told, and what is so. A channel that
 * is full for now only means that the rest is told when there is room.
 */
#ifndef DAEMON_SLOT_H
#define DAEMON_SLOT_H

#include "common/clock.h"

#include <event2/event.h>

#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct generation;
struct instance;
struct master;
struct msg;

enum slot_state { SLOT_WAITING, SLOT_STARTING, SLOT_READY, SLOT_DRAINING };

struct slot {
	struct generation *generation; /* borrows */
	struct master *master;         /* borrows */
	unsigned place;
	enum slot_state state;
	uint64_t since; /* when the process started, or ended */
	unsigned starts;
	unsigned failures;   /* deaths before READY, in a row */
	uint64_t not_before; /* no start before this time */

	pid_t pid;              /* 0 where WAITING */
	unsigned id;            /* worker id */
	int channel;            /* owns; -1 where closed */
	struct event *readable; /* owns */
	bool was_ready;
	bool was_killed; /* by us; it hears nothing any more */

	uint32_t *told;    /* owns; of each instance of the generation the incarnation it knows */
	bool start_told;   /* it was told of every instance once */
	bool accept_told;  /* it was told to accept */
	bool drain;        /* it shall drain */
	bool drain_hasty;  /* without waiting until its connections have moved */
	bool drain_told;   /* and knows it */
	uint64_t drain_by; /* else it is killed; 0 for never */
	const char *drain_why; /* borrows; why then; NULL: because of drain_timeout */
	unsigned logs_version; /* what of the logs it was told, or is being told, see logs_tell() */
	unsigned logs_next;
	uint32_t *files_told; /* owns; of each service the number of the file that it knows */

	/* Moves, see mover.h. */
	uint64_t order;        /* number of the newest that it was given */
	bool giving;           /* that one is under way */
	bool gives_last;       /* it was leaving already when it was given that one */
	struct slot *gives_to; /* borrows; to this one, while it lives */
	uint64_t gives;        /* about so many connections */
	uint64_t coming;       /* about so many come to it */
	uint64_t surplus;      /* so many shall go to others although it stays */
	uint64_t gives_next;   /* no order before */
	uint64_t takes_next;   /* others are preferred before */
	bool gave_all;         /* what it still has cannot move */
	uint64_t far_since;    /* since when it has held far more than its share; 0: not */
	bool gives_way;        /* so it gives until it has its share, see balance.h */

	uint64_t behind;    /* since when the channel is full; 0 when it is not */
	uint64_t ping;      /* number of the newest PING */
	uint64_t next_ping; /* when the next is due */
	uint64_t asked;     /* when the oldest unanswered PING went out; 0 for none */
	uint64_t check;     /* a PING that must be answered ... */
	uint64_t check_by;  /* ... by this time, because a lock is stuck; 0 for none */
	char last_exit[128];
};

void slot_open(struct slot *slot, struct generation *generation, unsigned place);
void slot_close(struct slot *slot);
/* Starts, pings, kills what is due. Returns when it wants to be called next. Between turns. */
uint64_t slot_turn(struct slot *slot, uint64_t now);
/* Its process is a zombie, waitid(2) says; it is reaped here. */
void slot_on_death(struct slot *slot, const siginfo_t *info, uint64_t now);
void slot_kill(struct slot *slot, const char *why);
/* The master itself stood still, so nobody was heard: all silences begin anew. */
void slot_pardon_all(struct master *master, uint64_t now);
/*
 * It accepts no more and ends, by `by` (0: whenever): hastily when it has answered what was sent,
 * else when its connections have moved elsewhere.
 */
void slot_drain(struct slot *slot, bool hastily, uint64_t by);

/* Whether there is a process that can still do something. */
bool slot_is_alive(const struct slot *slot);
/* How many of all generations have a process, be it a zombie. */
unsigned slot_count_processes(const struct master *master);
/* Whether there shall be a worker in this place. */
bool slot_is_wanted(const struct slot *slot);
/* All of all generations are killed. */
void slot_kill_all(struct master *master, const char *why);
/* An instance came or went: tells everybody. */
void slot_tell_all(struct master *master, const struct instance *instance);
/* Whether every living worker has been told of the instance as it is now. */
bool slot_all_know(const struct master *master, const struct instance *instance);
/* The hint that goes with a changed pool. */
void slot_wake_all(const struct master *master);
/* A worker reports that a pool's lock cannot be had: who is silent for a second is killed. */
void slot_check_all(struct master *master, uint64_t now);

/* ---- between the slot's own files ---- */

#define SLOT_PING_TIME  (1 * CLOCK_SECOND)
#define SLOT_CHECK_TIME (1 * CLOCK_SECOND) /* to answer while a lock is stuck */

void slot_set_state(struct slot *slot, enum slot_state state);
/* slot_talk.c: *theirs is the worker's end, which the caller owns. False with errno. */
bool slot_open_channel(struct slot *slot, int *theirs);
void slot_hang_up(struct slot *slot);
/* From now on what the worker says is heard. False when that cannot be. */
bool slot_listen(struct slot *slot);
/* False when there is no room now. A dead channel takes everything: its worker is ending. */
bool slot_send(struct slot *slot, const struct msg *msg, const int *fds);
/* Tells all that it does not know yet; what does not fit is tried again later. */
void slot_tell_rest(struct slot *slot);
void slot_ping(struct slot *slot, uint64_t now);
/* slot_fork.c: forks the worker; the child never returns. Returns its pid, or -1 with errno. */
pid_t slot_fork(struct slot *slot, int channel);

#endif
