/*
 * Crash loops: what counts as one more failure of a service's program, and what as proof that it
 * works again. Owns nothing; backoff.c has the arithmetic, and service.c starts again.
 */
#include "daemon/service.h"

#include "common/clock.h"
#include "common/log.h"

#include <stdio.h>

static bool
service_has_replied(const struct service *service, const struct instance *instance)
{
	struct pool_view view;

	(void)pool_peek(service->pool, instance->slot, &view);
	return view.served > instance->served_before;
}

/* Whether the program, as it is started now, can do its work: one since the last failure did. */
static bool
service_works(const struct service *service)
{
	for (unsigned i = 0; i < service->size.used; i++) {
		const struct instance *instance = &service->instances[i];

		if (instance->pid != 0 && instance->since > service->loop.failed &&
		    service_has_replied(service, instance))
			return true;
	}
	return false;
}

void
service_note_death(
    struct service *service, const struct instance *instance, uint64_t started, uint64_t now)
{
	bool works = !service->cannot_start &&
		     (service_has_replied(service, instance) || service_works(service));
	bool tell = instance->last_said[0] != '\0';

	service->failures++;
	stats_count_staff(service->stats, STAFF_failures);
	snprintf(service->last_exit, sizeof(service->last_exit), "%s", instance->last_exit);
	snprintf(service->last_said, sizeof(service->last_said), "%s", instance->last_said);
	if (!backoff_loop_death(&service->loop, now, started, works))
		return;
	log_warnx("service %s: its instances die one after another: %s%s%s; next try in %.1fs, "
		  "then less and less often, at least every %llus",
	    service->name, instance->last_exit, tell ? "; last said: " : "",
	    tell ? instance->last_said : "",
	    (double)(service->loop.not_before - now) / (double)CLOCK_SECOND,
	    (unsigned long long)(BACKOFF_MOST / CLOCK_SECOND));
}

/* Starts that failed are over when one has gone well, be it asked for anything or not. */
static void
service_look_at_starts(struct service *service, uint64_t now)
{
	bool tries = service_missing(service) > 0, can = false;

	for (unsigned i = 0; i < service->size.used && !can; i++) {
		const struct instance *instance = &service->instances[i];

		if (!instance_is_live(instance) || instance->since <= service->loop.failed)
			continue;
		tries = true;
		can = instance->offered && now >= instance->since + INSTANCE_TRIAL;
	}
	/* Where nobody is to be started any more, nobody will show whether that is possible. */
	if (tries && !can)
		return;
	service->cannot_start = false;
	if (backoff_loop_end(&service->loop) && can)
		log_info("service %s: works again", service->name);
}

void
service_look(struct service *service, uint64_t now)
{
	bool ended;

	if (service->cannot_start)
		service_look_at_starts(service, now);
	if (!backoff_loop_is_on(&service->loop) || service->cannot_start)
		return;
	ended = backoff_loop_look(&service->loop, service_works(service));
	for (unsigned i = 0; i < service->count && !ended; i++) {
		const struct instance *instance = &service->instances[i];

		if (instance->state == INSTANCE_RUNNING &&
		    now > instance->since + BACKOFF_LONG_LIFE)
			ended = backoff_loop_end(&service->loop);
	}
	if (ended)
		log_info("service %s: works again", service->name);
}
