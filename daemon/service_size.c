/*
 * How many instances a service has: as configured, more while requests wait, fewer when there is
 * nothing to do, or as many as somebody ordered. Nobody is taken out of a request: who goes is
 * retired. Starts nothing itself; service.c does, at its rate.
 */
#include "daemon/service.h"

#include "common/log.h"
#include "daemon/master.h"
#include "daemon/room.h"

#include <stdio.h>

#define SERVICE_PLACES_MIN 64           /* for `scale` and for replacements */
#define SERVICE_PROOF_TIME CLOCK_SECOND /* in which a program that cannot work dies */

unsigned
service_capacity(const struct conf_service *conf)
{
	unsigned places = 2 * conf->instances;

	if (conf->handler != HANDLER_PROGRAM)
		return 0;
	if (places < SERVICE_PLACES_MIN)
		places = SERVICE_PLACES_MIN;
	return places < POOL_SLOTS_MAX ? places : POOL_SLOTS_MAX;
}

unsigned
service_least(const struct service *service)
{
	const struct service_size *size = &service->size;
	unsigned least = size->scaled > 0 ? size->scaled : service->conf->instances_min;

	return least < service->count ? least : service->count;
}

unsigned
service_most(const struct service *service)
{
	const struct service_size *size = &service->size;
	unsigned most = size->scaled > 0 ? size->scaled : service->conf->instances;

	return most < service->count ? most : service->count;
}

bool
service_scale(struct service *service, unsigned instances, char *why, size_t why_size)
{
	if (service->count == 0) {
		snprintf(why, why_size, "service %s has no instances: its handler is %s",
		    service->name, handler_name(service->conf->handler));
		return false;
	}
	if (instances < 1 || instances > service->count) {
		snprintf(why, why_size,
		    "service %s can have from 1 to %u instances; more need a larger instances = "
		    "and a reload",
		    service->name, service->count);
		return false;
	}
	if (!room_for_instances(service->master, service, instances, why, why_size))
		return false;
	log_info("service %s: scaled to %u instance%s until the next reload", service->name,
	    instances, instances == 1 ? "" : "s");
	service->size.scaled = service->size.wanted = instances;
	return true;
}

/* Whether a worker has seen that it was offered, so that whoever waited may have it already. */
static bool
service_is_served_by(const struct instance *instance)
{
	struct pool_view view;

	(void)pool_peek(instance->service->pool, instance->slot, &view);
	return instance_is_live(instance) && instance->offered &&
	       view.incarnation == instance->incarnation;
}

/* Whether it is more than a process that may die in a moment: it has replied, or lives on. */
static bool
service_is_proven(const struct instance *instance, uint64_t now)
{
	return instance->service->conf->ready == READY_LINE || instance_requests(instance) > 0 ||
	       now >= instance->since + SERVICE_PROOF_TIME;
}

struct service_census
service_count(const struct service *service, uint64_t now)
{
	struct service_census census = {0};

	for (unsigned i = 0; i < service->size.used; i++) {
		const struct instance *instance = &service->instances[i];
		bool ready = service_is_served_by(instance);

		census.live += instance_is_live(instance);
		census.ready += ready;
		census.proven += ready && service_is_proven(instance, now);
	}
	return census;
}

void
service_tell(const struct service *service)
{
	unsigned starting = 0;

	for (unsigned i = 0; i < service->size.used; i++)
		starting +=
		    instance_is_live(&service->instances[i]) && !service->instances[i].offered;
	stats_set_staff(service->stats, STAFF_wanted, service->size.wanted);
	stats_set_staff(service->stats, STAFF_starting, starting);
	stats_set_staff(service->stats, STAFF_looping, backoff_loop_is_on(&service->loop));
}

unsigned
service_target(const struct service *service)
{
	unsigned target = service->size.wanted;

	/* What is worn out serves until its replacement does. */
	if (service->size.worn != NULL && instance_is_live(service->size.worn) &&
	    target < service->count)
		target++;
	return target;
}

/* ---- growing ---- */

/*
 * One more in a turn while more tickets wait than there are instances on their way, as fast as they
 * may be started: by then the line may be gone. Returns when to look again.
 */
static uint64_t
service_grow(
    struct service *service, const struct service_census *census, uint64_t waiting, uint64_t now)
{
	struct service_size *size = &service->size;
	unsigned target = service_target(service);
	uint64_t coming = target > census->ready ? target - census->ready : 0;
	uint64_t time = service_start_time(service);
	bool can = size->wanted < service_most(service) && !backoff_loop_is_on(&service->loop) &&
		   !service->cannot_start;

