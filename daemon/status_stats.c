/*
 * The command `stats`: reads rows of all workers, living and dead, and adds them up. Reads without
 * a lock, so figures of one moment may differ by a few; changes nothing. The reply is bounded:
 * where there are very many buckets, neighbours are told as one.
 */
#include "daemon/status_stats.h"

#include "common/clock.h"
#include "common/mem.h"
#include "daemon/master.h"
#include "daemon/status.h"

#include <stdlib.h>

#define STATUS_STATS_BUCKETS 200000 /* in a reply; 20 bytes each, more or less */

/* The times of one service; too large for the stack. */
struct status_stats {
	struct histogram times[STATS_OUTCOMES][STATS_SPANS];
};

/* ---- times ---- */

static void
status_stats_read(struct status_stats *all, const struct stats *stats)
{
	for (unsigned i = 0; i < STATS_OUTCOMES; i++)
		for (unsigned span = 0; span < STATS_SPANS; span++)
			stats_read_times(
			    stats, STATS_OUTCOME_FIRST + i, span, &all->times[i][span]);
}

/* How many entries the buckets take when `merged` neighbours are one. */
static unsigned
status_stats_entries(const struct histogram *times, unsigned merged)
{
	unsigned entries = 0;

	for (unsigned first = 0; first < HISTOGRAM_SIZE; first += merged) {
		uint64_t count = 0;

		for (unsigned i = first; i < first + merged; i++)
			count |= times->buckets[i];
		entries += count != 0;
	}
	return entries;
}

/* How many neighbours must be one, so that the service has no more entries than its share. */
static unsigned
status_stats_merged(const struct status_stats *all, unsigned share)
{
	unsigned merged = 1, entries;

	for (;; merged *= 2) {
		entries = 0;
		for (unsigned i = 0; i < STATS_OUTCOMES; i++)
			for (unsigned span = 0; span < STATS_SPANS; span++)
				entries += status_stats_entries(&all->times[i][span], merged);
		if (entries <= share || merged == HISTOGRAM_STEPS)
			return merged;
	}
}

static json_t *
status_stats_buckets(const struct histogram *times, unsigned merged)
{
	json_t *list = json_array();

	for (unsigned first = 0; times->count > 0 && first < HISTOGRAM_SIZE; first += merged) {
		uint64_t count = 0;
		json_t *pair;

		for (unsigned i = first; i < first + merged; i++)
			count += times->buckets[i];
		if (count == 0)
			continue;
		pair = json_array();
		json_array_append_new(pair, status_number(histogram_upper(first + merged - 1)));
		json_array_append_new(pair, status_number(count));
		json_array_append_new(list, pair);
	}
	return list;
}

static json_t *
status_stats_times(const struct histogram *times, unsigned merged)
{
	static const struct {
		const char *name;
		double percent;
	} percentiles[] = {{"p50", 50}, {"p90", 90}, {"p99", 99}, {"p999", 99.9}};
	json_t *object = json_object();

	json_object_set_new(object, "count", status_number(times->count));
	json_object_set_new(object, "sum", status_number(times->sum));
	json_object_set_new(object, "max", status_number(times->max));
	for (size_t i = 0; i < sizeof(percentiles) / sizeof(percentiles[0]); i++)
		json_object_set_new(object, percentiles[i].name,
		    status_number(histogram_percentile(times, percentiles[i].percent)));
	json_object_set_new(object, "buckets", status_stats_buckets(times, merged));
	return object;
}

/* Those that happened. Counts are read first: whatever is counted has its times. */
static json_t *
status_stats_outcomes(const struct stats *stats, unsigned share)
{
	struct status_stats *all = mem_alloc(1, sizeof(*all));
	json_t *list = json_array();
	uint64_t counts[STATS_OUTCOMES];
	unsigned merged;

	for (unsigned i = 0; i < STATS_OUTCOMES; i++)
		counts[i] = stats_total(stats, STATS_OUTCOME_FIRST + i);
	status_stats_read(all, stats);
	merged = status_stats_merged(all, share);
	for (unsigned i = 0; i < STATS_OUTCOMES; i++) {
		json_t *object;

		if (counts[i] == 0)
			continue;
		object = json_object();
		json_object_set_new(
		    object, "outcome", json_string(stats_counter_name(STATS_OUTCOME_FIRST + i)));
		json_object_set_new(object, "count", status_number(counts[i]));
		for (unsigned span = 0; span < STATS_SPANS; span++)
			json_object_set_new(object, stats_span_name(span),
			    status_stats_times(&all->times[i][span], merged));
		json_array_append_new(list, object);
	}
	free(all);
	return list;
}

/* ---- what is so now ---- */

/* Busy and idle ones may be given out; starting ones may not yet, and what ends may no more. */
static json_t *
status_stats_instances(const struct service *service)
{
	unsigned busy = 0, idle = 0, starting = 0;

	for (unsigned i = 0; i < service->count; i++) {
		const struct instance *instance = &service->instances[i];
		struct pool_view view;

		if (!instance_is_live(instance))
			continue;
		pool_peek(service->pool, instance->slot, &view);
		if (!instance->offered)
			starting++;
		else if (view.incarnation == instance->incarnation && view.state == POOL_LEASED)
			busy++;
		else
			idle++;
	}
	return json_pack("{s:i, s:i, s:i, s:i}", "all", (int)service->size.wanted, "busy",
	    (int)busy, "idle", (int)idle, "starting", (int)starting);
}

static json_t *
status_stats_now(const struct service *service, const struct stats *stats)
{
	const struct conf_service *conf = service->conf;
	struct pool_figures figures = {0};
	json_t *object = json_object();

	if (service->pool != NULL)
		pool_figures(service->pool, &figures);
	json_object_set_new(object, "connections", status_number(stats_open(stats)));
	json_object_set_new(object, "max_connections", status_number(conf->max_connections));
	json_object_set_new(object, "under_way", status_number(stats_under_way(stats)));
	json_object_set_new(object, "waiting", status_number(figures.waiting));
	json_object_set_new(object, "queue", status_number(conf->queue));
	json_object_set_new(object, "violations", status_number(figures.violations));
	json_object_set_new(object, "instances", status_stats_instances(service));
	return object;
}

/* ---- the command ---- */

static json_t *
status_stats_service(const struct master *master, const struct service *service)
{
	const struct stats *stats = service->stats;
	unsigned share = STATUS_STATS_BUCKETS / (master->conf->service_count + 1);
	json_t *object = json_object();

	json_object_set_new(object, "name", json_string(service->conf->name));
	json_object_set_new(object, "counters", status_counters(stats));
	json_object_set_new(object, "now", status_stats_now(service, stats));
	json_object_set_new(object, "outcomes", status_stats_outcomes(stats, share));
	return object;
}

json_t *
status_stats_answer(void *arg, const json_t *request, struct control_ask *ask)
{
	const struct master *master = arg;
	json_t *list = json_array();

	(void)request;
	(void)ask;
	for (unsigned i = 0; i < master->conf->service_count; i++)
		json_array_append_new(
		    list, status_stats_service(master, master->current->services[i]));
	return control_done(json_pack("{s:o, s:o, s:o}", "time", status_number(clock_now()),
	    "started", status_number(master->started), "services", list));
}
