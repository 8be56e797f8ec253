/*
 * Counters in shared memory. Owns one anonymous shared mapping, made before the first fork; the
 * handle around it is private to each process. Never locks: each row has one writer, and a reader
 * may see a total that is a moment old.
 */
#include "common/stats.h"

#include "common/mem.h"

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
stats_size(const struct stats *stats)
{
	return (stats->workers + 1) * sizeof(struct stats_row); /* the last one holds the words */
}

struct stats *
stats_new(unsigned workers)
{
	struct stats *stats = mem_alloc(1, sizeof(*stats));
	void *memory;

	stats->workers = workers;
	stats->holders = 1;
	memory = mmap(
	    NULL, stats_size(stats), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (memory == MAP_FAILED) {
		free(stats);
		return NULL;
	}
	stats->rows = memory;
	stats->said = &stats->rows[workers].open;
	stats->serving = &stats->rows[workers].counters[0];
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
	munmap(stats->rows, stats_size(stats));
	free(stats);
}

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
	atomic_store_explicit(stats->serving, workers, memory_order_relaxed);
}

unsigned
stats_serving(const struct stats *stats)
{
	return (unsigned)atomic_load_explicit(stats->serving, memory_order_relaxed);
}

bool
stats_first_this_second(const struct stats *stats, uint64_t second)
{
	uint64_t last = atomic_load(stats->said);

	return last < second && atomic_compare_exchange_strong(stats->said, &last, second);
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
