/*
 * What the master and a worker say to each other. Owns the master's end of each channel; never
 * blocks on it. A worker that breaks the rules of the channel is killed; nothing that it says can
 * do more harm than that.
 */
#include "common/clock.h"
#include "common/log.h"
#include "daemon/master.h"
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

/* False when there is no room now. A dead channel takes everything: its worker is ending. */
static bool
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
slot_send_instance(
    struct slot *slot, enum msg_type type, const struct instance *instance, uint32_t incarnation)
{
	struct msg msg = {.type = type,
	    .instance = {.service = instance->service->index,
		.slot = instance->slot,
		.incarnation = incarnation,
		.pid = (uint32_t)instance->pid}};

	return slot_send(slot, &msg, instance->fds);
}

/* Makes the worker know the instance as it is now. False when there is no room. */
static bool
slot_tell(struct slot *slot, const struct instance *instance)
{
	uint32_t *told = &slot->told[instance->index];
	uint32_t now = instance_is_open(instance) ? instance->incarnation : 0;

	if (*told != 0 && *told != now) {
		if (!slot_send_instance(slot, MSG_INSTANCE_GONE, instance, *told))
			return false;
		*told = 0;
	}
	if (*told != now) {
		if (!slot_send_instance(slot, MSG_INSTANCE, instance, now))
			return false;
		*told = now;
	}
	return true;
}

/* Tells all that it does not know yet; what does not fit waits until there is room. */
void
slot_tell_rest(struct slot *slot)
{
	static const struct msg start = {.type = MSG_START}, drain = {.type = MSG_DRAIN};
	struct master *master = slot->master;
	bool fits = true;

	for (unsigned i = 0; i < master->instance_count && fits; i++)
		fits = slot_tell(slot, &master->instances[i]);
	if (fits && !slot->start_told)
		fits = slot->start_told = slot_send(slot, &start, NULL);
	if (fits && slot->drain && !slot->drain_told)
		fits = slot->drain_told = slot_send(slot, &drain, NULL);
	if (fits)
		slot->behind = 0;
	else if (slot->behind == 0)
		slot->behind = clock_now();
}

void
slot_tell_all(struct master *master, const struct instance *instance)
{
	for (unsigned i = 0; i < master->slot_count; i++) {
		struct slot *slot = &master->slots[i];

		/* Who is behind hears of it in its turn. */
		if (slot_is_alive(slot) && slot->behind == 0 && !slot_tell(slot, instance))
			slot_tell_rest(slot);
	}
}

bool
slot_all_know(const struct master *master, const struct instance *instance)
{
	for (unsigned i = 0; i < master->slot_count; i++) {
		const struct slot *slot = &master->slots[i];

		if (slot_is_alive(slot) && slot->told[instance->index] != instance->incarnation)
			return false;
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
slot_drain(struct slot *slot)
{
	slot->drain = true;
	if (!slot_is_alive(slot))
		return;
	slot_set_state(slot, SLOT_DRAINING);
	slot_tell_rest(slot);
}

void
slot_check_all(struct master *master, uint64_t now)
{
	for (unsigned i = 0; i < master->slot_count; i++) {
		struct slot *slot = &master->slots[i];

		/* A new one has other things to do; it has its own limit. */
		if (!slot_is_alive(slot) || slot->check_by != 0 || !slot->was_ready)
			continue;
		slot_ping(slot, now);
		slot->check = slot->ping;
		slot->check_by = now + SLOT_CHECK_TIME;
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

	if (index >= master->conf->service_count || master->pools[index] == NULL)
		return false;
	service = &master->services[index];
	if (msg->type == MSG_LOCK_STUCK) {
		log_debug("worker %u: the pool of service %s is locked for long", slot->place,
		    service->conf->name);
		slot_check_all(master, now);
		return true;
	}
	if (service->is_damaged)
		return true;
	log_errorx("service %s: worker %u says that its pool is damaged", service->conf->name,
	    slot->place);
	service->is_damaged = true;
	for (unsigned i = 0; i < master->slot_count; i++)
		slot_kill(&master->slots[i], "a pool is damaged");
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
slot_open_channel(struct slot *slot, int *theirs)
{
	struct master *master = slot->master;
	int ends[2];

	if (chan_pair(ends) != 0)
		return false;
	slot->channel = ends[0];
	slot->readable =
	    event_new(master->base, ends[0], EV_READ | EV_PERSIST, slot_on_readable, slot);
	if (slot->readable == NULL || event_add(slot->readable, NULL) != 0) {
		slot_hang_up(slot);
		close(ends[1]);
		return false;
	}
	*theirs = ends[1];
	return true;
}
