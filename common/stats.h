/*
 * Counters in shared memory, of one service or of the whole daemon: one row for each worker id,
 * written by that worker alone, read by anybody. Counting costs a load and a store; what a dead
 * worker counted stays, and so does what was counted before a reload.
 */
#ifndef COMMON_STATS_H
#define COMMON_STATS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* X(name, "what is counted"): hostlerctl shows every row by itself */
#define COUNTERS(X)                                                                                \
	X(accepted, "connections accepted")                                                        \
	X(closed, "connections closed")                                                            \
	X(requests, "requests received")                                                           \
	X(replies, "requests answered")                                                            \
	X(busy, "requests refused: the waiting line was full")                                     \
	X(timeout, "requests that waited or ran too long")                                         \
	X(failed, "requests whose instance died or broke its contract")                            \
	X(bad, "requests that cannot be carried")                                                  \
	X(too_large, "requests over max_message")                                                  \
	X(withdrawn, "requests withdrawn or dropped because the client left")                      \
	X(retried, "requests moved to another instance before a byte was written")                 \
	X(idle_cut, "connections cut by idle_timeout")                                             \
	X(slow_cut, "connections cut by message_timeout or write_timeout")                         \
	X(full_pauses, "times accepting stopped at max_connections")                               \
	X(fd_pauses, "times accepting stopped for want of descriptors")

enum counter {
#define X(name, help) COUNTER_##name,
	COUNTERS(X)
#undef X
	    COUNTER_COUNT
};

/* One row; aligned so that no two writers share a cache line. */
struct stats_row {
	_Alignas(64) _Atomic uint64_t open; /* connections open now */
	_Atomic uint64_t counters[COUNTER_COUNT];
};

struct stats {
	unsigned workers;
	unsigned holders;
	struct stats_row *rows;    /* owns; shared mapping, one for each worker id */
	_Atomic uint64_t *said;    /* in the mapping, behind the rows */
	_Atomic uint64_t *serving; /* likewise */
};

/* Maps zeroed shared memory, to be inherited by fork. NULL with errno when there is none. */
struct stats *stats_new(unsigned workers);
/* One more owner; each calls stats_free(). Returns its argument. */
struct stats *stats_hold(struct stats *stats);
/* The last owner unmaps it. */
void stats_free(struct stats *stats);

static inline struct stats_row *
stats_row(const struct stats *stats, unsigned worker)
{
	return &stats->rows[worker];
}

/* For the one writer of the row. */
static inline void
stats_count(struct stats_row *row, enum counter counter)
{
	_Atomic uint64_t *c = &row->counters[counter];

	atomic_store_explicit(
	    c, atomic_load_explicit(c, memory_order_relaxed) + 1, memory_order_relaxed);
}

/* Sums over all workers. */
uint64_t stats_total(const struct stats *stats, enum counter counter);
uint64_t stats_open(const struct stats *stats);
/* How many workers share the connections: the master says it, the workers ask. */
void stats_set_serving(const struct stats *stats, unsigned workers);
unsigned stats_serving(const struct stats *stats);
/* True for one caller a second among all processes: who may log that descriptors are short. */
bool stats_first_this_second(const struct stats *stats, uint64_t second);
const char *stats_counter_name(enum counter counter);
const char *stats_counter_help(enum counter counter);

#endif
