/*
 * Turns the master's books into JSON. Reads pools and statistics without a lock, so figures of one
 * moment may differ by one; changes nothing.
 */
#include "daemon/status.h"

#include "common/clock.h"
#include "common/escape.h"
#include "common/mem.h"
#include "daemon/listing.h"
#include "daemon/master.h"
#include "daemon/settings.h"
#include "daemon/status_stats.h"

#include <stdlib.h>
#include <string.h>

json_t *
status_string(const char *text)
{
	size_t length = text != NULL ? strlen(text) : 0;
	json_t *value;
	char *safe;

	if (text == NULL)
		return json_null();
	safe = mem_alloc(ESCAPE_MOST * length + 1, 1);
	value = json_stringn(safe, escape_text(safe, text, length));
	free(safe);
	return value != NULL ? value : json_null();
}

json_t *
status_text(const char *text)
{
	return text != NULL && text[0] != '\0' ? status_string(text) : json_null();
}

json_t *
status_seconds(uint64_t from, uint64_t to)
{
	/* Whole milliseconds: nobody needs sixteen digits. */
	return json_real(to > from ? (double)((to - from) / CLOCK_MS) / 1000.0 : 0.0);
}

json_t *
status_pid(pid_t pid)
{
	return pid > 0 ? json_integer(pid) : json_null();
}

json_t *
status_number(uint64_t number)
{
	return json_integer(number < INT64_MAX ? (json_int_t)number : INT64_MAX);
}

/* ---- services ---- */

static json_t *
status_addresses(const struct master *master, unsigned service)
{
	const struct listen_set *listen = &master->current->listen;
	json_t *list = json_array();
	char text[ADDR_TEXT_MAX];

	for (unsigned i = 0; i < listen->count; i++)
		if (listen_serves(listen, master->current->conf, i, service))
			json_array_append_new(
			    list, status_text(addr_format(&listen->sockets[i]->addr, text)));
	return list;
}

json_t *
status_counters(const struct stats *stats)
{
	json_t *counters = json_object();

	for (int i = 0; i < COUNTER_COUNT; i++)
		json_object_set_new(counters, stats_counter_name((enum counter)i),
		    status_number(stats_total(stats, (enum counter)i)));
	return counters;
}

static const char *
status_service_state(const struct service *service)
{
	if (service->count == 0)
		return "ready";
	if (backoff_loop_is_on(&service->loop))
		return "backing off";
	for (unsigned i = 0; i < service->count; i++)
		if (service->instances[i].offered)
			return "ready";
	return "starting";
}

static json_t *
status_service(const struct master *master, unsigned index, uint64_t now)
{
	const struct service *service = master->current->services[index];
	const struct conf_service *conf = service->conf;
	bool is_http = protocol_is_http(conf->protocol);
	struct pool_figures figures = {0};
	json_t *object = json_object();

	if (service->pool != NULL)
		pool_figures(service->pool, &figures);
	json_object_set_new(object, "name", status_text(conf->name));
	json_object_set_new(object, "protocol", json_string(protocol_name(conf->protocol)));
	json_object_set_new(object, "handler", json_string(handler_name(conf->handler)));
	json_object_set_new(object, "listen", status_addresses(master, index));
	json_object_set_new(object, "path", status_text(is_http ? conf->path : NULL));
	json_object_set_new(object, "host", status_text(is_http ? conf->host : NULL));
	json_object_set_new(object, "command", status_text(conf->command));
	json_object_set_new(object, "state", json_string(status_service_state(service)));
	json_object_set_new(object, "backoff", status_seconds(now, service->loop.not_before));
	json_object_set_new(object, "connections", status_number(stats_open(service->stats)));
	json_object_set_new(object, "max_connections", status_number(conf->max_connections));
	json_object_set_new(object, "waiting", status_number(figures.waiting));
	json_object_set_new(object, "queue", status_number(conf->queue));
	json_object_set_new(object, "grants", status_number(figures.grants));
	json_object_set_new(object, "refused", status_number(figures.refused));
	json_object_set_new(object, "violations", status_number(figures.violations));
	json_object_set_new(object, "rebuilds", status_number(figures.rebuilds));
	json_object_set_new(object, "counters", status_counters(service->stats));
	json_object_set_new(object, "wanted", status_number(service->size.wanted));
	json_object_set_new(object, "least", status_number(service_least(service)));
	json_object_set_new(object, "most", status_number(service_most(service)));
	json_object_set_new(object, "recycled", status_number(service->size.recycled));
	json_object_set_new(object, "instances", status_instances(service, now));
	return object;
}

static json_t *
status_services(const struct master *master, uint64_t now)
{
	json_t *list = json_array();

	for (unsigned i = 0; i < master->conf->service_count; i++)
		json_array_append_new(list, status_service(master, i, now));
	return list;
}

/* ---- workers ---- */

static json_t *
status_worker(const struct master *master, const struct slot *slot, uint64_t now)
{
	static const char *const states[] = {
	    [SLOT_WAITING] = "waiting",
	    [SLOT_STARTING] = "starting",
	    [SLOT_READY] = "ready",
	    [SLOT_DRAINING] = "draining",
	};
	uint64_t open = 0;

	if (slot->pid > 0)
		open = atomic_load(&stats_row(master->sum, slot->id)->open);
	return json_pack("{s:i, s:i, s:i, s:o, s:s, s:o, s:o, s:i, s:o}", "worker",
	    (int)slot->place, "generation", (int)slot->generation->number, "id", (int)slot->id,
	    "pid", status_pid(slot->pid), "state", states[slot->state], "age",
	    status_seconds(slot->since, now), "connections", status_number(open), "starts",
	    (int)slot->starts, "last_exit", status_text(slot->last_exit));
}

