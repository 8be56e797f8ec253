/*
 * The life of a generation. Owns its configuration, its places for workers and its share in the
 * listening sockets; holds its services. Decides nothing about when one replaces another: that is
 * reload.c's.
 */
#include "daemon/generation.h"

#include "common/clock.h"
#include "common/log.h"
#include "common/mem.h"
#include "common/option.h"
#include "daemon/master.h"
#include "daemon/room.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define GENERATION_WHY_MAX  512
#define GENERATION_END_TIME (1 * CLOCK_SECOND) /* for what is whole, when somebody ends it */

const char *
generation_state_name(enum generation_state state)
{
	static const char *const names[] = {
	    [GENERATION_STARTING] = "starting",
	    [GENERATION_RUNNING] = "running",
	    [GENERATION_DRAINING] = "draining",
	    [GENERATION_ENDING] = "ending",
	};

	return names[state];
}

static void
generation_set_state(struct generation *generation, enum generation_state state)
{
	log_debug("generation %u: %s -> %s", generation->number,
	    generation_state_name(generation->state), generation_state_name(state));
	generation->state = state;
	generation->since = clock_now();
}

unsigned
generation_most(const struct generation *generation)
{
	uint64_t most = option_max(option_find(OPTION_HOSTLER, "workers"));

	return generation->conf->workers > most ? generation->conf->workers : (unsigned)most;
}

bool
generation_may_have(const struct generation *generation, uint64_t workers)
{
	return workers >= 1 && workers <= generation_most(generation);
}

int
generation_find(const struct generation *generation, const struct service *service)
{
	for (unsigned i = 0; i < generation->conf->service_count; i++)
		if (generation->services[i] == service)
			return (int)i;
	return -1;
}

/* ---- making one ---- */

/* What the reload means for a service of the new configuration; NULL at the start. */
static const struct conf_diff_service *
generation_change(const struct conf_diff *diff, unsigned index)
{
	for (unsigned i = 0; diff != NULL && i < diff->count; i++)
		if (diff->services[i].now == index)
			return &diff->services[i];
	return NULL;
}

static bool
generation_add_service(struct generation *generation, const struct generation *before,
    const struct conf_diff *diff, unsigned index, struct conf_errors *errors)
{
	const struct conf_diff_service *change = generation_change(diff, index);
	bool is_old = change != NULL && change->before != CONF_DIFF_NONE;
	struct service *service = is_old ? before->services[change->before] : NULL;
	char why[GENERATION_WHY_MAX];

	if (is_old && (change->kind == CONF_SAME || change->kind == CONF_LIMITS))
		service_hold(service);
	else /* one that is replaced keeps its counts */
		service = service_new(
		    generation, index, is_old ? service->stats : NULL, why, sizeof(why));
	if (service == NULL) {
		conf_errors_add(errors, mem_strdup(why));
		return false;
	}
	generation->services[index] = service;
	generation->pools[index] = service->pool;
	generation->stats[index] = service->stats;
	generation->places[index] = generation->place_count;
	generation->place_count += service->count;
	return true;
}

static bool
generation_add_services(struct generation *generation, const struct generation *before,
    const struct conf_diff *diff, struct conf_errors *errors)
{
	unsigned count = generation->conf->service_count;
	bool all = true;

	generation->services = mem_alloc(count + 1, sizeof(*generation->services));
	generation->pools = mem_alloc(count + 1, sizeof(*generation->pools));
	generation->stats = mem_alloc(count + 1, sizeof(*generation->stats));
	generation->places = mem_alloc(count + 1, sizeof(*generation->places));
	for (unsigned i = 0; i < count; i++)
		all = generation_add_service(generation, before, diff, i, errors) && all;
	return all;
}

static void
generation_add_slots(struct generation *generation)
{
	unsigned most = generation_most(generation);

	generation->slots = mem_alloc(most, sizeof(*generation->slots));
	for (unsigned i = 0; i < most; i++)
		slot_open(&generation->slots[i], generation, i);
	generation->slot_count = generation->wanted = generation->conf->workers;
}

struct generation *
generation_new(struct master *master, struct conf *conf, const struct generation *before,
    const struct conf_diff *diff, struct conf_errors *errors)
{
	struct generation *generation = mem_alloc(1, sizeof(*generation));
	const struct conf *old = before != NULL ? before->conf : NULL;
	bool good;

	generation->master = master;
	generation->conf = conf;
	generation->number = ++master->generation_number;
	generation->state = GENERATION_STARTING;
	generation->since = clock_now();
	TAILQ_INSERT_TAIL(&master->generations, generation, entry);
	/* Each is tried, so that all that is wrong is told at once. */
	good = generation_add_services(generation, before, diff, errors);
	good = room_check(generation, errors) && good;
	good = logs_open(&generation->logs, conf, old, errors) && good;
	good = collect_open(&generation->collects, master, conf, errors) && good;
	good = listen_open(
		   &generation->listen, conf, before != NULL ? &before->listen : NULL, errors) &&
	       good;
	if (good) {
		generation->max_connections = room_connections(generation);
		generation_add_slots(generation);
		return generation;
	}
	generation_free(generation);
	return NULL;
}

