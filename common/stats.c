/*
 * Counters and times in shared memory. Owns two anonymous shared mappings, made before the first
 * fork; the handle around them is private to each process. Never locks: each row has one writer,
 * and a reader may see a total that is a moment old.
 */
#include "common/stats.h"

#include "common/mem.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>

_Static_assert(ATOMIC_LLONG_LOCK_FREE == 2, "64-bit atomics must work between processes");

static const struct {
	const char *name;
	const char *help;
} stats_counters[] = {
#define X(name, help) {#name, help},
    COUNTERS(X)
#undef X
};

static size_t
stats_rows_size(const struct stats *stats)
{
	return stats->workers * sizeof(struct stats_row) + sizeof(struct stats_shared);
}

static size_t
stats_times_size(const struct stats *stats)
{
	return (stats->workers + 1) * sizeof(struct stats_times); /* no mapping is empty */
}

/* Pages come into being when they are first touched; most of the times' never are. */
static void *
stats_map(size_t size)
{
	void *memory = mmap(
	    NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	return memory != MAP_FAILED ? memory : NULL;
}

struct stats *
stats_new(unsigned workers)
{
	struct stats *stats = mem_alloc(1, sizeof(*stats));

	stats->workers = workers;
	stats->holders = 1;
	stats->rows = stats_map(stats_rows_size(stats));
	stats->times = stats_map(stats_times_size(stats));
	if (stats->rows == NULL || stats->times == NULL) {
		int reason = errno;

		stats_free(stats);
		errno = reason;
		return NULL;
	}
	stats->shared = (struct stats_shared *)(void *)(stats->rows + workers);
	return stats;
}

struct stats *
stats_hold(struct stats *stats)
{
	stats->holders++;
	return stats;
}

void
stats_free(struct stats *stats)
{
	if (stats == NULL || --stats->holders > 0)
		return;
	if (stats->rows != NULL)
		munmap(stats->rows, stats_rows_size(stats));
	if (stats->times != NULL)
		munmap(stats->times, stats_times_size(stats));
	free(stats);
}

/* ---- the writer ---- */

static void
stats_record_time(struct stats_time *time, uint64_t value)
{
	if (value == 0) { /* the usual case of a request that nobody had to wait for */
		stats_add(&time->buckets[0], 1);
		return;
	}
	/* First, because readers look no further. */
	if (value > atomic_load_explicit(&time->max, memory_order_relaxed))
		atomic_store_explicit(&time->max, value, memory_order_relaxed);
	stats_add(&time->buckets[histogram_index(value)], 1);
	stats_add(&time->sum, value);
}

void
stats_record(struct stats_row *row, struct stats_times *times, enum counter outcome,
    const uint64_t spans[STATS_SPANS])
{
	struct stats_time *time = times->times[outcome - STATS_OUTCOME_FIRST];

	for (unsigned span = 0; span < STATS_SPANS; span++)
		stats_record_time(&time[span], spans[span]);
	/* Last, so that who sees it counted finds its times. */
	stats_count(row, outcome);
}

/* ---- open connections ---- */

/*
 * The shared word may be behind the rows by what their writers are just doing, one each, and by
 * what stats_mend() lets pass.
 */
static uint64_t
stats_doubt(const struct stats *stats)
{
	return (uint64_t)4 * stats->workers;
}

/* The row first, so that whoever is counted in the shared word is found in a row. */
static uint64_t
stats_move(const struct stats *stats, struct stats_row *row, uint64_t by)
{
	uint64_t open = atomic_load_explicit(&row->open, memory_order_relaxed), about;

	atomic_store_explicit(&row->moving, 1, memory_order_relaxed);
	atomic_store_explicit(&row->open, open + by, memory_order_release);
	about = atomic_fetch_add(&stats->shared->open, by) + by;
	atomic_store_explicit(&row->moving, 0, memory_order_release);
	return about;
}

bool
stats_enter(const struct stats *stats, struct stats_row *row, uint64_t limit)
{
	uint64_t about = stats_move(stats, row, 1), doubt = stats_doubt(stats);

	/* First in, then count: two workers can both step back, but never both stay. */
	if ((about <= limit && limit - about >= doubt) || stats_open(stats) <= limit)
		return true;
	stats_leave(stats, row);
	return false;
}

void
stats_leave(const struct stats *stats, struct stats_row *row)
{
	stats_move(stats, row, UINT64_MAX);
}

uint64_t
stats_open_about(const struct stats *stats)
{
	return atomic_load_explicit(&stats->shared->open, memory_order_relaxed);
}

/* A writer gone wild may leave anything. What others do meanwhile they do to both sides. */
static void
stats_mend(const struct stats *stats)
{
	uint64_t about = atomic_load(&stats->shared->open), open = stats_open(stats);
	uint64_t passes = (uint64_t)2 * stats->workers;

	if (about > open + passes || about + passes < open)
		atomic_fetch_add(&stats->shared->open, open + stats->workers - about);
}

/*
 * Nobody knows whether the shared word has what a writer was just doing when it died. Rather too
 * much stays in it than too little: then rows are summed a little earlier.
 */
static void
stats_bury_open(const struct stats *stats, struct stats_row *row)
{
	uint64_t open = atomic_load(&row->open);

	if (atomic_load(&row->moving) != 0 && open > 0)
		open--;
	atomic_store(&row->open, 0);
	atomic_store(&row->moving, 0);
	atomic_fetch_sub(&stats->shared->open, open);
	stats_mend(stats);
}

/* ---- readers ---- */

static uint64_t
stats_read(const _Atomic uint64_t *word)
{
	return atomic_load_explicit(word, memory_order_seq_cst);
}

uint64_t
stats_total(const struct stats *stats, enum counter counter)
{
	uint64_t total = 0;

	for (unsigned worker = 0; worker < stats->workers; worker++)
		total += stats_read(&stats_row(stats, worker)->counters[counter]);
	return total;
}

uint64_t
stats_open(const struct stats *stats)
{
	uint64_t total = 0;

	for (unsigned worker = 0; worker < stats->workers; worker++)
		total += stats_read(&stats_row(stats, worker)->open);
	return total;
}

void
stats_set_serving(const struct stats *stats, unsigned workers)
{
	atomic_store_explicit(&stats->shared->serving, workers, memory_order_relaxed);
}

unsigned
stats_serving(const struct stats *stats)
{
	return (unsigned)atomic_load_explicit(&stats->shared->serving, memory_order_relaxed);
}

/* Outcomes are read first: a request is counted before its outcome, so the rest is not negative. */
uint64_t
stats_row_under_way(const struct stats_row *row)
{
	uint64_t ended = 0, requests;

	for (unsigned i = 0; i < STATS_OUTCOMES; i++)
		ended += stats_read(&row->counters[STATS_OUTCOME_FIRST + i]);
	ended += stats_read(&row->counters[COUNTER_lost]);
	requests = stats_read(&row->counters[COUNTER_requests]);
	return requests > ended ? requests - ended : 0;
}

uint64_t
stats_under_way(const struct stats *stats)
{
	uint64_t total = 0;

	for (unsigned worker = 0; worker < stats->workers; worker++)
		total += stats_row_under_way(stats_row(stats, worker));
	return total;
}

void
stats_bury(const struct stats *stats, unsigned worker)
{
	struct stats_row *row = stats_row(stats, worker);

	stats_bury_open(stats, row);
	atomic_store(&row->asking, 0);
	atomic_store(&row->staying, 0);
	stats_add(&row->counters[COUNTER_lost], stats_row_under_way(row));
}

/* Up to the bucket of the largest only: what lies above was never touched. */
static void
stats_read_time(const struct stats_time *time, struct histogram *sum)
{
	uint64_t max = stats_read(&time->max);
	unsigned last = histogram_index(max);

	for (unsigned i = 0; i <= last; i++) {
		uint64_t count = stats_read(&time->buckets[i]);

		sum->buckets[i] += count;
		sum->count += count;
	}
	sum->sum += stats_read(&time->sum);
	if (max > sum->max)
		sum->max = max;
}

void
stats_read_times(
    const struct stats *stats, enum counter outcome, enum stats_span span, struct histogram *sum)
{
	for (unsigned worker = 0; worker < stats->workers; worker++)
		if (stats_read(&stats_row(stats, worker)->counters[outcome]) > 0)
			stats_read_time(
			    &stats_times(stats, worker)->times[outcome - STATS_OUTCOME_FIRST][span],
			    sum);
}

bool
stats_first_this_second(const struct stats *stats, uint64_t second)
{
	uint64_t last = atomic_load(&stats->shared->said);

	return last < second && atomic_compare_exchange_strong(&stats->shared->said, &last, second);
}

const char *
stats_counter_name(enum counter counter)
{
	return (unsigned)counter < COUNTER_COUNT ? stats_counters[counter].name : "unknown";
}

const char *
stats_counter_help(enum counter counter)
{
	return (unsigned)counter < COUNTER_COUNT ? stats_counters[counter].help : "";
}

const char *
stats_span_name(enum stats_span span)
{
	static const char *const names[] = {
#define X(name, help) #name,
	    SPANS(X)
#undef X
	};

	return (unsigned)span < STATS_SPANS ? names[span] : "unknown";
}
