/*
 * Figures as Prometheus reads them: text format 0.0.4. One family after the other, each with all
 * services, since its lines must stand together. Names of services need no escapes: hostler.conf(5)
 * says what they are made of.
 *
 * A counter that common/stats.h gets is told here by itself.
 */
#include "workers/monitor.h"

#include "common/clock.h"
#include "common/mem.h"

#include <inttypes.h>
#include <stdlib.h>

/* Upper bounds of the published buckets, ns; what is longer is in +Inf alone. */
static const struct {
	uint64_t most;
	const char *text; /* the same in seconds */
} monitor_bounds[] = {
    {100000, "0.0001"},
    {250000, "0.00025"},
    {500000, "0.0005"},
    {1000000, "0.001"},
    {2500000, "0.0025"},
    {5000000, "0.005"},
    {10000000, "0.01"},
    {25000000, "0.025"},
    {50000000, "0.05"},
    {100000000, "0.1"},
    {250000000, "0.25"},
    {500000000, "0.5"},
    {1000000000, "1"},
    {2500000000, "2.5"},
    {5000000000, "5"},
    {10000000000, "10"},
    {30000000000, "30"},
    {60000000000, "60"},
};

#define MONITOR_BOUNDS (sizeof(monitor_bounds) / sizeof(monitor_bounds[0]))

static void
monitor_write_family(struct buf *out, const char *name, const char *kind, const char *help)
{
	monitor_print(out, "# HELP hostler_%s %s\n# TYPE hostler_%s %s\n", name, help, name, kind);
}

/* ---- one figure ---- */

static void
monitor_write_gauge(struct buf *out, const char *name, const char *help, uint64_t value)
{
	monitor_write_family(out, name, "gauge", help);
	monitor_print(out, "hostler_%s %" PRIu64 "\n", name, value);
}

static void
monitor_write_daemon(struct buf *out, const struct monitor *monitor)
{
	monitor_write_family(out, "build_info", "gauge", "which hostlerd it is; always 1");
	monitor_print(out, "hostler_build_info{version=\"%s\"} 1\n", PACKAGE_VERSION);
	monitor_write_family(out, "start_time_seconds", "gauge", "when counting began, since 1970");
	monitor_print(out, "hostler_start_time_seconds %" PRIu64 ".%03u\n",
	    monitor->began_date / CLOCK_SECOND,
	    (unsigned)(monitor->began_date % CLOCK_SECOND / CLOCK_MS));
	monitor_write_gauge(
	    out, "workers", "worker processes that share the connections", monitor->workers);
	monitor_write_gauge(
	    out, "total_connections", "connections of all services open now", monitor->connections);
	monitor_write_gauge(out, "total_max_connections",
	    "connections of all services that may be open", monitor->max_connections);
	monitor_write_gauge(out, "ready", "whether every service would take a request now",
	    monitor->verdict == MONITOR_READY);
}

/* ---- one figure of each service ---- */

struct monitor_gauge {
	const char *name, *help;
	uint64_t (*value)(const struct monitor_service *service);
	bool of_instances; /* has no meaning without */
};

#define MONITOR_FIGURE(name, expression)                                                           \
	static uint64_t monitor_get_##name(const struct monitor_service *service)                  \
	{                                                                                          \
		return expression;                                                                 \
	}

MONITOR_FIGURE(ready, service->verdict == MONITOR_READY)
MONITOR_FIGURE(connections, service->connections)
MONITOR_FIGURE(max_connections, service->conf->max_connections)
MONITOR_FIGURE(under_way, service->under_way)
MONITOR_FIGURE(waiting, service->waiting)
MONITOR_FIGURE(queue, service->conf->queue)
MONITOR_FIGURE(violations, service->violations)
MONITOR_FIGURE(wanted, service->staff[STAFF_wanted])
MONITOR_FIGURE(looping, service->staff[STAFF_looping])

static const struct monitor_gauge monitor_gauges[] = {
    {"service_ready", "whether the service would take a request now", monitor_get_ready, false},
    {"connections", "connections open now", monitor_get_connections, false},
    {"max_connections", "connections that may be open", monitor_get_max_connections, false},
    {"under_way", "requests without an outcome yet", monitor_get_under_way, false},
    {"waiting", "requests that wait for an instance", monitor_get_waiting, true},
    {"queue", "requests that may wait for an instance", monitor_get_queue, true},
    {"instances_wanted", "instances that there are to be now", monitor_get_wanted, true},
    {"backing_off", "1 while instances die one after another", monitor_get_looping, true},
    {"pool_violations", "broken rules of the pool; always 0", monitor_get_violations, true},
};

