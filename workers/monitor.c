/*
 * Reads counters and pools that other processes write just now. Owns nothing but what it read;
 * takes no lock and changes nothing.
 */
#include "workers/monitor.h"

#include "common/clock.h"
#include "common/log.h"
#include "common/mem.h"
#include "ipc/pool.h"
#include "workers/worker.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MONITOR_PRINT_MAX 1024

const char *
monitor_verdict_text(enum monitor_verdict verdict)
{
	static const char *const texts[] = {
#define X(constant, text) [MONITOR_##constant] = text,
	    MONITOR_VERDICTS(X)
#undef X
	};

	return texts[verdict];
}

/* ---- reading ---- */

/* A request is counted before its outcome, so outcomes are read first: they never are too many. */
static void
monitor_count(struct monitor_service *service, const struct stats *stats)
{
	for (unsigned i = COUNTER_COUNT; i-- > 0;)
		service->counters[i] = stats_total(stats, (enum counter)i);
	service->connections = stats_open(stats);
	service->under_way = stats_under_way(stats);
	for (unsigned i = 0; i < STAFF_COUNT; i++)
		service->staff[i] = stats_staff(stats, (enum stats_staff)i);
}

static void
monitor_count_instances(struct monitor_service *service, const struct pool *pool)
{
	unsigned slots = pool_slots(pool);
	struct pool_figures figures;
	struct pool_view view;

	pool_figures(pool, &figures);
	service->has_instances = true;
	service->waiting = figures.waiting;
	service->violations = figures.violations;
	for (unsigned i = 0; i < slots; i++) {
		(void)pool_peek(pool, i, &view);
		service->busy += view.state == POOL_LEASED;
		service->idle += view.state == POOL_FREE;
	}
}

static const char *
monitor_state(const struct monitor_service *service)
{
	if (!service->has_instances)
		return "ready";
	if (service->staff[STAFF_looping] != 0)
		return "backing off";
	return service->busy + service->idle > 0 ? "ready" : "starting";
}

/*
 * Whether the next request would be taken. That all instances are busy is no reason against it:
 * the line is there for that.
 */
static enum monitor_verdict
monitor_judge(const struct monitor_service *service)
{
	const struct conf_service *conf = service->conf;

	if (service->has_instances && service->busy + service->idle == 0)
		return MONITOR_NO_INSTANCE;
	if (service->has_instances && service->idle == 0 && service->waiting >= conf->queue)
		return MONITOR_LINE_IS_FULL;
	if (service->connections >= conf->max_connections)
		return MONITOR_CONNECTIONS;
	return MONITOR_READY;
}

static void
monitor_read_service(
    struct monitor_service *service, const struct worker_start *start, unsigned index)
{
	service->conf = &start->conf->services[index];
	service->stats = start->stats[index];
	monitor_count(service, service->stats);
	if (start->pools != NULL && start->pools[index] != NULL)
		monitor_count_instances(service, start->pools[index]);
	service->state = monitor_state(service);
	service->verdict = monitor_judge(service);
}

void
monitor_read(struct monitor *monitor, const struct worker_start *start, bool stopping)
{
	unsigned count = start->conf->service_count;

	*monitor = (struct monitor){.time = clock_now(),
	    .began = start->sum->shared->began,
	    .began_date = start->sum->shared->began_date,
	    .workers = stats_serving(start->sum),
	    .connections = stats_open(start->sum),
	    .max_connections = start->max_connections,
	    .services = mem_alloc(count, sizeof(*monitor->services)),
	    .service_count = count};
	for (unsigned i = 0; i < count; i++) {
		struct monitor_service *service = &monitor->services[i];

		monitor_read_service(service, start, i);
		if (stopping)
			service->verdict = MONITOR_STOPPING;
		else if (monitor->connections >= monitor->max_connections)
			service->verdict = MONITOR_ALL_CONNECTIONS;
		if (monitor->verdict == MONITOR_READY)
			monitor->verdict = service->verdict;
	}
}

void
monitor_close(struct monitor *monitor)
{
	free(monitor->services);
	monitor->services = NULL;
	monitor->service_count = 0;
}

const struct monitor_service *
monitor_find(const struct monitor *monitor, const char *name, size_t length)
{
	for (unsigned i = 0; i < monitor->service_count; i++) {
		const char *own = monitor->services[i].conf->name;

		if (strlen(own) == length && memcmp(own, name, length) == 0)
			return &monitor->services[i];
	}
	return NULL;
}

/* ---- writing ---- */

void
monitor_print(struct buf *out, const char *format, ...)
{
	char *to = buf_reserve(out, MONITOR_PRINT_MAX);
	va_list list;
	int length;

	va_start(list, format);
	length = vsnprintf(to, MONITOR_PRINT_MAX, format, list);
	va_end(list);
	if (length < 0 || length >= MONITOR_PRINT_MAX)
		fatalx("a line about the daemon is too long");
	buf_added(out, (size_t)length);
}
