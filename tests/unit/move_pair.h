/*
 * Two real workers in processes of their own, the test being their master and their clients. Steps
 * of a move are counted: one before and one behind each packet that is sent, and one behind each
 * that is received. A worker can be killed or stopped at any of them.
 */
#ifndef TESTS_UNIT_MOVE_PAIR_H
#define TESTS_UNIT_MOVE_PAIR_H

#include "ipc/msg.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define PAIR_CLIENTS 400

enum pair_side { PAIR_GIVER, PAIR_TAKER, PAIR_SIDES };

struct conf;
struct stats;

/* What a worker tells of its steps, in memory that the test sees. */
struct pair_steps {
	volatile unsigned count, at; /* at that step it gets `signal`; 0: at none */
	volatile int signal;
	volatile unsigned taken; /* connections that it took, heard or not */
	volatile unsigned whole; /* that it has sent to their last byte */
	volatile bool ended;     /* it heard that the other side says no more */
	uint64_t owed;           /* bytes of the connection that is being sent */
	unsigned accepted;
	ino_t inodes[PAIR_CLIENTS]; /* of what it accepted, in that order: the same in whoever has
				       it */
};

struct pair_worker {
	pid_t pid;   /* 0 when it is dead */
	int channel; /* owns; the master's end */
	struct pair_steps *steps;
};

struct pair {
	struct conf *confs[PAIR_SIDES]; /* owns */
	struct stats *stats, *sum;      /* owns */
	int listener;                   /* owns; shared by both */
	int wakes[PAIR_SIDES], wake_master;
	int tcp_port;
	char *unix_path; /* owns; NULL where it listens by TCP */
	struct pair_worker workers[PAIR_SIDES];
};

/*
 * A configuration for each of the two; both have one listening socket, by TCP or in a folder of its
 * own. They run and are READY; the giver alone accepts.
 */
void pair_open(struct pair *pair, const char *giver, const char *taker, bool by_unix);
/* Kills what runs. Fails the test when a worker had died by itself. */
void pair_close(struct pair *pair);

/* A client, whom somebody may accept; one whom the giver has accepted when this returns. */
int pair_knock(const struct pair *pair);
int pair_connect(struct pair *pair);
/* How many connections the worker has, and whether it holds that of a client, counted from 0. */
uint64_t pair_open_count(const struct pair *pair, enum pair_side side);
bool pair_holds(const struct pair *pair, enum pair_side side, unsigned number);
int pair_count_fds(const struct pair *pair, enum pair_side side);
/* The number that its next descriptor gets. */
int pair_lowest_fd(const struct pair *pair, enum pair_side side);

/* From now on it accepts, too. */
void pair_accept(struct pair *pair, enum pair_side side);
/* The end of a channel goes to the worker, with an order to give all or to take. */
void pair_order(struct pair *pair, enum pair_side side, int end);
/* Orders a move of all; `room`: SO_SNDBUF of the taker's end, 0: as it is. */
void pair_move(struct pair *pair, int room);
/* Waits until the giver is done with its order. Returns how many it moved. */
uint64_t pair_given(struct pair *pair);
/* Waits until the worker answers to a ping: all that it was told before is done. */
void pair_ping(struct pair *pair, enum pair_side side);

void pair_kill(struct pair *pair, enum pair_side side);
/* It was killed or stopped by its own step. Waits for that; false when it went on to the end. */
bool pair_wait_step(struct pair *pair, enum pair_side side, bool (*is_over)(struct pair *));
/* Waits until the worker sleeps and makes no step. */
void pair_wait_quiet(struct pair *pair, enum pair_side side);

/* ---- clients ---- */

void pair_send(int client, const char *bytes, size_t length);
/* Exactly these bytes come next. */
void pair_expect(int client, const char *bytes, size_t length);
/* The end comes, by a reset or not, and before it at most a beginning of these bytes. */
void pair_expect_end(int client, const char *bytes, size_t length);
/* One more line is answered, and nothing but that line. */
void pair_talk(int client, unsigned number);

#endif