void
generation_free(struct generation *generation)
{
	listen_free(&generation->listen);
	logs_close(&generation->logs);
	collect_close(&generation->collects, generation->master);
	for (unsigned i = 0; generation->services != NULL && i < generation->conf->service_count;
	     i++)
		if (generation->services[i] != NULL)
			service_release(generation->services[i]);
	for (unsigned i = 0; generation->slots != NULL && i < generation_most(generation); i++)
		slot_close(&generation->slots[i]);
	TAILQ_REMOVE(&generation->master->generations, generation, entry);
	free(generation->slots);
	free(generation->services);
	free(generation->pools);
	free(generation->stats);
	free(generation->places);
	conf_free(generation->conf);
	free(generation);
}

/* ---- its life ---- */

bool
generation_is_foreign(const struct generation *generation)
{
	for (unsigned i = 0; i < generation->conf->service_count; i++)
		if (generation->services[i] != NULL && service_is_foreign(generation->services[i]))
			return true;
	return false;
}

bool
generation_all_ready(const struct generation *generation)
{
	for (unsigned i = 0; i < generation->wanted; i++)
		if (generation->slots[i].state != SLOT_READY)
			return false;
	return true;
}

void
generation_run(struct generation *generation)
{
	struct master *master = generation->master;

	generation_set_state(generation, GENERATION_RUNNING);
	master->current = generation;
	master->conf = generation->conf;
	listen_set_backlogs(&generation->listen, generation->conf);
	for (unsigned i = 0; i < generation->conf->service_count; i++)
		service_adopt(generation->services[i], generation, i);
	stats_set_serving(master->sum, generation->wanted);
	for (unsigned i = 0; i < generation->slot_count; i++)
		if (slot_is_alive(&generation->slots[i]))
			slot_tell_rest(&generation->slots[i]);
}

void
generation_drain(struct generation *generation, uint64_t now)
{
	generation_set_state(generation, GENERATION_DRAINING);
	/* Connections that wait in a backlog are the next generation's. */
	listen_close(&generation->listen);
	generation->drain_by = now + generation->conf->drain_timeout;
	for (unsigned i = 0; i < generation->slot_count; i++)
		slot_drain(&generation->slots[i], false, generation->drain_by);
}

void
generation_abandon(struct generation *generation)
{
	generation_set_state(generation, GENERATION_DRAINING);
	generation->abandoned = true;
	listen_close(&generation->listen);
	for (unsigned i = 0; i < generation->slot_count; i++)
		slot_kill(&generation->slots[i], "its generation was given up");
	for (unsigned i = 0; i < generation->conf->service_count; i++)
		if (generation->services[i]->holders == 1)
			service_kill(generation->services[i], "its generation was given up");
}

/* What nobody else has: it gets no time to end by itself. */
static void
generation_kill_programs(const struct generation *generation)
{
	struct service *service;

	TAILQ_FOREACH (service, &generation->master->services, entry)
		if (service->generation == generation && service->ending)
			service_kill(service, "its generation was ended");
}

void
generation_end(struct generation *generation, bool at_once, uint64_t now)
{
	uint64_t by = now + GENERATION_END_TIME;

	log_info("generation %u is ended%s: hostlerctl generations end", generation->number,
	    at_once ? " at once" : "");
	if (!at_once && by < generation->drain_by)
		generation->drain_by = by;
	generation->killed |= at_once;
	for (unsigned i = 0; i < generation->slot_count; i++) {
		struct slot *slot = &generation->slots[i];

		slot->drain_why = "its generation was ended";
		if (at_once)
			slot_kill(slot, slot->drain_why);
		else
			slot_drain(slot, true, generation->drain_by);
	}
	if (at_once)
		generation_kill_programs(generation);
}

static bool
generation_has_processes(const struct generation *generation)
{
	for (unsigned i = 0; i < generation->slot_count; i++)
		if (generation->slots[i].pid > 0)
			return true;
	return false;
}

/* No worker is left that could use them: what no other generation has comes to its end. */
static void
generation_let_go(struct generation *generation)
{
	generation_set_state(generation, GENERATION_ENDING);
	for (unsigned i = 0; i < generation->conf->service_count; i++)
		service_release(generation->services[i]);
	memset(generation->services, 0, generation->conf->service_count * sizeof(struct service *));
	if (generation->killed)
		generation_kill_programs(generation);
}

/* Whether a service still needs its configuration. */
static bool
generation_is_needed(const struct generation *generation)
{
	const struct service *service;

	TAILQ_FOREACH (service, &generation->master->services, entry)
		if (service->generation == generation)
			return true;
	return false;
}

uint64_t
generation_turn(struct generation *generation, uint64_t now)
{
	uint64_t next = MASTER_NEVER;

	for (unsigned i = 0; i < generation->slot_count; i++) {
		uint64_t time = slot_turn(&generation->slots[i], now);

		next = time < next ? time : next;
	}
	if (generation->state == GENERATION_DRAINING && !generation_has_processes(generation))
		generation_let_go(generation);
	if (generation->state == GENERATION_ENDING && !generation_is_needed(generation)) {
		log_info("generation %u has ended", generation->number);
		generation_free(generation);
		return MASTER_NEVER;
	}
	return next;
}

void
generation_scale(struct generation *generation, unsigned workers, uint64_t now)
{
	generation->wanted = workers;
	if (workers > generation->slot_count)
		generation->slot_count = workers;
	stats_set_serving(generation->master->sum, workers);
	for (unsigned i = workers; i < generation->slot_count; i++)
		slot_drain(&generation->slots[i], false, now + generation->conf->drain_timeout);
}
