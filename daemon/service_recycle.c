/*
 * Replaces instances that are worn out, one at a time: first another one is started in a free
 * place, and when it is ready the worn one is retired. So a service never has fewer instances than
 * it wants because of it, and no request notices.
 */
#include "daemon/service.h"

#include "common/log.h"
#include "daemon/master.h"

#define SERVICE_WEIGH_TIME CLOCK_SECOND /* between two looks at memory */
#define SERVICE_COUNT_TIME                                                                         \
	(100 * CLOCK_MS) /* between two looks at requests, while there are any                     \
			  */

/* How large they are, once a second. Returns when next. */
static uint64_t
service_weigh(struct service *service, uint64_t now)
{
	struct service_size *size = &service->size;

	if (service->conf->max_memory == 0)
		return MASTER_NEVER;
	if (now < size->weigh_next)
		return size->weigh_next;
	for (unsigned i = 0; i < size->used; i++)
		if (instance_is_live(&service->instances[i]))
			instance_weigh(&service->instances[i]);
	return size->weigh_next = now + SERVICE_WEIGH_TIME;
}

/* When requests may have made somebody worn; nobody tells the master of them. */
static uint64_t
service_count_time(struct service *service, uint64_t now)
{
	uint64_t good = service->size.good;

	if (service->conf->max_requests == 0)
		return MASTER_NEVER;
	service->size.good = service_good_replies(service);
	return service->size.good != good ? now + SERVICE_COUNT_TIME : MASTER_NEVER;
}

/* The first one that is worn out. *next becomes the time at which the next one may be. */
static struct instance *
service_find_worn(struct service *service, uint64_t now, uint64_t *next)
{
	for (unsigned i = 0; i < service->size.used; i++) {
		struct instance *instance = &service->instances[i];
		uint64_t time = instance_worn_time(instance);

		if (!instance_is_live(instance) || !instance->offered)
			continue;
		if (instance_worn(instance, now) != NULL)
			return instance;
		*next = time < *next ? time : *next;
	}
	return NULL;
}

/* Nobody is being replaced any more: it is gone, or another process is in its place. */
static bool
service_is_replaced(const struct service_size *size)
{
	return size->worn->state == INSTANCE_EMPTY ||
	       size->worn->incarnation != size->worn_incarnation;
}

/* Returns when to look again. */
static uint64_t
service_replace(struct service *service, uint64_t now)
{
	struct service_size *size = &service->size;
	struct instance *worn = size->worn;
	struct service_census census = service_count(service, now);

	if (!instance_is_live(worn))
		return MASTER_NEVER;
	/* The places are all taken only where nobody left one for a replacement. */
	if (census.proven <= size->wanted && size->wanted < service->count)
		return now + SERVICE_COUNT_TIME;
	log_info("service %s: instance %u (pid %ld) is recycled: %s", service->name, worn->slot,
	    (long)worn->pid, size->worn_why);
	worn->recycled++;
	size->recycled++;
	stats_count_staff(worn->service->stats, STAFF_recycled);
	instance_retire(worn, now);
	return MASTER_NEVER;
}

uint64_t
service_recycle(struct service *service, uint64_t now)
{
	struct service_size *size = &service->size;
	uint64_t next = service_weigh(service, now), time = service_count_time(service, now);

	next = time < next ? time : next;
	if (size->worn != NULL && service_is_replaced(size))
		size->worn = NULL;
	if (size->worn == NULL) {
		size->worn = service_find_worn(service, now, &next);
		if (size->worn == NULL)
			return next;
		size->worn_incarnation = size->worn->incarnation;
		size->worn_why = instance_worn(size->worn, now);
	}
	time = service_replace(service, now);
	return time < next ? time : next;
}
