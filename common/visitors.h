/*
 * Who is connected how often, and asks how much: addresses of clients, counted in shared memory for
 * one service. Each worker id has a table of its own, written by that worker alone and read by all,
 * so what a worker had counted goes with it when it dies.
 *
 * An IPv6 address stands for its /64: one client has all of that. A table has so many cells and no
 * more; who finds none free is not counted and never refused. A cell is free for another address
 * once nobody is connected from it and it has not asked for two seconds.
 */
#ifndef COMMON_VISITORS_H
#define COMMON_VISITORS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct sockaddr;

#define VISITORS_CELLS    16384 /* of each worker */
#define VISITORS_NONE     UINT16_MAX
#define VISITORS_RATE_MAX 1000000 /* requests a second that can be told apart */

struct visitor {
	_Atomic uint64_t key;  /* 0: never used */
	_Atomic uint64_t open; /* connections; in the upper half those that are turned away */
	_Atomic uint64_t asked;
};

struct visitors {
	void *memory;           /* borrows; shared */
	_Atomic uint64_t *used; /* in it: whether a worker's table has anything */
	struct visitor *cells;  /* in it: VISITORS_CELLS for each worker */
	unsigned workers;
};

/* Bytes of the memory, whole pages; they come into being when they are first touched. */
size_t visitors_size(unsigned workers);
/* What is in that memory, which begins a page. */
struct visitors visitors_at(void *memory, unsigned workers);
/* It is new: nobody outside shall know in which cells an address may be. */
void visitors_begin(const struct visitors *visitors);

/* What an address counts as; 0 where it is none, such as a unix socket's. */
uint64_t visitors_key(const struct sockaddr *address);

/* ---- for the one writer of a worker's table; `now` is of clock_now() ---- */

/* One connection more. Returns its cell, or VISITORS_NONE: it is not counted. */
uint16_t visitors_enter(
    const struct visitors *visitors, unsigned worker, uint64_t key, uint64_t now);
/* It is one of those that are turned away now. */
void visitors_turn_away(const struct visitors *visitors, unsigned worker, uint16_t cell);
/* One less, of those that were turned away or of the others. */
void visitors_leave(
    const struct visitors *visitors, unsigned worker, uint16_t cell, bool turned_away);
/*
 * One request more; false, and then it does not count, where there were `rate` within a second.
 * That second slides: of the one before as much counts as still lies in it.
 */
bool visitors_ask(
    const struct visitors *visitors, unsigned worker, uint16_t cell, uint64_t rate, uint64_t now);

/* ---- for all ---- */

/* Connections from an address, of all workers; those that are turned away not, or they alone. */
uint64_t visitors_open(const struct visitors *visitors, uint64_t key);
uint64_t visitors_turned_away(const struct visitors *visitors, uint64_t key);
/* The worker is dead, and nobody has its id yet. */
void visitors_bury(const struct visitors *visitors, unsigned worker);

#endif