static void
monitor_write_gauges(struct buf *out, const struct monitor *monitor)
{
	for (size_t i = 0; i < sizeof(monitor_gauges) / sizeof(monitor_gauges[0]); i++) {
		const struct monitor_gauge *gauge = &monitor_gauges[i];

		monitor_write_family(out, gauge->name, "gauge", gauge->help);
		for (unsigned j = 0; j < monitor->service_count; j++) {
			const struct monitor_service *service = &monitor->services[j];

			if (service->has_instances || !gauge->of_instances)
				monitor_print(out, "hostler_%s{service=\"%s\"} %" PRIu64 "\n",
				    gauge->name, service->conf->name, gauge->value(service));
		}
	}
}

static void
monitor_write_info(struct buf *out, const struct monitor *monitor)
{
	monitor_write_family(out, "service_info", "gauge", "what a service is; always 1");
	for (unsigned i = 0; i < monitor->service_count; i++) {
		const struct conf_service *conf = monitor->services[i].conf;

		monitor_print(out,
		    "hostler_service_info{service=\"%s\",protocol=\"%s\",handler=\"%s\"} 1\n",
		    conf->name, protocol_name(conf->protocol), handler_name(conf->handler));
	}
}

static void
monitor_write_instances(struct buf *out, const struct monitor *monitor)
{
	monitor_write_family(out, "instances", "gauge", "instances of the program, by state");
	for (unsigned i = 0; i < monitor->service_count; i++) {
		const struct monitor_service *service = &monitor->services[i];
		const struct {
			const char *state;
			uint64_t count;
		} states[] = {{"idle", service->idle}, {"busy", service->busy},
		    {"starting", service->staff[STAFF_starting]}};

		for (size_t j = 0; service->has_instances && j < 3; j++)
			monitor_print(out,
			    "hostler_instances{service=\"%s\",state=\"%s\"} %" PRIu64 "\n",
			    service->conf->name, states[j].state, states[j].count);
	}
}

/* ---- counters ---- */

static bool
monitor_is_outcome(enum counter counter)
{
	return counter == COUNTER_lost ||
	       (counter >= STATS_OUTCOME_FIRST && counter < STATS_OUTCOME_FIRST + STATS_OUTCOMES);
}

static void
monitor_write_counter(struct buf *out, const struct monitor *monitor, enum counter counter)
{
	const char *name = stats_counter_name(counter);

	monitor_print(out, "# HELP hostler_%s_total %s\n# TYPE hostler_%s_total counter\n", name,
	    stats_counter_help(counter), name);
	for (unsigned i = 0; i < monitor->service_count; i++)
		monitor_print(out, "hostler_%s_total{service=\"%s\"} %" PRIu64 "\n", name,
		    monitor->services[i].conf->name, monitor->services[i].counters[counter]);
}

/* All ends of requests are one family, so that a sum over them is all that ended. */
static void
monitor_write_outcomes(struct buf *out, const struct monitor *monitor)
{
	monitor_write_family(out, "outcomes_total", "counter", "requests that ended, by outcome");
	for (unsigned i = 0; i < monitor->service_count; i++)
		for (unsigned j = 0; j < COUNTER_COUNT; j++)
			if (monitor_is_outcome((enum counter)j))
				monitor_print(out,
				    "hostler_outcomes_total{service=\"%s\",outcome=\"%s\"} "
				    "%" PRIu64 "\n",
				    monitor->services[i].conf->name,
				    stats_counter_name((enum counter)j),
				    monitor->services[i].counters[j]);
}

static void
monitor_write_staff(struct buf *out, const struct monitor *monitor)
{
	static const struct {
		enum stats_staff what;
		const char *name, *help;
	} families[] = {
#define X(name, help) {STAFF_##name, #name, help},
	    STAFF(X)
#undef X
	};

	for (unsigned i = STAFF_starts; i < STAFF_COUNT; i++) {
		monitor_print(out,
		    "# HELP hostler_instance_%s_total %s\n# TYPE hostler_instance_%s_total "
		    "counter\n",
		    families[i].name, families[i].help, families[i].name);
		for (unsigned j = 0; j < monitor->service_count; j++)
			if (monitor->services[j].has_instances)
				monitor_print(out,
				    "hostler_instance_%s_total{service=\"%s\"} %" PRIu64 "\n",
				    families[i].name, monitor->services[j].conf->name,
				    monitor->services[j].staff[families[i].what]);
	}
}

