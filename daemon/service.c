/*
 * Keeps a service's instances complete: starts them at a bounded rate, waits longer and longer when
 * they die one after another, and says so once. Never touches a running instance but through
 * instance.c.
 */
#include "daemon/service.h"

#include "common/log.h"
#include "common/mem.h"
#include "daemon/environment.h"
#include "daemon/master.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

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

bool
service_open(struct service *service, struct master *master, unsigned index,
    struct instance *instances, char *why, size_t why_size)
{
	const struct conf_service *conf = &master->conf->services[index];
	uid_t uid;

	*service = (struct service){.master = master,
	    .conf = conf,
	    .index = index,
	    .pool = master->pools[index],
	    .instances = instances,
	    .count = service_instances(conf)};
	backoff_rate_open(&service->rate, conf->start_rate);
	if (service->count == 0)
		return true;
	if (!priv_for_service(&service->priv, master->conf, conf, why, why_size))
		return false;
	service_plan(service);
	uid = service->priv.set_uid ? service->priv.uid : geteuid();
	for (unsigned i = 0; i < service->count; i++) {
		struct instance *instance = &instances[i];

		*instance = (struct instance){.service = service,
		    .index = (unsigned)(instance - master->instances),
		    .slot = i,
		    .since = master->started,
		    .fds = {-1, -1},
		    .output = {.fd = -1}};
		instance->env = environment_new(conf->name, i, uid, conf->env);
	}
	return true;
}

void
service_close(struct service *service)
{
	for (unsigned i = 0; i < service->count; i++)
		environment_free(service->instances[i].env);
	backoff_rate_close(&service->rate);
	priv_close(&service->priv);
}

/* ---- starting again ---- */

/* Good replies over all instances, dead ones too. */
static uint64_t
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

void
service_note_death(
    struct service *service, const struct instance *instance, uint64_t started, uint64_t now)
{
	/* What the living reply does not make a program startable. */
	uint64_t good = service->cannot_start ? service->loop.good : service_good_replies(service);
	bool tell = instance->last_said[0] != '\0';

	if (!backoff_loop_death(&service->loop, now, started, good))
		return;
	log_warnx("service %s: its instances die one after another: %s%s%s; next try in %.1fs, "
		  "then less and less often, at least every %llus",
	    service->conf->name, instance->last_exit, tell ? "; last said: " : "",
	    tell ? instance->last_said : "",
	    (double)(service->loop.not_before - now) / (double)CLOCK_SECOND,
	    (unsigned long long)(BACKOFF_MOST / CLOCK_SECOND));
}

/* A loop ends with a good reply, or when an instance simply lives on. */
static void
service_look(struct service *service, uint64_t now)
{
	bool ended;

	if (!backoff_loop_is_on(&service->loop) || service->cannot_start)
		return;
	ended = backoff_loop_look(&service->loop, service_good_replies(service));
	for (unsigned i = 0; i < service->count && !ended; i++) {
		const struct instance *instance = &service->instances[i];

		if (instance->state == INSTANCE_RUNNING &&
		    now > instance->since + BACKOFF_LONG_LIFE)
			ended = backoff_loop_end(&service->loop);
	}
	if (ended)
		log_info("service %s: works again", service->conf->name);
}

/* The first time at which one more may be started. */
static uint64_t
service_start_time(const struct service *service)
{
	uint64_t time = backoff_rate_time(&service->rate);

	return time > service->loop.not_before ? time : service->loop.not_before;
}

static uint64_t
service_start_due(struct service *service, uint64_t now)
{
	struct master *master = service->master;

	/* While the pool waits to be made new, or nobody would kill them, nothing is started. */
	if (service->is_damaged || master->guardian.pid == 0 ||
	    (master->stop.phase != STOP_NONE && master->stop.phase != STOP_DRAINING))
		return MASTER_NEVER;
	for (unsigned i = 0; i < service->count; i++) {
		uint64_t time = service_start_time(service);

		if (service->instances[i].state != INSTANCE_EMPTY)
			continue;
		if (time > now)
			return time;
		instance_start(&service->instances[i], now);
		/* It could not be started: the next try is another turn's. */
		if (service->instances[i].state == INSTANCE_EMPTY)
			return now;
	}
	return MASTER_NEVER;
}

uint64_t
service_turn(struct service *service, uint64_t now)
{
	uint64_t next = MASTER_NEVER;

	service_look(service, now);
	for (unsigned i = 0; i < service->count; i++) {
		uint64_t time = instance_turn(&service->instances[i], now);

		next = time < next ? time : next;
	}
	if (service->count > 0) {
		uint64_t time = service_start_due(service, now);

		next = time < next ? time : next;
	}
	return next;
}

void
service_start_over(struct service *service)
{
	for (unsigned i = 0; i < service->count; i++)
		instance_kill(&service->instances[i], "belongs to a pool that was damaged");
	pool_reset(service->pool);
	service->is_damaged = false;
	log_warnx("service %s: its pool was damaged and starts over", service->conf->name);
}
