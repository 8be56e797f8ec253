/*
 * Counts descriptors before they are needed, because a daemon that is ready but cannot accept would
 * be a riddle. Owns nothing.
 */
#include "daemon/room.h"

#include "common/log.h"
#include "common/mem.h"
#include "daemon/master.h"

#include <stdio.h>
#include <sys/resource.h>

#define ROOM_SPARE   64 /* that a worker keeps free beside those for instances */
#define ROOM_SERVICE 3  /* of each service: its log, its pool, its counters */
#define ROOM_ROOTS   2  /* of a service of files, in a worker */
#define ROOM_OTHERS  36 /* of any process: logs, channels, what its loop needs */
#define ROOM_WHY_MAX 512

/* What somebody ordered for one service; the others have what they have, or may have. */
struct room_order {
	const struct service *service; /* NULL for no order */
	unsigned instances;
};

/* Of one service in this generation: both generations of a reload may share it. */
static unsigned
room_instances(const struct generation *generation, const struct service *service,
    const struct room_order *order)
{
	unsigned has = service_processes(service), may = service->size.scaled;
	int index = generation_find(generation, service);

	if (service == order->service)
		may = order->instances;
	else if (index >= 0 && may < service_instances(&generation->conf->services[index]))
		may = service_instances(&generation->conf->services[index]);
	return may > has ? may : has;
}

/* What a process has beside the pipes of instances and the connections. */
static unsigned
room_fixed(const struct generation *generation)
{
	const struct conf *conf = generation->conf;
	unsigned listens = 0, files = 0, roots = 0;

	for (unsigned i = 0; i < conf->service_count; i++) {
		listens += conf->services[i].listens;
		files += conf->services[i].handler == HANDLER_COLLECT;
		roots += conf->services[i].handler == HANDLER_STATIC;
	}
	return ROOM_OTHERS + generation->master->ids + listens +
	       ROOM_SERVICE * conf->service_count + conf->workers + COLLECT_FDS * files +
	       ROOM_ROOTS * roots;
}

/*
 * The master has three pipes of each instance. A worker has two, and keeps two more free for the
 * one that comes after it.
 */
static bool
room_fits(
    const struct generation *generation, const struct room_order *order, char *why, size_t why_size)
{
	const struct master *master = generation->master;
	unsigned most = (unsigned)backend_descriptors(master->backend), instances = 0, need;
	const struct service *service;
	struct rlimit limit;

	TAILQ_FOREACH (service, &master->services, entry)
		instances += room_instances(generation, service, order);
	need = room_fixed(generation) + ROOM_SPARE + 4 * instances;
	if (need > most) {
		snprintf(why, why_size,
		    "event_backend %s can carry %u descriptors; with %u instances at least %u are "
		    "needed, and one more for each connection",
		    backend_name(master->backend), most, instances, need);
		return false;
	}
	if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur >= need)
		return true;
	snprintf(why, why_size,
	    "the limit of descriptors (ulimit -n) is %llu; with %u instances at least %u are "
	    "needed, and one more for each connection",
	    (unsigned long long)limit.rlim_cur, instances, need);
	return false;
}

bool
room_check(const struct generation *generation, struct conf_errors *errors)
{
	const struct room_order none = {0};
	char why[ROOM_WHY_MAX];

	if (room_fits(generation, &none, why, sizeof(why)))
		return true;
	conf_errors_add(errors, mem_strdup(why));
	return false;
}

bool
room_for_instances(const struct master *master, const struct service *service, unsigned instances,
    char *why, size_t why_size)
{
	const struct room_order order = {.service = service, .instances = instances};

	/* Who has fewer than before needs none. */
	return instances <= service_processes(service) ||
	       room_fits(master->current, &order, why, why_size);
}

/* The same sum as worker_keep_fds() does: for all instances that there ever can be, if it goes. */
static unsigned
room_of_worker(const struct generation *generation, unsigned most)
{
	unsigned now = 0, ever = 0, used;

	for (unsigned i = 0; i < generation->conf->service_count; i++) {
		now += 2 * service_instances(&generation->conf->services[i]);
		ever += 2 * generation->services[i]->count;
	}
	used = room_fixed(generation) + ROOM_SPARE + now;
	used += ROOM_SPARE + ever > most / 2 ? now : ever;
	return used < most ? most - used : 1;
}

unsigned
room_connections(const struct generation *generation)
{
	const struct conf *conf = generation->conf;
	enum backend backend = generation->master->backend;
	unsigned most = (unsigned)backend_descriptors(backend);
	uint64_t room = (uint64_t)room_of_worker(generation, most) * conf->workers;

	if (room >= conf->max_connections)
		return conf->max_connections;
	log_warnx("event_backend %s carries %u descriptors in a worker: max_connections is %u "
		  "instead of %u",
	    backend_name(backend), most, (unsigned)room, conf->max_connections);
	return (unsigned)room;
}
