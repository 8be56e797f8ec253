/*
 * The lives of workers as the master sees them: started, replaced when they do not answer, buried.
 * What is said over the channel is slot_talk.c's. A dead worker's id is used again only after
 * somebody has swept up behind it.
 */
#include "daemon/slot.h"

#include "common/clock.h"
#include "common/log.h"
#include "common/mem.h"
#include "daemon/death.h"
#include "daemon/listing.h"
#include "daemon/master.h"
#include "daemon/mover.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define SLOT_START_TIME (10 * CLOCK_SECOND) /* from fork to READY */
#define SLOT_FULL_TIME  (2 * CLOCK_SECOND)  /* how long a channel may be full */
#define SLOT_ID_TIME    (100 * CLOCK_MS)    /* until a free worker id is looked for again */
#define SLOT_RETRY_TIME (10 * CLOCK_MS)     /* until a full channel is tried again */

void
slot_set_state(struct slot *slot, enum slot_state state)
{
	log_debug("worker %u: state %d -> %d", slot->place, slot->state, state);
	slot->state = state;
}

bool
slot_is_alive(const struct slot *slot)
{
	return slot->pid > 0 && !slot->was_killed;
}

bool
slot_is_wanted(const struct slot *slot)
{
	const struct generation *generation = slot->generation;

	return slot->place < generation->wanted && slot->master->stop.phase == STOP_NONE &&
	       (generation->state == GENERATION_RUNNING ||
		   (generation->state == GENERATION_STARTING && slot->starts == 0));
}

unsigned
slot_count_processes(const struct master *master)
{
	const struct generation *generation;
	unsigned count = 0;

	TAILQ_FOREACH (generation, &master->generations, entry)
		for (unsigned i = 0; i < generation->slot_count; i++)
			count += generation->slots[i].pid > 0;
	return count;
}

void
slot_wake_all(const struct master *master)
{
	const struct generation *generation;
	const uint64_t one = 1;

	TAILQ_FOREACH (generation, &master->generations, entry)
		for (unsigned i = 0; i < generation->slot_count; i++)
			if (slot_is_alive(&generation->slots[i]))
				(void)!write(
				    master->wakes[generation->slots[i].id], &one, sizeof(one));
}

/* A generation that is being built fails with the first worker that does. */
static void
slot_fail_generation(struct slot *slot, const char *why)
{
	struct generation *generation = slot->generation;

	if (generation->state == GENERATION_STARTING && generation->failure[0] == '\0')
		snprintf(generation->failure, sizeof(generation->failure),
		    "its worker %u did not start: %s", slot->place, why);
}

void
slot_kill(struct slot *slot, const char *why)
{
	if (!slot_is_alive(slot))
		return;
	if (slot_is_wanted(slot))
		log_warnx("worker %u (pid %ld) is replaced: %s", slot->place, (long)slot->pid, why);
	else
		log_info("worker %u (pid %ld) is killed: %s", slot->place, (long)slot->pid, why);
	slot_fail_generation(slot, why);
	slot->was_killed = true;
	kill(slot->pid, SIGKILL);
}

void
slot_kill_all(struct master *master, const char *why)
{
	struct generation *generation;

	TAILQ_FOREACH (generation, &master->generations, entry)
		for (unsigned i = 0; i < generation->slot_count; i++)
			slot_kill(&generation->slots[i], why);
}

/* ---- start ---- */

static bool
slot_id_is_free(const struct master *master, unsigned id)
{
	const struct generation *generation;
	const struct service *service;

	TAILQ_FOREACH (generation, &master->generations, entry)
		for (unsigned i = 0; i < generation->slot_count; i++)
			if (generation->slots[i].pid > 0 && generation->slots[i].id == id)
				return false;
	TAILQ_FOREACH (service, &master->services, entry)
		if (service->pool != NULL && !service_is_foreign(service) &&
		    !pool_swept(service->pool, id))
			return false;
	return true;
}

/* An id that no worker had, or whose dead owner was swept up after; -1 when there is none now. */
static int
slot_find_id(const struct master *master)
{
	for (unsigned id = 0; id < master->ids; id++)
		if (slot_id_is_free(master, id))
			return (int)id;
	return -1;
}

static void
slot_reset(struct slot *slot, unsigned id)
{
	slot->id = id;
	slot->was_ready = slot->was_killed = slot->start_told = slot->accept_told = false;
	slot->drain = slot->drain_hasty = slot->drain_told = false;
	slot->drain_by = 0;
	slot->drain_why = NULL;
	slot->far_since = 0;
	slot->gives_way = false;
	slot->behind = slot->asked = slot->check = slot->check_by = 0;
	slot->ping = 0;
	logs_know(slot);
	memset(slot->told, 0, slot->generation->place_count * sizeof(*slot->told));
	memset(
	    slot->files_told, 0, slot->generation->conf->service_count * sizeof(*slot->files_told));
}

static void
slot_failed(struct slot *slot, uint64_t now)
{
	slot->failures++;
	slot->not_before = now + backoff_delay(slot->failures);
}

static void
slot_start(struct slot *slot, unsigned id, uint64_t now)
{
	pid_t pid = -1;
	int theirs;

	slot_reset(slot, id);
	if (slot_open_channel(slot, &theirs)) {
		/* Before the fork: it finds the instances in its channel when it starts to serve.
		 */
		slot_tell_rest(slot);
		pid = slot_fork(slot, theirs);
		close(theirs);
	}
	if (pid < 0) {
		log_warn("worker %u cannot be started", slot->place);
		snprintf(slot->last_exit, sizeof(slot->last_exit), "cannot be started: %s",
		    strerror(errno));
		slot_hang_up(slot);
		slot_failed(slot, now);
		slot_fail_generation(slot, slot->last_exit);
		return;
	}
	slot->pid = pid;
	slot->starts++;
	slot->since = now;
	slot_set_state(slot, SLOT_STARTING);
	log_info("worker %u (pid %ld) started", slot->place, (long)pid);
}

