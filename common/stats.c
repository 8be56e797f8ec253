/*
 * Counters and times in shared memory. Owns a memfd and its mapping, made before the first fork;
 * the handle around them is private to each process. Never locks: each row has one writer, and a
 * reader may see a total that is a moment old.
 */
#include "common/stats.h"

#include "common/clock.h"
#include "common/hash.h"
#include "common/mem.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define STATS_HEAD 4096 /* bytes before the rows: a page, so that these begin one */
#define STATS_SUMS 4    /* times that rows are added up until nothing moves meanwhile */

_Static_assert(ATOMIC_LLONG_LOCK_FREE == 2, "64-bit atomics must work between processes");

static const struct {
	const char *name;
	const char *help;
} stats_counters[] = {
#define X(name, help) {#name, help},
    COUNTERS(X)
#undef X
};

/*
 * What stands in front; it never changes. Whoever maps the memory again looks whether it is laid
 * out as his own; where it is not he still finds the first word of each row, `open`.
 */
struct stats_head {
	_Alignas(64) uint64_t layout;
	uint64_t workers;
	uint64_t rows; /* bytes from the beginning to the first row */
	uint64_t row;  /* bytes of a row */
};

_Static_assert(offsetof(struct stats_row, open) == 0, "other versions look for it there");

/* Another one as soon as a counter or a span comes, goes or moves, or anything has another size. */
static uint64_t
stats_layout(void)
{
	static const size_t sizes[] = {sizeof(struct stats_row), sizeof(struct stats_shared),
	    sizeof(struct stats_time), HISTOGRAM_SIZE, sizeof(struct visitor), VISITORS_CELLS};
	uint64_t sum = hash_bytes(HASH_START, sizes, sizeof(sizes));

	for (unsigned i = 0; i < COUNTER_COUNT; i++)
		sum = hash_bytes(sum, stats_counters[i].name, strlen(stats_counters[i].name) + 1);
	for (unsigned i = 0; i < STATS_SPANS; i++)
		sum = hash_bytes(sum, stats_span_name(i), strlen(stats_span_name(i)) + 1);
	return sum;
}

static size_t
stats_pages(size_t size)
{
	return (size + 4095) & ~(size_t)4095;
}

static size_t
stats_rows_size(unsigned workers)
{
	return workers * sizeof(struct stats_row) + sizeof(struct stats_shared);
}

static size_t
stats_visitors_at(unsigned workers)
{
	return STATS_HEAD + stats_pages(stats_rows_size(workers)) +
	       stats_pages(workers * sizeof(struct stats_times));
}

static size_t
stats_size(unsigned workers)
{
	return stats_visitors_at(workers) + visitors_size(workers);
}

/* A handle of the memory behind `fd`, which it takes over; NULL with errno. */
static struct stats *
stats_map(int fd, unsigned workers, int kind)
{
	size_t size = stats_size(workers);
	char *base = mmap(NULL, size, PROT_READ | PROT_WRITE, kind, fd, 0);
	struct stats *stats;

	if (base == MAP_FAILED)
		return NULL;
	stats = mem_alloc(1, sizeof(*stats));
	*stats = (struct stats){
	    .workers = workers, .holders = 1, .fd = fd, .other = {.fd = -1, .memory = NULL}};
	stats->head = (struct stats_head *)(void *)base;
	stats->rows = (struct stats_row *)(void *)(base + STATS_HEAD);
	stats->shared = (struct stats_shared *)(void *)(stats->rows + workers);
	stats->times = (struct stats_times *)(void *)(base + STATS_HEAD +
						      stats_pages(stats_rows_size(workers)));
	stats->visitors = visitors_at(base + stats_visitors_at(workers), workers);
	return stats;
}

static uint64_t
stats_date(void)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	return (uint64_t)now.tv_sec * CLOCK_SECOND + (uint64_t)now.tv_nsec;
}

/* Pages come into being when they are first touched; most of the times' never are. */
struct stats *
stats_new(unsigned workers)
{
	int fd = memfd_create("hostler-stats", MFD_CLOEXEC), reason;
	struct stats *stats = NULL;

	if (fd >= 0 && ftruncate(fd, (off_t)stats_size(workers)) == 0)
		stats = stats_map(fd, workers, MAP_SHARED);
	if (stats != NULL) {
		*stats->head = (struct stats_head){
		    stats_layout(), workers, STATS_HEAD, sizeof(struct stats_row)};
		stats->shared->began = clock_now();
		stats->shared->began_date = stats_date();
		visitors_begin(&stats->visitors);
		return stats;
	}
	reason = errno;
	if (fd >= 0)
		close(fd);
	errno = reason;
	return NULL;
}

