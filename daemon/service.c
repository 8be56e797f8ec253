/*
 * Keeps a service's instances complete: starts them at a bounded rate, and less often while they
 * die one after another (service_loop.c). Never touches a running instance but through instance.c.
 */
#include "daemon/service.h"

#include "common/clock.h"
#include "common/log.h"
#include "common/mem.h"
#include "daemon/environment.h"
#include "daemon/master.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SERVICE_QUEUE 16384 /* a pool is made for a line of so many, to be changed in place */
/* In which one turn of the master may start programs. */
#define SERVICE_STARTS_TIME (50 * CLOCK_MS)

static const int service_resources[CONF_LIMIT_COUNT] = {
    [CONF_LIMIT_NOFILE] = RLIMIT_NOFILE,
    [CONF_LIMIT_NPROC] = RLIMIT_NPROC,
    [CONF_LIMIT_AS] = RLIMIT_AS,
    [CONF_LIMIT_CPU] = RLIMIT_CPU,
    [CONF_LIMIT_FSIZE] = RLIMIT_FSIZE,
    [CONF_LIMIT_CORE] = RLIMIT_CORE,
    [CONF_LIMIT_STACK] = RLIMIT_STACK,
};

unsigned
service_instances(const struct conf_service *conf)
{
	return conf->handler == HANDLER_PROGRAM ? conf->instances : 0;
}

/* ---- life ---- */

static void
service_plan_limit(struct spawn_plan *plan, int resource, struct rlimit value)
{
	plan->limits[plan->limit_count].resource = resource;
	plan->limits[plan->limit_count].value = value;
	plan->limit_count++;
}

/* What is configured; without that, no core files and the descriptors of our own caller. */
static void
service_plan_limits(struct service *service)
{
	struct spawn_plan *plan = &service->plan;

	for (unsigned i = 0; i < CONF_LIMIT_COUNT; i++) {
		const struct conf_rlimit *limit = &service->conf->limits[i];

		/* setrlimit(2) counts CPU time in seconds, the configuration in nanoseconds. */
		rlim_t value = i == CONF_LIMIT_CPU ? limit->value / CLOCK_SECOND : limit->value;

		if (limit->set)
			service_plan_limit(
			    plan, service_resources[i], (struct rlimit){value, value});
		else if (i == CONF_LIMIT_NOFILE)
			service_plan_limit(plan, RLIMIT_NOFILE, service->master->nofile);
		else if (i == CONF_LIMIT_CORE)
			service_plan_limit(plan, RLIMIT_CORE, (struct rlimit){0, 0});
	}
}

static void
service_plan(struct service *service)
{
	const struct conf_service *conf = service->conf;

	service->plan = (struct spawn_plan){
	    .executable = conf->executable,
	    .argv = conf->argv,
	    .directory = conf->directory,
	    .set_gid = service->priv.set_gid,
	    .gid = service->priv.gid,
	    .groups = service->priv.groups,
	    .group_count = (size_t)service->priv.group_count,
	    .set_uid = service->priv.set_uid,
	    .uid = service->priv.uid,
	};
	service_plan_limits(service);
}

static struct pool *
service_new_pool(const struct service *service)
{
	const struct conf_service *conf = service->conf;
	struct pool_shape shape = {.slots = service_capacity(conf),
	    .queue = conf->queue > SERVICE_QUEUE ? conf->queue : SERVICE_QUEUE,
	    .batch = conf->concurrency != CONF_CONCURRENCY_AUTO ? conf->concurrency
								: CONF_CONCURRENCY_AUTO_MAX,
	    .workers = service->master->ids,
	    .lease_time = conf->request_timeout};

	return pool_new(&shape);
}

static void
service_new_instances(struct service *service)
{
	service->count = pool_capacity(service->pool);
	service->instances = mem_alloc(service->count, sizeof(*service->instances));
	for (unsigned i = 0; i < service->count; i++) {
		struct instance *instance = &service->instances[i];

		*instance = (struct instance){.service = service,
		    .slot = i,
		    .since = service->master->started,
		    .fds = {-1, -1},
		    .output = {.fd = -1}};
	}
}

char **
service_environment(const struct service *service, unsigned slot)
{
	uid_t uid = service->priv.set_uid ? service->priv.uid : geteuid();

	return environment_new(service->name, slot, uid, service->conf->env);
}

