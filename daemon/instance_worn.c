/*
 * When an instance is worn: it has replied often enough, is old, or has grown. Each has limits a
 * little below the configured ones, by chance, so that instances started together do not go
 * together. Only looks; what follows is decided in service_recycle.c.
 */
#include "daemon/instance.h"

#include "common/conf.h"
#include "daemon/procfs.h"
#include "daemon/service.h"

#include <sys/random.h>

#define INSTANCE_JITTER 1000 /* steps of a tenth */

void
instance_draw_jitter(struct instance *instance)
{
	unsigned drawn = 0;

	/* Without chance the limits are the configured ones. */
	if (getrandom(&drawn, sizeof(drawn), GRND_NONBLOCK) != sizeof(drawn))
		drawn = 0;
	instance->jitter = drawn % (INSTANCE_JITTER + 1);
}

/* The limit less up to a tenth. */
static uint64_t
instance_limit(const struct instance *instance, uint64_t limit)
{
	uint64_t tenth = limit / 10;

	if (limit < 10 * INSTANCE_JITTER)
		return limit - limit * instance->jitter / (10 * INSTANCE_JITTER);
	return limit - tenth / INSTANCE_JITTER * instance->jitter;
}

uint64_t
instance_requests(const struct instance *instance)
{
	struct pool_view view;

	/* A slot in the middle of a change has a count all the same. */
	(void)pool_peek(instance->service->pool, instance->slot, &view);
	return instance->pid != 0 && view.served > instance->served_before
		   ? view.served - instance->served_before
		   : 0;
}

uint64_t
instance_worn_time(const struct instance *instance)
{
	uint64_t age = instance->service->conf->max_age;

	return age > 0 ? instance->since + instance_limit(instance, age) : UINT64_MAX;
}

void
instance_weigh(struct instance *instance)
{
	instance->rss = procfs_rss(instance->pid);
}

const char *
instance_worn(const struct instance *instance, uint64_t now)
{
	const struct conf_service *conf = instance->service->conf;

	if (conf->max_requests > 0 &&
	    instance_requests(instance) >= instance_limit(instance, conf->max_requests))
		return "max_requests";
	if (now >= instance_worn_time(instance))
		return "max_age";
	if (conf->max_memory > 0 && instance->rss > 0 && (uint64_t)instance->rss > conf->max_memory)
		return "max_memory";
	return NULL;
}
