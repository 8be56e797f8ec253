/*
 * Counters and times in shared memory, of one service or of the whole daemon: one row for each
 * worker id, written by that worker alone, read by anybody. Counting costs a load and a store; what
 * a dead worker counted stays, and so does what was counted before a reload.
 *
 * Every request ends in exactly one outcome, each of which has a counter:
 *   requests = replies + silent + busy + timeout + failed + bad + limited + too_large
 *              + withdrawn + lost (its worker died) + what is under way
 */
#ifndef COMMON_STATS_H
#define COMMON_STATS_H

#include "common/histogram.h"
#include "common/visitors.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* X(name, "what is counted"): how a request may end, in its worker's opinion */
#define OUTCOMES(X)                                                                                \
	X(replies, "requests answered")                                                            \
	X(silent, "requests that want no answer")                                                  \
	X(busy, "requests refused: the waiting line was full")                                     \
	X(timeout, "requests that waited or ran too long")                                         \
	X(failed, "requests whose instance died or broke its contract")                            \
	X(bad, "requests that cannot be carried")                                                  \
	X(limited, "requests refused: rate was reached by their address")                          \
	X(too_large, "requests over max_message")                                                  \
	X(withdrawn, "requests withdrawn or dropped because the client left")

/* The same, of everything: hostlerctl shows every row by itself. */
#define COUNTERS(X)                                                                                \
	X(accepted, "connections accepted")                                                        \
	X(closed, "connections closed")                                                            \
	X(requests, "requests received")                                                           \
	OUTCOMES(X)                                                                                \
	X(lost, "requests under way in a worker that died")                                        \
	X(retried, "requests moved to another instance before a byte was written")                 \
	X(ahead, "requests given to an instance that had others unanswered")                       \
	X(idle_cut, "connections cut by idle_timeout")                                             \
	X(slow_cut, "connections cut by message_timeout or write_timeout")                         \
	X(address_cut, "connections closed: too many, or too many requests, of their address")     \
	X(full_pauses, "times accepting stopped at max_connections")                               \
	X(fd_pauses, "times accepting stopped for want of descriptors")                            \
	X(collected, "messages written to the file that they are collected in")                    \
	X(uncollected, "messages that could not be written there, or not synced")                  \
	X(collected_bytes, "bytes written to that file")                                           \
	X(syncs, "times that file was synced")

enum counter {
#define X(name, help) COUNTER_##name,
	COUNTERS(X)
#undef X
	    COUNTER_COUNT
};

/* The outcomes are the counters from this one on. */
#define STATS_OUTCOME_FIRST COUNTER_replies
#define STATS_OUTCOMES      (COUNTER_lost - STATS_OUTCOME_FIRST)

/* X(name, "what is measured") */
#define SPANS(X)                                                                                   \
	X(queue, "from arrival until it was given to an instance, or ended without")               \
	X(run, "from there until its reply was whole, or it ended without")                        \
	X(whole, "from arrival until its reply was handed to the connection, or it ended without")

enum stats_span {
#define X(name, help) STATS_##name,
	SPANS(X)
#undef X
	    STATS_SPANS
};

/* One row; aligned so that no two writers share a cache line. */
struct stats_row {
	_Alignas(64) _Atomic uint64_t open; /* connections open now */
	_Atomic uint64_t moving;            /* its writer is between `open` and the shared `open` */
	_Atomic uint64_t counters[COUNTER_COUNT];
	/* While it drains, of the open ones: have a request under way; others, that cannot move. */
	_Atomic uint64_t asking, staying;
};

/* X(name, "what it is"): what the master alone knows of a service's instances, and alone writes. */
#define STAFF(X)                                                                                   \
	X(wanted, "instances that there are to be now")                                            \
	X(starting, "instances that were started and serve nobody yet")                            \
	X(looping, "1 while instances die one after another and are started less often")           \
	X(starts, "instances started, or tried to")                                                \
	X(failures, "instances that died by themselves or could not be started")                   \
	X(recycled, "instances replaced for max_requests, max_age or max_memory")

enum stats_staff {
#define X(name, help) STAFF_##name,
	STAFF(X)
#undef X
	    STAFF_COUNT
};

/* What all write. */
struct stats_shared {
	_Alignas(64) _Atomic uint64_t open; /* the sum of the rows' at about this moment */
	_Alignas(64) _Atomic uint64_t said; /* see stats_first_this_second() */
	_Atomic uint64_t serving;
	_Atomic uint64_t departed; /* changes before a row loses what another one has got */
	/* And the master alone. */
	_Alignas(64) _Atomic uint64_t staff[STAFF_COUNT];
	uint64_t began, began_date; /* when counting began: clock_now(), and ns since 1970 */
};

/* Of one outcome and span, nanoseconds. */
struct stats_time {
	_Alignas(64) _Atomic uint64_t sum;
	_Atomic uint64_t max;
	_Atomic uint64_t buckets[HISTOGRAM_SIZE];
};

