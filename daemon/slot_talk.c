/*
 * What the master and a worker say to each other. Owns the master's end of each channel; never
 * blocks on it. A worker that breaks the rules of the channel is killed; nothing that it says can
 * do more harm than that.
 */
#include "common/clock.h"
#include "common/log.h"
#include "daemon/listing.h"
#include "daemon/master.h"
#include "daemon/mover.h"
#include "ipc/chan.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SLOT_MESSAGES 64 /* read in one turn of the loop */

/* ---- what it is told ---- */

void
slot_hang_up(struct slot *slot)
{
	if (slot->readable != NULL)
		event_free(slot->readable);
	slot->readable = NULL;
	if (slot->channel >= 0)
		close(slot->channel);
	slot->channel = -1;
}

bool
slot_send(struct slot *slot, const struct msg *msg, const int *fds)
{
	if (slot->channel < 0)
		return true;
	switch (chan_send(slot->channel, msg, fds)) {
	case CHAN_AGAIN:
		return false;
	case CHAN_BROKEN:
		slot_kill(slot, "its channel cannot be used");
		return true;
	default:
		return true;
	}
}

static bool
slot_send_instance(struct slot *slot, enum msg_type type, unsigned service,
    const struct instance *instance, uint32_t incarnation)
{
	struct msg msg = {.type = type,
	    .instance = {.service = service,
		.slot = instance->slot,
		.incarnation = incarnation,
		.pid = (uint32_t)instance->pid}};

	return slot_send(slot, &msg, instance->fds);
}

/*
 * Makes the worker know the instance of its generation's service as it is now. False when there is
 * no room.
 */
static bool
slot_tell(struct slot *slot, unsigned service, const struct instance *instance)
{
	uint32_t *told = &slot->told[slot->generation->places[service] + instance->slot];
	uint32_t now = instance_is_open(instance) ? instance->incarnation : 0;

	if (*told != 0 && *told != now) {
		if (!slot_send_instance(slot, MSG_INSTANCE_GONE, service, instance, *told))
			return false;
		*told = 0;
	}
	if (*told != now) {
		if (!slot_send_instance(slot, MSG_INSTANCE, service, instance, now))
			return false;
		*told = now;
	}
	return true;
}

static bool
slot_tell_instances(struct slot *slot)
{
	const struct generation *generation = slot->generation;

	for (unsigned i = 0; i < generation->conf->service_count; i++) {
		const struct service *service = generation->services[i];

		for (unsigned j = 0; j < service->count; j++)
			if (!slot_tell(slot, i, &service->instances[j]))
				return false;
	}
	return true;
}

static bool
slot_tell_drain(struct slot *slot)
{
	struct msg drain = {.type = MSG_DRAIN,
	    .number.number = slot->drain_hasty ? MSG_DRAIN_HASTY : MSG_DRAIN_LEAVE};

	return slot_send(slot, &drain, NULL);
}

/* Tells all that it does not know yet; what does not fit waits until there is room. */
void
slot_tell_rest(struct slot *slot)
{
	static const struct msg start = {.type = MSG_START}, accept = {.type = MSG_ACCEPT};
	bool serves = slot->generation->state == GENERATION_RUNNING;
	bool fits = slot_tell_instances(slot) && collect_tell(slot) && logs_tell(slot);

	if (fits && !slot->start_told)
		fits = slot->start_told = slot_send(slot, &start, NULL);
	if (fits && serves && !slot->accept_told)
		fits = slot->accept_told = slot_send(slot, &accept, NULL);
	if (fits && slot->drain && !slot->drain_told)
		fits = slot->drain_told = slot_tell_drain(slot);
	if (fits)
		slot->behind = 0;
	else if (slot->behind == 0)
		slot->behind = clock_now();
}

void
slot_tell_all(struct master *master, const struct instance *instance)
{
	struct generation *generation;

	TAILQ_FOREACH (generation, &master->generations, entry) {
		int service = generation_find(generation, instance->service);

		for (unsigned i = 0; service >= 0 && i < generation->slot_count; i++) {
			struct slot *slot = &generation->slots[i];

			/* Who is behind hears of it in its turn. */
			if (slot_is_alive(slot) && slot->behind == 0 &&
			    !slot_tell(slot, (unsigned)service, instance))
				slot_tell_rest(slot);
		}
	}
}

bool
slot_all_know(const struct master *master, const struct instance *instance)
{
	const struct generation *generation;

	TAILQ_FOREACH (generation, &master->generations, entry) {
		int service = generation_find(generation, instance->service);

		for (unsigned i = 0; service >= 0 && i < generation->slot_count; i++) {
			const struct slot *slot = &generation->slots[i];

			if (slot_is_alive(slot) &&
			    slot->told[generation->places[service] + instance->slot] !=
				instance->incarnation)
				return false;
		}
	}
	return true;
}

void
slot_ping(struct slot *slot, uint64_t now)
{
	struct msg ping = {.type = MSG_PING, .number.number = slot->ping + 1};

	slot->next_ping = now + SLOT_PING_TIME;
	/* A full channel has its own, shorter limit. */
	if (!slot_send(slot, &ping, NULL))
		return;
	slot->ping++;
	if (slot->asked == 0)
		slot->asked = now;
}