static json_t *
status_workers(const struct master *master, uint64_t now)
{
	const struct generation *generation;
	json_t *list = json_array();

	TAILQ_FOREACH (generation, &master->generations, entry)
		for (unsigned i = 0; i < generation->slot_count; i++)
			if (slot_is_wanted(&generation->slots[i]) || generation->slots[i].pid > 0)
				json_array_append_new(
				    list, status_worker(master, &generation->slots[i], now));
	return list;
}

/* ---- reload ---- */

static json_t *
status_reload(const struct reload *reload)
{
	return json_pack("{s:s, s:i, s:i, s:o}", "state", reload_phase_name(reload->phase), "count",
	    (int)reload->count, "failed", (int)reload->failed, "last_error",
	    status_text(reload->last_error));
}

/* ---- the commands ---- */

static json_t *
status_answer(void *arg, const json_t *request, struct control_ask *ask)
{
	static const char *const states[] = {
	    [MASTER_STARTING] = "starting",
	    [MASTER_RUNNING] = "running",
	    [MASTER_STOPPING] = "stopping",
	};
	const struct master *master = arg;
	uint64_t now = clock_now();

	(void)request;
	(void)ask;
	return control_done(json_pack(
	    "{s:s, s:o, s:o, s:s, s:o, s:o, s:s, s:i, s:i, s:o, s:o, s:o, s:o, s:o, s:{s:o}}",
	    "version", PACKAGE_VERSION, "pid", status_pid(master->pid), "uptime",
	    status_seconds(master->started, now), "state", states[master->state], "file",
	    status_text(master->conf->file), "control", status_text(master->control_path),
	    "event_backend", backend_name(master->backend), "max_connections",
	    (int)master->current->max_connections, "generation", (int)master->current->number,
	    "generations", status_generations(master, now), "reload",
	    status_reload(&master->reload), "upgrade", upgrade_status(&master->upgrade), "services",
	    status_services(master, now), "workers", status_workers(master, now), "guardian", "pid",
	    status_pid(master->guardian.pid)));
}

static json_t *
status_answer_version(void *arg, const json_t *request, struct control_ask *ask)
{
	const struct master *master = arg;

	(void)request;
	(void)ask;
	return control_done(
	    json_pack("{s:s, s:o}", "version", PACKAGE_VERSION, "pid", status_pid(master->pid)));
}

static json_t *
status_answer_services(void *arg, const json_t *request, struct control_ask *ask)
{
	(void)request;
	(void)ask;
	return control_done(json_pack("{s:o}", "services", status_services(arg, clock_now())));
}

static json_t *
status_answer_workers(void *arg, const json_t *request, struct control_ask *ask)
{
	(void)request;
	(void)ask;
	return control_done(json_pack("{s:o}", "workers", status_workers(arg, clock_now())));
}

/* Of all services in one list, each with the name of its own. */
static json_t *
status_answer_instances(void *arg, const json_t *request, struct control_ask *ask)
{
	json_t *services = status_services(arg, clock_now());
	json_t *list = json_array();
	json_t *service, *instance;
	size_t i, j;

	(void)request;
	(void)ask;
	json_array_foreach(services, i, service)
	{
		json_array_foreach(json_object_get(service, "instances"), j, instance)
		{
			json_t *row =
			    json_pack("{s:O}", "service", json_object_get(service, "name"));

			json_object_update(row, instance);
			json_array_append_new(list, row);
		}
	}
	json_decref(services);
	return control_done(json_pack("{s:o}", "instances", list));
}

static json_t *
status_trace_service(const struct service *service)
{
	/* The newest; all services share one bound, so that the reply stays below 2 MiB. */
	unsigned most = POOL_TRACE / service->master->conf->service_count + 16;
	struct pool_trace *trace = mem_alloc(most, sizeof(*trace));
	json_t *list = json_array();
	unsigned count = service->pool != NULL ? pool_trace(service->pool, trace, most) : 0;

	for (unsigned i = 0; i < count; i++)
		json_array_append_new(list,
		    json_pack("{s:I, s:I, s:i, s:I, s:i, s:i}", "arrival",
			(json_int_t)trace[i].arrival, "time", (json_int_t)trace[i].time, "slot",
			(int)trace[i].slot, "incarnation", (json_int_t)trace[i].incarnation,
			"worker", (int)trace[i].worker, "again", (int)trace[i].again));
	free(trace);
	return json_pack("{s:o, s:o}", "name", status_text(service->conf->name), "grants", list);
}

static json_t *
status_answer_trace(void *arg, const json_t *request, struct control_ask *ask)
{
	const struct master *master = arg;
	json_t *list = json_array();

	(void)request;
	(void)ask;
	for (unsigned i = 0; i < master->conf->service_count; i++)
		json_array_append_new(list, status_trace_service(master->current->services[i]));
	return control_done(json_pack("{s:o}", "services", list));
}

const struct control_command status_commands[] = {
    {"status", status_answer, NULL, false},
    {"version", status_answer_version, NULL, false},
    {"services", status_answer_services, NULL, false},
    {"workers", status_answer_workers, NULL, false},
    {"instances", status_answer_instances, NULL, false},
    {"generations", status_answer_generations, NULL, false},
    {"connections", listing_answer, NULL, true},
    {"config", settings_answer, NULL, false},
    {"stats", status_stats_answer, NULL, false},
    {"trace", status_answer_trace, NULL, false},
    {NULL, NULL, NULL, false},
};
