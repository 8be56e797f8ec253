/*
 * How the daemon ends. Each phase has a condition and a time limit; whatever is left then is
 * killed. A second order to stop does the same at once.
 */
#include "daemon/stop.h"

#include "common/clock.h"
#include "common/log.h"
#include "daemon/master.h"

#define STOP_KILL_TIME (2 * CLOCK_SECOND) /* until what was killed must be gone */

static void
stop_set_phase(struct master *master, enum stop_phase phase)
{
	log_debug("stop: phase %d -> %d", master->stop.phase, phase);
	master->stop.phase = phase;
}

void
stop_gracefully(struct master *master, const char *name)
{
	uint64_t limit = master->conf->shutdown_timeout;
	struct generation *generation;

	if (master->stop.phase != STOP_NONE) {
		stop_now(master, name);
		return;
	}
	log_info("stopping: %s; draining for up to %gs", name, (double)limit / CLOCK_SECOND);
	master->state = MASTER_STOPPING;
	master->stop.deadline = clock_now() + limit;
	stop_set_phase(master, STOP_DRAINING);
	reload_stop(master);
	upgrade_stop(master);
	TAILQ_FOREACH (generation, &master->generations, entry) {
		/* New clients are refused at once; workers close their copies when they drain. */
		listen_close(&generation->listen);
		for (unsigned i = 0; i < generation->slot_count; i++)
			slot_drain(&generation->slots[i], true, 0);
	}
}

static void
stop_kill_all(struct master *master, const char *why)
{
	struct service *service;

	stop_set_phase(master, STOP_KILLING);
	master->stop.deadline = clock_now() + STOP_KILL_TIME;
	slot_kill_all(master, why);
	TAILQ_FOREACH (service, &master->services, entry)
		service_kill(service, why);
}

void
stop_now(struct master *master, const char *name)
{
	struct generation *generation;

	if (master->stop.phase == STOP_KILLING || master->stop.phase == STOP_DONE)
		return;
	log_info("stopping: %s; at once", name);
	master->state = MASTER_STOPPING;
	reload_stop(master);
	upgrade_stop(master);
	TAILQ_FOREACH (generation, &master->generations, entry)
		listen_close(&generation->listen);
	stop_kill_all(master, "the daemon stops at once");
}

static unsigned
stop_count_instances(const struct master *master)
{
	const struct service *service;
	unsigned count = 0;

	TAILQ_FOREACH (service, &master->services, entry)
		count += service_processes(service);
	return count;
}

static void
stop_end_instances(struct master *master, uint64_t now)
{
	struct service *service;

	stop_set_phase(master, STOP_ENDING);
	TAILQ_FOREACH (service, &master->services, entry)
		service_stop(service, now);
}

uint64_t
stop_turn(struct master *master, uint64_t now)
{
	if (master->stop.phase == STOP_NONE || master->stop.phase == STOP_DONE)
		return MASTER_NEVER;
	if (master->stop.phase == STOP_DRAINING && slot_count_processes(master) == 0)
		stop_end_instances(master, now);
	if (master->stop.phase != STOP_DRAINING && slot_count_processes(master) == 0 &&
	    stop_count_instances(master) == 0) {
		stop_set_phase(master, STOP_DONE);
	} else if (now >= master->stop.deadline && master->stop.phase == STOP_KILLING) {
		log_warnx("stopping: %u workers and %u instances do not die",
		    slot_count_processes(master), stop_count_instances(master));
		stop_set_phase(master, STOP_DONE);
	} else if (now >= master->stop.deadline) {
		log_warnx("stopping: shutdown_timeout is over");
		stop_kill_all(master, "shutdown_timeout is over");
	}
	return master->stop.phase == STOP_DONE ? MASTER_NEVER : master->stop.deadline;
}