/* ---- times ---- */

/*
 * Our own buckets are much finer and end elsewhere: each counts where its middle is, which is
 * within 1.6 % of the truth.
 */
static void
monitor_fold(const struct histogram *times, uint64_t counts[MONITOR_BOUNDS])
{
	unsigned bound = 0;

	for (unsigned i = 0; i < MONITOR_BOUNDS; i++)
		counts[i] = 0;
	for (unsigned i = 0; i < HISTOGRAM_SIZE; i++) {
		uint64_t lower = histogram_lower(i);
		uint64_t middle = lower + (histogram_upper(i) - lower) / 2;

		while (bound < MONITOR_BOUNDS && middle > monitor_bounds[bound].most)
			bound++;
		if (bound == MONITOR_BOUNDS)
			break;
		counts[bound] += times->buckets[i];
	}
	for (unsigned i = 1; i < MONITOR_BOUNDS; i++)
		counts[i] += counts[i - 1];
}

static void
monitor_write_times(
    struct buf *out, const char *span, const char *labels, const struct histogram *times)
{
	uint64_t counts[MONITOR_BOUNDS];

	monitor_fold(times, counts);
	for (unsigned i = 0; i < MONITOR_BOUNDS; i++)
		monitor_print(out, "hostler_%s_seconds_bucket{%s,le=\"%s\"} %" PRIu64 "\n", span,
		    labels, monitor_bounds[i].text, counts[i]);
	monitor_print(out, "hostler_%s_seconds_bucket{%s,le=\"+Inf\"} %" PRIu64 "\n", span, labels,
	    times->count);
	monitor_print(out, "hostler_%s_seconds_sum{%s} %" PRIu64 ".%09" PRIu64 "\n", span, labels,
	    times->sum / CLOCK_SECOND, times->sum % CLOCK_SECOND);
	monitor_print(
	    out, "hostler_%s_seconds_count{%s} %" PRIu64 "\n", span, labels, times->count);
}

/* Of outcomes that have happened. */
static void
monitor_write_span(struct buf *out, const struct monitor *monitor, enum stats_span span)
{
	static const char *const helps[] = {
#define X(name, help) help,
	    SPANS(X)
#undef X
	};
	struct histogram *times = mem_alloc(1, sizeof(*times));
	struct buf labels = {0};

	monitor_print(out,
	    "# HELP hostler_%s_seconds time %s\n# TYPE hostler_%s_seconds histogram\n",
	    stats_span_name(span), helps[span], stats_span_name(span));
	for (unsigned i = 0; i < monitor->service_count; i++)
		for (unsigned j = 0; j < STATS_OUTCOMES; j++) {
			const struct monitor_service *service = &monitor->services[i];

			if (service->counters[STATS_OUTCOME_FIRST + j] == 0)
				continue;
			*times = (struct histogram){0};
			stats_read_times(service->stats, STATS_OUTCOME_FIRST + j, span, times);
			monitor_print(&labels, "service=\"%s\",outcome=\"%s\"", service->conf->name,
			    stats_counter_name(STATS_OUTCOME_FIRST + j));
			buf_append(&labels, "", 1);
			monitor_write_times(out, stats_span_name(span), buf_bytes(&labels), times);
			buf_free(&labels);
		}
	free(times);
}

void
monitor_write_metrics(struct buf *out, const struct monitor *monitor)
{
	monitor_write_daemon(out, monitor);
	monitor_write_info(out, monitor);
	monitor_write_gauges(out, monitor);
	monitor_write_instances(out, monitor);
	for (unsigned i = 0; i < COUNTER_COUNT; i++)
		if (!monitor_is_outcome((enum counter)i))
			monitor_write_counter(out, monitor, (enum counter)i);
	monitor_write_outcomes(out, monitor);
	monitor_write_staff(out, monitor);
	for (unsigned span = 0; span < STATS_SPANS; span++)
		monitor_write_span(out, monitor, (enum stats_span)span);
}
