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
#include "daemon/master.h"

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

unsigned
slot_count_processes(const struct master *master)
{
	unsigned count = 0;

	for (unsigned i = 0; i < master->slot_count; i++)
		count += master->slots[i].pid > 0;
	return count;
}

void
slot_wake_all(const struct master *master)
{
	const uint64_t one = 1;

	for (unsigned i = 0; i < master->slot_count; i++)
		if (slot_is_alive(&master->slots[i]))
			(void)!write(master->wakes[master->slots[i].id], &one, sizeof(one));
}

void
slot_kill(struct slot *slot, const char *why)
{
	if (!slot_is_alive(slot))
		return;
	if (slot->master->stop.phase == STOP_NONE)
		log_warnx("worker %u (pid %ld) is replaced: %s", slot->place, (long)slot->pid, why);
	else
		log_info("worker %u (pid %ld) is killed: %s", slot->place, (long)slot->pid, why);
	slot->was_killed = true;
	kill(slot->pid, SIGKILL);
}

/* ---- start ---- */

/* An id that no worker had, or whose dead owner was swept up after; -1 when there is none now. */
static int
slot_find_id(const struct master *master)
{
	for (unsigned id = 0; id < master->ids; id++) {
		bool free_id = true;

		for (unsigned i = 0; i < master->slot_count; i++)
			if (master->slots[i].pid > 0 && master->slots[i].id == id)
				free_id = false;
		for (unsigned i = 0; i < master->conf->service_count && free_id; i++)
			if (master->pools[i] != NULL)
				free_id = pool_swept(master->pools[i], id);
		if (free_id)
			return (int)id;
	}
	return -1;
}

static void
slot_reset(struct slot *slot, unsigned id)
{
	slot->id = id;
	slot->was_ready = slot->was_killed = slot->start_told = slot->drain = slot->drain_told =
	    false;
	slot->behind = slot->asked = slot->check = slot->check_by = 0;
	slot->ping = 0;
	memset(slot->told, 0, slot->master->instance_count * sizeof(*slot->told));
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

	if (slot->master->stop.phase != STOP_NONE || master_is_damaged(slot->master))
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

void
slot_pardon_all(struct master *master, uint64_t now)
{
	for (unsigned i = 0; i < master->slot_count; i++) {
		struct slot *slot = &master->slots[i];

		if (slot->asked != 0)
			slot->asked = now;
		if (slot->behind != 0)
			slot->behind = now;
		if (slot->check_by != 0)
			slot->check_by = now + SLOT_CHECK_TIME;
	}
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
	return slot->was_ready && slot->next_ping < next ? slot->next_ping : next;
}

/* ---- end ---- */

/* Whatever it held is lost: its id is dead, its connections are closed. */
static void
slot_bury(struct slot *slot)
{
	struct master *master = slot->master;

	for (unsigned i = 0; i < master->conf->service_count; i++) {
		if (master->pools[i] != NULL)
			pool_bury(master->pools[i], slot->id);
		atomic_store(&stats_row(master->stats[i], slot->id)->open, 0);
	}
	atomic_store(&stats_row(master->sum, slot->id)->open, 0);
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
	slot->pid = 0;
	slot_bury(slot);
	slot->since = now;
	slot_set_state(slot, SLOT_WAITING);
	if (slot->was_ready)
		slot->not_before = now;
	else
		slot_failed(slot, now);
	slot_wake_all(master);
}

void
slot_open(struct slot *slot, struct master *master, unsigned place)
{
	*slot = (struct slot){.master = master,
	    .place = place,
	    .since = master->started,
	    .channel = -1,
	    .told = mem_alloc(master->instance_count + 1, sizeof(*slot->told))};
}

void
slot_close(struct slot *slot)
{
	slot_hang_up(slot);
	free(slot->told);
}