/* Makes what there is beside its pool. */
static bool
service_equip(struct service *service, char *why, size_t why_size)
{
	if (!priv_for_service(
		&service->priv, service->generation->conf, service->conf, why, why_size))
		return false;
	service_new_instances(service);
	service_plan(service);
	return true;
}

static bool
service_new_program(struct service *service, char *why, size_t why_size)
{
	service->pool = service_new_pool(service);
	if (service->pool != NULL)
		return service_equip(service, why, why_size);
	snprintf(
	    why, why_size, "service %s: cannot make its pool: %s", service->name, strerror(errno));
	return false;
}

/* The bare service, without a pool. */
static struct service *
service_begin(struct generation *generation, unsigned index)
{
	struct service *service = mem_alloc(1, sizeof(*service));

	service->master = generation->master;
	service->generation = generation;
	service->conf = &generation->conf->services[index];
	service->name = mem_strdup(service->conf->name);
	service->holders = 1;
	service->foreign.fd = -1;
	backoff_rate_open(&service->rate, service->conf->start_rate);
	TAILQ_INSERT_TAIL(&service->master->services, service, entry);
	return service;
}

struct service *
service_new(
    struct generation *generation, unsigned index, struct stats *stats, char *why, size_t why_size)
{
	struct service *service = service_begin(generation, index);

	service->stats = stats != NULL ? stats_hold(stats) : stats_new(service->master->ids);
	if (service->stats == NULL)
		snprintf(why, why_size, "service %s: cannot map memory for its counters: %s",
		    service->name, strerror(errno));
	else if (service_instances(service->conf) == 0 ||
		 service_new_program(service, why, why_size)) {
		service_adopt(service, generation, index);
		return service;
	}
	service_free(service);
	return NULL;
}

struct service *
service_restore(struct generation *generation, unsigned index, struct stats *stats,
    struct pool *pool, char *why, size_t why_size)
{
	struct service *service = service_begin(generation, index);

	service->pool = pool;
	if (pool == NULL || service_equip(service, why, why_size)) {
		service->stats = stats;
		return service;
	}
	service->pool = NULL;
	service_free(service);
	return NULL;
}

bool
service_is_foreign(const struct service *service)
{
	return service->foreign.fd >= 0;
}

void
service_free(struct service *service)
{
	TAILQ_REMOVE(&service->master->services, service, entry);
	for (unsigned i = 0; i < service->count; i++)
		environment_free(service->instances[i].env);
	backoff_rate_close(&service->rate);
	priv_close(&service->priv);
	pool_free(service->pool);
	if (service->foreign.fd >= 0)
		close(service->foreign.fd);
	stats_free(service->stats);
	free(service->instances);
	free(service->name);
	free(service);
}

void
service_hold(struct service *service)
{
	service->holders++;
}

void
service_release(struct service *service)
{
	if (--service->holders > 0)
		return;
	service->ending = true;
	if (service_processes(service) == 0)
		service_free(service);
	else
		service_stop(service, clock_now());
}

bool
service_can_adopt(const struct service *service, const struct conf_service *conf)
{
	unsigned places = conf->instances;

	if (service_is_foreign(service))
		return false;
	/* One is for replacements. */
	if (places < POOL_SLOTS_MAX)
		places++;
	return service->pool == NULL || pool_fits(service->pool, places, conf->queue);
}

void
service_adopt(struct service *service, struct generation *generation, unsigned index)
{
	const struct conf_service *conf = &generation->conf->services[index];

	service->generation = generation;
	service->conf = conf;
	if (service->pool == NULL)
		return;
	service_plan(service);
	pool_set_queue(service->pool, conf->queue);
	service_size_adopt(service);
	if (service->rate.rate == conf->start_rate)
		return;
	backoff_rate_close(&service->rate);
	backoff_rate_open(&service->rate, conf->start_rate);
}

/* ---- all of its instances ---- */

bool
service_is_up(const struct service *service, uint64_t now, uint64_t time)
{
	unsigned up = 0;

	for (unsigned i = 0; i < service->count; i++) {
		const struct instance *instance = &service->instances[i];

		up += instance->state == INSTANCE_RUNNING && instance->offered &&
		      now >= instance->since + time;
	}
	return up >= service_least(service);
}

