/*
 * Turns the master's books into what systemd shows in one line. Owns the pace at which figures are
 * told; changes nothing of the master's.
 */
#include "daemon/beat.h"

#include "common/clock.h"
#include "common/stats.h"
#include "daemon/master.h"
#include "daemon/notify.h"

#include <stdio.h>

#define BEAT_PACE   (5 * CLOCK_SECOND) /* between two looks at the figures */
#define BEAT_MARGIN (5 * CLOCK_SECOND) /* beside the time limits of a stop */

static struct {
	uint64_t next;          /* when to look at the figures again */
	enum notify_state seen; /* at the turn before */
} beat;

/* "; crash loop: NAME, ..." as far as there is room. */
static void
beat_write_loops(const struct master *master, char *to, size_t size)
{
	const struct generation *current = master->current;
	size_t length = 0;

	to[0] = '\0';
	for (unsigned i = 0; i < current->conf->service_count && length < size; i++)
		if (backoff_loop_is_on(&current->services[i]->loop))
			length += (size_t)snprintf(to + length, size - length, "%s%s",
			    length == 0 ? "; crash loop: " : ", ", current->services[i]->name);
}

static void
beat_tell_figures(const struct master *master)
{
	unsigned services = master->conf->service_count, workers = 0;
	unsigned long long open = stats_open(master->sum);
	char loops[NOTIFY_TEXT_MAX / 2];

	for (unsigned i = 0; i < master->current->slot_count; i++)
		workers += master->current->slots[i].state == SLOT_READY;
	beat_write_loops(master, loops, sizeof(loops));
	notify_figures("%u worker%s, %u service%s, %llu connection%s%s", workers,
	    workers == 1 ? "" : "s", services, services == 1 ? "" : "s", open, open == 1 ? "" : "s",
	    loops);
}

/* The time that it may still take covers all phases: killing, the last, has a short one. */
static void
beat_tell_stop(const struct stop *stop, uint64_t now)
{
	static const char *const phases[] = {
	    [STOP_DRAINING] = "stopping: draining",
	    [STOP_ENDING] = "stopping: programs end",
	    [STOP_KILLING] = "stopping: killing what is left",
	};
	uint64_t left = stop->deadline > now ? stop->deadline - now : 0;

	if (stop->phase == STOP_NONE || stop->phase == STOP_DONE)
		return;
	if (notify_get_state() != NOTIFY_STOPPING)
		notify_stopping(left + BEAT_MARGIN, phases[stop->phase]);
	else
		notify_status("%s", phases[stop->phase]);
}

uint64_t
beat_turn(struct master *master, uint64_t now)
{
	bool is_born = master->state == MASTER_RUNNING && notify_get_state() == NOTIFY_STARTING;
	uint64_t next;

	if (!notify_is_on())
		return MASTER_NEVER;
	if (master->state == MASTER_STOPPING) {
		beat_tell_stop(&master->stop, now);
		return notify_turn(now);
	}
	if (is_born || now >= beat.next || notify_get_state() != beat.seen) {
		beat_tell_figures(master);
		beat.next = now + BEAT_PACE;
	}
	if (is_born)
		notify_ready();
	beat.seen = notify_get_state();
	next = notify_turn(now);
	return next < beat.next ? next : beat.next;
}