void
slot_drain(struct slot *slot, bool hastily, uint64_t by)
{
	if (!slot_is_alive(slot) || (slot->drain && (!hastily || slot->drain_hasty)))
		return;
	slot->drain = true;
	slot->drain_told = false;
	slot->drain_hasty = hastily;
	slot->drain_by = by;
	slot_set_state(slot, SLOT_DRAINING);
	slot_tell_rest(slot);
}

void
slot_check_all(struct master *master, uint64_t now)
{
	struct generation *generation;

	TAILQ_FOREACH (generation, &master->generations, entry) {
		for (unsigned i = 0; i < generation->slot_count; i++) {
			struct slot *slot = &generation->slots[i];

			/* A new one has other things to do; it has its own limit. */
			if (!slot_is_alive(slot) || slot->check_by != 0 || !slot->was_ready)
				continue;
			slot_ping(slot, now);
			slot->check = slot->ping;
			slot->check_by = now + SLOT_CHECK_TIME;
		}
	}
}

/* ---- what it says ---- */

static bool
slot_heard_ready(struct slot *slot, uint64_t now)
{
	if (slot->was_ready)
		return false;
	slot->was_ready = true;
	slot->failures = 0;
	slot->next_ping = now;
	if (slot->state == SLOT_STARTING)
		slot_set_state(slot, SLOT_READY);
	log_info("worker %u (pid %ld) is ready", slot->place, (long)slot->pid);
	return true;
}

static bool
slot_heard_pong(struct slot *slot, uint64_t number, uint64_t now)
{
	if (number == 0 || number > slot->ping)
		return false;
	/* It lives; what it has still to answer was asked no earlier than now. */
	slot->asked = number == slot->ping ? 0 : now;
	if (number >= slot->check)
		slot->check_by = 0;
	return true;
}

static bool
slot_heard_trouble(struct slot *slot, const struct msg *msg, uint64_t now)
{
	struct master *master = slot->master;
	unsigned index = msg->pool.service;
	struct service *service;

	if (index >= slot->generation->conf->service_count ||
	    slot->generation->pools[index] == NULL)
		return false;
	service = slot->generation->services[index];
	if (msg->type == MSG_LOCK_STUCK) {
		log_debug("worker %u: the pool of service %s is locked for long", slot->place,
		    service->name);
		slot_check_all(master, now);
		return true;
	}
	if (service->is_damaged)
		return true;
	log_errorx(
	    "service %s: worker %u says that its pool is damaged", service->name, slot->place);
	service->is_damaged = true;
	slot_kill_all(master, "a pool is damaged");
	return true;
}

/* False when the worker may not say that now. */
static bool
slot_heard(struct slot *slot, const struct msg *msg, uint64_t now)
{
	switch (msg->type) {
	case MSG_READY:
		return slot_heard_ready(slot, now);
	case MSG_PONG:
		return slot_heard_pong(slot, msg->number.number, now);
	case MSG_DRAINED:
		return true; /* unasked when somebody sent it TERM; it ends and is replaced */
	case MSG_LOCK_STUCK:
	case MSG_POOL_DAMAGED:
		return slot_heard_trouble(slot, msg, now);
	case MSG_ROTATE:
		return collect_heard(slot, &msg->file, now);
	case MSG_LEFT:
		return collect_left(slot, &msg->file);
	case MSG_GIVEN:
		return mover_heard(slot, &msg->given, now);
	case MSG_LISTED:
		return listing_heard(slot->master->listing, slot, msg);
	default:
		return false;
	}
}

static void
slot_on_readable(evutil_socket_t fd, short what, void *arg)
{
	struct slot *slot = arg;
	int fds[MSG_FDS_MAX];
	struct msg msg;

	(void)what;
	for (int i = 0; i < SLOT_MESSAGES && slot_is_alive(slot); i++) {
		switch (chan_receive(fd, MSG_FROM_WORKER, &msg, fds)) {
		case CHAN_OK:
			if (!slot_heard(slot, &msg, clock_now()))
				slot_kill(slot, "broke the rules of its channel");
			break;
		case CHAN_AGAIN:
			return;
		case CHAN_CLOSED:
			/* It is ending, or will be killed because it does not answer. */
			slot_hang_up(slot);
			if (slot->check_by == 0)
				slot->check_by = clock_now() + SLOT_CHECK_TIME;
			return;
		default:
			slot_kill(slot, "broke the rules of its channel");
			return;
		}
	}
	/* Killed: what it still says is of no interest. */
	if (!slot_is_alive(slot))
		event_del(slot->readable);
}

bool
slot_listen(struct slot *slot)
{
	slot->readable = event_new(
	    slot->master->base, slot->channel, EV_READ | EV_PERSIST, slot_on_readable, slot);
	return slot->readable != NULL && event_add(slot->readable, NULL) == 0;
}

bool
slot_open_channel(struct slot *slot, int *theirs)
{
	int ends[2];

	if (chan_pair(ends) != 0)
		return false;
	slot->channel = ends[0];
	if (!slot_listen(slot)) {
		slot_hang_up(slot);
		close(ends[1]);
		return false;
	}
	*theirs = ends[1];
	return true;
}