unsigned
service_processes(const struct service *service)
{
	unsigned count = 0;

	for (unsigned i = 0; i < service->count; i++)
		count += service->instances[i].pid != 0;
	return count;
}

struct instance *
service_find(const struct service *service, pid_t pid)
{
	for (unsigned i = 0; i < service->count; i++)
		if (service->instances[i].pid == pid)
			return &service->instances[i];
	return NULL;
}

void
service_stop(struct service *service, uint64_t now)
{
	for (unsigned i = 0; i < service->count; i++)
		instance_stop(&service->instances[i], now);
}

void
service_kill(struct service *service, const char *why)
{
	for (unsigned i = 0; i < service->count; i++)
		instance_kill(&service->instances[i], why);
}

/* ---- starting again ---- */

uint64_t
service_good_replies(const struct service *service)
{
	struct pool_view view;
	uint64_t good = 0;

	for (unsigned i = 0; i < service->count; i++) {
		pool_peek(service->pool, i, &view);
		good += view.served;
	}
	return good;
}

bool
service_has_offered(const struct service *service)
{
	for (unsigned i = 0; i < service->size.used; i++)
		if (service->instances[i].state == INSTANCE_RUNNING &&
		    service->instances[i].offered)
			return true;
	return false;
}

uint64_t
service_start_time(const struct service *service)
{
	uint64_t time = backoff_rate_time(&service->rate);

	return time > service->loop.not_before ? time : service->loop.not_before;
}

unsigned
service_missing(const struct service *service)
{
	unsigned target = service_target(service), taken = 0;

	/* Whoever is being killed keeps his place until he is gone; the retired do not. */
	for (unsigned i = 0; i < service->size.used; i++) {
		const struct instance *instance = &service->instances[i];

		taken += instance->state != INSTANCE_EMPTY &&
			 instance->state != INSTANCE_STOPPING && !instance->retired;
	}
	return target > taken ? target - taken : 0;
}

static uint64_t
service_start_due(struct service *service, uint64_t now)
{
	struct master *master = service->master;
	unsigned missing;

	/* While the pool waits to be made new, or nobody would kill them, nothing is started. */
	if (service->is_damaged || master->guardian.pid == 0)
		return MASTER_NEVER;
	missing = service_missing(service);
	for (unsigned i = 0; i < service->count && missing > 0; i++) {
		uint64_t time = service_start_time(service);

		if (service->instances[i].state != INSTANCE_EMPTY)
			continue;
		if (time > now)
			return time;
		/* Other things are due as well: the rest is started in the next turn. */
		if (clock_now() > now + SERVICE_STARTS_TIME)
			return now;
		missing--;
		service_note_place(service, i);
		instance_start(&service->instances[i], now);
		/* It could not be started: the next try is another turn's. */
		if (service->instances[i].state == INSTANCE_EMPTY)
			return now;
	}
	return MASTER_NEVER;
}

/* Whether its instances have been told to end, with the daemon, its generation or before. */
static bool
service_is_ending(const struct service *service)
{
	enum stop_phase phase = service->master->stop.phase;

	return service->ending || service->generation->abandoned ||
	       (phase != STOP_NONE && phase != STOP_DRAINING);
}

uint64_t
service_turn(struct service *service, uint64_t now)
{
	uint64_t next = MASTER_NEVER, time;

	if (!service_is_foreign(service))
		service_look(service, now);
	for (unsigned i = 0; i < service->size.used; i++) {
		time = instance_turn(&service->instances[i], now);
		next = time < next ? time : next;
	}
	if (service->count > 0 && !service_is_foreign(service) && !service_is_ending(service)) {
		time = service_size_turn(service, now);
		next = time < next ? time : next;
		time = service_start_due(service, now);
		next = time < next ? time : next;
	}
	if (service->count > 0)
		service_tell(service);
	/* Nobody has it, and its last instance is gone. */
	if (service->ending && service_processes(service) == 0)
		service_free(service);
	return next;
}

void
service_start_over(struct service *service)
{
	service_kill(service, "belongs to a pool that was damaged");
	pool_reset(service->pool);
	service->is_damaged = false;
	log_warnx("service %s: its pool was damaged and starts over", service->name);
}
