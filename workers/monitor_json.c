/*
 * Figures as the page reads them, and any program that likes JSON: the shape of the control
 * protocol's `stats`, with what `status` tells of a service in front. Names of services need no
 * escapes: hostler.conf(5) says what they are made of.
 */
#include "workers/monitor.h"

#include "common/mem.h"

#include <inttypes.h>
#include <stdlib.h>

static const char *
monitor_truth(bool truth)
{
	return truth ? "true" : "false";
}

/* ---- times ---- */

/* Neighbours that are told as one, so that many services make no longer text than they must. */
static unsigned
monitor_merged(const struct monitor *monitor)
{
	return monitor->service_count <= 16   ? 4
	       : monitor->service_count <= 64 ? 8
					      : HISTOGRAM_STEPS;
}

static void
monitor_json_buckets(struct buf *out, const struct histogram *times, unsigned merged)
{
	const char *between = "";

	for (unsigned first = 0; first < HISTOGRAM_SIZE; first += merged) {
		uint64_t count = 0;

		for (unsigned i = first; i < first + merged; i++)
			count += times->buckets[i];
		if (count == 0)
			continue;
		monitor_print(out, "%s[%" PRIu64 ",%" PRIu64 "]", between,
		    histogram_upper(first + merged - 1), count);
		between = ",";
	}
}

static void
monitor_json_times(
    struct buf *out, const char *name, const struct histogram *times, unsigned merged)
{
	monitor_print(out,
	    ",\"%s\":{\"count\":%" PRIu64 ",\"sum\":%" PRIu64 ",\"max\":%" PRIu64
	    ",\"p50\":%" PRIu64 ",\"p90\":%" PRIu64 ",\"p99\":%" PRIu64 ",\"p999\":%" PRIu64
	    ",\"buckets\":[",
	    name, times->count, times->sum, times->max, histogram_percentile(times, 50),
	    histogram_percentile(times, 90), histogram_percentile(times, 99),
	    histogram_percentile(times, 99.9));
	monitor_json_buckets(out, times, merged);
	monitor_print(out, "]}");
}

static void
monitor_json_outcomes(struct buf *out, const struct monitor_service *service, unsigned merged)
{
	struct histogram *times = mem_alloc(1, sizeof(*times));
	const char *between = "";

	for (unsigned i = 0; i < STATS_OUTCOMES; i++) {
		enum counter outcome = STATS_OUTCOME_FIRST + i;

		if (service->counters[outcome] == 0)
			continue;
		monitor_print(out, "%s{\"outcome\":\"%s\",\"count\":%" PRIu64, between,
		    stats_counter_name(outcome), service->counters[outcome]);
		for (unsigned span = 0; span < STATS_SPANS; span++) {
			*times = (struct histogram){0};
			stats_read_times(service->stats, outcome, (enum stats_span)span, times);
			monitor_json_times(
			    out, stats_span_name((enum stats_span)span), times, merged);
		}
		monitor_print(out, "}");
		between = ",";
	}
	free(times);
}

/* ---- a service ---- */

static void
monitor_json_now(struct buf *out, const struct monitor_service *service)
{
	monitor_print(out,
	    "\"now\":{\"connections\":%" PRIu64 ",\"max_connections\":%u,\"under_way\":%" PRIu64
	    ",\"waiting\":%" PRIu64 ",\"queue\":%u,\"violations\":%" PRIu64,
	    service->connections, service->conf->max_connections, service->under_way,
	    service->waiting, service->conf->queue, service->violations);
	monitor_print(out,
	    ",\"instances\":{\"all\":%" PRIu64 ",\"busy\":%" PRIu64 ",\"idle\":%" PRIu64
	    ",\"starting\":%" PRIu64 "}}",
	    service->staff[STAFF_wanted], service->busy, service->idle,
	    service->staff[STAFF_starting]);
}

static void
monitor_json_service(struct buf *out, const struct monitor_service *service, unsigned merged)
{
	const struct conf_service *conf = service->conf;
	bool is_ready = service->verdict == MONITOR_READY;

	monitor_print(out,
	    "{\"name\":\"%s\",\"protocol\":\"%s\",\"handler\":\"%s\",\"state\":\"%s\",\"ready\":%s,"
	    "\"why\":\"%s\"",
	    conf->name, protocol_name(conf->protocol), handler_name(conf->handler), service->state,
	    monitor_truth(is_ready), is_ready ? "" : monitor_verdict_text(service->verdict));
	monitor_print(out,
	    ",\"starts\":%" PRIu64 ",\"failures\":%" PRIu64 ",\"recycled\":%" PRIu64
	    ",\"counters\":{",
	    service->staff[STAFF_starts], service->staff[STAFF_failures],
	    service->staff[STAFF_recycled]);
	for (unsigned i = 0; i < COUNTER_COUNT; i++)
		monitor_print(out, "%s\"%s\":%" PRIu64, i > 0 ? "," : "",
		    stats_counter_name((enum counter)i), service->counters[i]);
	monitor_print(out, "},");
	monitor_json_now(out, service);
	monitor_print(out, ",\"outcomes\":[");
	monitor_json_outcomes(out, service, merged);
	monitor_print(out, "]}");
}

void
monitor_write_json(struct buf *out, const struct monitor *monitor)
{
	monitor_print(out,
	    "{\"version\":\"%s\",\"time\":%" PRIu64 ",\"started\":%" PRIu64
	    ",\"state\":\"%s\",\"ready\":%s,\"workers\":%" PRIu64 ",\"connections\":%" PRIu64
	    ",\"max_connections\":%" PRIu64 ",\"services\":[",
	    PACKAGE_VERSION, monitor->time, monitor->began,
	    monitor->verdict == MONITOR_STOPPING ? "stopping" : "running",
	    monitor_truth(monitor->verdict == MONITOR_READY), monitor->workers,
	    monitor->connections, monitor->max_connections);
	for (unsigned i = 0; i < monitor->service_count; i++) {
		monitor_print(out, "%s", i > 0 ? "," : "");
		monitor_json_service(out, &monitor->services[i], monitor_merged(monitor));
	}
	monitor_print(out, "]}\n");
}