/*
 * The times of one row. Most of it is never touched and so never in memory: a reader looks at an
 * outcome only where the row's counter of it is not 0.
 */
struct stats_times {
	struct stats_time times[STATS_OUTCOMES][STATS_SPANS];
};

struct stats_head; /* stats.c */

/*
 * Memory that is laid out in another way, in which workers of another version still count. Only how
 * many connections each has is found in it.
 */
struct stats_other {
	int fd;       /* owns; -1 for none */
	void *memory; /* owns; NULL where nothing can be found in it */
	size_t size, rows, row;
};

struct stats {
	unsigned workers;
	unsigned holders;
	int fd;                      /* owns; the memory */
	struct stats_other other;    /* what it took the place of, see state.h */
	struct stats_head *head;     /* owns; the shared mapping begins here */
	struct stats_row *rows;      /* in it, one for each worker id */
	struct stats_shared *shared; /* in it, behind the rows */
	struct stats_times *times;   /* in it, one for each worker id */
	struct visitors visitors;    /* in it, of a service whose addresses have limits */
};

/* Maps zeroed shared memory, to be inherited by fork. NULL with errno when there is none. */
struct stats *stats_new(unsigned workers);
/*
 * Maps memory of stats_new() again, as after an execve(2); takes `fd` over unless it returns NULL
 * with errno: EPROTO where it is laid out in another way, or for another number of workers. A trial
 * sees what is there, and what it changes nobody else sees.
 */
struct stats *stats_attach(int fd, unsigned workers, bool is_trial);
/* They take the place of what is in `fd`, which is taken over. A trial as of stats_attach(). */
void stats_keep_other(struct stats *stats, int fd, bool is_trial);
/* Lets go of what it took the place of. */
void stats_forget_other(struct stats *stats);
/* One more owner; each calls stats_free(). Returns its argument. */
struct stats *stats_hold(struct stats *stats);
/* The last owner unmaps it. */
void stats_free(struct stats *stats);

static inline struct stats_row *
stats_row(const struct stats *stats, unsigned worker)
{
	return &stats->rows[worker];
}

static inline struct stats_times *
stats_times(const struct stats *stats, unsigned worker)
{
	return &stats->times[worker];
}

/* For the one writer of the word. */
static inline void
stats_add(_Atomic uint64_t *word, uint64_t more)
{
	atomic_store_explicit(
	    word, atomic_load_explicit(word, memory_order_relaxed) + more, memory_order_relaxed);
}

/* For the one writer of the row. */
static inline void
stats_count(struct stats_row *row, enum counter counter)
{
	stats_add(&row->counters[counter], 1);
}

/*
 * One connection more, unless there would be more than `limit` of all workers; then false. The
 * limit is exact at every moment, although rows are summed only when it is near. For the one writer
 * of the row.
 */
bool stats_enter(const struct stats *stats, struct stats_row *row, uint64_t limit);
/* One less. Likewise. */
void stats_leave(const struct stats *stats, struct stats_row *row);
/*
 * Before stats_leave() for a connection that has entered another row already: whoever adds up the
 * rows meanwhile may have missed it in both, and adds them up again.
 */
void stats_depart(const struct stats *stats);

/* A request ended with `outcome`, after so many nanoseconds. For the one writer of the row. */
void stats_record(struct stats_row *row, struct stats_times *times, enum counter outcome,
    const uint64_t spans[STATS_SPANS]);

/*
 * The writer of the row is dead: its connections are closed, what it had under way is lost. For
 * whoever reaped it, before the id is given to another.
 */
void stats_bury(const struct stats *stats, unsigned worker);

/* Sums over all workers. */
uint64_t stats_total(const struct stats *stats, enum counter counter);
uint64_t stats_open(const struct stats *stats);
/* Of one worker, be it one of another version. */
uint64_t stats_open_of(const struct stats *stats, unsigned worker);
/* The same of all by one word: it may be off by a few. */
uint64_t stats_open_about(const struct stats *stats);
/* How many workers share the connections: the master says it, the workers ask. */
void stats_set_serving(const struct stats *stats, unsigned workers);
unsigned stats_serving(const struct stats *stats);
/* For the master, and for whoever wants to know. */
void stats_set_staff(const struct stats *stats, enum stats_staff what, uint64_t value);
void stats_count_staff(const struct stats *stats, enum stats_staff what);
uint64_t stats_staff(const struct stats *stats, enum stats_staff what);
/* Requests that have no outcome yet: of all workers, and of one. */
uint64_t stats_under_way(const struct stats *stats);
uint64_t stats_row_under_way(const struct stats_row *row);
/* Adds the times of all workers to *sum, which the caller has emptied. */
void stats_read_times(
    const struct stats *stats, enum counter outcome, enum stats_span span, struct histogram *sum);
/* True for one caller a second among all processes: who may log that descriptors are short. */
bool stats_first_this_second(const struct stats *stats, uint64_t second);
const char *stats_counter_name(enum counter counter);
const char *stats_counter_help(enum counter counter);
const char *stats_span_name(enum stats_span span);

#endif