static uint64_t
slot_start_due(struct slot *slot, uint64_t now)
{
	int id;

	if (!slot_is_wanted(slot) || master_is_damaged(slot->master) ||
	    generation_is_foreign(slot->generation))
		return MASTER_NEVER;
	if (now < slot->not_before)
		return slot->not_before;
	id = slot_find_id(slot->master);
	if (id < 0) {
		/* Somebody must sweep first; where nobody is left, the pools start over. */
		slot_wake_all(slot->master);
		if (slot_count_processes(slot->master) == 0)
			master_damage_all(slot->master);
		return now + SLOT_ID_TIME;
	}
	slot_start(slot, (unsigned)id, now);
	return slot->pid > 0 ? now + SLOT_START_TIME : slot->not_before;
}

/* ---- time ---- */

/* Times may lie a little after `now`, which was read when the turn began: add, never subtract. */
static const char *
slot_overdue(const struct slot *slot, uint64_t now, char why[64])
{
	uint64_t timeout = slot->master->conf->worker_timeout;

	if (slot->behind != 0 && now > slot->behind + SLOT_FULL_TIME)
		return "its channel was full for 2s";
	if (slot->drain_by != 0 && now > slot->drain_by)
		return slot->drain_why != NULL ? slot->drain_why : "drain_timeout is over";
	if (!slot->was_ready && now > slot->since + SLOT_START_TIME)
		return "was not ready within 10s";
	if (slot->check_by != 0 && now > slot->check_by)
		return slot->channel < 0 ? "closed its channel"
					 : "did not answer for 1s while a pool was locked";
	if (slot->asked != 0 && now > slot->asked + timeout) {
		snprintf(why, 64, "did not answer for %gs", (double)timeout / CLOCK_SECOND);
		return why;
	}
	return NULL;
}

static void
slot_pardon(struct slot *slot, uint64_t now)
{
	if (slot->asked != 0)
		slot->asked = now;
	if (slot->behind != 0)
		slot->behind = now;
	if (slot->check_by != 0)
		slot->check_by = now + SLOT_CHECK_TIME;
}

void
slot_pardon_all(struct master *master, uint64_t now)
{
	struct generation *generation;

	TAILQ_FOREACH (generation, &master->generations, entry)
		for (unsigned i = 0; i < generation->slot_count; i++)
			slot_pardon(&generation->slots[i], now);
}

uint64_t
slot_turn(struct slot *slot, uint64_t now)
{
	uint64_t next = now + SLOT_PING_TIME;
	const char *why;
	char text[64];

	if (slot->pid == 0)
		return slot_start_due(slot, now);
	if (slot->was_killed)
		return MASTER_NEVER;
	why = slot_overdue(slot, now, text);
	if (why != NULL) {
		slot_kill(slot, why);
		return MASTER_NEVER;
	}
	if (slot->was_ready && now >= slot->next_ping)
		slot_ping(slot, now);
	if (slot->behind != 0) {
		slot_tell_rest(slot);
		next = now + SLOT_RETRY_TIME;
	}
	if (slot->check_by != 0 && slot->check_by < next)
		next = slot->check_by;
	if (slot->drain_by != 0 && slot->drain_by < next)
		next = slot->drain_by + 1;
	return slot->was_ready && slot->next_ping < next ? slot->next_ping : next;
}

/* ---- end ---- */

/* Whatever it held is lost: its id is dead, its connections are closed. */
static void
slot_bury(struct slot *slot)
{
	const struct generation *generation = slot->generation;
	struct service *service;

	for (unsigned i = 0; i < generation->conf->service_count; i++) {
		service = generation->services[i];
		if (service->pool != NULL)
			pool_bury(service->pool, slot->id);
		stats_bury(service->stats, slot->id);
	}
	stats_bury(slot->master->sum, slot->id);
	collect_bury(slot->master, slot->id);
}

void
slot_on_death(struct slot *slot, const siginfo_t *info, uint64_t now)
{
	struct master *master = slot->master;

	while (waitpid(slot->pid, NULL, 0) < 0 && errno == EINTR)
		continue;
	death_describe(info, slot->last_exit, sizeof(slot->last_exit));
	log_info("worker %u (pid %ld) ended: %s", slot->place, (long)slot->pid, slot->last_exit);
	slot_hang_up(slot);
	mover_forget(slot);
	listing_forget(master->listing, slot);
	slot->pid = 0;
	slot_bury(slot);
	slot->since = now;
	slot_set_state(slot, SLOT_WAITING);
	if (slot->was_ready)
		slot->not_before = now;
	else
		slot_failed(slot, now);
	slot_fail_generation(slot, slot->last_exit);
	slot_wake_all(master);
}

void
slot_open(struct slot *slot, struct generation *generation, unsigned place)
{
	*slot = (struct slot){.generation = generation,
	    .master = generation->master,
	    .place = place,
	    .since = generation->since,
	    .channel = -1,
	    .told = mem_alloc(generation->place_count + 1, sizeof(*slot->told)),
	    .files_told =
		mem_alloc(generation->conf->service_count + 1, sizeof(*slot->files_told))};
}

void
slot_close(struct slot *slot)
{
	slot_hang_up(slot);
	free(slot->told);
	free(slot->files_told);
}