	/* Nobody needs to call while nothing could follow from it. */
	pool_set_hungry(service->pool, can && time <= now);
	if (!can || waiting <= coming)
		return MASTER_NEVER;
	if (time > now)
		return time;
	size->wanted++;
	return now;
}

/* ---- shrinking ---- */

/* Since when it has rested; it may have served between two looks, but then it has replied. */
static uint64_t
service_look_at_rest(struct instance *instance, uint64_t now)
{
	struct pool_view view;

	if (!pool_peek(instance->service->pool, instance->slot, &view) || view.state != POOL_FREE ||
	    view.served != instance->served)
		instance->rested = now;
	instance->served = view.served;
	return instance->rested;
}

static void
service_let_go(struct instance *instance, const char *why, uint64_t now)
{
	log_info("service %s: instance %u (pid %ld) is retired: %s", instance->service->name,
	    instance->slot, (long)instance->pid, why);
	instance_retire(instance, now);
}

/*
 * One fewer is wanted when one was not needed for instance_idle; the highest of those goes, unless
 * there are no more than that as it is. Returns when to look again.
 */
static uint64_t
service_shrink(
    struct service *service, const struct service_census *census, uint64_t waiting, uint64_t now)
{
	struct service_size *size = &service->size;
	uint64_t idle = service->conf->instance_idle, next = MASTER_NEVER;
	struct instance *bored = NULL;

	if (size->wanted <= service_least(service))
		return MASTER_NEVER;
	for (unsigned i = size->used; i-- > 0;) {
		struct instance *instance = &service->instances[i];
		uint64_t end;

		if (!instance_is_live(instance) || !instance->offered)
			continue;
		end = service_look_at_rest(instance, now) + idle;
		if (bored == NULL && now >= end)
			bored = instance;
		else if (end < next)
			next = end;
	}
	if (bored == NULL || waiting > 0)
		return next > now ? next : now + idle;
	size->wanted--;
	if (census->live > service_target(service))
		service_let_go(bored, "it was not needed for instance_idle", now);
	/* One in a turn; the next one may be due as well. */
	return now;
}

/* More than there shall be, by order or by a reload: those in the highest places go. */
static void
service_trim(struct service *service, const struct service_census *census, uint64_t now)
{
	unsigned target = service_target(service), live = census->live;
	struct instance *worn = service->size.worn;

	if (live > target && worn != NULL && instance_is_live(worn)) {
		service_let_go(worn, "there are more than needed", now);
		target = service_target(service);
		live--;
	}
	for (unsigned i = service->size.used; i-- > 0 && live > target;) {
		if (!instance_is_live(&service->instances[i]))
			continue;
		service_let_go(&service->instances[i], "there are more than needed", now);
		live--;
	}
}

/* ---- all of it ---- */

/* Places from `used` on are empty; only those before are looked at, here and by the workers. */
static void
service_set_used(struct service *service, unsigned used)
{
	service->size.used = used;
	pool_set_slots(service->pool, used > service->size.wanted ? used : service->size.wanted);
}

static void
service_fit_places(struct service *service)
{
	unsigned used = service->size.used;

	while (used > 0 && service->instances[used - 1].state == INSTANCE_EMPTY)
		used--;
	service_set_used(service, used);
}

void
service_note_place(struct service *service, unsigned slot)
{
	if (service->size.used <= slot)
		service_set_used(service, slot + 1);
}

void
service_size_adopt(struct service *service)
{
	struct service_size *size = &service->size;

	size->scaled = 0;
	if (size->wanted < service_least(service))
		size->wanted = service_least(service);
	if (size->wanted > service_most(service))
		size->wanted = service_most(service);
	service_set_used(service, size->used);
}

uint64_t
service_size_turn(struct service *service, uint64_t now)
{
	struct pool_figures figures;
	struct service_census census;
	uint64_t next, time;

	service_fit_places(service);
	/* In this order: who is served by one that came last does not wait any more. */
	census = service_count(service, now);
	pool_figures(service->pool, &figures);
	next = service_grow(service, &census, figures.waiting, now);
	time = service_shrink(service, &census, figures.waiting, now);
	next = time < next ? time : next;
	time = service_recycle(service, now);
	next = time < next ? time : next;
	census = service_count(service, now);
	service_trim(service, &census, now);
	return next;
}
