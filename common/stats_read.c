/* Reading counters and times: totals over the rows of all workers. Writes but one word of its own.
 */
#include "common/stats.h"

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
stats_span_name(enum stats_span span)
{
	static const char *const names[] = {
#define X(name, help) #name,
	    SPANS(X)
#undef X
	};

	return (unsigned)span < STATS_SPANS ? names[span] : "unknown";
}
