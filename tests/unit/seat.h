/*
 * Workers of the real parts in this process, without listening sockets and without a master: a test
 * or a fuzzer turns their loops by hand, so that everything happens in an order of its choice.
 */
#ifndef TESTS_UNIT_SEAT_H
#define TESTS_UNIT_SEAT_H

#include "common/backend.h"
#include "workers/conn.h"
#include "workers/service.h"
#include "workers/worker.h"
#include "workers/worker_self.h"

#define SEAT_SERVICES 6
#define SEAT_INODE    1000 /* of the first listening socket; the next one's is one more */

struct seat {
	struct worker_self self;
	struct worker_start start;
	struct worker_listener listeners[SEAT_SERVICES];
	struct stats *stats[SEAT_SERVICES], *sum; /* owns a share */
	int logs[SEAT_SERVICES], wake;
	int master; /* owns; the master's end of its channel */
};

/* Ends the program where it is not so. */
void seat_must(bool truth, const char *what);

/* `beside` has counters for both, with the same services; NULL for the first. */
void seat_open(struct seat *seat, const char *conf, enum backend backend, struct seat *beside);
/* Closes what is open and frees all. A channel's other end must be closed before. */
void seat_close(struct seat *seat);

static inline struct worker *
seat_worker(struct seat *seat)
{
	return &seat->self.worker;
}

static inline struct service *
seat_service(struct seat *seat, unsigned index)
{
	return &seat->self.worker.services[index];
}

/* One round of the loop and what follows it. */
void seat_turn(struct seat *seat);
/* A connection that was just accepted; *client is its other end, which the caller owns. */
struct conn *seat_connect(struct seat *seat, unsigned service, int *client);
/* The only connection of a service, or NULL. */
struct conn *seat_only(struct seat *seat, unsigned service);

/* Requests of the service wait from now on, until they are answered. */
void seat_hold(struct seat *seat, unsigned service);
/* The oldest that waits of all is answered with what it said; false when there is none. */
bool seat_answer(void);

/* The oldest that waits is given some of its reply, its last word, or none. */
void seat_part(const char *text);
void seat_whole(void);
void seat_fail(enum outcome outcome);
/* The newest that waits is the caller's now. */
struct req *seat_take_newest(void);

/* Orders a move. */
void seat_move(struct seat *giver, struct seat *taker, uint64_t most);
/* Whether the giver has said that it is done since; then *given is what it said. */
bool seat_given(struct seat *seat, struct msg_given *given);

#endif