struct stats *
stats_attach(int fd, unsigned workers, bool is_trial)
{
	struct stats *stats;
	struct stat st;

	if (fstat(fd, &st) != 0)
		return NULL;
	errno = EPROTO;
	if (!S_ISREG(st.st_mode) || (uint64_t)st.st_size != stats_size(workers))
		return NULL;
	stats = stats_map(fd, workers, is_trial ? MAP_PRIVATE : MAP_SHARED);
	if (stats == NULL ||
	    (stats->head->layout == stats_layout() && stats->head->workers == workers))
		return stats;
	stats->fd = -1;
	stats_free(stats);
	errno = EPROTO;
	return NULL;
}

/* ---- what they took the place of ---- */

void
stats_keep_other(struct stats *stats, int fd, bool is_trial)
{
	struct stats_other *other = &stats->other;
	const struct stats_head *head;
	struct stat st;

	stats_forget_other(stats);
	other->fd = fd;
	if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode) || st.st_size < STATS_HEAD)
		return;
	other->size = (size_t)st.st_size;
	other->memory = mmap(
	    NULL, other->size, PROT_READ | PROT_WRITE, is_trial ? MAP_PRIVATE : MAP_SHARED, fd, 0);
	if (other->memory == MAP_FAILED) {
		other->memory = NULL;
		return;
	}
	head = other->memory;
	other->rows = (size_t)head->rows;
	other->row = (size_t)head->row;
	/* Somebody may have scribbled on it. */
	if (other->rows % 64 != 0 || other->row % 64 != 0 || other->row == 0 ||
	    other->rows > other->size ||
	    (other->size - other->rows) / other->row < stats->workers) {
		munmap(other->memory, other->size);
		other->memory = NULL;
	}
}

void
stats_forget_other(struct stats *stats)
{
	if (stats->other.memory != NULL)
		munmap(stats->other.memory, stats->other.size);
	if (stats->other.fd >= 0)
		close(stats->other.fd);
	stats->other = (struct stats_other){.fd = -1};
}

/* NULL where there is none. */
static _Atomic uint64_t *
stats_other_open(const struct stats *stats, unsigned worker)
{
	const struct stats_other *other = &stats->other;

	if (other->memory == NULL)
		return NULL;
	return (
	    _Atomic uint64_t *)(void *)((char *)other->memory + other->rows + worker * other->row);
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
	munmap(stats->head, stats_size(stats->workers));
	if (stats->fd >= 0)
		close(stats->fd);
	stats_forget_other(stats);
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

void
stats_depart(const struct stats *stats)
{
	atomic_fetch_add(&stats->shared->departed, 1);
}

/* The sum without what went from one row to another while it was made; too much, if in doubt. */
static uint64_t
stats_open_surely(const struct stats *stats)
{
	for (int i = 0; i < STATS_SUMS; i++) {
		uint64_t departed = atomic_load(&stats->shared->departed);
		uint64_t open = stats_open(stats);

		if (atomic_load(&stats->shared->departed) == departed)
			return open;
	}
	return UINT64_MAX;
}

bool
stats_enter(const struct stats *stats, struct stats_row *row, uint64_t limit)
{
	uint64_t about = stats_move(stats, row, 1), doubt = stats_doubt(stats);

	/* First in, then count: two workers can both step back, but never both stay. */
	if ((about <= limit && limit - about >= doubt) || stats_open_surely(stats) <= limit)
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

	stats_depart(stats); /* what it gave away may still be counted here */
	if (atomic_load(&row->moving) != 0 && open > 0)
		open--;
	atomic_store(&row->open, 0);
	atomic_store(&row->moving, 0);
	atomic_fetch_sub(&stats->shared->open, open);
	stats_mend(stats);
}

void
stats_bury(const struct stats *stats, unsigned worker)
{
	struct stats_row *row = stats_row(stats, worker);

	stats_bury_open(stats, row);
	if (stats_other_open(stats, worker) != NULL)
		atomic_store(stats_other_open(stats, worker), 0);
	atomic_store(&row->asking, 0);
	atomic_store(&row->staying, 0);
	visitors_bury(&stats->visitors, worker);
	stats_add(&row->counters[COUNTER_lost], stats_row_under_way(row));
}

uint64_t
stats_open_of(const struct stats *stats, unsigned worker)
{
	const _Atomic uint64_t *other = stats_other_open(stats, worker);

	return atomic_load_explicit(&stats_row(stats, worker)->open, memory_order_relaxed) +
	       (other != NULL ? atomic_load_explicit(other, memory_order_relaxed) : 0);
}

/* ---- names ---- */

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
